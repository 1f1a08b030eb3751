"""The callbacks of `fit` whose state is in checkpoints."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_lstm.checkpoint.callback_state import (
    describe_states,
    find_callbacks,
    has_kept_state,
    match_states,
    set_callback_state,
)
from keras_lstm.core.errors import InputError

# `ExactResume` restores the history; the progress bar sees skipped steps.
_KERAS_OWN = (keras.callbacks.History, keras.callbacks.ProgbarLogger)


class KeptCallbacks:
    """The callbacks that `fit` calls besides one.

    Creating this moves `owner` to the front of the callbacks, so that it sees
    the end of a step before any other one sees the next step.

    Args:
        owner: the callback that writes checkpoints, in one of its hooks.
        given: callbacks whose state to save; None for all.

    Attributes:
        all: all other callbacks, except Keras's history and progress bar.
        kept: those whose state is saved.

    Raises:
        InputError: if `given` is None and `fit` does not call `owner`.
    """

    def __init__(
        self,
        owner: keras.callbacks.Callback,
        given: Sequence[keras.callbacks.Callback] | None,
    ) -> None:
        every = find_callbacks(owner)
        if every and every[0] is not owner:
            every.remove(owner)
            every.insert(0, owner)
        self.all = [
            callback
            for callback in every
            if callback is not owner and not isinstance(callback, _KERAS_OWN)
        ]
        if given is None and not every:
            raise InputError(
                "`callbacks` must be given if `fit` does not call this "
                "callback. Received: callbacks=None"
            )
        self._are_given = given is not None
        self.kept = self.all if given is None else list(given)

    # Callbacks may have a state only after `on_train_begin`, which is called
    # after this object is made.

    @property
    def not_kept(self) -> list[str]:
        """Types of those in `kept` whose state cannot be saved."""
        return [
            type(callback).__name__
            for callback in self.kept
            if not has_kept_state(callback)
        ]

    @property
    def started(self) -> list[keras.callbacks.Callback]:
        """Those in `kept` that need not see an epoch start again.

        Callbacks that were given need not. Others may have to, such as those
        that look at the time.
        """
        if self._are_given:
            return self.kept
        return [each for each in self.kept if has_kept_state(each)]

    def states(self) -> list[list[Any]]:
        """Return the states, for a checkpoint."""
        return describe_states(self.kept)

    def check(self, saved: Sequence[Sequence[Any]]) -> None:
        """Refuse a checkpoint with states that belong to no callback.

        Args:
            saved: the result of `states`.

        Raises:
            InputError: see `match_states`.
        """
        match_states(self.kept, saved)

    def restore(self, saved: Sequence[Sequence[Any]]) -> None:
        """Restore the states; a callback without one starts anew.

        Args:
            saved: the result of `states`.
        """
        states = match_states(self.kept, saved)
        for callback, state in zip(self.kept, states, strict=True):
            if state is not None:
                set_callback_state(callback, state)
