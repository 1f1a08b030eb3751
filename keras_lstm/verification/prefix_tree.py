"""Check of all inputs of a domain, by walking the tree of their prefixes.

After t symbols a network has one state for each of the `num_symbols ** t`
prefixes, whatever follows. For bits, computing each state once takes about
`2 ** (num_bits + 1)` cell steps; running every input separately takes
`num_bits * 2 ** num_bits`. The walk is depth-first, in blocks of prefixes, so
memory does not grow with the domain.

Beside each block go bounds on how far `predict` may be from it
(`rounding_bounds.py`). Where nothing can be said, the walk continues without
the network, and leaves all those inputs to `predict`.
"""

import dataclasses
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from keras_lstm.models.stepper import LSTMStepper
from keras_lstm.tasks.transducer import TransducerTask
from keras_lstm.verification.rounding_bounds import DifferenceBounds, Groups

# Nodes in a block: they fit a processor's cache and still keep it busy.
_BLOCK_NODES = 2**15
_NODES_TO_CUT_BY_STATE = 2**10
_MAX_STATES_TO_CUT_BY = 32
_FORECAST_ROUNDS = 3


@dataclasses.dataclass(frozen=True)
class CheckedInputs:
    """Inputs, with the errors and margins of a network's predictions.

    Args:
        inputs: numbers, `(num_examples,)`, int64; or, for a sample of a
            domain, symbols, `(num_examples, num_bits)`, of a smaller type.
        hold_lengths: hold length of each input, `(num_examples,)`; see
            `TransducerTask.hold_length`.
        wrong_tokens: number of wrong symbols in each prediction,
            `(num_examples,)`.
        margins: smallest margin over the symbols of each prediction,
            `(num_examples,)`.
        close: true for each input with a margin so close to zero that
            `predict` may give another answer, `(num_examples,)`. Its counts
            and its margin say nothing.
    """

    inputs: npt.NDArray[np.integer[Any]]
    hold_lengths: npt.NDArray[np.int16]
    wrong_tokens: npt.NDArray[np.int16]
    margins: npt.NDArray[np.float32]
    close: npt.NDArray[np.bool_]


@dataclasses.dataclass(frozen=True)
class _Block:
    """Prefixes of the same length, with the network's and machine's states."""

    length: int
    by_state: bool
    """Whether the nodes descend from nodes of one state of the machine."""
    cells: list[Any]
    """h and c of each LSTM layer, each `(nodes, units)`."""
    groups: Groups | None
    """Bounds on the difference of `predict`; None if nothing can be said."""
    states: npt.NDArray[np.int32]
    numbers: npt.NDArray[np.int64]
    hold_lengths: npt.NDArray[np.int16]
    wrong_tokens: npt.NDArray[np.int16]
    margins: npt.NDArray[np.float32]
    tolerance: npt.NDArray[np.float32]
    """Magnitude up to which a margin may have the other sign."""
    close: npt.NDArray[np.bool_]

    def parts(self) -> Iterator["_Block"]:
        """Yield the blocks to continue with.

        The first time that a block is large, it is cut by the machine's state:
        adjacent nodes then have nearly the same states of the network as well,
        and bounds for them together say more. Later blocks that descend from
        one state are cut in order.
        """
        count = len(self.numbers)
        if not self.by_state and count >= _NODES_TO_CUT_BY_STATE:
            present = np.unique(self.states)
            if len(present) <= _MAX_STATES_TO_CUT_BY:
                for state in present:
                    yield self._part(np.flatnonzero(self.states == state))
                return
        for first in range(0, count, _BLOCK_NODES):
            yield self._part(slice(first, first + _BLOCK_NODES))

    def _part(self, nodes: slice | npt.NDArray[np.int64]) -> "_Block":
        by_state = self.by_state or not isinstance(nodes, slice)
        cells = [
            cell[nodes] if isinstance(nodes, slice) else tf.gather(cell, nodes)
            for cell in self.cells
        ]
        groups = self.groups
        if groups is not None:
            groups = groups.part(np.arange(len(self.numbers))[nodes])
        arrays = {
            field.name: getattr(self, field.name)[nodes]
            for field in dataclasses.fields(self)
            if isinstance(getattr(self, field.name), np.ndarray)
        }
        return _Block(self.length, by_state, cells, groups, **arrays)


