"""Check of all inputs of a domain, by walking the tree of their prefixes.

After t symbols a network has one state for each of the `num_symbols ** t`
prefixes, whatever follows. For bits, computing each state once takes about
`2 ** (num_bits + 1)` cell steps; running every input separately takes
`num_bits * 2 ** num_bits`. The walk is depth-first, in blocks of prefixes, so
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

# Nodes in a block: they fit a processor's cache and still keep it busy.
_BLOCK_NODES = 2**15
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
            rounding may change the prediction, `(num_examples,)`.
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
    cells: list[Any]
    """h and c of each LSTM layer, each `(nodes, units)`."""
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
) -> Iterator[tuple[int, CheckedInputs]]:
    """Visit every prefix once, and check whole sequences block by block.

    Args:
        network: the network to check.
        task: the task that defines the targets.

    Yields:
        The number of sequences in a block, and the check of those that are in
        the domain.
    """
    stack = [_root(network)]
    while stack:
        block = _grow(network, task, stack.pop())
        if block.length == task.num_bits:
            yield len(block.numbers), _leaves(network, task, block)
        else:
            stack.extend(block.parts())


def forecast_seconds(network: LSTMStepper, task: TransducerTask) -> float:
    """Estimate the seconds that a walk takes, by growing one full block."""
    block = _root(network)
    while len(block.numbers) < _BLOCK_NODES and block.length < task.num_bits:
        block = _grow(network, task, block)
    length = min(block.length, task.num_bits - 1)
    block = dataclasses.replace(block, length=length)
    start = time.perf_counter()
    for _ in range(_FORECAST_ROUNDS):
        _grow(network, task, block)
    seconds = (time.perf_counter() - start) / _FORECAST_ROUNDS
    # The sum of all levels, a geometric series: with two symbols, the levels
    # above the last have about as many nodes as the last.
    last_level = task.num_symbols**task.num_bits
    nodes = last_level * task.num_symbols / (task.num_symbols - 1)
    return seconds * nodes / (len(block.numbers) * task.num_symbols)


def _root(network: LSTMStepper) -> _Block:
    """Return a block with the empty prefix only."""
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
    cells, margins = network.step(block.cells, outputs)
    wrong_tokens, least = tile(block.wrong_tokens), tile(block.margins)
    close = tile(block.close)
    if network.per_step:
        margins = margins.numpy()
        wrong_tokens = wrong_tokens + (margins < 0)
        least = np.minimum(least, margins)
        close = close | (np.abs(margins) < CLOSE_MARGIN)
    return _Block(
        length=position + 1,
        cells=cells,
        states=states,
        numbers=tile(block.numbers) + symbols * task.num_symbols**position,
        hold_lengths=hold_lengths.astype(np.int16),
        wrong_tokens=wrong_tokens.astype(np.int16),
        margins=least,
        close=close,
    )


def _leaves(
    network: LSTMStepper, task: TransducerTask, block: _Block
) -> CheckedInputs:
    """Return the check of a block's sequences that are in the domain."""
    wrong_tokens, margins = block.wrong_tokens, block.margins
    close = block.close
    if not network.per_step:
        targets = task.targets(task.symbols_of(block.numbers))
        each = network.leaf_margins(block.cells, targets).numpy()
        wrong_tokens = (each < 0).sum(-1, dtype=np.int16)
        margins = each.min(-1)
        close = (np.abs(each) < CLOSE_MARGIN).any(-1)
    inside = task.in_domain(block.states)
    return CheckedInputs(
        block.numbers[inside],
        block.hold_lengths[inside],
        wrong_tokens[inside],
        margins[inside],
        close[inside],
    )
