"""Ends a training whose numbers have gone wrong."""

import math
from collections.abc import Iterable

import keras
import numpy as np
import tensorflow as tf

from keras_lstm.core.errors import RunError


class NonFiniteError(RunError):
    """The loss or a weight is infinite or no number."""


class RaiseOnNonFinite(keras.callbacks.Callback):
    """Fails at the step where the loss or a weight stops being finite.

    Keras's `TerminateOnNaN` ends `fit` as if it were done. This raises, so
    that nothing is saved or reported that only looks like a result. The loss
    and the weights are looked at after each step.

    Give it to `fit` before `ExactResume`.

    Raises:
        NonFiniteError: in `fit`; with the step and the learning rate.

    Example:

    ```python
    model.fit(..., callbacks=[RaiseOnNonFinite()])
    ```
    """

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Makes the check of the weights."""
        variables = [v.value for v in self.model.trainable_variables]
        # Zero, unless something is not finite; one call, a fifth of a
        # millisecond.
        self._weights_are_finite = tf.function(
            lambda: tf.math.is_finite(
                tf.add_n(
                    [0.0]
                    + [
                        tf.cast(tf.reduce_sum(0 * variable), tf.float32)
                        for variable in variables
                    ]
                )
            ),
            autograph=False,
        )

    def on_train_batch_end(
        self, batch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Looks at the loss and the weights."""
        loss = (logs or {}).get("loss", 0.0)
        if not math.isfinite(loss):
            raise NonFiniteError(f"the loss is {loss} {_where(self.model)}")
        if not self._weights_are_finite():
            raise NonFiniteError(f"a weight is not finite {_where(self.model)}")


def check_weights(model: keras.Model, weights: Iterable[np.ndarray]) -> None:
    """Looks at weights.

    Args:
        model: whose they are.
        weights: arrays of any type.

    Raises:
        NonFiniteError: one of them is not finite.
    """
    for weight in weights:
        # V: bfloat16, which NumPy does not know as a number.
        if weight.dtype.kind in "fV" and not np.isfinite(weight).all():
            raise NonFiniteError(f"a weight is not finite {_where(model)}")


def _where(model: keras.Model) -> str:
    optimizer = model.optimizer
    return (
        f"after step {int(optimizer.iterations.numpy())} (learning rate now "
        f"{float(optimizer.learning_rate.numpy()):.4g})"
    )
