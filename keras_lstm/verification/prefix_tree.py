"""Check of all inputs of a domain, by walking the tree of their prefixes.

After t symbols a network has one state for each of the `num_symbols ** t`
prefixes, whatever follows. For bits, computing each state once takes about
`2 ** (num_bits + 1)` cell steps; running every input separately takes
`num_bits * 2 ** num_bits`. The walk is depth-first, in blocks of prefixes, so
memory does not grow with the domain.

`walk_merged` continues with one prefix for each state (`merging.py`). It gives
up where an answer after several prefixes at once may be wrong.

Beside each block go bounds on how far `predict` may be from it
(`rounding_bounds.py`). Where nothing can be said, the walk continues without
the network, and leaves all those inputs to `predict`.
"""

import dataclasses
import math
import threading
import time
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import numpy as np
import numpy.typing as npt

from keras_lstm.core.cores import num_cores
from keras_lstm.models.logits import numpy_margins
from keras_lstm.models.stepper import Children, LSTMStepper
from keras_lstm.tasks.transducer import TransducerTask
from keras_lstm.verification.blocks import Block, in_chunks, join, root
from keras_lstm.verification.merging import merged
from keras_lstm.verification.rounding_bounds import DifferenceBounds, Groups

# Nodes in a block, enough that bounds for all of them take little of the time;
# and numbers in their states, which bounds the memory.
_BLOCK_NODES = 2**15
_BLOCK_NUMBERS = 2**22
_FORECAST_ROUNDS = 3
# `predict` takes longer for more than a walk over every prefix.
_MAX_DOUBTFUL = 2**14
# Prefixes for each state from which on it pays to look for the same states.
_PREFIXES_PER_STATE = 1.25


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
class RightInputs:
    """Inputs that a network answers right, whatever rounding does.

    Args:
        num_visited: number of sequences visited, of which the inputs are those
            in the domain.
        num_inputs: number of inputs.
        margin: smallest margin over all their symbols; infinite without inputs.
        number: the input that has it, as a number, the smallest of several.
    """

    num_visited: int
    num_inputs: int
    margin: float
    number: int


class UnmergedError(Exception):
    """A walk must visit every prefix, see `walk_merged`."""


class _Walk:
    """The steps of a walk."""

    # Most blocks have the same number of nodes.
    _reuses_cells = True

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

    def root(self) -> Block:
        """Return a block with the empty prefix only."""
        return root(self._network, self._bounds)

    def advance(self, block: Block) -> list[Any]:
        """Extend prefixes by a symbol; whole inputs are checked."""
        found: list[Any] = []
        for grown in self.grow(block):
            if grown.length < self._task.num_bits:
                found += in_chunks(grown, self.block_nodes)
            else:
                found += self._leaves(grown)
        if self._reuses_cells and block.span > 1 and block.cells is not None:
            self._network.reuse(block.cells)
        return found

    def grow(self, block: Block) -> list[Block]:
        """Return each prefix extended by each symbol, together if it fits."""
        grown = self._extend(block)
        if (
            block.length + 1 == self._task.num_bits
            or len(grown) * len(block.numbers) > self.block_nodes
        ):
            return grown
        kinds = (
            [each for each in grown if each.groups is not None],
            [each for each in grown if each.groups is None],
        )
        return [join(kind) for kind in kinds if kind]

    def _extend(self, block: Block) -> list[Block]:
        """Return each prefix extended by each symbol, a block for each."""
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
        return [
            self._child(block, symbol, child, group)
            for symbol, child, group in zip(
                symbols, children, groups, strict=True
            )
        ]

    def _child(
        self,
        block: Block,
        symbol: int,
        child: Children | None,
        groups: Groups | None,
    ) -> Block:
        """Return the prefixes extended by one symbol."""
        position = block.length
        states = self._next_state[symbol].take(block.states)
        hold_lengths = block.hold_lengths
        hold_lengths = hold_lengths + (
            (hold_lengths == position) & (states == 0)
        )
        added = symbol * len(self._output) ** position
        grown = dataclasses.replace(
            block,
            length=position + 1,
            cells=None if child is None or groups is None else child.cells,
            groups=groups,
            states=states,
            numbers=block.numbers + added,
            hold_lengths=hold_lengths,
            worst=block.worst + added,
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
        block: Block,
        groups: Groups,
        margins: npt.NDArray[np.float32],
    ) -> Block:
        """Return a block with the margins of the last symbol taken in."""
        wrong_tokens, close = block.wrong_tokens, block.close
        if margins.min() < 0:
            wrong_tokens = wrong_tokens + (margins < 0)
        magnitude = np.abs(margins)
        tolerance = self._bounds.tolerances(groups, block.num_sets)
        # So that a tolerance of NaN allows nothing.
        if not magnitude.min() > tolerance.max():
            close = close | ~(magnitude > tolerance[block.sets])
        return dataclasses.replace(
            block,
            wrong_tokens=wrong_tokens,
            margins=np.minimum(block.margins, margins),
            worst=np.where(
                margins <= block.margins, block.numbers, block.worst
            ),
            close=close,
        )

    def _leaves(self, block: Block) -> list[Any]:
        """Return the check of a block's sequences that are in the domain."""
        wrong_tokens, margins = block.wrong_tokens, block.margins
        close = block.close
        if block.cells is not None and block.groups is not None:
            targets = self._task.targets(self._task.symbols_of(block.numbers))
            each = self._network.leaf_margins(block.cells, targets)
            wrong_tokens = (each < 0).sum(-1, dtype=np.int16)
            margins = each.min(-1)
            tolerance = self._bounds.tolerances(block.groups, block.num_sets)
            allowed = tolerance[block.sets][:, np.newaxis]
            close = np.any(~(np.abs(each) > allowed), axis=-1)
        inside = self._in_domain.take(block.states) & (block.counts > 0)
        arrays = (
            block.numbers,
            block.hold_lengths,
            wrong_tokens,
            margins,
            close,
        )
        if not inside.all():
            arrays = tuple(each[inside] for each in arrays)
        return [CheckedInputs(int(block.counts.sum()), *arrays)]


