"""A chain of stock LSTM layers, computed by NumPy one time step at a time.

Keras takes most of a millisecond for one step of one sequence, nearly all of
it to get to the arithmetic. NumPy needs a few microseconds.
"""

import itertools
from collections.abc import Iterable
from typing import Any, NamedTuple

import keras
import numpy as np
import numpy.typing as npt

from keras_lstm.models.weights import (
    LayerWeights,
    is_idle_at_inference,
    why_not_stock_lstm,
)

Array = npt.NDArray[np.float32]
# h and c of each LSTM layer, first to last, each `(units, *columns)`.
State = list[Array]

# OpenBLAS multiplies up to this size, rows times columns times what is summed,
# in one thread. A step is too short for two to wait for each other: on a busy
# machine that took a hundred times as long.
LARGEST_PRODUCT = 2**18
# Sums of products of numbers below this stay far from float32's maximum.
_LARGEST = 2.0**60
# Chunks that are read side by side: their length, and from how many of the last
# steps of each the state after it is guessed.
CHUNK_STEPS = 256
_STEPS_TO_GUESS = 128
_MIN_CHUNKS = 4
_MAX_CORRECTIONS = 2
# States that differ by less, beside the largest of the same unit, are the same:
# where a network forgets, that is what remains of any difference, rounding.
_SAME = 2.0**-19
_ONE = np.array(1, np.float32)
_HALF = np.array(0.5, np.float32)
# OpenBLAS may report an invalid operation on finite numbers (numpy#24067). Here
# they are: weights and rows are bounded, and so are states.
_WITHOUT_FALSE_ALARMS = np.errstate(invalid="ignore")


class ChainWeights(NamedTuple):
    """Weights of a chain that NumPy can compute.

    Args:
        embedding: a row for each symbol, `(num_symbols, features)`; None if
            the chain reads rows of numbers.
        lstms: weights of the LSTM layers, first to last.
        kernel: kernel of the Dense layer, `(units, num_outputs)`.
        bias: bias of the Dense layer, `(num_outputs,)`.
    """

    embedding: Array | None
    lstms: tuple[LayerWeights, ...]
    kernel: Array
    bias: Array

    @property
    def largest(self) -> int:
        """Size of the largest matrix that multiplies the inputs at a step."""
        sizes = [
            4 * lstm.units * (len(lstm.kernel) + lstm.units + 2)
            for lstm in self.lstms
        ]
        return max(self.kernel.size, *sizes)


def read_chain(model: keras.Model) -> ChainWeights | None:
    """Return the weights of a model that `NumpyStepper` can compute.

    Args:
        model: a model whose layers form a chain.

    Returns:
        The weights; None if the model is no chain of an optional Embedding,
        LSTM layers and a Dense layer, all with the usual settings and in
        float32, or if its weights are not finite or very large.
    """
    layers = [x for x in model.layers if not is_idle_at_inference(x)]
    embedding = None
    if layers and type(layers[0]) is keras.layers.Embedding:
        embedding = layers.pop(0)
    if len(layers) < 2:
        return None
    *lstms, dense = layers
    if (
        any(map(why_not_stock_lstm, lstms))
        or type(dense) is not keras.layers.Dense
        or dense.activation is not keras.activations.linear
    ):
        return None
    for layer in model.layers:
        parts = (layer, getattr(layer, "cell", layer))
        if not isinstance(layer, keras.layers.InputLayer) and any(
            part.compute_dtype != "float32" or part.quantization_mode
            for part in parts
        ):
            return None
    bias = dense.bias if dense.use_bias else np.zeros(dense.units)
    weights = ChainWeights(
        None if embedding is None else _array(embedding.embeddings),
        tuple(_weights_of(lstm.cell) for lstm in lstms),
        _array(dense.kernel),
        _array(bias),
    )
    return weights if is_bounded(weights) else None


def is_bounded(weights: ChainWeights) -> bool:
    """Return whether no sum of a step comes near float32's maximum."""
    arrays = [weights.kernel, weights.bias, *itertools.chain(*weights.lstms)]
    if weights.embedding is not None:
        arrays.append(weights.embedding)
    # NaN is not below it, either.
    return all(bool(np.all(np.abs(array) < _LARGEST)) for array in arrays)


def _weights_of(cell: Any) -> LayerWeights:
    kernels = _array(cell.kernel), _array(cell.recurrent_kernel)
    return LayerWeights(*kernels, _array(cell.bias))


def _array(weights: Any) -> Array:
    return np.array(keras.ops.convert_to_numpy(weights), np.float32)


class _Layer(NamedTuple):
    """Views of one LSTM layer's weights, inputs, gates and state."""

    weights: Array
    inputs: Array
    gates: Array
    sigmoids: Array
    input_forget: Array
    output: Array
    candidate_c: Array
    products: Array
    of_candidate: Array
    of_c: Array
    c: Array
    h: Array


