"""A training in Weights & Biases."""

import os
import pathlib
from collections.abc import Mapping
from typing import Any

from keras_lstm.callbacks.tracker import Rows, Tracker

# Seconds to wait for the server before the training, and after it.
_INIT_SECONDS, _FINISH_SECONDS = 30, 120


class WandbTracker(Tracker):
    """Send a training to Weights & Biases.

    It is sent to where `wandb login` has logged in. Without a login, or after
    `wandb offline`, it is written to the folder `wandb` for `wandb sync`.
    Offline, each resumption writes a new folder of the same run, which holds
    all epochs so far.

    Metrics of epochs keep their names, results are in the summary and begin
    with "result_", and files are an artifact. Neither console output nor code,
    git state, package lists or measurements of the machine are sent. See
    `Tracker`.

    Args:
        project: name of the project. If None, that of `WANDB_PROJECT`, or else
            "keras-lstm". Defaults to None.
        name: name of the tracked run. If None, W&B makes one up. Defaults to
            None.
        options: mapping of names to values that describe the training. Defaults
            to None.
        verbose: 0 or 1. With 1, print where the training is tracked. Defaults
            to 1.

    Example:

    ```python
    model.fit(dataset, epochs=20, callbacks=[WandbTracker("adders")])
    ```
    """

    package = "wandb"
    _run: Any = None

    def _open(self) -> int:
        # Reports on W&B's own errors go to its makers.
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        import wandb

        if self._run is None:
            settings = wandb.Settings(
                host="",
                silent=True,
                console="off",
                disable_code=True,
                disable_git=True,
                disable_job_creation=True,
                save_code=False,
                x_disable_machine_info=True,
                x_disable_meta=True,
                x_disable_stats=True,
                x_save_requirements=False,
                init_timeout=_INIT_SECONDS,
                finish_timeout=_FINISH_SECONDS,
            )
            mode = wandb.setup(settings).settings.mode
            if mode in (None, "online") and not wandb.login(
                prompt=False, verify=False
            ):
                mode = "offline"
            self._run = wandb.init(
                project=self.project
                or os.environ.get("WANDB_PROJECT", "keras-lstm"),
                id=self.run_id,
                name=self.name,
                config=self.options,
                mode=mode,
                # Offline, W&B cannot know whether there is such a run.
                resume="allow" if mode in (None, "online", "shared") else None,
                reinit="create_new",
                settings=settings,
            )
        # The next step, or 0: epochs are steps from 1 on.
        return max(0, int(self._run.step) - 1)

    def _place(self) -> str:
        if self._run.offline:
            folder = pathlib.Path(self._run.dir).parent
            return f"{folder}, for `wandb sync`"
        return str(self._run.url)

    def _log(self, rows: Rows) -> None:
        for epoch in sorted(rows):
            self._run.log(dict(rows[epoch]), step=epoch, commit=True)

    def _add(
        self, values: Mapping[str, Any], files: list[pathlib.Path]
    ) -> None:
        import wandb

        self._run.summary.update(
            {f"result_{name}": value for name, value in values.items()}
        )
        artifact = wandb.Artifact(f"run-{self.run_id}", type="run")
        for path in files:
            artifact.add_file(str(path), name=path.name)
        self._run.log_artifact(artifact)

    def _close(self, state: str) -> None:
        run, self._run = self._run, None
        run.finish(exit_code=0 if state == "finished" else 1)
