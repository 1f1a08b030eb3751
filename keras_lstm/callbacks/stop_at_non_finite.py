"""Ends a training whose numbers have gone wrong."""

import math
from collections.abc import Iterable

import keras
import numpy as np

from keras_lstm.options import RunError


class NonFiniteError(RunError):
    """The loss or a weight is infinite or no number."""


class StopAtNonFinite(keras.callbacks.Callback):
    """Fails at the step where the loss or a weight stops being finite.

    Keras's `TerminateOnNaN` ends `fit` as if it were done. This raises, so
    that nothing is saved or reported that only looks like a result. The loss
    is looked at after each step, the weights after each epoch.

    Give it to `fit` before `ExactResume`.

    Raises:
        NonFiniteError: in `fit`; with the step and the learning rate.

    Example:

    ```python
    model.fit(..., callbacks=[StopAtNonFinite()])
    ```
    """

    def on_train_batch_end(
        self, batch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Looks at the loss."""
        loss = (logs or {}).get("loss", 0.0)
        if not math.isfinite(loss):
            raise NonFiniteError(f"the loss is {loss} {_where(self.model)}")

    def on_epoch_end(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Looks at the weights."""
        check_weights(self.model, self.model.get_weights())


def check_weights(model: keras.Model, weights: Iterable[np.ndarray]) -> None:
    """Looks at weights.

    Args:
        model: whose they are.
        weights: arrays of any type.

    Raises:
        NonFiniteError: one of them is not finite.
    """
    for weight in weights:
        if weight.dtype.kind == "f" and not np.isfinite(weight).all():
            raise NonFiniteError(f"a weight is not finite {_where(model)}")


def _where(model: keras.Model) -> str:
    optimizer = model.optimizer
    return (
        f"after step {int(optimizer.iterations.numpy())} (learning rate now "
        f"{float(optimizer.learning_rate.numpy()):.4g})"
    )
