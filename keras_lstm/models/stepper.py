"""A model's weights, applied one time step at a time.

Checking a tree of prefixes, or very long sequences, needs the state between two
steps, which `model.predict` does not return.
"""

import threading
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from keras_lstm.models.cells import WIDTH, Array, Cells, joined
from keras_lstm.models.logits import numpy_margins
from keras_lstm.models.numpy_stepper import LARGEST_PRODUCT
from keras_lstm.models.weights import LayerWeights, LSTMWeights

# Numbers in the gates of the nodes that take a step together: they stay in a
# core's own cache.
_GATES_AT_ONCE = 2**18
_ONE = np.array(1, np.float32)
_HALF = np.array(0.5, np.float32)


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


def numpy_sigmoid(z: Any) -> Any:
    """Return the sigmoid of NumPy arrays.

    `scipy.special.expit` differs by rounding, and takes 0.07 s to import.

    Args:
        z: floating-point numbers, `(...)`.
    """
    return 0.5 + 0.5 * np.tanh(0.5 * z)


class _Layer(NamedTuple):
    """Weights of one LSTM layer, as `LSTMStepper` uses them.

    The first axis holds the output, input and forget gates, then the candidate.

    Args:
        units: size of h and of c.
        kernel: weights of the layer below, `(4, 1, units, units_below)`;
            None for the first layer.
        recurrent_kernel: weights of h, `(4, 1, units, units)`.
        added: for the first layer the products of each embedding, with the
            bias, `(num_symbols, 4, units)`; for others the bias,
            `(1, 4, units)`.
    """

    units: int
    kernel: Array | None
    recurrent_kernel: Array
    added: Array


class Children(NamedTuple):
    """Nodes extended by one symbol.

    Args:
        cells: their cells; None if they were not kept.
        logits: their logits, `(num_chunks, num_outputs, width)`; None for the
            last_state head.
    """

    cells: Cells | None
    logits: Array | None


