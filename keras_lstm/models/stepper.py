"""A model's weights, applied one time step at a time.

Checking a tree of prefixes, or very long sequences, needs the state between two
steps, which `model.predict` does not return.
"""

import functools
import itertools
import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_lstm.core.errors import InputError
from keras_lstm.models.logits import margins_of
from keras_lstm.models.weights import LSTMWeights, read_weights

# A margin closer to zero than this may have the other sign in `predict`, which
# groups the same sums differently and so rounds differently.
CLOSE_MARGIN = 1e-4


def lstm_cell(z: Any, c: Any, *, split: Any, sigmoid: Any, tanh: Any) -> Any:
    """Apply the equations of a stock LSTM to one time step.

    The functions of the array library are arguments, because a loop over time
    is fast in a TensorFlow function or in NumPy, but not in eager TensorFlow.

    Args:
        z: the gates before their activation functions, in the order of a
            stock LSTM's kernel, `(..., 4 * units)`.
        c: the cell state before the step, `(..., units)`.
        split: `split` of the library of `z` and `c`, NumPy or TensorFlow.
        sigmoid: elementwise sigmoid of the same library.
        tanh: elementwise tanh of the same library.

    Returns:
        The input gate, the forget gate, the candidate, the output gate, and
        c and h after the step, each `(..., units)`.
    """
    z_i, z_f, z_g, z_o = split(z, 4, -1)
    f = sigmoid(z_f)
    kept = f * c
    i, g = sigmoid(z_i), tanh(z_g)
    c = kept + i * g
    o = sigmoid(z_o)
    h = o * tanh(c)
    return i, f, g, o, c, h


class LSTMStepper:
    """A model's weights, applied one time step at a time.

    Make one with `LSTMStepper.from_model`. A node is a prefix of symbols. The
    state of the network at several nodes, called cells here, is a list: h and c
    of the first LSTM layer, then of the second, and so on, each
    `(nodes, units)`.

    Args:
        network: the weights of the model.

    Attributes:
        per_step: whether the head predicts at every time step.
        num_weights: number of weights that a time step multiplies by.
    """

    def __init__(self, network: LSTMWeights) -> None:
        self.per_step = network.per_step
        self._units = tuple(lstm.units for lstm in network.lstms)
        first = network.lstms[0]
        # The first layer reads one of few embeddings, so their products with
        # its kernel are computed only once.
        table = network.embedding @ first.kernel + first.bias
        stacked = itertools.chain.from_iterable(network.lstms[1:])
        flat = [table, first.recurrent_kernel, *stacked]
        flat += [network.kernel, network.bias]
        self.num_weights = sum(array.size for array in flat)
        self._weights = [tf.constant(array) for array in flat]
        self._functions = _traced(
            self._units, len(table), network.output_shape, self.per_step
        )

    def step(self, cells: list[Any], targets: Any) -> tuple[list[Any], Any]:
        """Extend each node by every symbol.

        Args:
            cells: cells of the nodes, each `(nodes, units)`.
            targets: target at each child, `(num_symbols * nodes,)`, ordered
                by symbol, then as the nodes.

        Returns:
            The cells of the children, each `(num_symbols * nodes, units)`, in
            the same order, and for the per_step head their margins,
            `(num_symbols * nodes,)`.
        """
        return self._functions["step"](self._weights, cells, targets)

    def scan(self, symbols: Any, targets: Any) -> tuple[Any, Any, Any]:
        """Read whole sequences, for the per_step head.

        Args:
            symbols: symbols, `(num_examples, timesteps)`.
            targets: targets, `(num_examples, timesteps)`.

        Returns:
            The number of wrong predictions, the smallest margin, and whether
            any margin is close to zero, each `(num_examples,)`.
        """
        by_step = [np.ascontiguousarray(x.T) for x in (symbols, targets)]
        return self._functions["scan"](self._weights, *by_step)

    def leaf_margins(self, cells: list[Any], targets: Any) -> Any:
        """Return the margins of whole sequences, for the last_state head.

        Args:
            cells: cells after the last symbol, each `(nodes, units)`.
            targets: targets, `(nodes, num_bits)`.

        Returns:
            The margins, `(nodes, num_bits)`.
        """
        return self._functions["leaf_margins"](self._weights, cells, targets)

    def start(self) -> list[Any]:
        """Return the cells before the first symbol, each `(1, units)`."""
        return [tf.zeros([1, u]) for u in self._units for _ in range(2)]

    @classmethod
    def from_model(
        cls, model: keras.Model, num_symbols: int
    ) -> "LSTMStepper | None":
        """Make a stepper from a model.

        Args:
            model: a model from symbols to logits.
            num_symbols: number of different symbols that the model reads.

        Returns:
            The stepper; None if the model is not supported, see
            `supported_layers`.
        """
        try:
            return cls(read_weights(model, num_symbols))
        except InputError:
            return None


