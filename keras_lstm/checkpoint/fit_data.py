"""What `fit` trains on, and how a resumed `fit` gets to the same place."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_lstm.checkpoint.data_position import (
    DataOrder,
    count_saved_shuffles,
    restore_iterator,
    save_iterator,
    skip_elements,
)
from keras_lstm.core.errors import InputError

_ENDLESS = 2**31
_ITERATORS = "_keras_lstm_iterators"
# And whether a `fit` with it is under way, or ended with an error.
_RUNNING = "_keras_lstm_running"


@dataclasses.dataclass
class FitData:
    """The dataset of `fit`.

    A dataset is *endless* if `fit` makes one iterator of it for all epochs,
    else `fit` makes one for each epoch.

    Args:
        dataset: the dataset that `fit` gets.
        order: how its elements can be found again; None if it already starts
            at the step to resume from, `start`.
        start: number of steps of this call of `fit` that the dataset leaves
            out.

    Attributes:
        is_endless: see above; known after `begin`.
    """

    dataset: tf.data.Dataset
    order: DataOrder | None = None
    start: int = 0
    is_endless: bool = dataclasses.field(default=True, init=False)
    _saves: bool = dataclasses.field(default=False, init=False)
    _redraws: bool = dataclasses.field(default=False, init=False)
    _was_left: bool = dataclasses.field(default=False, init=False)

    def begin(
        self,
        steps: int | None,
        strategy: tf.distribute.Strategy,
        is_first: bool,
    ) -> None:
        """Find out how `fit` uses the dataset.

        Args:
            steps: steps of an epoch as `fit` knows them; None if unknown.
            strategy: the strategy of the model.
            is_first: whether this is the first call of `fit` on the dataset.

        Raises:
            InputError: if a dataset from a step ends, the steps do not fit the
                size of the dataset, or the order cannot be found again under
                this strategy.
        """
        self._was_left = getattr(self.dataset, _RUNNING, False)
        setattr(self.dataset, _RUNNING, True)
        size = int(self.dataset.cardinality())
        known = 0 <= size < _ENDLESS
        self.is_endless = not (known or (size != -1 and steps is None))
        if self.order is None:
            if steps is None:
                raise InputError(
                    "`dataset` must be endless, and `fit` needs "
                    "`steps_per_epoch`, if the dataset is made by a function; "
                    "a dataset that ends is passed itself. Received: "
                    "steps_per_epoch=None"
                )
            return
        if steps is None:
            self.is_endless = False
        elif known and steps != size:
            raise InputError(
                "`steps_per_epoch` must be None, or `dataset` endless: use "
                f"repeat(). Received: steps_per_epoch={steps}, and {size} "
                "batches"
            )
        if self.order.has_late_shuffle and not (self.is_endless and is_first):
            raise InputError(
                "`dataset` must be shuffled after `cache`, `concatenate` and "
                "`repeat`, or be endless (use `repeat()` and "
                "`steps_per_epoch`) and used in one `fit`. Received: a dataset "
                "that is shuffled before"
            )
        is_single = strategy.num_replicas_in_sync == 1 and not isinstance(
            strategy,
            tf.distribute.MultiWorkerMirroredStrategy
            | tf.distribute.MirroredStrategy
            | tf.distribute.OneDeviceStrategy,
        )
        self._saves = self.order.has_iterator_state and is_single
        if (
            self.order.is_shuffled
            and not self._saves
            and not (self.is_endless and is_first)
        ):
            raise InputError(
                "`dataset` must be endless (use `repeat()` and "
                "`steps_per_epoch`), and used in one `fit`, if it is "
                "shuffled and there are several replicas or random "
                "operations. Received: another one"
            )

    def state(self, iterator: Any, calls: int) -> dict[str, Any] | None:
        """Return what a checkpoint holds of the dataset.

        Args:
            iterator: the iterator that `fit` trains from; None if it has none.
            calls: number of calls of the train function in this epoch.
        """
        if self.order is None:
            return None
        state = None
        # At the end of a pass, the next one has no iterator yet.
        if self._saves and iterator is not None and (calls or self.is_endless):
            state = save_iterator(iterator)
            if count_saved_shuffles(state) < self.order.num_shuffles:
                state = None
        return {
            "fingerprint": self.order.fingerprint,
            "iterator": state,
            "iterators": self.iterators,
        }

    def check(self, state: dict[str, Any] | None) -> None:
        """Refuse another dataset than that of a checkpoint.

        Args:
            state: the result of `state` in the checkpoint.

        Raises:
            InputError: if the numbers in the pipeline differ.
        """
        if self.order is None or not state:
            return
        if state["fingerprint"] != self.order.fingerprint:
            raise InputError(
                "`dataset` must be that of the checkpoint, with the same "
                "arrays, batch size and seeds (a directory needs `seed`). "
                "Received: another one"
            )
        # The state did not hold the seeds of every shuffle.
        self._redraws = self.order.is_shuffled and state["iterator"] is None

    @property
    def iterators(self) -> int:
        """Number of iterators that `fit` has made, in all its calls."""
        # On the dataset, because each call may come with a FitData of its
        # own.
        return getattr(self.dataset, _ITERATORS, 0)

    @iterators.setter
    def iterators(self, number: int) -> None:
        setattr(self.dataset, _ITERATORS, number)

    @property
    def draws(self) -> bool:
        """Whether an iterator advances by drawing, not by its saved state."""
        return self.order is not None and (not self._saves or self._redraws)

    def restore(self, iterator: Any, state: dict[str, Any] | None) -> None:
        """Restore the state of an iterator, if the checkpoint has it.

        Args:
            iterator: the iterator, whatever was drawn from it.
            state: the result of `state` in the checkpoint.
        """
        if self._saves and state and state["iterator"]:
            restore_iterator(iterator, state["iterator"])

    def resume(
        self, state: dict[str, Any] | None, elements: int, calls: int
    ) -> Callable[[Any], None] | None:
        """Prepare to resume.

        Args:
            state: the result of `state` in the checkpoint.
            elements: number of elements drawn in this call of `fit` before
                this epoch.
            calls: number of calls of the train function in this epoch.

        Returns:
            Function that brings the iterator of `fit` to the start of the
            epoch before it is trained from; None if none is needed.

        Raises:
            InputError: if this process has made more iterators of a shuffled
                dataset than the training had, each of which has its own order.
        """
        if self.order is None or state is None:
            return None
        made, self.iterators = self.iterators, state["iterators"]
        if not (self.is_endless and (elements or calls)):
            if self.order.is_shuffled and not calls:
                self._refuse_more(made)
            self._renew(self.iterators - made)
        elif self.draws:
            return lambda iterator: skip_elements(iterator, elements)
        elif not calls:
            return lambda iterator: self.restore(iterator, state)
        return None

    def _refuse_more(self, made: int) -> None:
        if self._was_left or made > self.iterators:
            raise InputError(
                "`dataset` must be made anew to go on after an error: it is "
                "shuffled, and its order changes with each use. Received: one "
                "that was used before"
            )

    def end(self) -> None:
        """End a call of `fit`."""
        setattr(self.dataset, _RUNNING, False)

    def end_epoch(
        self,
        done: int,
        steps: int | None,
        *,
        stopped: bool,
        is_first: bool,
    ) -> None:
        """Check that the data did not end the epoch, and count iterators.

        Args:
            done: number of steps done in this epoch.
            steps: number of steps of an epoch; None if unknown.
            stopped: whether a callback has stopped the training.
            is_first: whether this is the first epoch of this call of `fit`.

        Raises:
            InputError: if the dataset has ended too soon.
        """
        if not stopped and done < (steps or 0):
            raise InputError(
                "`dataset` must not end before the training: use repeat(). "
                f"Received: {done} batches, for steps_per_epoch={steps}"
            )
        if self.is_endless:
            self.iterators += is_first
            return
        # When Keras knows the size of a dataset from the start, it makes one
        # more iterator at the end of each whole epoch.
        is_whole = not stopped or done >= (steps or math.inf)
        self.iterators += 2 if is_whole and steps else 1

    def _renew(self, iterators: int) -> None:
        """Make iterators that are not used, as `fit` has made others before.

        Each one changes the order of the next, if that is shuffled.
        """
        if self.order is not None and self.order.is_shuffled:
            for _ in range(iterators):
                iter(self.dataset)
