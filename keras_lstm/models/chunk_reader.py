"""LSTM layers and a Dense layer that read many sequences at once, by NumPy.

Sequences lie in chunks, a column each, for the reason that `cells.py` gives,
and each core reads other chunks. TensorFlow's tanh takes four times as long as
NumPy's, and XLA leaves the small products to one core. Without AVX-512, NumPy's
exp takes half as long as its tanh, and gates are computed by it.
"""

import functools
import itertools
from collections.abc import Callable
from concurrent import futures
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from keras_lstm.core.cores import num_cores
from keras_lstm.models.cells import WIDTH, Array
from keras_lstm.models.numpy_stepper import ChainWeights, packed
from keras_lstm.models.stepper import apply_gates, multiply_in_parts

# Numbers in the gates of the sequences that take a step together: they stay in
# a core's own cache.
_GATES_AT_ONCE = 2**18
# Sequences of symbols whose states are kept, all of one length.
_KEPT_PREFIXES = 2**14
_HALF, _ONE, _TWO, _FOUR, _MINUS_TWO = (
    np.array(x, np.float32) for x in (0.5, 1, 2, 4, -2)
)


class _Layer(NamedTuple):
    """Weights of one LSTM layer, and where its inputs are.

    Args:
        weights: a row for each gate, `(4, 1, units, end - first)`; times -2 if
            gates are computed by exp.
        first: first row of the layer's inputs.
        end: row after the last: after h and a 1.
        units: size of h, whose last row is `end - 2`.
    """

    weights: Array
    first: int
    end: int
    units: int


class _Prefixes(NamedTuple):
    """All sequences of symbols of one length, read.

    Args:
        length: number of symbols.
        state: the inputs of all layers but the row, then c of each layer,
            `(num_prefixes, size)`.
        logits: logits at each symbol, `(num_prefixes, length, num_outputs)`;
            those at the last alone are of no use.
    """

    length: int
    state: Array
    logits: Array


