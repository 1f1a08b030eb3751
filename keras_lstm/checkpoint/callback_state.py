"""State that callbacks carry from one step to the next."""

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
