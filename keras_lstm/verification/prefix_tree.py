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
from concurrent import futures
from typing import Any

import numpy as np
import numpy.typing as npt

from keras_lstm.core.cores import num_cores
from keras_lstm.models.cells import WIDTH, Cells, joined, packed_order
from keras_lstm.models.logits import numpy_margins
from keras_lstm.models.stepper import Children, LSTMStepper
from keras_lstm.tasks.transducer import TransducerTask
from keras_lstm.verification.rounding_bounds import (
    DifferenceBounds,
    Groups,
    joined_groups,
)

# Nodes in a block, enough that bounds for all of them take little of the time;
# and numbers in their states, which bounds the memory.
_BLOCK_NODES = 2**15
_BLOCK_NUMBERS = 2**22
# Nodes of a block that is cut by state, and put in chunks: few only fill one.
_NODES_TO_PACK = 2**10
_MAX_STATES_TO_CUT_BY = 32
# A part is small below this share of an equal part.
_SMALL_PART = 8
_FORECAST_ROUNDS = 3


@dataclasses.dataclass(frozen=True)
class CheckedInputs:
    """Inputs, with the errors and margins of a network's predictions.

    Args:
        num_visited: number of sequences visited, of which the inputs are those
            in the domain.
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

    num_visited: int
    inputs: npt.NDArray[np.integer[Any]]
    hold_lengths: npt.NDArray[np.int16]
    wrong_tokens: npt.NDArray[np.int16]
    margins: npt.NDArray[np.float32]
    close: npt.NDArray[np.bool_]


@dataclasses.dataclass(frozen=True)
class _Block:
    """Prefixes of the same length, with the network's and machine's states.

    All arrays are in the order of the nodes of `cells`.
    """

    length: int
    by_state: bool
    """Whether the nodes descend from many nodes of one state of the machine."""
    cells: Cells | None
    groups: Groups | None
    """Bounds on the difference of `predict`; None if nothing can be said."""
    span: int
    """Number of chunks in a set of nodes of `groups`."""
    states: npt.NDArray[np.int32]
    numbers: npt.NDArray[np.int64]
    hold_lengths: npt.NDArray[np.int16]
    wrong_tokens: npt.NDArray[np.int16]
    margins: npt.NDArray[np.float32]
    close: npt.NDArray[np.bool_]
    counted: npt.NDArray[np.bool_]
    """False for a node that only fills a chunk, a copy of another."""

    @property
    def num_sets(self) -> int:
        """Number of sets of nodes that may be grouped."""
        return len(self.numbers) // self.span


def _root(network: LSTMStepper, bounds: DifferenceBounds) -> _Block:
    """Return a block with the empty prefix only."""
    return _Block(
        length=0,
        by_state=False,
        cells=network.start(),
        groups=bounds.start(),
        span=1,
        states=np.zeros(1, np.int32),
        numbers=np.zeros(1, np.int64),
        hold_lengths=np.zeros(1, np.int16),
        wrong_tokens=np.zeros(1, np.int16),
        margins=np.full(1, np.inf, np.float32),
        close=np.zeros(1, np.bool_),
        counted=np.ones(1, np.bool_),
    )


def _arrays(block: _Block) -> dict[str, Any]:
    """Return the arrays of a block that have an item for each node."""
    names = [field.name for field in dataclasses.fields(block)]
    values = {name: getattr(block, name) for name in names}
    return {k: v for k, v in values.items() if isinstance(v, np.ndarray)}


def _in_chunks(block: _Block) -> list[_Block]:
    """Return the blocks to continue with, large ones in chunks.

    When a block becomes large, it is cut by the machine's state: adjacent nodes
    then have nearly the same states of the network as well, and bounds for them
    together say more. A small part grows, and is cut again.
    """
    count = len(block.numbers)
    if block.span > 1 or count < _NODES_TO_PACK:
        return [block]
    parts = [np.arange(count)]
    if not block.by_state:
        present = np.unique(block.states)
        if len(present) <= _MAX_STATES_TO_CUT_BY:
            parts = [np.flatnonzero(block.states == x) for x in present]
    small = count // (_SMALL_PART * len(parts))
    return [
        _packed(block, nodes, by_state=len(nodes) > small) for nodes in parts
    ]


def _packed(
    block: _Block, nodes: npt.NDArray[np.int64], *, by_state: bool
) -> _Block:
    """Return some nodes of a block, in chunks if they are many."""
    span, filling = 1, 0
    cells, groups = block.cells, block.groups
    if len(nodes) >= _NODES_TO_PACK:
        filling = -len(nodes) % WIDTH
        nodes = np.pad(nodes, (0, filling), mode="edge")
        span = len(nodes) // WIDTH
    if groups is not None:
        groups = groups.part(nodes)
    if cells is not None:
        cells = cells.chosen(nodes)
    counted = np.arange(len(nodes)) < len(nodes) - filling
    arrays = {name: each[nodes] for name, each in _arrays(block).items()}
    arrays["counted"] &= counted
    if span > 1:
        order = packed_order(len(nodes))
        arrays = {name: each[order] for name, each in arrays.items()}
        groups = None if groups is None else groups.coarser(span)
        cells = None if cells is None else cells.packed()
    return _Block(block.length, by_state, cells, groups, span, **arrays)


def _joined(parts: list[_Block]) -> _Block:
    """Return the nodes of blocks that descend from the same nodes."""
    first, cells, groups = parts[0], None, None
    if first.groups is not None:
        cells = joined([x.cells for x in parts if x.cells is not None])
        of_parts = [x.groups for x in parts if x.groups is not None]
        groups = joined_groups(of_parts, first.num_sets)
    arrays = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in _arrays(first)
    }
    return _Block(
        first.length, first.by_state, cells, groups, first.span, **arrays
    )


class _Walk:
    """The steps of a walk."""

    def __init__(
        self,
        network: LSTMStepper,
        bounds: DifferenceBounds,
        task: TransducerTask,
    ) -> None:
        self._network = network
        self._bounds = bounds
        self._task = task
        # A row for each symbol, by state of the machine.
        self._next_state = np.ascontiguousarray(
            np.asarray(task.next_state, np.int32).T
        )
        self._output = np.ascontiguousarray(np.asarray(task.output, np.int32).T)
        self._in_domain = task.in_domain(np.arange(self._output.shape[1]))
        numbers = sum(array.shape[1] for array in network.start().arrays)
        self.block_nodes = min(_BLOCK_NODES, _BLOCK_NUMBERS // numbers)

    def advance(self, block: _Block) -> list[_Block | CheckedInputs]:
        """Extend prefixes by a symbol; whole inputs are checked."""
        found: list[_Block | CheckedInputs] = []
        for grown in self.grow(block):
            if grown.length < self._task.num_bits:
                found += _in_chunks(grown)
            else:
                found.append(self._leaves(grown))
        if block.span > 1 and block.cells is not None:
            self._network.reuse(block.cells)
        return found

    def grow(self, block: _Block) -> list[_Block]:
        """Return each prefix extended by each symbol."""
        is_last = block.length + 1 == self._task.num_bits
        symbols = range(len(self._output))
        if block.cells is None or block.groups is None:
            return [
                self._child(block, symbol, None, None) for symbol in symbols
            ]
        # The last level is as large as all others; bounds need it once only.
        # In chunks, ranges stay tight for a symbol.
        measure = not is_last and (block.span == 1 or block.length % 2 == 0)
        groups = self._bounds.extend(
            block.groups, block.cells, block.span, measure
        )
        keep = not is_last or not self._network.per_step
        children = self._network.step(block.cells, keep=keep)
        grown = [
            self._child(block, symbol, child, group)
            for symbol, child, group in zip(
                symbols, children, groups, strict=True
            )
        ]
        if is_last or len(symbols) * len(block.numbers) > self.block_nodes:
            return grown
        kinds = (
            [each for each in grown if each.groups is not None],
            [each for each in grown if each.groups is None],
        )
        return [_joined(kind) for kind in kinds if kind]

    def _child(
        self,
        block: _Block,
        symbol: int,
        child: Children | None,
        groups: Groups | None,
    ) -> _Block:
        """Return the prefixes extended by one symbol."""
        position = block.length
        states = self._next_state[symbol].take(block.states)
        hold_lengths = block.hold_lengths
        hold_lengths = hold_lengths + (
            (hold_lengths == position) & (states == 0)
        )
        grown = dataclasses.replace(
            block,
            length=position + 1,
            cells=None if child is None or groups is None else child.cells,
            groups=groups,
            states=states,
            numbers=block.numbers + symbol * len(self._output) ** position,
            hold_lengths=hold_lengths,
        )
        if groups is None or child is None:
            return dataclasses.replace(
                grown, close=np.ones(len(states), np.bool_)
            )
        if child.logits is None:
            return grown
        targets = self._output[symbol].take(block.states)
        by_class = child.logits.transpose(1, 0, 2)
        margins = numpy_margins(by_class, targets.reshape(by_class.shape[1:]))
        return self._with_margins(grown, groups, margins.reshape(-1))

    def _with_margins(
        self,
        block: _Block,
        groups: Groups,
        margins: npt.NDArray[np.float32],
    ) -> _Block:
        """Return a block with the margins of the last symbol taken in."""
        wrong_tokens, close = block.wrong_tokens, block.close
        if margins.min() < 0:
            wrong_tokens = wrong_tokens + (margins < 0)
        magnitude = np.abs(margins)
        tolerance = self._bounds.tolerances(groups, block.num_sets)
        # So that a tolerance of NaN allows nothing.
        if not magnitude.min() > tolerance.max():
            close = close | ~(magnitude > _by_node(tolerance, block))
        return dataclasses.replace(
            block,
            wrong_tokens=wrong_tokens,
            margins=np.minimum(block.margins, margins),
            close=close,
        )

    def _leaves(self, block: _Block) -> CheckedInputs:
        """Return the check of a block's sequences that are in the domain."""
        wrong_tokens, margins = block.wrong_tokens, block.margins
        close = block.close
        if block.cells is not None and block.groups is not None:
            targets = self._task.targets(self._task.symbols_of(block.numbers))
            each = self._network.leaf_margins(block.cells, targets)
            wrong_tokens = (each < 0).sum(-1, dtype=np.int16)
            margins = each.min(-1)
            tolerance = self._bounds.tolerances(block.groups, block.num_sets)
            allowed = _by_node(tolerance, block)[:, np.newaxis]
            close = np.any(~(np.abs(each) > allowed), axis=-1)
        inside = self._in_domain.take(block.states) & block.counted
        arrays = (
            block.numbers,
            block.hold_lengths,
            wrong_tokens,
            margins,
            close,
        )
        if not inside.all():
            arrays = tuple(each[inside] for each in arrays)
        return CheckedInputs(int(block.counted.sum()), *arrays)


