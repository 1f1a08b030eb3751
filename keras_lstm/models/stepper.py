"""A model's weights, applied one time step at a time.

Checking a tree of prefixes, or very long sequences, needs the state between two
steps, which `model.predict` does not return.
"""

import functools
import itertools
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from keras_lstm.models.logits import margins_of
from keras_lstm.models.weights import LSTMWeights


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

    The operations and their order are those of Keras's LSTM (keras/src/layers/
    rnn/lstm.py, `implementation=2`), so that most results agree to the bit.

    A node is a prefix of symbols. The
    state of the network at several nodes, called cells here, is a list: h and c
    of the first LSTM layer, then of the second, and so on, each
    `(nodes, units)`.

    Args:
        network: the weights of the model.

    Attributes:
        network: the weights of the model.
        per_step: whether the head predicts at every time step.
        num_weights: number of weights that a time step multiplies by.
    """

    def __init__(self, network: LSTMWeights) -> None:
        self.network = network
        self.per_step = network.per_step
        self._units = tuple(lstm.units for lstm in network.lstms)
        first = network.lstms[0]
        # The first layer reads one of few embeddings, so their products with
        # its kernel are computed only once.
        table = tf.matmul(network.embedding, first.kernel).numpy()
        stacked = itertools.chain.from_iterable(network.lstms[1:])
        flat = [table, first.recurrent_kernel, first.bias, *stacked]
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

    def follow(self, symbols: Any, targets: Any) -> npt.NDArray[np.float32]:
        """Read given sequences, one symbol at a time.

        Args:
            symbols: symbols, `(num_examples, timesteps)`.
            targets: targets, `(num_examples, timesteps)`.

        Returns:
            The margins, `(num_examples, timesteps)`.
        """
        nodes = np.arange(len(symbols))
        cells = [tf.repeat(cell, len(symbols), 0) for cell in self.start()]
        margins = []
        for symbol, target in zip(symbols.T, targets.T, strict=True):
            of_children = np.tile(target, len(self.network.embedding))
            after, found = self.step(cells, of_children)
            children = symbol * len(nodes) + nodes
            cells = [tf.gather(cell, children) for cell in after]
            if self.per_step:
                margins.append(tf.gather(found, children))
        if not self.per_step:
            return self.leaf_margins(cells, targets).numpy()
        return np.stack(margins, 1)


def _advance(weights: Any, cells: Any) -> list[Any]:
    """Return the cells after each symbol, `(num_symbols, nodes, units)`.

    The product of the nodes' state is computed once for all symbols.
    """
    following: list[Any] = []
    x = None
    for layer in range(len(cells) // 2):
        h, c = cells[2 * layer], cells[2 * layer + 1]
        kernel, recurrent, bias = weights[3 * layer : 3 * layer + 3]
        # For the first layer, `kernel` holds the products of the embeddings.
        z = kernel[:, tf.newaxis] if x is None else tf.tensordot(x, kernel, 1)
        z = (z + h @ recurrent) + bias
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
        cells = _advance(weights, cells)
        cells = [tf.reshape(cell, [-1, cell.shape[-1]]) for cell in cells]
        if not per_step:
            return cells, ()
        logits = cells[-2] @ weights[-2] + weights[-1]
        return cells, margins_of(logits, targets)

    def leaf_margins(weights: Any, cells: Any, targets: Any) -> Any:
        logits = cells[-2] @ weights[-2] + weights[-1]
        return margins_of(tf.reshape(logits, [-1, *output_shape]), targets)

    def floats(*shape: int | None) -> tf.TensorSpec:
        return tf.TensorSpec(shape, tf.float32)

    weights, last = [], units[-1]
    for below, size in itertools.pairwise([num_symbols, *units]):
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
        leaf_margins: [weights, cells, rows],
    }
    # AutoGraph would take time, and there is no Python control flow to convert.
    return {
        function.__name__: tf.function(function, signature, autograph=False)
        for function, signature in signatures.items()
    }