class _MergedWalk(_Walk):
    """The steps of a walk on which one node stands for all with its states.

    Prefixes whose answers are doubtful so far have a node of their own.
    """

    _reuses_cells = False

    def __init__(
        self,
        network: LSTMStepper,
        bounds: DifferenceBounds,
        task: TransducerTask,
        max_nodes: float,
    ) -> None:
        super().__init__(network, bounds, task)
        self._left = {"nodes": max_nodes, "doubtful": _MAX_DOUBTFUL}
        self._counting = threading.Lock()

    def grow(self, block: Block) -> list[Block]:
        """Return each prefix extended by each symbol.

        Raises:
            UnmergedError: see `walk_merged`.
        """
        self._take("nodes", len(block.numbers))
        grown = self._extend(block)
        if any(np.any(each.is_doubtful & (each.counts > 1)) for each in grown):
            raise UnmergedError
        # For the last symbol alone, it takes longer to merge than it saves.
        if block.length + 2 >= self._task.num_bits:
            return grown
        unknown = [each for each in grown if each.groups is None]
        if sum(len(each.numbers) for each in unknown) <= self.block_nodes:
            unknown = [join(unknown)] if unknown else []
        known = [each for each in grown if each.groups is not None]
        return [*unknown, *(self._merge(known) if known else ())]

    def _take(self, name: str, count: int) -> None:
        """Count what is limited; whether it is too much depends on no order."""
        with self._counting:
            self._left[name] -= count
            if self._left[name] < 0:
                raise UnmergedError

    def _merge(self, grown: list[Block]) -> list[Block]:
        whole = join(grown)
        fewer = merged(whole, self.block_nodes // 2)
        if fewer is not None:
            return fewer
        count = len(whole.numbers)
        if count <= self.block_nodes:
            return [whole]
        if whole.counts.sum() < _PREFIXES_PER_STATE * count:
            raise UnmergedError
        return grown

    def _leaves(self, block: Block) -> list[Any]:
        # Every answer was checked on the way; no cells are kept to the end.
        if block.is_doubtful.any():
            doubtful = block.chosen(np.flatnonzero(block.is_doubtful))
            self._take("doubtful", len(doubtful.numbers))
            rest = block.chosen(np.flatnonzero(~block.is_doubtful))
            return [*super()._leaves(doubtful), *self._leaves(rest)]
        inside = self._in_domain.take(block.states) & (block.counts > 0)
        visited = int(block.counts.sum())
        if not inside.any():
            return [RightInputs(visited, 0, float("inf"), 0)]
        margins = block.margins[inside]
        least = margins.min()
        number = int(block.worst[inside][margins == least].min())
        count = int(block.counts[inside].sum())
        return [RightInputs(visited, count, float(least), number)]


def walk(
    network: LSTMStepper, bounds: DifferenceBounds, task: TransducerTask
) -> Iterator[CheckedInputs]:
    """Visit every prefix once, and check whole sequences block by block.

    Args:
        network: the network to check.
        bounds: bounds for the same network.
        task: the task that defines the targets.

    Yields:
        The checks of the sequences, in any order.
    """
    yield from _visited(_Walk(network, bounds, task))


def walk_merged(
    network: LSTMStepper,
    bounds: DifferenceBounds,
    task: TransducerTask,
    max_nodes: float = math.inf,
) -> Iterator[RightInputs | CheckedInputs]:
    """Visit one prefix for each state of the network and of the machine.

    Args:
        network: the network to check, with the per_step head.
        bounds: bounds for the same network.
        task: the task that defines the targets.
        max_nodes: largest number of prefixes to visit. Defaults to infinity.

    Yields:
        Parts of the domain, in any order; together all of it. What may be wrong
        is checked as by `walk`.

    Raises:
        UnmergedError: if a node that stands for several prefixes may be wrong,
            if there are about as many states as prefixes, or more than
            `max_nodes`, or if very much is doubtful.
    """
    yield from _visited(_MergedWalk(network, bounds, task, max_nodes))


def _visited(steps: _Walk) -> Iterator[Any]:
    """Yield the leaves of a walk.

    Each core takes a block of its own, the longest prefixes first.
    """
    waiting: list[Block] = [steps.root()]
    running: set[futures.Future[list[Any]]] = set()
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
                    if isinstance(found, Block):
                        waiting.append(found)
                    else:
                        yield found


def forecast_seconds(
    network: LSTMStepper, bounds: DifferenceBounds, task: TransducerTask
) -> float:
    """Estimate the seconds that a walk takes, by growing one full block."""
    steps = _Walk(network, bounds, task)
    block = steps.root()
    while (
        len(block.numbers) * task.num_symbols <= steps.block_nodes
        and block.length + 1 < task.num_bits
    ):
        *_, block = in_chunks(steps.grow(block)[-1], steps.block_nodes)
    start = time.perf_counter()
    for _ in range(_FORECAST_ROUNDS):
        steps.grow(block)
    seconds = (time.perf_counter() - start) / _FORECAST_ROUNDS / num_cores()
    # The sum of all levels, a geometric series: with two symbols, the levels
    # above the last have about as many nodes as the last.
    last_level = task.num_symbols**task.num_bits
    nodes = last_level * task.num_symbols / (task.num_symbols - 1)
    return seconds * nodes / (len(block.numbers) * task.num_symbols)
