"""Check of the state in a checkpoint, before any of it is restored."""

import math
from typing import Any

import numpy as np

from keras_lstm.checkpoint.checkpoints import Checkpoint
from keras_lstm.core.errors import InputError, shown

# Larger numbers do not fit into the types that count epochs and steps.
_MAX_COUNT = 2**53


def check_training_state(checkpoint: Checkpoint, what: str) -> None:
    """Refuse a checkpoint that is not one of `ExactResume`.

    The digest of a checkpoint tells that a file is as it was written, not that
    it was written by `ExactResume`.

    Args:
        checkpoint: the checkpoint.
        what: words for the checkpoint, for error messages.

    Raises:
        InputError: if an entry of the state is missing or of another type.
    """
    state = checkpoint.state
    for name, is_valid in _ENTRIES.items():
        if name not in state or not is_valid(state[name]):
            value = shown(state[name]) if name in state else "nothing"
            raise InputError(
                f"{what} must hold the state of a training. Received: "
                f"{name}={value}"
            )
    done = state["calls"] * state["steps_per_execution"]
    if checkpoint.step < done:
        raise InputError(
            f"{what} must hold the state of a training. Received: "
            f"step={checkpoint.step}, after {done} steps of its epoch"
        )


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < _MAX_COUNT


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)


def _is_history(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(each, list) for each in value.values()
    )


def _are_callbacks(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(each, list)
        and [type(part) for part in each[:2]] == [str, dict]
        and (not each[2:] or _is_name(*each[2:]))
        for each in value
    )


def _is_name(value: Any = None, *others: Any) -> bool:
    return (value is None or isinstance(value, str)) and not others


def _are_variables(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(part, list)
        and all(
            isinstance(replicas, list)
            and all(isinstance(each, np.ndarray) for each in replicas)
            for replicas in part
        )
        for part in value.values()
    )


_ENTRIES = {
    "epoch": _is_count,
    "first_epoch": lambda value: value is None or _is_count(value),
    "calls": _is_count,
    "steps_per_execution": lambda value: _is_count(value) and value > 0,
    "stopped": lambda value: isinstance(value, bool),
    "seconds": lambda value: _is_number(value) and math.isfinite(value),
    "lowest": _is_number,
    "epochs_seen": lambda value: (
        isinstance(value, list) and all(map(_is_count, value))
    ),
    "history": _is_history,
    "callbacks": _are_callbacks,
    "variables": _are_variables,
}
