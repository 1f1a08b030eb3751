"""A training in Trackio."""

import contextlib
import io
import pathlib
from collections.abc import Mapping
from typing import Any

from keras_lstm.callbacks.tracker import Rows, Tracker


class TrackioTracker(Tracker):
    """Send a training to Trackio.

    It is written to Trackio's SQLite file on this machine, see `TRACKIO_DIR`,
    unless `TRACKIO_SPACE_ID` or `TRACKIO_SERVER_URL` names another place. A
    Space that is made is private.

    Names of runs are made unique by the beginning of `run_id`. Metrics of
    epochs keep their names, results begin with "result_" and belong to the last
    epoch, and files are an artifact. Trackio has no states of runs: a failed
    run looks like a short one. See `Tracker`.

    Args:
        project: name of the project. If None, "keras-lstm". Defaults to None.
        name: beginning of the tracked run's name. If None, "run". Defaults to
            None.
        options: mapping of names to values that describe the training. Defaults
            to None.
        verbose: 0 or 1. With 1, print where the training is tracked. Defaults
            to 1.

    Example:

    ```python
    model.fit(dataset, epochs=20, callbacks=[TrackioTracker("adders")])
    ```
    """

    package = "trackio"
    _run: Any = None

    def _open(self) -> int:
        import trackio

        if self._run is None:
            # Standard output is for results.
            with contextlib.redirect_stdout(io.StringIO()):
                self._run = trackio.init(
                    self.project or "keras-lstm",
                    # Trackio finds a run to resume by its name.
                    name=f"{self.name or 'run'}-{self.run_id[:8]}",
                    config=self.options,
                    resume="allow",
                    private=True,
                    embed=False,
                    auto_log_cpu=False,
                    auto_log_gpu=False,
                )
            # Trackio adds it; the first epoch sends the configuration.
            self._run.config["_Username"] = None
        # The next step, or 0: epochs are steps from 1 on.
        return max(0, int(self._run._next_step) - 1)

    def _place(self) -> str:
        where = self._run.url or "this machine, see `trackio show`"
        return f"{where}: {self._run.name} of project {self._run.project}"

    def _log(self, rows: Rows) -> None:
        for epoch in sorted(rows):
            self._run.log(dict(rows[epoch]), step=epoch)

    def _add(
        self, values: Mapping[str, Any], files: list[pathlib.Path]
    ) -> None:
        import trackio

        results = {f"result_{name}": value for name, value in values.items()}
        if results:
            self._run.log(results, step=self._sent or 1)
        if files:
            artifact = trackio.Artifact(f"run-{self.run_id}", type="run")
            for path in files:
                artifact.add_file(path, name=path.name)
            self._run.log_artifact(artifact)

    def _close(self, state: str) -> None:
        import trackio

        run, self._run = self._run, None
        with contextlib.redirect_stdout(io.StringIO()):
            run.finish()
        # Otherwise `init` and the end of the process finish it once more.
        if trackio.context_vars.current_run.get() is run:
            trackio.context_vars.current_run.set(None)