def walk(
    network: LSTMStepper, bounds: DifferenceBounds, task: TransducerTask
) -> Iterator[tuple[int, CheckedInputs]]:
    """Visit every prefix once, and check whole sequences block by block.

    Args:
        network: the network to check.
        bounds: bounds for the same network.
        task: the task that defines the targets.

    Yields:
        The number of sequences in a block, and the check of those that are in
        the domain.
    """
    stack = [_root(network, bounds)]
    while stack:
        block = _grow(network, bounds, task, stack.pop())
        if block.length == task.num_bits:
            yield len(block.numbers), _leaves(network, task, block)
        else:
            stack.extend(block.parts())


def forecast_seconds(
    network: LSTMStepper, bounds: DifferenceBounds, task: TransducerTask
) -> float:
    """Estimate the seconds that a walk takes, by growing one full block."""
    block = _root(network, bounds)
    while len(block.numbers) < _BLOCK_NODES and block.length < task.num_bits:
        block = _grow(network, bounds, task, block)
    length = min(block.length, task.num_bits - 1)
    block = dataclasses.replace(block, length=length)
    start = time.perf_counter()
    for _ in range(_FORECAST_ROUNDS):
        _grow(network, bounds, task, block)
    seconds = (time.perf_counter() - start) / _FORECAST_ROUNDS
    # The sum of all levels, a geometric series: with two symbols, the levels
    # above the last have about as many nodes as the last.
    last_level = task.num_symbols**task.num_bits
    nodes = last_level * task.num_symbols / (task.num_symbols - 1)
    return seconds * nodes / (len(block.numbers) * task.num_symbols)


def _root(network: LSTMStepper, bounds: DifferenceBounds) -> _Block:
    """Return a block with the empty prefix only."""
    return _Block(
        length=0,
        by_state=False,
        cells=network.start(),
        groups=bounds.start(),
        states=np.zeros(1, np.int32),
        numbers=np.zeros(1, np.int64),
        hold_lengths=np.zeros(1, np.int16),
        wrong_tokens=np.zeros(1, np.int16),
        margins=np.full(1, np.inf, np.float32),
        tolerance=np.zeros(1, np.float32),
        close=np.zeros(1, np.bool_),
    )


def _grow(
    network: LSTMStepper,
    bounds: DifferenceBounds,
    task: TransducerTask,
    block: _Block,
) -> _Block:
    """Return each prefix extended by each symbol, ordered by symbol."""
    next_state = np.asarray(task.next_state, np.int32)
    output = np.asarray(task.output, np.int32)
    position = block.length

    def tile(values: Any) -> Any:
        return np.tile(values, task.num_symbols)

    outputs = output[block.states].T.reshape(-1)
    states = next_state[block.states].T.reshape(-1)
    symbols = np.repeat(np.arange(task.num_symbols), len(block.numbers))
    hold_lengths = tile(block.hold_lengths)
    hold_lengths = hold_lengths + ((hold_lengths == position) & (states == 0))
    cells: list[Any] = []
    groups = None
    wrong_tokens, least = tile(block.wrong_tokens), tile(block.margins)
    tolerance, close = tile(block.tolerance), tile(block.close)
    if block.groups is None:
        close[:] = True
    else:
        # The last level is as large as all others; bounds need it once only.
        measure = position + 1 < task.num_bits
        groups, tolerance = bounds.extend(block.groups, block.cells, measure)
        cells, margins = network.step(block.cells, outputs)
        if network.per_step:
            margins = margins.numpy()
            wrong_tokens = wrong_tokens + (margins < 0)
            least = np.minimum(least, margins)
            close |= np.abs(margins) <= tolerance
    return _Block(
        length=position + 1,
        by_state=block.by_state,
        cells=cells,
        groups=groups,
        states=states,
        numbers=tile(block.numbers) + symbols * task.num_symbols**position,
        hold_lengths=hold_lengths.astype(np.int16),
        wrong_tokens=wrong_tokens.astype(np.int16),
        margins=least,
        tolerance=tolerance,
        close=close,
    )


def _leaves(
    network: LSTMStepper, task: TransducerTask, block: _Block
) -> CheckedInputs:
    """Return the check of a block's sequences that are in the domain."""
    wrong_tokens, margins = block.wrong_tokens, block.margins
    close = block.close
    if not network.per_step and block.cells:
        targets = task.targets(task.symbols_of(block.numbers))
        each = network.leaf_margins(block.cells, targets).numpy()
        wrong_tokens = (each < 0).sum(-1, dtype=np.int16)
        margins = each.min(-1)
        close = (np.abs(each) <= block.tolerance[:, np.newaxis]).any(-1)
    inside = task.in_domain(block.states)
    return CheckedInputs(
        block.numbers[inside],
        block.hold_lengths[inside],
        wrong_tokens[inside],
        margins[inside],
        close[inside],
    )
