"""The norm of each step's gradient, recorded for callbacks to read."""

from typing import Any

import numpy as np
import tensorflow as tf

from keras_lstm.checkpoint.step_check import MONITOR

_ATTRIBUTE = "_gradient_norms"


class GradientNorms:
    """Mean and maximum of the gradient norms since the last `take`.

    Args:
        strategy: the strategy of the optimizer whose gradients are recorded.

    Attributes:
        graph: the graph of the last train step that was traced; None if none
            was.
        num_noted: number of norms in the last result of `take`.
    """

    def __init__(self, strategy: tf.distribute.Strategy) -> None:
        self.graph: Any = None
        with strategy.scope():
            self._totals = tf.Variable(
                tf.zeros([3]),
                trainable=False,
                name=f"{MONITOR}/gradient_norm",
                synchronization=tf.VariableSynchronization.ON_READ,
                aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
            )

        self.clear()

    def clear(self) -> None:
        """Discard all norms."""
        self._totals.assign(tf.zeros([3]))
        self._last: tuple[float, float] | None = None
        self.num_noted = 0

    def take(self) -> tuple[float, float] | None:
        """Return the mean and the maximum of the norms, and start again.

        Returns:
            The mean and the maximum since the last call. If there was no norm
            since then, the result of that call, so that several callbacks can
            call this; None if there has been no norm at all.
        """
        total, count, largest = np.array(self._totals.read_value()).tolist()
        if count:
            self._totals.assign(tf.zeros([3]))
            self._last = total / count, largest
            self.num_noted = int(count)
        return self._last

    def add(self, gradients: Any) -> None:
        """Add the norm of a step's gradients. Call this in the train step."""
        graph = tf.compat.v1.get_default_graph()
        # `LossScaleOptimizer` applies gradients in a branch.
        while "cond" in getattr(graph, "name", ""):
            graph = graph.outer_graph
        self.graph = graph
        norm = tf.linalg.global_norm(
            [
                tf.cast(tf.convert_to_tensor(gradient), tf.float32)
                for gradient in gradients
                if gradient is not None
            ]
        )
        total, count, largest = tf.unstack(self._totals.read_value())
        self._totals.assign(
            tf.stack([total + norm, count + 1.0, tf.maximum(largest, norm)])
        )


def record_gradient_norm(optimizer: Any) -> tuple[GradientNorms, bool]:
    """Make an optimizer record the norm of each gradient before clipping.

    On several replicas, the norm is that of the whole batch's gradient. If
    Keras clips the gradient of each replica's part, it is the norm of the first
    replica's gradient (`clip_aggregated_gradients` makes Keras clip the whole).

    Args:
        optimizer: a Keras optimizer, or a `LossScaleOptimizer` around one. It
            is changed in place.

    Returns:
        The norms, the same object for every call with this optimizer, and
        whether this is the first call. Functions traced before the first call
        do not record norms.
    """
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    if hasattr(inner, _ATTRIBUTE):
        return getattr(inner, _ATTRIBUTE), False
    norms = GradientNorms(inner._distribution_strategy)
    setattr(inner, _ATTRIBUTE, norms)
    if inner.clipnorm or inner.global_clipnorm or inner.clipvalue:
        if not hasattr(inner, "_add_up_gradients"):
            clip = inner._clip_gradients

            def record_and_clip(gradients: Any) -> Any:
                norms.add(gradients)
                return clip(gradients)

            inner._clip_gradients = record_and_clip
            return norms, True
        name = "_add_up_gradients"
    else:
        name = "_all_reduce_sum_gradients"
    add_up = getattr(inner, name)

    def add_up_and_record(pairs: Any) -> Any:
        pairs = list(add_up(pairs))
        norms.add([gradient for gradient, _ in pairs])
        return pairs

    setattr(inner, name, add_up_and_record)
    return norms, True
