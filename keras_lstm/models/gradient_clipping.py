"""Gradient clipping that does not depend on the number of replicas."""

from typing import Any


def clip_aggregated_gradients(optimizer: Any) -> Any:
    """Makes an optimizer clip the gradient of the whole batch.

    Keras clips the gradient of each replica's part before they are added up,
    so that two replicas train something else than one device does. This adds
    up first. On one device nothing changes.

    Args:
        optimizer: a Keras optimizer with `clipnorm`, `global_clipnorm` or
            `clipvalue`; a `LossScaleOptimizer` too.

    Returns:
        The same optimizer.

    Example:

    ```python
    optimizer = clip_aggregated_gradients(
        keras.optimizers.Adam(0.01, global_clipnorm=1.0)
    )
    ```
    """
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    clip = inner._clip_gradients
    # Looked up when it is called: `record_gradient_norm` comes between.
    inner._add_up_gradients = inner._all_reduce_sum_gradients

    def add_up_and_clip(pairs: Any) -> list[tuple[Any, Any]]:
        summed = inner._add_up_gradients(pairs)
        gradients, variables = zip(*summed, strict=True)
        return list(zip(clip(list(gradients)), variables, strict=True))

    inner._clip_gradients = lambda gradients: gradients
    inner._all_reduce_sum_gradients = add_up_and_clip
    return optimizer