def _by_node(
    tolerance: npt.NDArray[np.float32], block: _Block
) -> npt.NDArray[np.float32]:
    """Return the tolerance of each node from those of the sets."""
    if block.span == 1:
        return tolerance
    by_set = tolerance.reshape(-1, 1, WIDTH)
    return np.repeat(by_set, block.span, 1).reshape(-1)


def walk(
    network: LSTMStepper, bounds: DifferenceBounds, task: TransducerTask
) -> Iterator[CheckedInputs]:
    """Visit every prefix once, and check whole sequences block by block.

    Each core takes a block of its own, the longest prefixes first.

    Args:
        network: the network to check.
        bounds: bounds for the same network.
        task: the task that defines the targets.

    Yields:
        The checks of the sequences, in any order.
    """
    steps = _Walk(network, bounds, task)
    waiting: list[_Block] = [_root(network, bounds)]
    running: set[futures.Future[list[_Block | CheckedInputs]]] = set()
    # One more waits in line while the results of another are counted.
    most = num_cores() + 1
    with futures.ThreadPoolExecutor(num_cores()) as threads:
        while waiting or running:
            while waiting and len(running) < most:
                running.add(threads.submit(steps.advance, waiting.pop()))
            done, running = futures.wait(
                running, return_when=futures.FIRST_COMPLETED
            )
            for each in done:
                for found in each.result():
                    if isinstance(found, CheckedInputs):
                        yield found
                    else:
                        waiting.append(found)


def forecast_seconds(
    network: LSTMStepper, bounds: DifferenceBounds, task: TransducerTask
) -> float:
    """Estimate the seconds that a walk takes, by growing one full block."""
    steps = _Walk(network, bounds, task)
    block = _root(network, bounds)
    while (
        len(block.numbers) * task.num_symbols <= steps.block_nodes
        and block.length + 1 < task.num_bits
    ):
        *_, block = _in_chunks(steps.grow(block)[-1])
    start = time.perf_counter()
    for _ in range(_FORECAST_ROUNDS):
        steps.grow(block)
    seconds = (time.perf_counter() - start) / _FORECAST_ROUNDS / num_cores()
    # The sum of all levels, a geometric series: with two symbols, the levels
    # above the last have about as many nodes as the last.
    last_level = task.num_symbols**task.num_bits
    nodes = last_level * task.num_symbols / (task.num_symbols - 1)
    return seconds * nodes / (len(block.numbers) * task.num_symbols)
