"""Inputs that networks are likely to fail on, for domains too large to list."""

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt

from keras_lstm.core.errors import InputError
from keras_lstm.core.seeds import derive_seed
from keras_lstm.tasks.transducer import TransducerTask


def set_hold_lengths(
    task: TransducerTask,
    inputs: npt.NDArray[Any],
    hold_lengths: npt.NDArray[np.integer[Any]],
) -> npt.NDArray[Any]:
    """Return the inputs, changed to have the given hold lengths.

    Args:
        task: a task with `hold_symbols` and `leave_symbols`.
        inputs: random symbols, `(num_examples, num_bits)`.
        hold_lengths: number of symbols for which the machine stays in its
            start state, from 0 to `num_bits - 1`, `(num_examples,)`.

    Returns:
        The inputs, `(num_examples, num_bits)`: random hold symbols, then a
        random leave symbol, then the rest unchanged.
    """
    hold, leave = (
        np.array(symbols, inputs.dtype)
        for symbols in (task.hold_symbols, task.leave_symbols)
    )
    steps = np.arange(inputs.shape[-1])
    lengths = hold_lengths[:, np.newaxis]
    held = hold[inputs % len(hold)]
    left = leave[inputs % len(leave)]
    inputs = np.where(steps < lengths, held, inputs)
    return np.where(steps == lengths, left, inputs)


def hard_inputs(
    task: TransducerTask,
) -> tuple[npt.NDArray[np.signedinteger[Any]], str]:
    """Return inputs that a network is likely to fail on.

    Args:
        task: the task, at the length of the inputs.

    Returns:
        The inputs, `(num_examples, num_bits)`, all different and in the
        domain; and a description of their kinds for reports.

    Raises:
        InputError: if none of the inputs is in the domain.
    """
    length, num_symbols = task.num_bits, task.num_symbols
    # The array is large, so use the smallest type that holds the symbols.
    dtype = np.min_scalar_type(-num_symbols - 1)
    rng = np.random.default_rng(derive_seed(0, "kinds"))
    steps = np.arange(length)

    def random(rows: int) -> npt.NDArray[np.signedinteger[Any]]:
        return rng.integers(num_symbols, size=(rows, length), dtype=dtype)

    contexts = int(np.clip(2**15 // length, 4, 64))
    parts = [random(1024)]
    kinds = ["uniformly random"]
    lengths = np.repeat(steps, contexts)
    can_hold = bool(task.hold_symbols and task.leave_symbols)
    if can_hold:
        parts.append(set_hold_lengths(task, random(len(lengths)), lengths))
    constant = np.arange(num_symbols, dtype=dtype)[:, np.newaxis]
    constant = np.repeat(constant, length, -1)
    other = (constant + 1) % num_symbols
    last = steps == length - 1
    parts += [
        constant,
        np.where(last, other, constant),
        np.where(steps % 2 == 0, constant, other),
    ]
    kinds.append("constant, constant but the last, alternating")
    for width in (length // 8, length // 2):
        starts = np.linspace(0, length - width, 32).astype(int)[:, np.newaxis]
        inside = (starts <= steps) & (steps < starts + width)
        parts += [
            np.where(inside, dtype.type(symbol), random(len(starts)))
            for symbol in range(num_symbols)
        ]
    kinds.append(f"runs of {length // 8:,} and {length // 2:,} at 32 places")
    inputs = np.concatenate(parts)
    admitted = task.in_domain(task.states(inputs)[:, -1])
    if can_hold:
        start = len(parts[0])
        held = lengths[admitted[start : start + len(lengths)]]
        count = len(np.unique(held))
        which = "every" if count == length else f"{count:,} of the"
        kinds.insert(
            1,
            f"{which} {task.hold_label} length{'s' * (count < length)} from 0 "
            f"to {length - 1:,}, each in up to {contexts} random contexts",
        )
    inputs = inputs[admitted]
    if not len(inputs):
        raise InputError(
            "`domain_states` must admit at least one of the inputs to check. "
            f"Received: num_bits={length}"
        )
    rows = np.ascontiguousarray(inputs).view(
        np.dtype((np.void, dtype.itemsize * length))
    )
    _, first = np.unique(rows, return_index=True)
    return inputs[np.sort(first)], "; ".join(kinds)


def num_by_hold_length(task: TransducerTask) -> list[int]:
    """Return how many inputs of the domain have each hold length.

    Args:
        task: the task, at the length of the inputs.

    Returns:
        The exact numbers, of hold lengths from 0 to `num_bits`.
    """
    length, held = task.num_bits, len(task.hold_symbols)
    # While it holds, the machine is in its start state.
    at_least = [
        held**count * task.num_inputs(length - count) for count in range(length)
    ]
    whole = held**length * int(task.in_domain(0))
    pairs = itertools.pairwise([*at_least, whole])
    return [*(more - fewer for more, fewer in pairs), whole]
