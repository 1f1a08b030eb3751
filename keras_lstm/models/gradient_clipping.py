"""Gradient clipping that does not depend on the number of replicas."""

from typing import Any

import keras

from keras_lstm.core.errors import InputError


def clip_aggregated_gradients(optimizer: Any) -> Any:
    """Make an optimizer clip the gradient of the whole batch.

    Keras clips the gradient of each replica's part of the batch before it sums
    them, so training on two replicas differs from training on one device. This
    function makes the optimizer sum first and then clip. On one device nothing
    changes.

    Args:
        optimizer: a Keras optimizer with `clipnorm`, `global_clipnorm` or
            `clipvalue`, or a `LossScaleOptimizer` around one. It is changed in
            place, once.

    Returns:
        The same optimizer.

    Raises:
        InputError: if `optimizer` is not a Keras optimizer object, or is a
            `MultiOptimizer`.

    Example:

    ```python
    optimizer = clip_aggregated_gradients(
        keras.optimizers.Adam(0.01, global_clipnorm=1.0)
    )
    ```
    """
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    # A MultiOptimizer leaves clipping to the optimizers within it.
    if not isinstance(inner, keras.optimizers.Optimizer) or hasattr(
        inner, "optimizers"
    ):
        raise InputError(
            "`optimizer` must be a single Keras optimizer object, such as "
            "keras.optimizers.Adam(global_clipnorm=1.0); for a MultiOptimizer, "
            "pass each of its optimizers before you combine them. Received: "
            f"optimizer={optimizer!r:.200}"
        )
    if clips_aggregated_gradients(inner):
        return optimizer
    clip = inner._clip_gradients
    # An attribute that is looked up at each call, because
    # `record_gradient_norm` may replace it.
    inner._add_up_gradients = inner._all_reduce_sum_gradients

    def add_up_and_clip(pairs: Any) -> list[tuple[Any, Any]]:
        summed = inner._add_up_gradients(pairs)
        gradients, variables = zip(*summed, strict=True)
        return list(zip(clip(list(gradients)), variables, strict=True))

    inner._clip_gradients = lambda gradients: gradients
    inner._all_reduce_sum_gradients = add_up_and_clip
    return optimizer


def clips_aggregated_gradients(optimizer: Any) -> bool:
    """Return whether `clip_aggregated_gradients` was applied to an optimizer.

    Args:
        optimizer: a Keras optimizer, not a `LossScaleOptimizer` around it.
    """
    return hasattr(optimizer, "_add_up_gradients")
