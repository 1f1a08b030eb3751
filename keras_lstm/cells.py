"""A model's own weights, applied one time step at a time.

What walks a tree of prefixes, or follows very long sequences, needs the state
between two steps, which `model.predict` does not give.
"""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

# Where a margin is closer to zero than rounding may move it, what is computed
# here and what `predict` computes may differ: the sums are grouped otherwise.
CLOSE_MARGIN = 1e-4


def margins_of(logits: Any, targets: Any) -> Any:
    """The target's logit minus the largest other.

    Args:
        logits: `(..., num_classes)`.
        targets: class numbers, `(...)`.
    """
    chosen = tf.one_hot(targets, logits.shape[-1], True, False)
    right = tf.reduce_max(tf.where(chosen, logits, -np.inf), -1)
    return right - tf.reduce_max(tf.where(chosen, -np.inf, logits), -1)


class Cells:
    """A model's own weights, applied one time step at a time.

    Make one with `Cells.of(model)`. The state of a network is a list: for
    each LSTM layer its h and its c, `(nodes, units)`.

    Attributes:
        per_step: whether the head answers at every time step.
        step: from cells and the targets of their children, `(num_symbols *
            nodes,)`, to the children's cells and margins. Children are
            ordered by symbol, then as their parents.
        follow: from symbols and targets, `(num_examples, timesteps)`, to how
            many symbols are wrong, the smallest margin, and whether any is
            close to zero, each `(num_examples,)`. For the per_step head.
        leaf_margins: from cells and targets, `(nodes, num_bits)`, to margins
            of the same shape. For the last_state head.
    """

    def __init__(
        self,
        embedding: keras.layers.Embedding,
        lstms: list[keras.layers.LSTM],
        dense: keras.layers.Dense,
        output_shape: tuple[int, ...],
        per_step: bool,
    ) -> None:
        self.per_step = per_step
        self._units = [lstm.units for lstm in lstms]
        weights = [
            [tf.constant(w) for w in lstm.get_weights()] for lstm in lstms
        ]
        kernel, bias = [tf.constant(w) for w in dense.get_weights()]
        embedded = tf.constant(embedding.get_weights()[0])
        num_symbols = embedded.shape[0]
        # The first layer's input is one of few: its product, once for each.
        table = embedded @ weights[0][0] + weights[0][2]

        def advance(cells: Any, first: Any, spread: Any) -> list[Any]:
            """The cells after a symbol, given what it adds to layer 1."""
            following: list[Any] = []
            x = None
            for layer, (into, recurrent, bias_) in enumerate(weights):
                h, c = cells[2 * layer], cells[2 * layer + 1]
                z = spread(h @ recurrent)
                z += first if x is None else x @ into + bias_
                i, f, g, o = tf.split(z, 4, -1)
                c = tf.sigmoid(f) * spread(c) + tf.sigmoid(i) * tf.tanh(g)
                x = tf.sigmoid(o) * tf.tanh(c)
                following += [x, c]
            return following

        def step(cells: Any, targets: Any) -> Any:
            first = tf.repeat(table, tf.shape(cells[0])[0], axis=0)
            cells = advance(
                cells, first, lambda x: tf.tile(x, [num_symbols, 1])
            )
            if not per_step:
                return cells, ()
            return cells, margins_of(cells[-2] @ kernel + bias, targets)

        def follow(symbols: Any, targets: Any) -> Any:
            symbols, targets = tf.transpose(symbols), tf.transpose(targets)
            rows = tf.shape(symbols)[1]
            cells = [tf.zeros([rows, u]) for u in self._units for _ in "hc"]
            wrong = tf.zeros([rows], tf.int32)
            least = tf.fill([rows], np.float32(np.inf))
            close = tf.zeros([rows], tf.bool)
            for t in tf.range(tf.shape(symbols)[0]):
                first = tf.gather(table, symbols[t])
                cells = advance(cells, first, lambda x: x)
                margins = margins_of(cells[-2] @ kernel + bias, targets[t])
                wrong += tf.cast(margins < 0, tf.int32)
                least = tf.minimum(least, margins)
                close |= tf.abs(margins) < CLOSE_MARGIN
            return tf.cast(wrong, tf.int16), least, close

        def leaf_margins(cells: Any, targets: Any) -> Any:
            logits = cells[-2] @ kernel + bias
            logits = tf.reshape(logits, [-1, *output_shape])
            return margins_of(logits, targets)

        cells = [
            tf.TensorSpec([None, units], tf.float32)
            for units in self._units
            for _ in range(2)
        ]
        node = tf.TensorSpec([None], tf.int32)
        leaf = tf.TensorSpec([None, None], tf.int64)
        self.step = tf.function(step, input_signature=[cells, node])
        both = tf.TensorSpec([None, None], tf.int32)
        self.follow = tf.function(follow, input_signature=[both, both])
        self.leaf_margins = tf.function(
            leaf_margins, input_signature=[cells, leaf]
        )

    def start(self) -> list[Any]:
        """Each LSTM layer's h and c before the first symbol."""
        return [tf.zeros([1, u]) for u in self._units for _ in range(2)]

    @classmethod
    def of(cls, model: keras.Model) -> "Cells | None":
        """The network of a model; None if it has layers not known here."""
        layers = _chain(model)
        if layers is None or len(layers) < 3:
            return None
        reshape = None
        if type(layers[-1]) is keras.layers.Reshape:
            reshape = layers.pop()
        embedding, *lstms, dense = layers
        known = (
            type(embedding) is keras.layers.Embedding
            and not embedding.mask_zero
            and all(_is_stock_lstm(lstm) for lstm in lstms)
            and all(lstm.return_sequences for lstm in lstms[:-1])
            and lstms[-1].return_sequences == (reshape is None)
            and type(dense) is keras.layers.Dense
            and dense.activation is keras.activations.linear
            and dense.use_bias
            and all(layer.compute_dtype == "float32" for layer in layers)
        )
        if not known:
            return None
        shape = reshape.target_shape if reshape else (dense.units,)
        return cls(embedding, lstms, dense, shape, reshape is None)


def _chain(model: keras.Model) -> list[keras.layers.Layer] | None:
    """The layers that do something at inference, if each follows the last."""
    idle = (
        keras.layers.InputLayer,
        keras.layers.Dropout,
        keras.layers.GaussianDropout,
        keras.layers.GaussianNoise,
        keras.layers.SpatialDropout1D,
    )
    try:
        follow = all(
            after.input is before.output
            for before, after in zip(
                model.layers, model.layers[1:], strict=False
            )
        )
    # A layer that is shared or not part of a graph has no such attribute.
    except AttributeError:
        return None
    if not follow:
        return None
    return [layer for layer in model.layers if type(layer) not in idle]


def _is_stock_lstm(layer: keras.layers.Layer) -> bool:
    return (
        type(layer) is keras.layers.LSTM
        and layer.activation is keras.activations.tanh
        and layer.recurrent_activation is keras.activations.sigmoid
        and layer.use_bias
        and not layer.go_backwards
        and not layer.stateful
        and not layer.return_state
    )
