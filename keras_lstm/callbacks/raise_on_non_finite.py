"""Errors for a loss or weights that are not finite."""

import math
from collections.abc import Iterable

import keras
import numpy as np
import tensorflow as tf

from keras_lstm.core.errors import RunError


class NonFiniteError(RunError):
    """Raised if the loss or a weight is infinite or NaN."""


class RaiseOnNonFinite(keras.callbacks.Callback):
    """Raise an error when the loss or a weight is infinite or NaN.

    The loss and all trainable weights are checked after each step, or after
    each `steps_per_execution` steps. The error message gives the step and the
    learning rate.

    Keras's `TerminateOnNaN` checks only the loss and then ends `fit` as if
    training had finished. This callback raises an exception instead, so that a
    failed training is never saved or reported as a result.

    Place it before `ExactResume` in the list of callbacks.

    Raises:
        NonFiniteError: during `fit`, if the loss or a weight is infinite or
            NaN.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile(keras.optimizers.SGD(0.1), "mse")
    >>> model.fit(
    ...     np.ones((8, 2)),
    ...     np.full((8, 1), np.nan),
    ...     shuffle=False,
    ...     verbose=0,
    ...     callbacks=[RaiseOnNonFinite()],
    ... )
    Traceback (most recent call last):
        ...
    keras_lstm.callbacks.raise_on_non_finite.NonFiniteError: the loss is nan ...
    """

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Build the function that checks the weights."""
        variables = [v.value for v in self.model.trainable_variables]
        # 0 * x is 0 for every finite x, so the sum is finite only if all
        # weights are. A single call for all of them takes 0.2 ms.
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
        """Check the loss and the weights."""
        loss = (logs or {}).get("loss", 0.0)
        if not math.isfinite(loss):
            raise NonFiniteError(
                f"the loss is {loss} {_after_step(self.model)}"
            )
        if not self._weights_are_finite():
            raise NonFiniteError(
                f"a weight is not finite {_after_step(self.model)}"
            )


def check_weights(model: keras.Model, weights: Iterable[np.ndarray]) -> None:
    """Check that weights are finite.

    Args:
        model: the model, whose step and learning rate the error gives.
        weights: arrays of any type; those not of floats are ignored.

    Raises:
        NonFiniteError: if a weight is infinite or NaN.
    """
    for weight in weights:
        # NumPy gives bfloat16 the kind V.
        if weight.dtype.kind in "fV" and not np.isfinite(weight).all():
            raise NonFiniteError(f"a weight is not finite {_after_step(model)}")


def _after_step(model: keras.Model) -> str:
    optimizer = model.optimizer
    return (
        f"after step {int(optimizer.iterations.numpy())} (learning rate now "
        f"{float(optimizer.learning_rate.numpy()):.4g})"
    )
