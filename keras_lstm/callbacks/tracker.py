"""The common part of callbacks that send a training to a tracker."""

import abc
import pathlib
import uuid
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Self

import keras

from keras_lstm.core.console import print_status
from keras_lstm.core.errors import escaped
from keras_lstm.core.extras import require_tracker

# Metrics of epochs, by the epoch's number, counted from 1.
Rows = Mapping[int, Mapping[str, float]]


class Tracker(keras.callbacks.Callback, abc.ABC):
    """Send the metrics of each epoch to a tracker of experiments.

    Each epoch is sent once, with its number, counted from 1, as the step. With
    `ExactResume`, a resumed training goes on in the same tracked run. Epochs
    that the tracker lacks, such as those before it was added, are sent from
    the history.

    Training never fails because of a tracker. If a request fails, one line
    says so, and nothing is sent until the end of `fit`, where all that is
    missing is sent, if that is possible by then.

    A callback is for one training. The tracked run ends with `fit`; in a `with`
    block, it ends with the block, and as failed after an exception.

    Args:
        project: name of the project or experiment. If None, that of the
            tracker's environment variable, or else "keras-lstm". Defaults to
            None.
        name: name of the tracked run. If None, the tracker makes one up.
            Defaults to None.
        options: mapping of names to values that describe the training. Defaults
            to None.
        verbose: 0 or 1. With 1, print where the training is tracked. Defaults
            to 1.

    Attributes:
        run_id: identifier of the tracked run, which a checkpoint keeps.

    Raises:
        InputError: if the tracker's package is not installed.
    """

    # The tracker's package, and the extra that installs it.
    package: str

    def __init__(
        self,
        project: str | None = None,
        name: str | None = None,
        options: Mapping[str, Any] | None = None,
        verbose: int = 1,
    ) -> None:
        super().__init__()
        require_tracker(self.package)
        self.project = project
        self.name = name
        self.options = dict(options or {})
        self.verbose = verbose
        # Chosen here: the first checkpoint holds it before anything is sent.
        self.run_id = uuid.uuid4().hex
        self._sent: int | None = None
        self._failed = self._was_open = self._in_block = False

    def get_state(self) -> dict[str, Any]:
        """Return the callback's state, for `ExactResume`."""
        return {"run_id": self.run_id, "optional": True}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore the state that `get_state` returned."""
        self.run_id = str(state["run_id"])

    def on_epoch_begin(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Open the tracked run."""
        self._send({})

    def on_epoch_end(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Send the epoch's metrics."""
        self._send({epoch + 1: logs or {}})

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Send what is missing, and end the tracked run."""
        if self._failed:
            self._failed = False
            self._send({})
        if not self._in_block:
            self._end("finished")

    def add_result(
        self, values: Mapping[str, Any], files: Iterable[pathlib.Path]
    ) -> None:
        """Add results and files to the tracked run, within a `with` block.

        Args:
            values: the results by name; numbers and texts.
            files: the files to upload.
        """
        # A resumed training may have had no epochs left.
        self._send({})

        def add() -> None:
            # Files may be made as they are asked for.
            self._add(values, [path for path in files if path.exists()])

        self._attempt(add)

    def __enter__(self) -> Self:
        self._in_block = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._in_block = False
        if kind is None:
            self._end("finished")
        elif issubclass(kind, SystemExit | KeyboardInterrupt):
            self._end("killed")
        else:
            self._end("failed")

    def _end(self, state: str) -> None:
        if self._was_open:
            self._was_open = False
            self._attempt(lambda: self._close(state))
        self._sent = None

    def _send(self, rows: Rows) -> None:
        """Send epochs; at first, also those in the history."""

        def send() -> None:
            missing = dict(rows)
            if self._sent is None:
                self._was_open = True
                self._sent = self._open()
                missing = _history(self.model) | missing
                if self.verbose:
                    self.verbose = 0
                    where = escaped(self._place())
                    print_status(f"{self.package}: tracked in {where}")
            sent = self._sent
            missing = {k: v for k, v in missing.items() if k > sent}
            if missing:
                self._log(missing)
                self._sent = max(missing)

        self._attempt(send)

    def _attempt(self, work: Callable[[], None]) -> None:
        """Call a function unless a call before has failed."""
        if self._failed:
            return
        try:
            work()
        # Any error of the tracker's package, or of the network below it.
        except Exception as error:
            # What has arrived is asked for before anything more is sent.
            self._failed, self._sent = True, None
            lines = str(error).splitlines() or [""]
            reason = escaped(f"{type(error).__name__}: {lines[0][:200]}")
            print_status(
                f"{self.package}: not tracked for now, training goes on "
                f"({reason})"
            )

    @abc.abstractmethod
    def _open(self) -> int:
        """Open or make the run `run_id`; return the last epoch it has, or 0."""

    @abc.abstractmethod
    def _place(self) -> str:
        """Return where to look at the open run."""

    @abc.abstractmethod
    def _log(self, rows: Rows) -> None:
        """Send epochs, in the order of their numbers."""

    @abc.abstractmethod
    def _add(
        self, values: Mapping[str, Any], files: list[pathlib.Path]
    ) -> None:
        """Send results and files."""

    @abc.abstractmethod
    def _close(self, state: str) -> None:
        """End the run: "finished", "failed" or "killed"."""


def _history(model: keras.Model) -> dict[int, dict[str, float]]:
    """Return the epochs in a model's history, as far as it tells them."""
    history = getattr(model, "history", None)
    if history is None:
        return {}
    columns = {
        name: values
        for name, values in history.history.items()
        # Others do not say to which epochs they belong.
        if len(values) == len(history.epoch)
    }
    return {
        epoch + 1: {name: values[i] for name, values in columns.items()}
        for i, epoch in enumerate(history.epoch)
    }