class ChunkReader:
    """LSTM layers and a Dense layer that read many sequences at once.

    The equations are those of `numpy_stepper.py`. The states after all the
    sequences of a few symbols are kept, so that longer ones go on from there.

    Args:
        weights: the weights.
        per_step: whether there are logits at each step, or at the last alone.
    """

    def __init__(self, weights: ChainWeights, per_step: bool) -> None:
        self._per_step = per_step
        first_lstm, *others = weights.lstms
        by_exp = is_exp_faster()
        self._apply_gates = _apply_gates_by_exp if by_exp else apply_gates
        # Row for each symbol; None if sequences are of rows of numbers.
        self._rows: Array | None = weights.embedding
        self._num_symbols = 0 if self._rows is None else len(self._rows)
        if self._rows is not None and len(self._rows) <= self._rows.shape[1]:
            kernel = self._rows @ first_lstm.kernel
            first_lstm = first_lstm._replace(kernel=kernel)
            self._rows = np.eye(len(self._rows), dtype=np.float32)
        self._features = len(first_lstm.kernel)
        self._layers: list[_Layer] = []
        first, end = 0, self._features
        for lstm in (first_lstm, *others):
            matrix = packed(lstm, is_first=first == 0)
            matrix = matrix * _MINUS_TWO if by_exp else matrix
            rows = matrix.reshape(4, 1, lstm.units, -1)
            end += lstm.units + 1
            self._layers.append(_Layer(rows, first, end, lstm.units))
            first = end - lstm.units - 1
        self._last = slice(first, end)
        head = np.concatenate(
            [weights.kernel * _HALF, weights.bias[np.newaxis]]
        )
        self._head = np.ascontiguousarray(head.T)
        gates = 4 * max(layer.units for layer in self._layers)
        self._at_once = max(1, _GATES_AT_ONCE // (gates * WIDTH))
        self._prefixes: _Prefixes | None = None
        self._num_read = 0
        self._threads: futures.ThreadPoolExecutor | None = None

    def logits(self, inputs: npt.NDArray[Any]) -> Array:
        """Return the logits for a batch.

        Args:
            inputs: symbols, `(batch_size, timesteps)`, or rows of numbers,
                `(batch_size, timesteps, features)`.

        Returns:
            The logits, `(batch_size, timesteps, num_outputs)`, or with those at
            the last step alone `(batch_size, num_outputs)`.
        """
        prefixes = self._prefixes_for(inputs)
        count, num_steps = inputs.shape[:2]
        shape = (count, num_steps) if self._per_step else (count,)
        found = np.empty((*shape, len(self._head)), np.float32)
        self._each(
            lambda part: self._read(inputs[part], found[part], prefixes),
            self._parts(count),
        )
        return found

    def _parts(self, count: int) -> list[slice]:
        """Return parts of a batch: a multiple of the cores, of equal size."""
        parts_of_core = -(-count // (self._at_once * WIDTH * num_cores()))
        size = -(-count // (parts_of_core * num_cores() * WIDTH)) * WIDTH
        return [slice(at, at + size) for at in range(0, count, size)]

    def _each(self, read: Callable[[slice], None], parts: list[slice]) -> None:
        if len(parts) == 1:
            read(parts[0])
            return
        if self._threads is None:
            self._threads = futures.ThreadPoolExecutor(num_cores())
        for done in [self._threads.submit(read, part) for part in parts]:
            done.result()

    def _prefixes_for(self, inputs: npt.NDArray[Any]) -> _Prefixes | None:
        """Return what is kept for a batch, and keep it if it is worth it."""
        if self._num_symbols < 2:
            return None
        length, count = 0, 1
        while count * self._num_symbols <= _KEPT_PREFIXES:
            length, count = length + 1, count * self._num_symbols
        if inputs.shape[1] <= length:
            return None
        self._num_read += len(inputs)
        # Before, reading all of them would take longer.
        if self._prefixes is None and self._num_read >= count // 2:
            self._prefixes = self._read_prefixes(length, count)
        return self._prefixes

    def _read_prefixes(self, length: int, count: int) -> _Prefixes:
        """Read all sequences of some length."""
        powers = self._num_symbols ** np.arange(length)
        symbols = np.arange(count)[:, np.newaxis] // powers % self._num_symbols
        shape = (count, length) if self._per_step else (count,)
        logits = np.empty((*shape, len(self._head)), np.float32)
        size = self._layers[-1].end - self._features
        size += sum(layer.units for layer in self._layers)
        state = np.empty((count, size), np.float32)
        self._each(
            lambda part: self._read(
                symbols[part], logits[part], None, state[part]
            ),
            self._parts(count),
        )
        return _Prefixes(length, state, logits)

    def _read(
        self,
        inputs: npt.NDArray[Any],
        found: Array,
        prefixes: _Prefixes | None,
        state: Array | None = None,
    ) -> None:
        """Read sequences in this thread.

        Args:
            inputs: as for `logits`.
            found: array for the logits.
            prefixes: the kept prefixes to go on from; None for none.
            state: array for the state after the last step, as in `_Prefixes`.
        """
        count = len(inputs)
        num_chunks = -(-count // WIDTH)
        x, cs = self._start(num_chunks)
        per_step = self._per_step
        first = 0
        if prefixes is not None:
            first = prefixes.length
            powers = self._num_symbols ** np.arange(first)
            numbers = inputs[:, :first] @ powers
            if per_step:
                found[:, :first] = prefixes.logits[numbers]
            self._set_state(x, cs, prefixes.state[numbers])
        rows = self._rows_of(inputs[:, first:], num_chunks)
        shape = (num_chunks, len(self._head), WIDTH)
        logits = np.empty((len(rows) if per_step else 1, *shape), np.float32)
        gates = [
            np.empty((4, num_chunks, layer.units, WIDTH), np.float32)
            for layer in self._layers
        ]
        with np.errstate(over="ignore", invalid="ignore"):
            for step, row in enumerate(rows):
                x[:, : self._features] = row
                for layer, z, c in zip(self._layers, gates, cs, strict=True):
                    self._step(layer, x, z, c)
                if per_step or step == len(rows) - 1:
                    at_step = logits[step if per_step else 0]
                    multiply_in_parts(self._head, x[:, self._last], at_step)
        by_column = logits.transpose(1, 3, 0, 2)
        flat = by_column.reshape(-1, *by_column.shape[2:])[:count]
        if per_step:
            found[:, first:] = flat
        else:
            found[...] = flat[:, 0]
        if state is not None:
            arrays = [x[:, self._features :], *cs]
            columns = np.concatenate(arrays, 1).transpose(0, 2, 1)
            state[...] = columns.reshape(-1, columns.shape[-1])[:count]

    def _step(self, layer: _Layer, x: Array, z: Array, c: Array) -> None:
        """Take a step of one layer: replace its h in `x`, and `c`."""
        h = x[:, layer.end - 1 - layer.units : layer.end - 1]
        multiply_in_parts(layer.weights, x[:, layer.first : layer.end], z)
        self._apply_gates(z, c, h, c)

    def _start(self, num_chunks: int) -> tuple[Array, list[Array]]:
        """Return the inputs of all layers, and c of each, before any step."""
        x = np.ones((num_chunks, self._layers[-1].end, WIDTH), np.float32)
        cs = []
        for layer in self._layers:
            x[:, layer.end - 1 - layer.units : layer.end - 1] = 0
            cs.append(np.zeros((num_chunks, layer.units, WIDTH), np.float32))
        return x, cs

    def _rows_of(self, inputs: npt.NDArray[Any], num_chunks: int) -> Array:
        """Return the rows at each step, `(steps, chunks, features, WIDTH)`."""
        filling = num_chunks * WIDTH - len(inputs)
        if filling:
            widths = ((0, filling), *[(0, 0)] * (inputs.ndim - 1))
            inputs = np.pad(inputs, widths)
        chunks = inputs.reshape(num_chunks, WIDTH, *inputs.shape[1:])
        if self._rows is None:
            return np.ascontiguousarray(chunks.transpose(2, 0, 3, 1))
        at = np.ascontiguousarray(chunks.transpose(2, 0, 1))
        return np.stack([column[at] for column in self._rows.T], 2)

    def _set_state(self, x: Array, cs: list[Array], state: Array) -> None:
        """Set the state of each column; `state` as in `_Prefixes`."""
        filling = len(x) * WIDTH - len(state)
        columns = np.pad(state, ((0, filling), (0, 0)))
        columns = columns.reshape(len(x), WIDTH, -1).transpose(0, 2, 1)
        sizes = [layer.units for layer in self._layers]
        ends = itertools.accumulate(sizes, initial=x.shape[1] - self._features)
        x[:, self._features :] = columns[:, : x.shape[1] - self._features]
        for c, (start, end) in zip(cs, itertools.pairwise(ends), strict=True):
            c[...] = columns[:, start:end]


@functools.cache
def is_exp_faster() -> bool:
    """Return whether NumPy takes less time for exp than for tanh.

    With AVX2, it takes half as much; with AVX-512, both take about as long.
    """
    known = np.show_config(mode="dicts")["SIMD Extensions"]
    names = {*known.get("baseline", []), *known.get("found", [])}
    return not names.isdisjoint({"AVX2", "X86_V3"}) and not any(
        name == "X86_V4" or name.startswith("AVX512") for name in names
    )


def _apply_gates_by_exp(
    z: Array, c: Array, h_after: Array, c_after: Array
) -> None:
    """Do what `apply_gates` does, from the sums times -2.

    The sigmoid is `1 / (1 + exp(-x))`, and tanh `2 / (1 + exp(-2 x)) - 1`.
    Near 0, the error of such a tanh is that of numbers near 1.

    Args:
        z: half the gates' sums times -2, gates first; overwritten.
        c: c before the step.
        h_after: array for 2 h.
        c_after: array for c, which may be `c`.
    """
    np.exp(z, z)
    np.add(z, _ONE, z)
    np.divide(_ONE, z, z)
    o, i, f, g = z
    np.multiply(g, _TWO, g)
    np.subtract(g, _ONE, g)
    np.multiply(i, g, g)
    np.multiply(f, c, f)
    np.add(f, g, c_after)
    np.multiply(c_after, _MINUS_TWO, f)
    np.exp(f, f)
    np.add(f, _ONE, f)
    np.divide(_FOUR, f, f)
    np.subtract(f, _TWO, f)
    np.multiply(f, o, h_after)