def _advance(weights: Any, cells: Any, first: Any) -> list[Any]:
    """Return the cells after a symbol that adds `first` to the first layer.

    `first` may have an axis of symbols before that of the nodes. The product
    of the nodes' state is then computed once for all symbols.
    """
    following: list[Any] = []
    x = None
    for layer in range(len(cells) // 2):
        h, c = cells[2 * layer], cells[2 * layer + 1]
        if x is None:
            z = h @ weights[1] + first
        else:
            kernel, recurrent, bias = weights[3 * layer - 1 : 3 * layer + 2]
            z = tf.tensordot(x, kernel, 1) + (h @ recurrent + bias)
        *_, c, x = lstm_cell(
            z, c, split=tf.split, sigmoid=tf.sigmoid, tanh=tf.tanh
        )
        following += [x, c]
    return following


@functools.lru_cache(maxsize=16)
def _traced(
    units: tuple[int, ...],
    num_symbols: int,
    output_shape: tuple[int, ...],
    per_step: bool,
) -> dict[str, Any]:
    """Return the TensorFlow functions shared by all networks of one shape."""

    def step(weights: Any, cells: Any, targets: Any) -> Any:
        cells = _advance(weights, cells, weights[0][:, tf.newaxis])
        cells = [tf.reshape(cell, [-1, cell.shape[-1]]) for cell in cells]
        if not per_step:
            return cells, ()
        logits = cells[-2] @ weights[-2] + weights[-1]
        return cells, margins_of(logits, targets)

    def scan(weights: Any, symbols: Any, targets: Any) -> Any:
        timesteps, rows = tf.unstack(tf.shape(symbols))

        def read(t: Any, cells: Any, wrong: Any, least: Any, close: Any) -> Any:
            first = tf.gather(weights[0], symbols[t])
            cells = _advance(weights, cells, first)
            logits = cells[-2] @ weights[-2] + weights[-1]
            margins = margins_of(logits, targets[t])
            return (
                t + 1,
                cells,
                wrong + tf.cast(margins < 0, tf.int32),
                tf.minimum(least, margins),
                close | (tf.abs(margins) < CLOSE_MARGIN),
            )

        start = (
            tf.constant(0),
            [tf.zeros([rows, size]) for size in units for _ in "hc"],
            tf.zeros([rows], tf.int32),
            tf.fill([rows], np.float32(np.inf)),
            tf.zeros([rows], tf.bool),
        )
        _, _, wrong, least, close = tf.while_loop(
            lambda t, *_: t < timesteps, read, start
        )
        return tf.cast(wrong, tf.int16), least, close

    def leaf_margins(weights: Any, cells: Any, targets: Any) -> Any:
        logits = cells[-2] @ weights[-2] + weights[-1]
        return margins_of(tf.reshape(logits, [-1, *output_shape]), targets)

    def floats(*shape: int | None) -> tf.TensorSpec:
        return tf.TensorSpec(shape, tf.float32)

    first, last = units[0], units[-1]
    weights = [floats(num_symbols, 4 * first), floats(first, 4 * first)]
    for below, size in itertools.pairwise(units):
        weights += [
            floats(below, 4 * size),
            floats(size, 4 * size),
            floats(4 * size),
        ]
    num_outputs = math.prod(output_shape)
    weights += [floats(last, num_outputs), floats(num_outputs)]
    cells = [floats(None, size) for size in units for _ in "hc"]
    nodes = tf.TensorSpec([None], tf.int32)
    rows = tf.TensorSpec([None, None], tf.int32)
    signatures = {
        step: [weights, cells, nodes],
        scan: [weights, rows, rows],
        leaf_margins: [weights, cells, rows],
    }
    # AutoGraph would take time, and there is no Python control flow to convert.
    return {
        function.__name__: tf.function(function, signature, autograph=False)
        for function, signature in signatures.items()
    }
