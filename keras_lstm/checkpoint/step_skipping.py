"""A way to start `fit` within an epoch."""

from collections.abc import Callable, Sequence
from typing import Any

import keras

# Hooks that were called for the skipped steps before the training stopped.
_HOOKS = ("on_epoch_begin", "on_train_batch_begin", "on_train_batch_end")


class SkippedSteps:
    """Make `fit` skip the first steps of an epoch.

    Keras cannot start within an epoch: its `BackupAndRestore` saves the batch
    index but never reads it back. This class replaces the model's train
    function for `num_calls` calls and hides these calls from `callbacks`. Only
    the last call draws a batch and trains on it, because Keras creates some
    variables in its first step. `restore` then undoes the effects of that
    step.

    Create it in `on_epoch_begin`, before `callbacks` receive that hook.

    Args:
        model: the model that `fit` trains.
        num_calls: number of calls of the train function to skip, at least 1.
        callbacks: callbacks that must not see the skipped calls.
        restore: function called after the last skipped call.

    Attributes:
        num_left: number of calls that are still to be skipped.
    """

    def __init__(
        self,
        model: keras.Model,
        num_calls: int,
        callbacks: Sequence[keras.callbacks.Callback],
        restore: Callable[[], None],
    ) -> None:
        self.num_left = num_calls
        train_function = model.train_function
        # A hook may be an attribute of the instance, as in LambdaCallback.
        self._hooks = [
            (callback, name, vars(callback).get(name))
            for callback in callbacks
            for name in _HOOKS
        ]

        def skip_call(iterator: Any) -> Any:
            self.num_left -= 1
            if self.num_left:
                return {}
            train_function(iterator)
            model.train_function = train_function
            restore()
            return model.get_metrics_result()

        model.train_function = skip_call
        for callback, name, _ in self._hooks:
            setattr(callback, name, _do_nothing)

    def end(self) -> None:
        """Restore the hooks of the callbacks."""
        for callback, name, original in self._hooks:
            if original is None:
                delattr(callback, name)
            else:
                setattr(callback, name, original)


def _do_nothing(*arguments: Any, **named: Any) -> None:
    """Do nothing, in place of a hook."""
