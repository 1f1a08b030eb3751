"""All inputs of a domain, by walking the tree of their prefixes.

After t symbols a network has one state for each of the `num_symbols ** t`
prefixes, whatever follows. Computing each of them once takes about
`2 ** (num_bits + 1)` steps of the cell for bits, where running every input
takes `num_bits * 2 ** num_bits`. The walk goes depth-first in blocks, so that
memory does not grow with the domain.
"""

import dataclasses
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from keras_lstm.models.stepper import CLOSE_MARGIN, LSTMStepper
from keras_lstm.tasks.transducer import TransducerTask

# Nodes in a block: few enough for a processor's cache, enough to keep it busy.
_BLOCK_NODES = 2**15
_FORECAST_ROUNDS = 3


@dataclasses.dataclass(frozen=True)
class Answers:
    """How a network answers some inputs, as arrays of the same length.

    Args:
        inputs: numbers, `(num_examples,)` of int64, or where they are too
            long for that symbols, `(num_examples, num_bits)` of a smaller type.
        hold_lengths: see `TransducerTask.hold_length`.
        wrong_tokens: how many symbols of each answer are wrong.
        margins: the smallest margin over each answer's symbols.
        close: where a margin is too close to zero to be sure.
    """

    inputs: npt.NDArray[np.integer[Any]]
    hold_lengths: npt.NDArray[np.int16]
    wrong_tokens: npt.NDArray[np.int16]
    margins: npt.NDArray[np.float32]
    close: npt.NDArray[np.bool_]


@dataclasses.dataclass(frozen=True)
class _Block:
    """Prefixes of the same length, and where network and machine are."""

    length: int
    cells: list[Any]
    """For each LSTM layer its h and its c, `(nodes, units)`."""
    states: npt.NDArray[np.int32]
    numbers: npt.NDArray[np.int64]
    hold_lengths: npt.NDArray[np.int16]
    wrong_tokens: npt.NDArray[np.int16]
    margins: npt.NDArray[np.float32]
    close: npt.NDArray[np.bool_]

    def parts(self) -> Iterator["_Block"]:
        for first in range(0, len(self.numbers), _BLOCK_NODES):
            part = slice(first, first + _BLOCK_NODES)
            yield _Block(
                self.length,
                [cell[part] for cell in self.cells],
                self.states[part],
                self.numbers[part],
                self.hold_lengths[part],
                self.wrong_tokens[part],
                self.margins[part],
                self.close[part],
            )


def walk(
    network: LSTMStepper, task: TransducerTask
) -> Iterator[tuple[int, Answers]]:
    """Visits every prefix once, and gives the answers block by block.

    Args:
        network: the network.
        task: what is right.

    Yields:
        How many sequences the block has, and the answers to those of them
        that are in the domain.
    """
    stack = [_root(network)]
    while stack:
        block = _grow(network, task, stack.pop())
        if block.length == task.num_bits:
            yield len(block.numbers), _leaves(network, task, block)
        else:
            stack.extend(block.parts())


def forecast_seconds(network: LSTMStepper, task: TransducerTask) -> float:
    """About how long a walk will take, from growing one full block."""
    block = _root(network)
    while len(block.numbers) < _BLOCK_NODES and block.length < task.num_bits:
        block = _grow(network, task, block)
    place = min(block.length, task.num_bits - 1)
    block = dataclasses.replace(block, length=place)
    start = time.perf_counter()
    for _ in range(_FORECAST_ROUNDS):
        _grow(network, task, block)
    seconds = (time.perf_counter() - start) / _FORECAST_ROUNDS
    # As many nodes lie above the last level as on it, for bits; the fewer,
    # the more symbols there are.
    last_level = task.num_symbols**task.num_bits
    nodes = last_level * task.num_symbols / (task.num_symbols - 1)
    return seconds * nodes / (len(block.numbers) * task.num_symbols)


def _root(network: LSTMStepper) -> _Block:
    """The empty prefix."""
    return _Block(
        length=0,
        cells=network.start(),
        states=np.zeros(1, np.int32),
        numbers=np.zeros(1, np.int64),
        hold_lengths=np.zeros(1, np.int16),
        wrong_tokens=np.zeros(1, np.int16),
        margins=np.full(1, np.inf, np.float32),
        close=np.zeros(1, np.bool_),
    )


def _grow(network: LSTMStepper, task: TransducerTask, block: _Block) -> _Block:
    """Every prefix of a block followed by every symbol, symbol by symbol."""
    next_state = np.asarray(task.next_state, np.int32)
    output = np.asarray(task.output, np.int32)
    place = block.length

    def follow(values: Any) -> Any:
        return np.tile(values, task.num_symbols)

    outputs = output[block.states].T.reshape(-1)
    states = next_state[block.states].T.reshape(-1)
    symbols = np.repeat(np.arange(task.num_symbols), len(block.numbers))
    hold_lengths = follow(block.hold_lengths)
    hold_lengths = hold_lengths + ((hold_lengths == place) & (states == 0))
    cells, margins = network.step(block.cells, outputs)
    wrong_tokens, least = follow(block.wrong_tokens), follow(block.margins)
    close = follow(block.close)
    if network.per_step:
        margins = margins.numpy()
        wrong_tokens = wrong_tokens + (margins < 0)
        least = np.minimum(least, margins)
        close = close | (np.abs(margins) < CLOSE_MARGIN)
    return _Block(
        length=place + 1,
        cells=cells,
        states=states,
        numbers=follow(block.numbers) + symbols * task.num_symbols**place,
        hold_lengths=hold_lengths.astype(np.int16),
        wrong_tokens=wrong_tokens.astype(np.int16),
        margins=least,
        close=close,
    )


def _leaves(
    network: LSTMStepper, task: TransducerTask, block: _Block
) -> Answers:
    wrong_tokens, margins = block.wrong_tokens, block.margins
    close = block.close
    if not network.per_step:
        targets = task.targets(task.symbols_of(block.numbers))
        each = network.leaf_margins(block.cells, targets).numpy()
        wrong_tokens = (each < 0).sum(-1, dtype=np.int16)
        margins = each.min(-1)
        close = (np.abs(each) < CLOSE_MARGIN).any(-1)
    inside = task.in_domain(block.states)
    return Answers(
        block.numbers[inside],
        block.hold_lengths[inside],
        wrong_tokens[inside],
        margins[inside],
        close[inside],
    )