class _Columns:
    """Sequences side by side, a column each, that take a step together.

    These are the equations of `stepper.lstm_cell` in other words, so that a
    step makes few calls and no array: at this size a call takes longer than
    its arithmetic. The sigmoid is `(1 + tanh(z / 2)) / 2`, so that one tanh
    computes all gates; the halves of `z` are in the weights, and h is kept
    doubled, which multiplying by powers of two leaves exact. A bias is the
    weight of an input that is always 1.

    Args:
        weights: the weights.
        columns: `(number of sequences,)`, or `()` for one.
    """

    def __init__(self, weights: ChainWeights, columns: tuple[int, ...]) -> None:
        features = len(weights.lstms[0].kernel)
        size = features + sum(lstm.units + 1 for lstm in weights.lstms)
        # The input row, then h and a 1 for each layer.
        x = np.ones((size, *columns), np.float32)
        self.row = x[:features]
        self.layers: list[_Layer] = []
        first, end = 0, features
        for lstm in weights.lstms:
            units = lstm.units
            # Output, input and forget gates, the candidate, and c.
            five = np.zeros((5 * units, *columns), np.float32)
            o, _, _, _, c = np.split(five, 5)
            products = np.zeros((2 * units, *columns), np.float32)
            h = x[end : end + units]
            self.layers.append(
                _Layer(
                    packed(lstm, is_first=first == 0),
                    x[first : end + units + 1],
                    five[: 4 * units],
                    five[: 3 * units],
                    five[units : 3 * units],
                    o,
                    five[3 * units :],
                    products,
                    products[:units],
                    products[units:],
                    c,
                    h,
                )
            )
            first, end = end, end + units + 1
        self.last = x[first:end]
        self.set_state([np.zeros_like(a) for a in self.state()])

    def state(self) -> State:
        """Return a copy of h and c of each layer."""
        pairs = ((layer.h * _HALF, layer.c.copy()) for layer in self.layers)
        return list(itertools.chain.from_iterable(pairs))

    def set_state(self, state: State) -> None:
        """Replace h and c of each layer."""
        for layer, h, c in zip(
            self.layers, state[::2], state[1::2], strict=True
        ):
            np.multiply(h, 2, layer.h)
            layer.c[...] = c

    def step(self) -> None:
        """Read `row`."""
        dot, tanh, add, multiply = np.dot, np.tanh, np.add, np.multiply
        for (
            weights,
            inputs,
            gates,
            sigmoids,
            input_forget,
            output,
            candidate_c,
            products,
            of_candidate,
            of_c,
            c,
            h,
        ) in self.layers:
            dot(weights, inputs, gates)
            tanh(gates, gates)
            add(sigmoids, _ONE, sigmoids)
            multiply(input_forget, candidate_c, products)
            add(of_candidate, of_c, c)
            multiply(c, _HALF, c)
            tanh(c, h)
            multiply(h, output, h)


def packed(lstm: LayerWeights, is_first: bool) -> Array:
    """Return a layer's weights, a row for each gate, as `_Columns` uses them.

    The columns are those of the layer's inputs: the input row, h and a 1 for
    the first layer; h of the layer before, a 1, h and a 1 for the others.

    Args:
        lstm: the weights, in the order of a stock LSTM.
        is_first: whether it is the first layer.

    Returns:
        Half the weights of output, input and forget gates, then those of the
        candidate, `(4 * units, inputs)`; those of h are halved once more.
    """
    kernel, recurrent_kernel, bias = lstm
    h, one = recurrent_kernel * _HALF, bias[np.newaxis]
    columns: list[Array] = [kernel, h, one]
    if not is_first:
        columns = [kernel * _HALF, one, h, np.zeros_like(one)]
    gates: list[Array] = np.split(np.concatenate(columns).T, 4)
    i, f, g, o = gates
    return np.concatenate([o * _HALF, i * _HALF, f * _HALF, g])


