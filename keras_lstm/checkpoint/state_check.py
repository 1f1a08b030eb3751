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
    for name, is_valid in _NEWER_ENTRIES.items():
        found = state.get(name)
        unset = found is None and (name not in state or name in _MAY_BE_NONE)
        if not (unset or is_valid(found)):
            raise InputError(
                f"{what} must hold the state of a training. Received: "
                f"{name}={shown(state[name])}"
            )
    if len(state.get("earlier") or ()) != (state.get("fit") or 0):
        raise InputError(
            f"{what} must hold the state of a training. Received: "
            f"fit={state.get('fit')}, after {len(state.get('earlier') or ())} "
            "calls"
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
    if type(value) is int:
        # A larger one may be no float.
        return abs(value) < 2**63
    return type(value) is float


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
            and replicas
            and all(isinstance(each, np.ndarray) for each in replicas)
            for replicas in part
        )
        for part in value.values()
    )


def _are_counts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_count, value))


def _are_calls(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(call, list)
        and len(call) == 2
        and _are_counts(call[0])
        and _is_history(call[1])
        for call in value
    )


def _are_settings(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(settings, dict)
        and all(isinstance(each, str) for each in settings.values())
        for settings in value.values()
    )


def _is_description(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and set(value) == {"build", "trained"}
        and isinstance(value["build"], list)
        and all(isinstance(config, str) for config in value["build"])
        and isinstance(value["trained"], dict)
        and all(
            _are_counts(indices) and indices
            for indices in value["trained"].values()
        )
    )


def _is_data(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and set(value) == {"fingerprint", "iterator", "iterators"}
        and type(value["fingerprint"]) is int
        and _is_count(value["iterators"])
        and (value["iterator"] is None or _are_files(value["iterator"]))
    )


def _are_files(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(content, np.ndarray) and content.dtype == np.uint8
        for content in value.values()
    )


_MAY_BE_NONE = ("steps", "settings", "data")
# Version 0.2 wrote none of these.
_NEWER_ENTRIES = {
    "fit": _is_count,
    "first_step": _is_count,
    "steps": _is_count,
    "earlier": _are_calls,
    "settings": _are_settings,
    "built": _is_description,
    "data": _is_data,
}
_ENTRIES = {
    "epoch": _is_count,
    "first_epoch": lambda value: value is None or _is_count(value),
    "calls": _is_count,
    "steps_per_execution": lambda value: _is_count(value) and value > 0,
    "stopped": lambda value: isinstance(value, bool),
    "seconds": lambda value: _is_number(value) and math.isfinite(value),
    "lowest": _is_number,
    "epochs_seen": _are_counts,
    "history": _is_history,
    "callbacks": _are_callbacks,
    "variables": _are_variables,
}
