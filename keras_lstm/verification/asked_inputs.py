"""Inputs that `predict` is asked, where a walk cannot tell or there is none."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from keras_lstm.core.errors import InputError
from keras_lstm.models.logits import margins_of, predictions_of
from keras_lstm.tasks.transducer import TransducerTask
from keras_lstm.verification.agreement import predict_logits
from keras_lstm.verification.prefix_tree import CheckedInputs

# Inputs checked at once if there is no tree to walk.
_PART = 2**13


def symbols_of(task: TransducerTask, inputs: Any) -> npt.NDArray[np.int32]:
    """Return inputs as symbols.

    Args:
        task: the task.
        inputs: numbers, int64, or symbols, of a smaller type; see
            `CheckedInputs`.
    """
    inputs = np.asarray(inputs)
    if inputs.dtype == np.int64:
        return task.symbols_of(inputs)
    return inputs.astype(np.int32)


def _compare(
    model: keras.Model, task: TransducerTask, inputs: Any
) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.float32]]:
    """Return each input's number of wrong tokens and smallest margin.

    Raises:
        InputError: if the model's logits have another shape.
    """
    symbols = symbols_of(task, inputs)
    logits = predict_logits(model, symbols)
    targets = task.targets(symbols)
    if logits.shape[:-1] != targets.shape:
        raise InputError(
            "`model` must return logits of shape (batch_size, "
            f"{targets.shape[1]}, num_classes). Received: "
            f"(batch_size, {', '.join(map(str, logits.shape[1:]))})"
        )
    wrong = predictions_of(logits) != targets
    margins = margins_of(tf.constant(logits), targets).numpy()
    return wrong.sum(-1, dtype=np.int16), margins.min(-1)


def recheck_close(
    model: keras.Model, task: TransducerTask, checked: CheckedInputs
) -> CheckedInputs:
    """Return a check, with inputs of a close margin checked by `predict`.

    Args:
        model: the model.
        task: the task.
        checked: the check.

    Raises:
        InputError: if the model's logits have another shape.
    """
    close = np.flatnonzero(checked.close)
    wrong_tokens, margins = checked.wrong_tokens.copy(), checked.margins.copy()
    wrong_tokens[close], margins[close] = _compare(
        model, task, checked.inputs[close]
    )
    return dataclasses.replace(
        checked, wrong_tokens=wrong_tokens, margins=margins
    )


def leave_wrong(walked: CheckedInputs) -> CheckedInputs:
    """Return a part of a walk that leaves wrong answers to `predict`.

    Args:
        walked: the part.
    """
    close = walked.close | (walked.wrong_tokens > 0)
    return dataclasses.replace(walked, close=close)


def all_inputs(task: TransducerTask) -> Iterator[CheckedInputs]:
    """Yield all inputs, left to `predict`, in parts.

    Args:
        task: the task.
    """
    total = task.num_symbols**task.num_bits
    for first in range(0, total, _PART):
        numbers = np.arange(first, min(total, first + _PART))
        inputs = numbers[_is_input(task, numbers)]
        yield _unchecked(task, inputs, len(numbers))


def in_parts(task: TransducerTask, inputs: Any) -> Iterator[CheckedInputs]:
    """Yield given inputs, left to `predict`, in parts.

    Args:
        task: the task.
        inputs: see `symbols_of`.
    """
    for first in range(0, len(inputs), _PART):
        part = inputs[first : first + _PART]
        yield _unchecked(task, part, len(part))


def _unchecked(
    task: TransducerTask, inputs: Any, num_visited: int
) -> CheckedInputs:
    """Return inputs that are all left to `predict`."""
    count = len(inputs)
    return CheckedInputs(
        num_visited,
        inputs,
        task.hold_length(symbols_of(task, inputs)).astype(np.int16),
        np.zeros(count, np.int16),
        np.zeros(count, np.float32),
        np.ones(count, np.bool_),
    )


def count_in_domain(
    task: TransducerTask, numbers: npt.NDArray[np.int64]
) -> int:
    """Return how many numbers are inputs of the domain.

    Args:
        task: the task.
        numbers: any sequences, as numbers.
    """
    if task.domain_states is None:
        return len(numbers)
    count = 0
    for first in range(0, len(numbers), _PART):
        count += int(_is_input(task, numbers[first : first + _PART]).sum())
    return count


def _is_input(
    task: TransducerTask, numbers: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """Return whether numbers are in the domain."""
    ends = task.states(task.symbols_of(numbers))[:, -1]
    inside: npt.NDArray[np.bool_] = task.in_domain(ends)
    return inside
