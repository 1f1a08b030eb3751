"""Errors for a loss or weights that are not finite."""

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_lstm.core.errors import RunError


class NonFiniteError(RunError):
    """Raised if the loss or a weight is infinite or NaN."""


class RaiseOnNonFinite(keras.callbacks.Callback):
    """Raise an error when the loss or a weight is infinite or NaN.

    The losses and all trainable weights are checked after each step, or after
    each `steps_per_execution` steps. Losses are the entries of `logs` named
    "loss" or ending in "_loss": a `train_step` of your own may have several.
    The error message gives the step and the learning rate.

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
        """Forget the weights of an earlier `fit`."""
        self._weights_are_finite: Any = None

    def get_state(self) -> dict[str, float]:
        """Return an empty state: each step is checked by itself."""
        return {}

    def set_state(self, state: dict[str, float]) -> None:
        """Restore nothing.

        Args:
            state: the result of `get_state`.
        """

    def on_train_batch_end(
        self, batch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Check the losses and the weights."""
        for name, loss in (logs or {}).items():
            is_loss = name == "loss" or name.endswith("_loss")
            if is_loss and not np.isfinite(loss).all():
                raise NonFiniteError(
                    f"the {name.replace('_', ' ')} is {loss} "
                    f"{_after_step(self.model)}"
                )
        if self._weights_are_finite is None:
            # Some models have no weights before their first step.
            self._weights_are_finite = _finiteness_of(
                self.model.trainable_variables
            )
        if not self._weights_are_finite():
            raise NonFiniteError(
                f"a weight is not finite {_after_step(self.model)}"
            )


def _finiteness_of(variables: list[keras.Variable]) -> Any:
    """Return a function that tells whether all variables are finite."""
    tensors = [variable.value for variable in variables]
    # 0 * x is 0 for every finite x, so the sum is finite only if all
    # weights are. A single call for all of them takes 0.2 ms.
    return tf.function(
        lambda: tf.math.is_finite(
            tf.add_n(
                [0.0]
                + [
                    tf.cast(tf.reduce_sum(0 * tensor), tf.float32)
                    for tensor in tensors
                ]
            )
        ),
        autograph=False,
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
    """Return the step, and the learning rate of each optimizer in use."""
    found = {
        name: optimizer
        for name, optimizer in vars(model).items()
        if isinstance(optimizer, keras.optimizers.Optimizer)
    }
    steps = {
        name: int(optimizer.iterations.numpy())
        for name, optimizer in found.items()
    }
    # `compile` gives a model an optimizer even if its own `train_step` uses
    # others.
    used = [name for name in found if steps[name]] or list(found)
    rates = []
    for name in used:
        # A MultiOptimizer has several optimizers and no learning rate.
        for each in getattr(found[name], "optimizers", [found[name]]):
            label = f" of {name}" if len(used) > 1 else ""
            rate = float(keras.ops.convert_to_numpy(each.learning_rate))
            rates.append(f"{rate:.4g}{label}")
    step = max(steps.values(), default=0)
    if not rates:
        return f"after step {step}"
    return f"after step {step} (learning rate now {', '.join(rates)})"