class NumpyStepper:
    """LSTM layers and a Dense layer that read one or several sequences.

    Args:
        weights: the weights.
        columns: `(number of sequences,)`, or `()` for one.
    """

    def __init__(self, weights: ChainWeights, columns: tuple[int, ...]) -> None:
        self._weights = weights
        self._columns = _Columns(weights, columns)
        head = np.concatenate(
            [weights.kernel * _HALF, weights.bias[np.newaxis]]
        )
        self._head = np.ascontiguousarray(head.T)
        self._logits = np.zeros((len(self._head), *columns), np.float32)
        self._is_one = not columns
        self._forgets = True

    @property
    def state(self) -> State:
        """A copy of h and c of each layer, each `(units, *columns)`."""
        return self._columns.state()

    @state.setter
    def state(self, state: State) -> None:
        self._columns.set_state(state)

    @_WITHOUT_FALSE_ALARMS
    def step(self, row: Array) -> Array:
        """Read one time step.

        Args:
            row: the step, `(features, *columns)`.

        Returns:
            The logits, `(num_outputs, *columns)`; the next step replaces them.
        """
        columns = self._columns
        columns.row[...] = row
        columns.step()
        return np.dot(self._head, columns.last, self._logits)

    @_WITHOUT_FALSE_ALARMS
    def scan(self, rows: Array) -> tuple[Array, list[State]]:
        """Read several time steps.

        Args:
            rows: the steps, `(timesteps, features, *columns)`.

        Returns:
            The logits, `(timesteps, num_outputs, *columns)`, and the states
            before the first step and after each `CHUNK_STEPS`.
        """
        hs = np.empty((len(rows), *self._columns.last.shape), np.float32)
        states: list[State] = []
        done = 0
        self._forgets = True
        max_chunks = LARGEST_PRODUCT // self._weights.largest
        while self._is_one and self._forgets:
            left = (len(rows) - done) // CHUNK_STEPS
            num_chunks = min(max_chunks, left)
            if num_chunks < _MIN_CHUNKS:
                break
            end = done + num_chunks * CHUNK_STEPS
            found = self._read_side_by_side(rows[done:end], hs[done:end])
            done += len(found) * CHUNK_STEPS
            states += found
        for start in range(done, len(rows), CHUNK_STEPS):
            states.append(self.state)
            part = slice(start, start + CHUNK_STEPS)
            _read(self._columns, rows[part], hs[part])
        logits = np.empty((len(rows), *self._logits.shape), np.float32)
        for start in range(0, len(rows), CHUNK_STEPS):
            part = slice(start, start + CHUNK_STEPS)
            if self._is_one:
                np.dot(hs[part], self._head.T, logits[part])
            else:
                np.matmul(self._head, hs[part], logits[part])
        return logits, states

    def _read_side_by_side(self, rows: Array, hs: Array) -> list[State]:
        """Read chunks of one sequence side by side, each from a guess.

        Where a network forgets, the state after many steps does not depend
        on the state before them: so the end of each chunk, read from zeros,
        gives the state from which to read the next. Where that state turns
        out to be another, the next chunk is read again, and if too many are,
        the rest of the scan goes one step after the other.

        Args:
            rows: the steps, `(chunks * CHUNK_STEPS, features)`.
            hs: array for the last layer's h and the 1 after it.

        Returns:
            The state before each of the chunks that were read, the first ones.
        """
        by_chunk = (-1, CHUNK_STEPS)
        chunks = np.ascontiguousarray(
            rows.reshape(*by_chunk, rows.shape[-1]).transpose(1, 2, 0)
        )
        found = hs.reshape(*by_chunk, hs.shape[-1]).transpose(1, 2, 0)
        num_chunks = chunks.shape[-1]
        columns = _Columns(self._weights, (num_chunks,))
        _read(columns, chunks[-_STEPS_TO_GUESS:], None)
        before = [
            np.concatenate([first[:, np.newaxis], guess[:, :-1]], 1)
            for first, guess in zip(self.state, columns.state(), strict=True)
        ]
        columns.set_state(before)
        _read(columns, chunks, found)
        after = columns.state()
        wrong = _wrong_chunks(before, after)
        for _ in range(_MAX_CORRECTIONS):
            if not len(wrong):
                break
            for b, a in zip(before, after, strict=True):
                b[:, wrong] = a[:, wrong - 1]
            columns = _Columns(self._weights, (len(wrong),))
            columns.set_state([b[:, wrong] for b in before])
            again = np.empty((*found.shape[:2], len(wrong)), np.float32)
            _read(columns, chunks[..., wrong], again)
            found[..., wrong] = again
            for a, corrected in zip(after, columns.state(), strict=True):
                a[:, wrong] = corrected
            wrong = _wrong_chunks(before, after)
        num_right = int(wrong[0]) if len(wrong) else num_chunks
        self._forgets = num_right == num_chunks
        self.state = [a[:, num_right - 1] for a in after]
        return [[b[:, at] for b in before] for at in range(num_right)]


def _wrong_chunks(before: State, after: State) -> npt.NDArray[np.int64]:
    """Return the chunks that begin with another state than that before them."""
    differs = [
        np.abs(b[:, 1:] - a[:, :-1]) > _SAME * np.abs(a).max(1, keepdims=True)
        for b, a in zip(before, after, strict=True)
    ]
    return 1 + np.flatnonzero(np.concatenate(differs).any(0))


def _read(columns: _Columns, rows: Iterable[Array], hs: Array | None) -> None:
    """Read steps, and keep the last layer's h and the 1 after it."""
    row, last, step = columns.row, columns.last, columns.step
    for at, each in enumerate(rows):
        row[...] = each
        step()
        if hs is not None:
            hs[at] = last
