"""What callbacks share that train on what a model gets wrong."""

import abc
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from keras_lstm.core.errors import InputError, check_integer
from keras_lstm.core.seeds import derive_seed
from keras_lstm.tasks.task import Split


class Feedback(keras.callbacks.Callback):
    """Base class of callbacks that put wrong inputs into later batches.

    There are two pools of wrong inputs: the newest, and the previous one,
    which is used until the step from which the newest is valid. Batches that
    the pipeline makes ahead of time are therefore the same, however far ahead
    it happens to be.

    Args:
        num_inputs: number of different inputs.
        shapes: shape and type of an entry of the pool, by name.
        capacity: maximum number of entries.
        steps_ahead: the most steps by which the pipeline is ahead.
        fraction: fraction of each batch to replace, above 0 and at most 1.
        start_from_epoch: first epoch after which to check, counted from 0.
        every_epochs: number of epochs from one check to the next.
        seed: seed of the rows that are replaced.
        name: what the seed is for.

    Attributes:
        stopped_epoch: epoch in which the callback stopped training, counted
            from 0; None if it did not.

    Raises:
        InputError: if an argument is out of range.
    """

    def __init__(
        self,
        num_inputs: int,
        shapes: dict[str, tuple[tuple[int, ...], tf.DType]],
        capacity: int,
        steps_ahead: int,
        fraction: float,
        start_from_epoch: int,
        every_epochs: int,
        seed: int,
        name: str,
    ) -> None:
        super().__init__()
        if not 0.0 < fraction <= 1.0:
            raise InputError(
                "`fraction` must be above 0 and at most 1. Received: "
                f"fraction={fraction}"
            )
        for argument, value, least in (
            ("start_from_epoch", start_from_epoch, 0),
            ("every_epochs", every_epochs, 1),
            ("capacity", capacity, 1),
        ):
            check_integer(argument, value, least)
        self.fraction = fraction
        self.start_from_epoch = start_from_epoch
        self.every_epochs = every_epochs
        self.capacity = capacity
        self.stopped_epoch: int | None = None
        self._steps_ahead = steps_ahead
        self._seed = derive_seed(seed, name)
        with tf.device("CPU:0"):
            self._entries = {
                name: tf.Variable(tf.zeros([2, capacity, *shape], dtype))
                for name, (shape, dtype) in shapes.items()
            }
            self._counts = tf.Variable(tf.zeros([2], tf.int32))
            self._newest = tf.Variable(0)
            self._valid_from = tf.Variable(0, dtype=tf.int64)
            # For each input, as a number: the first step whose batch has it.
            self._first_steps = tf.Variable(tf.fill([num_inputs], tf.int64.max))
        self._steps = 0

    @abc.abstractmethod
    def dataset(
        self, split: Split, batch_size: int, seed: int = 0, start_step: int = 0
    ) -> tf.data.Dataset:
        """Return the training dataset for `fit`, with what is wrong.

        Args:
            split: the training examples.
            batch_size: examples per batch.
            seed: see `make_dataset`. Defaults to 0.
            start_step: the step, counted from 0, that trains on the first
                batch. Defaults to 0.
        """

    def num_distinct(self) -> int:
        """Return the number of distinct inputs that were trained on."""
        return int(np.sum(self._first_steps.numpy() < self._steps))

    def get_state(self) -> dict[str, Any]:
        """Return the callback's state, for `ExactResume`."""
        variables = self._variables().items()
        trained = np.packbits(self._first_steps.numpy() < self._steps)
        return {name: variable.numpy() for name, variable in variables} | {
            "steps": self._steps,
            "trained": trained,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore the state that `get_state` returned."""
        for name, variable in self._variables().items():
            variable.assign(state[name])
        self._steps = state["steps"]
        trained = np.unpackbits(
            state["trained"], count=self._first_steps.shape[0]
        )
        self._keep_trained(trained.astype(bool))

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Count steps from 0, also after a `fit` that raised."""
        self.stopped_epoch = None
        self._restart()

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Keep the pool for another `fit`, with steps from 0."""
        self._restart()

    def _restart(self) -> None:
        self._keep_trained(self._first_steps < self._steps)
        self._steps = 0
        self._valid_from.assign(0)

    def on_train_batch_end(
        self, batch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Count the step."""
        self._steps += self.model.steps_per_execution

    def _checks(self, epoch: int) -> bool:
        """Return whether to check after an epoch."""
        epochs = epoch - self.start_from_epoch
        return epochs >= 0 and epochs % self.every_epochs == 0

    def _feed_back(self, entries: dict[str, npt.NDArray[Any]]) -> None:
        """Put wrong inputs into batches, unless others wait for it."""
        # A new pool must not be replaced before it is in use.
        if self._steps < int(self._valid_from.numpy()):
            return
        pool = 1 - int(self._newest.numpy())
        count = 0
        for name, values in entries.items():
            count = min(len(values), self.capacity)
            self._entries[name][pool, :count].assign(values[:count])
        self._counts[pool].assign(count)
        self._newest.assign(pool)
        self._valid_from.assign(self._steps + self._steps_ahead)

    def _pool_at(self, step: Any) -> tuple[dict[str, Any], Any]:
        """Return the pool for a step, and how many of its entries are set."""
        pool = tf.where(
            step >= self._valid_from, self._newest, 1 - self._newest
        )
        entries = {name: x[pool] for name, x in self._entries.items()}
        return entries, self._counts[pool]

    def _keys(self, step: Any, count: int) -> list[Any]:
        """Return keys for random numbers of a step."""
        key = tf.random.experimental.stateless_fold_in(
            tf.constant([self._seed, 0], tf.int64), step
        )
        keys = tf.random.experimental.stateless_split(key, count)
        return list(tf.unstack(keys))

    def _num_replaced(self, rows: Any) -> Any:
        return tf.cast(
            tf.round(self.fraction * tf.cast(rows, tf.float32)), tf.int32
        )

    def _count_trained(self, step: Any, numbers: Any) -> None:
        """Note the inputs of a step's batch, as numbers."""
        tf.raw_ops.ResourceScatterMin(
            resource=self._first_steps.handle,
            indices=numbers,
            updates=tf.fill(tf.shape(numbers), step),
        )

    def _variables(self) -> dict[str, tf.Variable]:
        return self._entries | {
            "counts": self._counts,
            "newest": self._newest,
            "valid_from": self._valid_from,
        }

    def _keep_trained(self, trained: Any) -> None:
        self._first_steps.assign(
            tf.where(trained, tf.constant(-1, tf.int64), tf.int64.max)
        )