class LSTMStepper:
    """A model's weights, applied one time step at a time.

    A node is a prefix of symbols. These are the equations of `lstm_cell`, with
    `(1 + tanh(z / 2)) / 2` for the sigmoid, so that one tanh computes all
    gates. The halves are in the weights and in a doubled h (`Cells`), and
    multiplying by powers of two is exact. Several threads may take steps at the
    same time.

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
        below = len(network.embedding)
        self._layers: list[_Layer] = []
        self.num_weights = network.kernel.size + network.bias.size
        for lstm in network.lstms:
            first = None if self._layers else network.embedding
            self._layers.append(_packed(lstm, first))
            self.num_weights += (below + lstm.units + 1) * 4 * lstm.units
            below = lstm.units
        self._head = np.ascontiguousarray(network.kernel.T) * _HALF
        self._head_bias = network.bias[:, np.newaxis]
        gates = 4 * max(lstm.units for lstm in network.lstms)
        self._chunks_at_once = max(1, _GATES_AT_ONCE // (gates * WIDTH))
        self._of_thread = threading.local()
        self._unused: dict[tuple[int, ...], list[Array]] = {}

    def start(self) -> Cells:
        """Return the cells before the first symbol, of one node."""
        sizes = [layer.units for layer in self._layers for _ in "hc"]
        return Cells(tuple(np.zeros((1, n, 1), np.float32) for n in sizes))

    def step(self, cells: Cells, *, keep: bool = True) -> list[Children]:
        """Extend each node by every symbol.

        Args:
            cells: cells of the nodes.
            keep: whether to return the cells of the children. Defaults to
                True.

        Returns:
            For each symbol the children, in the order of the nodes.
        """
        num_chunks, _, width = cells.arrays[0].shape
        shapes = [array.shape for array in cells.arrays]
        outputs = (num_chunks, len(self._head), width)
        children = [
            Children(
                Cells(tuple(map(self._array, shapes))) if keep else None,
                np.empty(outputs, np.float32) if self.per_step else None,
            )
            for _ in self.network.embedding
        ]
        at_once = min(num_chunks, self._chunks_at_once)
        scratch = self._scratch_for(at_once, width)
        with np.errstate(over="ignore", invalid="ignore"):
            for first in range(0, num_chunks, at_once):
                part = slice(first, first + at_once)
                before = [array[part] for array in cells.arrays]
                after = [
                    [array[part] for array in child.cells.arrays]
                    for child in children
                    if child.cells is not None
                ]
                hs = scratch.step(before, after or None)
                for child, h in zip(children, hs, strict=True):
                    if child.logits is not None:
                        self._apply_head(h, child.logits[part])
        return children

    def leaf_margins(self, cells: Cells, targets: Any) -> Array:
        """Return the margins of whole sequences, for the last_state head.

        Args:
            cells: cells after the last symbol.
            targets: targets, `(nodes, num_bits)`.

        Returns:
            The margins, `(nodes, num_bits)`.
        """
        h = cells.arrays[-2]
        logits = np.empty((len(h), len(self._head), h.shape[-1]), np.float32)
        with np.errstate(over="ignore", invalid="ignore"):
            self._apply_head(h, logits)
        by_node = logits.transpose(1, 0, 2)
        by_class = by_node.reshape(*self.network.output_shape, -1)
        return numpy_margins(by_class.transpose(1, 2, 0), targets)

    def follow(self, symbols: Any, targets: Any) -> npt.NDArray[np.float32]:
        """Read given sequences, one symbol at a time.

        Args:
            symbols: symbols, `(num_examples, timesteps)`.
            targets: targets, `(num_examples, timesteps)`.

        Returns:
            The margins, `(num_examples, timesteps)`.
        """
        nodes = np.arange(len(symbols))
        cells = self.start().chosen(np.zeros(len(symbols), np.int64))
        margins = []
        for symbol, target in zip(symbols.T, targets.T, strict=True):
            chosen = symbol * len(nodes) + nodes
            children = self.step(cells)
            kept = [x.cells for x in children if x.cells is not None]
            cells = joined(kept).chosen(chosen)
            if self.per_step:
                logits = [x.logits for x in children if x.logits is not None]
                (found,) = np.concatenate(logits, 2)
                margins.append(numpy_margins(found[:, chosen], target))
        if not self.per_step:
            return self.leaf_margins(cells, targets)
        return np.stack(margins, 1)

    def reuse(self, cells: Cells) -> None:
        """Take back cells that nobody needs any more, for later steps.

        New memory costs the system some time, page by page.
        """
        for array in cells.arrays:
            self._unused.setdefault(array.shape, []).append(array)

    def _array(self, shape: tuple[int, ...]) -> Array:
        try:
            return self._unused[shape].pop()
        # Another thread may have taken the last.
        except (KeyError, IndexError):
            return np.empty(shape, np.float32)

    def _scratch_for(self, num_chunks: int, width: int) -> "_Scratch":
        """Return this thread's scratch for full steps, or else a new one."""
        num_symbols = len(self.network.embedding)
        if num_chunks < self._chunks_at_once or width != WIDTH:
            return _Scratch(self._layers, num_symbols, num_chunks, width)
        scratch: _Scratch | None = getattr(self._of_thread, "scratch", None)
        if scratch is None:
            scratch = _Scratch(self._layers, num_symbols, num_chunks, width)
            self._of_thread.scratch = scratch
        return scratch

    def _apply_head(self, h: Array, logits: Array) -> None:
        multiply_in_parts(self._head, h, logits)
        np.add(logits, self._head_bias, logits)


