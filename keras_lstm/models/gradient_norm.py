"""The norm of each step's gradient, kept where a callback can read it."""

import re
from typing import Any

import numpy as np
import tensorflow as tf

_ATTRIBUTE = "_gradient_norms"


class GradientNorms:
    """Mean and largest of the norms since they were last taken.

    Attributes:
        graph: the train step as it was traced last; None before that.
        num_noted: how many there were, when they were last taken.
    """

    def __init__(self, strategy: tf.distribute.Strategy) -> None:
        self.graph: Any = None
        with strategy.scope():
            self._found = tf.Variable(
                tf.zeros([3]),
                trainable=False,
                synchronization=tf.VariableSynchronization.ON_READ,
                aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
            )

        self.clear()

    def clear(self) -> None:
        """Forgets all norms."""
        self._found.assign(tf.zeros([3]))
        self._taken: tuple[float, float] | None = None
        self.num_noted = 0

    def take(self) -> tuple[float, float] | None:
        """The mean and the largest, which start anew.

        Where there was none since they were last taken, what was taken then:
        more than one callback may ask. None where there was none at all.
        """
        total, count, largest = np.array(self._found.read_value()).tolist()
        if count:
            self._found.assign(tf.zeros([3]))
            self._taken = total / count, largest
            self.num_noted = int(count)
        return self._taken

    def add(self, gradients: Any) -> None:
        """Adds a step's, within the train step."""
        graph = tf.compat.v1.get_default_graph()
        # A branch, where the loss is scaled; a part of a step in shards.
        while re.search("cond|shard", getattr(graph, "name", "")):
            graph = graph.outer_graph
        self.graph = graph
        norm = tf.linalg.global_norm(
            [
                tf.cast(tf.convert_to_tensor(gradient), tf.float32)
                for gradient in gradients
                if gradient is not None
            ]
        )
        total, count, largest = tf.unstack(self._found.read_value())
        self._found.assign(
            tf.stack([total + norm, count + 1.0, tf.maximum(largest, norm)])
        )


def record_gradient_norm(optimizer: Any) -> tuple[GradientNorms, bool]:
    """Has an optimizer note the norm of each gradient before it is clipped.

    On several replicas it is that of the whole batch, unless Keras clips each
    replica's part: then it is that of the first replica's
    (`clip_aggregated_gradients` has Keras clip the whole).

    Args:
        optimizer: a Keras optimizer; a `LossScaleOptimizer` too.

    Returns:
        The norms, the same for one optimizer each time, and whether this is
        the first time: what was traced before does not note them.
    """
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    if hasattr(inner, _ATTRIBUTE):
        return getattr(inner, _ATTRIBUTE), False
    norms = GradientNorms(inner._distribution_strategy)
    setattr(inner, _ATTRIBUTE, norms)
    if inner.clipnorm or inner.global_clipnorm or inner.clipvalue:
        if not hasattr(inner, "_add_up_gradients"):
            clip = inner._clip_gradients

            def note_and_clip(gradients: Any) -> Any:
                norms.add(gradients)
                return clip(gradients)

            inner._clip_gradients = note_and_clip
            return norms, True
        name = "_add_up_gradients"
    else:
        name = "_all_reduce_sum_gradients"
    add_up = getattr(inner, name)

    def add_up_and_note(pairs: Any) -> Any:
        pairs = list(add_up(pairs))
        norms.add([gradient for gradient, _ in pairs])
        return pairs

    setattr(inner, name, add_up_and_note)
    return norms, True
