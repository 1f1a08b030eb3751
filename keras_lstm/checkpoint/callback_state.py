"""What callbacks remember from one step to the next."""

from collections.abc import Sequence
from typing import Any

import keras

# Of Keras's own; others say so with `get_state` and `set_state`.
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
    """What a callback has to remember; nothing if it does not say."""
    if hasattr(callback, "get_state"):
        return dict(callback.get_state())
    return {name: getattr(callback, name, None) for name in _names(callback)}


def set_callback_state(
    callback: keras.callbacks.Callback, state: dict[str, Any]
) -> None:
    """Has a callback remember what `get_callback_state` gave."""
    if hasattr(callback, "set_state"):
        callback.set_state(state)
        return
    for name in _names(callback):
        setattr(callback, name, state[name])


def _names(callback: keras.callbacks.Callback) -> Sequence[str]:
    for kind, names in _ATTRIBUTES.items():
        if isinstance(callback, kind):
            return names
    return ()