class _Scratch:
    """Arrays for the gates of some chunks, which steps use again and again."""

    def __init__(
        self,
        layers: list[_Layer],
        num_symbols: int,
        num_chunks: int,
        width: int,
    ) -> None:
        self._layers = layers
        shapes = [(num_chunks, layer.units, width) for layer in layers]
        self._from_h = [np.empty((4, *shape), np.float32) for shape in shapes]
        self._gates = [np.empty((4, *shape), np.float32) for shape in shapes]
        # NumPy adds arrays of the same shape twice as fast as columns.
        self._added = [
            np.empty((len(layer.added), 4, *shape), np.float32)
            for layer, shape in zip(layers, shapes, strict=True)
        ]
        for layer, added in zip(layers, self._added, strict=True):
            added[...] = layer.added[:, :, np.newaxis, :, np.newaxis]
        self._states = [
            [np.empty(shape, np.float32) for shape in shapes for _ in "hc"]
            for _ in range(num_symbols)
        ]

    def step(
        self, before: list[Array], after: list[list[Array]] | None
    ) -> list[Array]:
        """Read every symbol.

        Args:
            before: 2 h and c of each layer.
            after: for each symbol arrays for 2 h and c of each layer; None for
                arrays that the next call uses again.

        Returns:
            2 h of the last layer after each symbol.
        """
        count = len(before[0])
        if after is None:
            after = [[a[:count] for a in arrays] for arrays in self._states]
        for number, layer in enumerate(self._layers):
            h, c = before[2 * number : 2 * number + 2]
            from_h = self._from_h[number][:, :count]
            z = self._gates[number][:, :count]
            added = self._added[number][:, :, :count]
            multiply_in_parts(layer.recurrent_kernel, h, from_h)
            if layer.kernel is not None:
                np.add(from_h, added[0], from_h)
            for symbol, arrays in enumerate(after):
                if layer.kernel is None:
                    np.add(from_h, added[symbol], z)
                else:
                    multiply_in_parts(layer.kernel, arrays[2 * number - 2], z)
                    np.add(z, from_h, z)
                apply_gates(z, c, *arrays[2 * number : 2 * number + 2])
        return [arrays[-2] for arrays in after]


def apply_gates(z: Array, c: Array, h_after: Array, c_after: Array) -> None:
    """Compute 2 h and c after a step from half the gates' sums.

    Args:
        z: the sums, gates first, as in `LSTMStepper`; overwritten.
        c: c before the step.
        h_after: array for 2 h.
        c_after: array for c, which may be `c`.
    """
    np.tanh(z, z)
    np.add(z[:3], _ONE, z[:3])
    o, i, f, g = z
    np.multiply(i, g, g)
    np.multiply(f, c, f)
    np.add(f, g, c_after)
    np.multiply(c_after, _HALF, c_after)
    np.tanh(c_after, h_after)
    np.multiply(h_after, o, h_after)


def multiply_in_parts(weights: Array, x: Array, found: Array) -> None:
    """Multiply columns by weights, in parts that OpenBLAS takes at once.

    Args:
        weights: `(gates, 1, rows, terms)` or `(rows, terms)`.
        x: columns, `(chunks, terms, width)`.
        found: array for the products, `(gates, chunks, rows, width)` or
            `(chunks, rows, width)`.
    """
    rows, terms = weights.shape[-2:]
    most = max(WIDTH, LARGEST_PRODUCT // terms)
    columns = max(WIDTH, most // rows)
    num_parts = -(-rows * columns // most)
    size = -(-rows // num_parts)
    whole = rows - rows % size
    # Parts of one size together: all parts of a chunk follow each other.
    for top, end in ((0, whole), (whole, rows)):
        if top == end:
            continue
        parts = (-1, min(size, end - top))
        own = weights[..., top:end, :]
        own = own.reshape(*own.shape[:-2], *parts, terms)
        for first in range(0, x.shape[-1], columns):
            part = slice(first, first + columns)
            products = found[..., top:end, part]
            shape = (*products.shape[:-2], *parts, products.shape[-1])
            np.matmul(own, x[:, np.newaxis, :, part], products.reshape(shape))


def _packed(lstm: LayerWeights, embedding: Array | None) -> _Layer:
    """Return a layer's weights, with the halves that `LSTMStepper` needs."""

    def by_gate(columns: Array) -> Array:
        i, f, g, o = np.split(columns, 4, -1)
        gates = [o * _HALF, i * _HALF, f * _HALF, g]
        return np.stack([gate.T for gate in gates])[:, np.newaxis]

    kernel, recurrent_kernel, bias = lstm
    from_below, added = None, bias[np.newaxis]
    if embedding is None:
        from_below = by_gate(kernel * _HALF)
    else:
        added = embedding @ kernel + bias
    return _Layer(
        lstm.units,
        from_below,
        by_gate(recurrent_kernel * _HALF),
        by_gate(added)[:, 0].transpose(2, 0, 1),
    )
