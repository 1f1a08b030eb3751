"""Early stopping at an accuracy of exactly 1."""

import sys
from typing import Any

import keras

from keras_lstm.core.errors import InputError


class StopAtFullAccuracy(keras.callbacks.Callback):
    """Stop training when a monitored accuracy is exactly 1.

    At the end of each epoch, the callback compares the monitored metric with
    1, without rounding. If it is 1, `model.stop_training` is set to True and
    training ends.

    The metric must be in `logs`: pass it to `model.compile()`.

    Args:
        monitor: name of the metric. Prefer a validation metric: a training
            metric such as "sequence_accuracy" is an average over an epoch in
            which the weights change. Defaults to "val_sequence_accuracy".
        start_from_epoch: number of epochs to wait before the callback may
            stop training. Defaults to 0.
        validation_freq: the `validation_freq` passed to `fit`, in epochs. A
            validation metric may be missing in all other epochs. Defaults
            to 1.
        verbose: 0 or 1. With 1, print the epoch to standard error when
            training stops. Defaults to 1.

    Attributes:
        stopped_epoch: epoch in which the callback stopped training, counted
            from 0; None if it did not.

    Raises:
        InputError: during `fit`, if `monitor` is not in `logs`.

    Example:

    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse", metrics=["binary_accuracy"])
    >>> stop = StopAtFullAccuracy("val_binary_accuracy", verbose=0)
    >>> x, y = np.zeros((4, 1)), np.zeros((4, 1))
    >>> history = model.fit(
    ...     *(x, y),
    ...     validation_data=(x, y),
    ...     epochs=5,
    ...     shuffle=False,
    ...     verbose=0,
    ...     callbacks=[stop],
    ... )
    >>> stop.stopped_epoch, len(history.epoch)
    (0, 1)
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
        """Reset `stopped_epoch`."""
        self.stopped_epoch = None

    def get_state(self) -> dict[str, Any]:
        """Return the callback's state, for `ExactResume`."""
        return {"stopped_epoch": self.stopped_epoch}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore the state that `get_state` returned."""
        self.stopped_epoch = state["stopped_epoch"]

    def on_epoch_end(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Stop training if the metric is exactly 1."""
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
