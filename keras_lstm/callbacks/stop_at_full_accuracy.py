"""Early stopping at an accuracy of exactly 1."""

import sys
from collections.abc import Collection
from typing import Any

import keras

from keras_lstm.callbacks.final_weights import (
    averaging_optimizers,
    keep_weights,
    read_averaged,
)
from keras_lstm.core.errors import InputError, shown


class StopAtFullAccuracy(keras.callbacks.Callback):
    """Stop training when a monitored accuracy is exactly 1.

    At the end of each epoch, the callback compares the monitored metric with
    1, without rounding. If it is 1, `model.stop_training` is set to True and
    training ends.

    The metric must be in `logs`: pass it to `model.compile()`.

    `fit` ends with the weights that the metric was measured with, also if the
    optimizer has `use_ema=True`: those that the validation saw, which are the
    averages with `SwapEMAWeights`; for a training metric, those of the last
    step.

    Args:
        monitor: name of the metric. Prefer a validation metric: a training
            metric such as "sequence_accuracy" is an average over an epoch in
            which the weights change. Defaults to "val_sequence_accuracy".
        start_from_epoch: number of epochs to wait before the callback may
            stop training. Defaults to 0.
        validation_freq: the `validation_freq` passed to `fit`: a number of
            epochs, or those to validate after, counted from 1. A validation
            metric may be missing in all other epochs. Defaults to 1.
        verbose: 0 or 1. With 1, print the epoch to standard error when
            training stops. Defaults to 1.

    Attributes:
        stopped_epoch: epoch in which the callback stopped training, counted
            from 0; None if it did not.

    Raises:
        InputError: if `validation_freq` is less than 1; during `fit`, if
            `monitor` is not in `logs`.

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
        validation_freq: int | Collection[int] = 1,
        verbose: int = 1,
    ) -> None:
        super().__init__()
        if isinstance(validation_freq, Collection):
            is_right = not isinstance(validation_freq, str)
        else:
            is_right = validation_freq >= 1
        if not is_right:
            raise InputError(
                "`validation_freq` must be a number of at least 1, or a list "
                f"of epochs. Received: validation_freq={shown(validation_freq)}"
            )
        self.monitor = monitor
        self.start_from_epoch = start_from_epoch
        self.validation_freq = validation_freq
        self.verbose = verbose
        self.stopped_epoch: int | None = None
        # Weights that were validated, if the optimizer averages them.
        self._validated: list[list[Any]] | None = None

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Reset `stopped_epoch`."""
        self.stopped_epoch = self._validated = None

    def on_test_begin(self, logs: dict[str, float] | None = None) -> None:
        """Forget the weights of the last validation."""
        self._validated = None

    def on_test_batch_end(
        self, batch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Note the weights that are validated, if the optimizer averages."""
        # Here `SwapEMAWeights` has exchanged them, wherever it is in the list.
        if self._validated is None and averaging_optimizers(self.model):
            self._validated = read_averaged(self.model)

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
        is_validated = self.monitor.startswith("val_")
        if self.monitor not in logs:
            if is_validated and not self._validates(epoch):
                return
            raise InputError(
                f"`monitor` must be one of {', '.join(sorted(logs))}. "
                f"Received: monitor={self.monitor}"
            )
        if epoch >= self.start_from_epoch and logs[self.monitor] == 1.0:
            self.stopped_epoch = epoch
            self.model.stop_training = True
            keep_weights(self.model, self._validated if is_validated else None)
            if self.verbose:
                print(
                    f"Epoch {epoch + 1}: {self.monitor} is exactly 1; stopping",
                    file=sys.stderr,
                )

    def _validates(self, epoch: int) -> bool:
        """Return whether `fit` validates after an epoch."""
        if isinstance(self.validation_freq, Collection):
            return epoch + 1 in self.validation_freq
        return (epoch + 1) % self.validation_freq == 0
