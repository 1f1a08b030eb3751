"""A `fit` that begins within an epoch."""

from collections.abc import Callable, Sequence
from typing import Any

import keras

# What callbacks have seen already, of an epoch that is taken up within.
_HOOKS = ("on_epoch_begin", "on_train_batch_begin", "on_train_batch_end")


class SkippedSteps:
    """Has `fit` run over the first steps of an epoch without doing them.

    Keras cannot begin within an epoch: its `BackupAndRestore` saves the batch
    and does not read it back. This puts another train function in the place
    of the model's for so many calls, and keeps callbacks from seeing them. No
    batches are drawn, but one: the last call is done, so that Keras makes all
    the variables that it makes in a first step. What it changes is then put
    right by `restore`.

    Make it in `on_epoch_begin`, before the callbacks concerned.

    Args:
        model: that `fit` trains.
        num_calls: how many calls of the train function to run over, at least 1.
        callbacks: those that are not to see them.
        restore: called after the last.

    Attributes:
        num_left: how many are still to be run over.
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
        # A callback may have hooks of its own, as LambdaCallback has.
        self._hooks = [
            (callback, name, vars(callback).get(name))
            for callback in callbacks
            for name in _HOOKS
        ]

        def run_over(iterator: Any) -> Any:
            self.num_left -= 1
            if self.num_left:
                return {}
            train_function(iterator)
            model.train_function = train_function
            restore()
            return model.get_metrics_result()

        model.train_function = run_over
        for callback, name, _ in self._hooks:
            setattr(callback, name, _see_nothing)

    def end(self) -> None:
        """Lets the callbacks see steps again."""
        for callback, name, own in self._hooks:
            if own is None:
                delattr(callback, name)
            else:
                setattr(callback, name, own)


def _see_nothing(*arguments: Any, **named: Any) -> None:
    """Stands in for a hook."""
