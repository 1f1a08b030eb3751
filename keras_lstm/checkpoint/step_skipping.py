"""A way to start `fit` within an epoch, and to see what it trains on."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

# Hooks that were called for the skipped steps before the training stopped.
_EPOCH_HOOK = "on_epoch_begin"
_BATCH_HOOKS = ("on_train_batch_begin", "on_train_batch_end")


class WatchedTrainFunction:
    """A model's train function that shows the iterator of `fit`.

    Args:
        model: the model; its train function is replaced until `remove`.

    Attributes:
        iterator: the iterator that `fit` last trained from; None before.
        before_next: function of the iterator that is called once, before the
            next call, and returns the iterator to train from; None for none.
    """

    def __init__(self, model: keras.Model) -> None:
        self._model = model
        self.inner = model.train_function
        # An earlier `fit` may have ended with an error.
        if isinstance(self.inner, WatchedTrainFunction):
            self.inner = self.inner.inner
        self.iterator: Any = None
        self.before_next: Callable[[Any], Any] | None = None
        model.train_function = self

    def run_before(self, function: Callable[[Any], None]) -> None:
        """Call a function of the iterator before the next call, first of all.

        Args:
            function: the function.
        """
        following = self.before_next

        def run(iterator: Any) -> Any:
            function(iterator)
            return iterator if following is None else following(iterator)

        self.before_next = run

    def __call__(self, iterator: Any) -> Any:
        """Train as the model's own train function does."""
        self.iterator = iterator
        before, self.before_next = self.before_next, None
        return self.inner(iterator if before is None else before(iterator))

    def remove(self) -> None:
        """Restore the model's train function."""
        self._model.train_function = self.inner


def try_first_step(
    train_function: Callable[[Any], Any],
    iterator: Any,
    steps: int,
    restore: Callable[[], None],
) -> Any:
    """Train on the next batches to create all variables, and undo it.

    Args:
        train_function: Keras's train function, of an iterator.
        iterator: the iterator of `fit`.
        steps: number of batches that one call trains on.
        restore: function that restores all variables.

    Returns:
        An iterator of the same batches, for one call.

    Raises:
        StopIteration: if there are no batches.
    """
    batches = []
    try:
        for _ in range(steps):
            batches.append(next(iterator))
    except (StopIteration, tf.errors.OutOfRangeError):
        if not batches:
            raise StopIteration from None
    train_function(iter(batches))
    restore()
    return iter(batches)


class SkippedSteps:
    """Make `fit` skip the first steps of an epoch.

    Keras cannot start within an epoch: its `BackupAndRestore` saves the batch
    index but never reads it back. This class replaces the model's train
    function for `num_calls` calls and hides these calls from `callbacks`. Only
    the last call trains, because Keras creates some variables in its first
    step. `restore` then undoes the effects of that step.

    Create it in `on_epoch_begin`, before `callbacks` receive that hook.

    Args:
        model: the model that `fit` trains.
        num_calls: number of calls of the train function to skip, at least 1.
        callbacks: callbacks that must not see the skipped calls.
        restore: function called after the last skipped call.
        started: those of `callbacks` that need not see the start of the epoch
            either, because their state is restored. If None, all.
        draw: function of the iterator, called for each skipped call but the
            last, which makes the iterator skip the batches; None if the
            iterator starts with the batches of the last call.

    Attributes:
        num_left: number of calls that are still to be skipped.
        is_done: whether the last one has been made and undone.
    """

    def __init__(
        self,
        model: keras.Model,
        num_calls: int,
        callbacks: Sequence[keras.callbacks.Callback],
        restore: Callable[[], None],
        started: Sequence[keras.callbacks.Callback] | None = None,
        draw: Callable[[Any], None] | None = None,
    ) -> None:
        self.num_left = num_calls
        self.is_done = False
        if started is None:
            started = callbacks
        train_function = model.train_function
        # A hook may be an attribute of the instance, as in LambdaCallback.
        self._hooks = [
            (callback, name, vars(callback).get(name))
            for callback in callbacks
            for name in (
                (_EPOCH_HOOK, *_BATCH_HOOKS)
                if any(callback is each for each in started)
                else _BATCH_HOOKS
            )
        ]

        def skip_call(iterator: Any) -> Any:
            try:
                return skip(iterator)
            except (StopIteration, tf.errors.OutOfRangeError):
                raise
            # `fit` may be called again.
            except BaseException:
                model.train_function = train_function
                self.end()
                raise

        def skip(iterator: Any) -> Any:
            self.num_left -= 1
            if self.num_left:
                if draw is not None:
                    draw(iterator)
                return {}
            train_function(iterator)
            model.train_function = train_function
            restore()
            self.is_done = True
            return model.get_metrics_result()

        model.train_function = skip_call
        for callback, name, _ in self._hooks:
            setattr(callback, name, _do_nothing)

    def end(self) -> None:
        """Restore the hooks of the callbacks."""
        hooks, self._hooks = self._hooks, []
        for callback, name, original in hooks:
            if original is None:
                delattr(callback, name)
            else:
                setattr(callback, name, original)


def _do_nothing(*arguments: Any, **named: Any) -> None:
    """Do nothing, in place of a hook."""
