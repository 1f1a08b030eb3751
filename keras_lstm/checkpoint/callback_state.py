"""State that callbacks carry from one step to the next."""

import sys
import types
from collections.abc import Sequence
from typing import Any

import keras

from keras_lstm.core.errors import InputError, shown

# Keras's own callbacks have no `get_state` and `set_state`.
_ATTRIBUTES: dict[type, tuple[str, ...]] = {
    keras.callbacks.EarlyStopping: (
        *("best", "best_epoch", "best_weights", "stopped_epoch", "wait"),
    ),
    keras.callbacks.ModelCheckpoint: (
        *("best", "_batches_seen_since_last_saving", "_current_epoch"),
        "_last_batch_seen",
    ),
    keras.callbacks.ReduceLROnPlateau: ("best", "cooldown_counter", "wait"),
    keras.callbacks.SwapEMAWeights: ("_ema_weights_in_model",),
}
# What these need is in the model or in the logs. (`fit` itself adds the last
# two, and `ExactResume` restores what the history holds.)
_STATELESS = (
    *(keras.callbacks.LearningRateScheduler, keras.callbacks.TerminateOnNaN),
    *(keras.callbacks.ProgbarLogger, keras.callbacks.History),
)


def find_callbacks(
    callback: keras.callbacks.Callback,
) -> list[keras.callbacks.Callback]:
    """Return the list of callbacks that `fit` is calling.

    Keras does not tell a callback of the others: this function looks for
    Keras's `CallbackList` among the callers.

    Args:
        callback: a callback whose hook is being called.

    Returns:
        The list itself, `callback` included; empty if `fit` does not call.
    """
    frame: types.FrameType | None = sys._getframe()
    while frame is not None:
        owner = frame.f_locals.get("self")
        if isinstance(owner, keras.callbacks.CallbackList) and any(
            each is callback for each in owner.callbacks
        ):
            return owner.callbacks
        frame = frame.f_back
    return []


def has_kept_state(callback: keras.callbacks.Callback) -> bool:
    """Return whether `get_callback_state` returns all that a callback needs.

    Args:
        callback: any callback.

    Returns:
        False for a callback with attributes, or with hooks that are functions,
        that has no `get_state` and is not one of Keras's that are known.
    """
    return (
        hasattr(callback, "get_state")
        or bool(_state_attributes(callback))
        or isinstance(callback, _STATELESS)
        or vars(callback).keys() <= vars(keras.callbacks.Callback()).keys()
    )


def describe_states(
    callbacks: Sequence[keras.callbacks.Callback],
) -> list[list[Any]]:
    """Return the state of callbacks, for a checkpoint.

    Args:
        callbacks: the callbacks.

    Returns:
        Each one's type, state and name. The name is what it monitors, if it
        does.
    """
    return [
        [_type(each), get_callback_state(each), _name(each)]
        for each in callbacks
    ]


def match_states(
    callbacks: Sequence[keras.callbacks.Callback],
    saved: Sequence[Sequence[Any]],
) -> list[dict[str, Any] | None]:
    """Find each callback's state in a checkpoint.

    A state belongs to the callback of the same type and name, else to the
    next one of the same type.

    Args:
        callbacks: the callbacks.
        saved: the result of `describe_states`. (Versions before 0.3 did not
            write names.)

    Returns:
        The states; None for a callback that was not there.

    Raises:
        InputError: if a state that is not empty belongs to no callback, and
            does not say `optional`, as that of a callback that only looks on.
    """
    left = [(each[0], each[1], (*each[2:], None)[0]) for each in saved]
    found: list[dict[str, Any] | None] = [None] * len(callbacks)
    for by_name in (True, False):
        for index, callback in enumerate(callbacks):
            for each in left:
                kind, state, name = each
                if (
                    found[index] is None
                    and kind == _type(callback)
                    and (not by_name or name == _name(callback))
                ):
                    found[index] = state
                    left = [other for other in left if other is not each]
    missing = [
        kind for kind, state, _ in left if state and not _may_lack(state)
    ]
    if missing:
        raise InputError(
            "`callbacks` must be of the types saved in the checkpoint: "
            f"{[each[0] for each in saved]}. Received: callbacks="
            f"{[_type(each) for each in callbacks]}"
        )
    return found


def _may_lack(state: Any) -> bool:
    return isinstance(state, dict) and state.get("optional") is True


def _type(callback: keras.callbacks.Callback) -> str:
    return type(callback).__name__


def _name(callback: keras.callbacks.Callback) -> str | None:
    name = getattr(callback, "monitor", None)
    return name if isinstance(name, str) else None


def get_callback_state(callback: keras.callbacks.Callback) -> dict[str, Any]:
    """Return a callback's state.

    Args:
        callback: any callback.

    Returns:
        The result of its `get_state()`, or the stateful attributes of one of
        Keras's own callbacks, by name. Empty for other callbacks.
    """
    if hasattr(callback, "get_state"):
        return dict(callback.get_state())
    return {
        name: getattr(callback, name, None)
        for name in _state_attributes(callback)
    }


def set_callback_state(
    callback: keras.callbacks.Callback, state: dict[str, Any]
) -> None:
    """Restore the state of a callback.

    Args:
        callback: a callback of the same type.
        state: the result of `get_callback_state`.

    Raises:
        InputError: if `state` is not the state of such a callback.
    """
    try:
        if hasattr(callback, "set_state"):
            callback.set_state(state)
            return
        for name in _state_attributes(callback):
            setattr(callback, name, state[name])
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"`state` must be the state of a {type(callback).__name__}. "
            f"Received: {shown(state)} ({type(error).__name__}: {error})"
        ) from error


def _state_attributes(callback: keras.callbacks.Callback) -> Sequence[str]:
    for kind, names in _ATTRIBUTES.items():
        if isinstance(callback, kind):
            return names
    return ()
