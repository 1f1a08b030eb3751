"""Trains on what is wrong until nothing is."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_lstm.config import MAX_FED_BACK_INPUTS
from keras_lstm.core.errors import InputError
from keras_lstm.core.seeds import derive_seed
from keras_lstm.tasks.datasets import check_endless
from keras_lstm.tasks.transducer import TransducerTask
from keras_lstm.verification.verify import Verification, verify

# Batches may be made this many steps before they are trained on. What is
# found wrong is mixed in from so many steps later, so that every batch is the
# same however far ahead the pipeline happens to be.
_STEPS_AHEAD = 8


class Counterexamples(keras.callbacks.Callback):
    """Checks every input at an epoch's end, and feeds back what is wrong.

    A share of each following batch becomes wrong inputs and their neighbours:
    inputs whose run (for increment, the carry) is as long, with other symbols
    after it. Training stops when nothing is wrong.

    Args:
        task: a sequence task with at most 2^24 sequences.
        share: how much of a batch is replaced.
        start_from_epoch: the first epoch after which to check, from 0.
        every_epochs: check after each so many epochs from there.
        capacity: how many wrong inputs to feed back, the worst first.
        seed: what is mixed in depends on this alone.
        on_check: called with each result.

    Attributes:
        stopped_epoch: the epoch after which nothing was wrong, from 0; None
            while something is.

    Raises:
        InputError: a domain too large to check.

    Example:

    ```python
    feedback = Counterexamples(task, start_from_epoch=5)
    model.fit(feedback.mix(dataset), callbacks=[feedback], ...)
    ```
    """

    def __init__(
        self,
        task: TransducerTask,
        share: float = 0.5,
        start_from_epoch: int = 0,
        every_epochs: int = 1,
        capacity: int = 4096,
        seed: int = 0,
        on_check: Callable[[int, Verification], None] | None = None,
    ) -> None:
        super().__init__()
        if task.num_sequences > MAX_FED_BACK_INPUTS:
            raise InputError(
                f"`num_bits` must leave at most {MAX_FED_BACK_INPUTS} inputs "
                f"to check during training. Received: num_bits={task.num_bits}"
            )
        if not 0.0 < share <= 1.0:
            raise InputError(
                "`share` must be above 0 and at most 1. Received: "
                f"share={share}"
            )
        for name, value, least in (
            ("start_from_epoch", start_from_epoch, 0),
            ("every_epochs", every_epochs, 1),
            ("capacity", capacity, 1),
        ):
            if value < least:
                raise InputError(
                    f"`{name}` must be an integer of at least {least}. "
                    f"Received: {name}={value}"
                )
        self.task = task
        self.share = share
        self.start_from_epoch = start_from_epoch
        self.every_epochs = every_epochs
        self.capacity = capacity
        self.on_check = on_check
        self.stopped_epoch: int | None = None
        self._key = [derive_seed(seed, "counterexamples"), 0]
        # Two pools: the newest, and the one before it, which is used until
        # `_valid_from`.
        with tf.device("CPU:0"):
            self._symbols = tf.Variable(
                tf.zeros([2, capacity, task.num_bits], tf.int32)
            )
            self._hold_lengths = tf.Variable(tf.zeros([2, capacity], tf.int32))
            self._counts = tf.Variable(tf.zeros([2], tf.int32))
            self._newest = tf.Variable(0)
            self._valid_from = tf.Variable(0, dtype=tf.int64)
            # The first step that each input, as a number, was mixed for.
            self._first_steps = tf.Variable(
                tf.fill([task.num_symbols**task.num_bits], tf.int64.max)
            )
        self._steps = 0

    def mix(
        self, dataset: tf.data.Dataset, start_step: int = 0
    ) -> tf.data.Dataset:
        """The dataset, with what is wrong mixed in as the training goes on.

        Args:
            dataset: pairs of symbols and targets, `(batch_size, num_bits)`,
                without end.
            start_step: which step its first batch is for.

        Raises:
            InputError: the dataset ends.
        """
        check_endless(dataset, "dataset")
        options = tf.data.Options()
        # Batches must not be made further ahead than `_STEPS_AHEAD`.
        options.experimental_optimization.inject_prefetch = False
        mixed = dataset.enumerate(start_step).map(
            tf.autograph.experimental.do_not_convert(self._mix_batch)
        )
        return mixed.with_options(options)

    def num_distinct(self) -> int:
        """How many different inputs have been trained on."""
        return int(np.sum(self._first_steps.numpy() < self._steps))

    def get_state(self) -> dict[str, Any]:
        """What a training that is resumed needs to know."""
        pools = {
            name: variable.numpy() for name, variable in self._pools().items()
        }
        trained = np.packbits(self._first_steps.numpy() < self._steps)
        return pools | {
            "steps": self._steps,
            "trained": trained,
            "stopped_epoch": self.stopped_epoch,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes on from `get_state`."""
        # Version 0.1 called them runs.
        state = {"hold_lengths": state.get("run_lengths"), **state}
        for name, variable in self._pools().items():
            variable.assign(state[name])
        self._steps = state["steps"]
        self.stopped_epoch = state["stopped_epoch"]
        trained = np.unpackbits(
            state["trained"], count=self._first_steps.shape[0]
        )
        self._keep_trained(trained.astype(bool))

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Forgets where an earlier `fit` stopped."""
        self.stopped_epoch = None

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Keeps what was learned for a second `fit`, whose steps start anew."""
        self._keep_trained(self._first_steps < self._steps)
        self._steps = 0
        self._valid_from.assign(0)

    def on_train_batch_end(
        self, batch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Counts the step."""
        self._steps += self.model.steps_per_execution

    def on_epoch_end(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Checks every input; stops, or feeds back what is wrong."""
        epochs = epoch - self.start_from_epoch
        if epochs < 0 or epochs % self.every_epochs:
            return
        result = verify(self.model, self.task)
        if self.on_check is not None:
            self.on_check(epoch, result)
        if not result.num_wrong:
            self.stopped_epoch = epoch
            self.model.stop_training = True
        # A pool that is not in use yet must not be replaced.
        elif self._steps >= int(self._valid_from.numpy()):
            self._feed_back(result)

    def _pools(self) -> dict[str, tf.Variable]:
        return {
            "symbols": self._symbols,
            "hold_lengths": self._hold_lengths,
            "counts": self._counts,
            "newest": self._newest,
            "valid_from": self._valid_from,
        }

    def _keep_trained(self, trained: Any) -> None:
        self._first_steps.assign(
            tf.where(trained, tf.constant(-1, tf.int64), tf.int64.max)
        )

    def _feed_back(self, result: Verification) -> None:
        failures = result.failures[: self.capacity]
        pool = 1 - int(self._newest.numpy())
        count = len(failures)
        self._symbols[pool, :count].assign([f.symbols for f in failures])
        self._hold_lengths[pool, :count].assign(
            [f.hold_length for f in failures]
        )
        self._counts[pool].assign(count)
        self._newest.assign(pool)
        self._valid_from.assign(self._steps + _STEPS_AHEAD)

    def _mix_batch(self, step: Any, batch: Any) -> Any:
        symbols, targets = batch
        rows = tf.shape(symbols)[0]
        pool = tf.where(
            step >= self._valid_from, self._newest, 1 - self._newest
        )
        count = self._counts[pool]
        key = tf.random.experimental.stateless_fold_in(
            tf.constant(self._key, tf.int64), step
        )
        pick_key, fresh_key, kind_key = tf.unstack(
            tf.random.experimental.stateless_split(key, 3)
        )
        pick = tf.random.stateless_uniform(
            [rows], pick_key, 0, tf.maximum(count, 1), tf.int32
        )
        wrong = tf.gather(self._symbols[pool], pick)
        runs = tf.gather(self._hold_lengths[pool], pick)[:, tf.newaxis]
        fresh = tf.random.stateless_uniform(
            tf.shape(symbols), fresh_key, 0, self.task.num_symbols, tf.int32
        )
        in_run = tf.range(self.task.num_bits) <= runs
        neighbours = tf.where(in_run, wrong, fresh)
        _, in_domain = self.task.transduce(neighbours)
        as_is = tf.random.stateless_uniform([rows], kind_key) < 0.5
        as_is |= ~in_domain
        mixed = tf.where(as_is[:, tf.newaxis], wrong, neighbours)
        replaced = tf.cast(
            tf.round(self.share * tf.cast(rows, tf.float32)), tf.int32
        )
        # From the end: what sampling has put into the first rows stays.
        chosen = (tf.range(rows) >= rows - replaced) & (count > 0)
        symbols = tf.where(chosen[:, tf.newaxis], mixed, symbols)
        targets = tf.where(
            chosen[:, tf.newaxis], self.task.transduce(symbols)[0], targets
        )
        powers = self.task.num_symbols ** np.arange(self.task.num_bits)
        numbers = tf.linalg.matvec(tf.cast(symbols, tf.int64), powers)
        tf.raw_ops.ResourceScatterMin(
            resource=self._first_steps.handle,
            indices=numbers,
            updates=tf.fill([rows], step),
        )
        return symbols, targets
