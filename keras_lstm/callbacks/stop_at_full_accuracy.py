"""Ends a training when nothing is wrong."""

import sys
from typing import Any

import keras

from keras_lstm.core.errors import InputError


class StopAtFullAccuracy(keras.callbacks.Callback):
    """Stops when the monitored accuracy is exactly 1.

    Args:
        monitor: the name of an entry of `logs`. The training average that
            "sequence_accuracy" stands for is taken over weights that move
            during the epoch; "val_sequence_accuracy" is not.
        start_from_epoch: epochs that always run before this may stop.
        validation_freq: as given to `fit`; a validation metric is looked for
            in those epochs only.
        verbose: whether to say, on standard error, in which epoch it fired.

    Attributes:
        stopped_epoch: the epoch it fired in, from 0; None if it did not.

    Raises:
        InputError: in `fit`, when there is no such entry.

    Example:

    ```python
    model.fit(..., callbacks=[StopAtFullAccuracy()])
    ```
    """

    def __init__(
        self,
        monitor: str = "val_sequence_accuracy",
        start_from_epoch: int = 0,
        validation_freq: int = 1,
        verbose: int = 1,
    ) -> None:
        super().__init__()
        self.monitor = monitor
        self.start_from_epoch = start_from_epoch
        self.validation_freq = validation_freq
        self.verbose = verbose
        self.stopped_epoch: int | None = None

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Forgets an earlier `fit`."""
        self.stopped_epoch = None

    def get_state(self) -> dict[str, Any]:
        """What a training that is resumed needs to know."""
        return {"stopped_epoch": self.stopped_epoch}

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes on from `get_state`."""
        self.stopped_epoch = state["stopped_epoch"]

    def on_epoch_end(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Stops, or not."""
        logs = logs or {}
        if self.monitor not in logs:
            validates = (epoch + 1) % self.validation_freq == 0
            if self.monitor.startswith("val_") and not validates:
                return
            raise InputError(
                f"`monitor` must be one of {', '.join(sorted(logs))}. "
                f"Received: monitor={self.monitor}"
            )
        if epoch >= self.start_from_epoch and logs[self.monitor] == 1.0:
            self.stopped_epoch = epoch
            self.model.stop_training = True
            if self.verbose:
                print(
                    f"Epoch {epoch + 1}: {self.monitor} is exactly 1; stopping",
                    file=sys.stderr,
                )
