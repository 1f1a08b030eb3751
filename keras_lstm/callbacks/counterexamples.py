"""Training on a model's errors until it makes none."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_lstm.config_rules import MAX_FED_BACK_INPUTS
from keras_lstm.core.errors import InputError
from keras_lstm.core.seeds import derive_seed
from keras_lstm.tasks.datasets import check_endless
from keras_lstm.tasks.transducer import TransducerTask
from keras_lstm.verification.verify import Verification, verify

# Batches may be made up to this many steps before they are trained on. New
# counterexamples are mixed in only this many steps later, so that batches do
# not depend on how far ahead the pipeline happens to be.
_STEPS_AHEAD = 8


class Counterexamples(keras.callbacks.Callback):
    """Train on the inputs that the model gets wrong until there are none.

    At the end of an epoch, `verify` checks the model on every input of the
    task. If all predictions are right, `model.stop_training` is set to True and
    training ends. Otherwise the inputs with wrong predictions, the
    counterexamples, are mixed into the following batches.

    In each batch, a fraction `fraction` of the rows is replaced. A replaced row
    is, with equal probability, a counterexample or a neighbour of one: an input
    in the domain with the same symbols up to and including the one that ends
    the hold (for increment, the carry), and random symbols after it. New
    counterexamples take effect 8 steps after the check, so that prefetching
    does not change the batches.

    Pass the result of `mix` to `fit` as its dataset, and the callback as well.

    Args:
        task: the sequence task that the model learns, with at most 2^24
            sequences.
        fraction: fraction of each batch to replace, above 0 and at most 1.
            Defaults to 0.5.
        start_from_epoch: first epoch after which to check, counted from 0.
            Defaults to 0.
        every_epochs: number of epochs from one check to the next. Defaults
            to 1.
        capacity: maximum number of counterexamples to mix in. Those with the
            smallest margins are chosen. Defaults to 4096.
        seed: seed of the rows that are mixed in. Defaults to 0.
        on_check: function called after each check, with the epoch, counted
            from 0, and the `Verification`. Defaults to None.

    Attributes:
        stopped_epoch: epoch in which the callback stopped training, counted
            from 0; None if it did not.

    Raises:
        InputError: if `task` has more than 2^24 sequences, or another argument
            is out of range.

    Example:

    ```python
    feedback = Counterexamples(task, start_from_epoch=5)
    model.fit(
        feedback.mix(dataset),
        epochs=100,
        steps_per_epoch=50,
        callbacks=[feedback],
    )
    ```
    """

    def __init__(
        self,
        task: TransducerTask,
        fraction: float = 0.5,
        start_from_epoch: int = 0,
        every_epochs: int = 1,
        capacity: int = 4096,
        seed: int = 0,
        on_check: Callable[[int, Verification], None] | None = None,
    ) -> None:
        super().__init__()
        if task.num_sequences > MAX_FED_BACK_INPUTS:
            raise InputError(
                f"`task` must have at most {MAX_FED_BACK_INPUTS} inputs to "
                f"check during training. Received: num_bits={task.num_bits}"
            )
        if not 0.0 < fraction <= 1.0:
            raise InputError(
                "`fraction` must be above 0 and at most 1. Received: "
                f"fraction={fraction}"
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
        self.fraction = fraction
        self.start_from_epoch = start_from_epoch
        self.every_epochs = every_epochs
        self.capacity = capacity
        self.on_check = on_check
        self.stopped_epoch: int | None = None
        self._key = [derive_seed(seed, "counterexamples"), 0]
        # There are two pools: the newest, and the previous one, which is used
        # until step `_valid_from`.
        with tf.device("CPU:0"):
            self._symbols = tf.Variable(
                tf.zeros([2, capacity, task.num_bits], tf.int32)
            )
            self._hold_lengths = tf.Variable(tf.zeros([2, capacity], tf.int32))
            self._counts = tf.Variable(tf.zeros([2], tf.int32))
            self._newest = tf.Variable(0)
            self._valid_from = tf.Variable(0, dtype=tf.int64)
            # For each input, as a number: the first step whose batch has it.
            self._first_steps = tf.Variable(
                tf.fill([task.num_symbols**task.num_bits], tf.int64.max)
            )
        self._steps = 0

    def mix(
        self, dataset: tf.data.Dataset, start_step: int = 0
    ) -> tf.data.Dataset:
        """Mix counterexamples into the batches of a dataset.

        Args:
            dataset: an endless dataset of pairs of symbols and targets, each
                of shape `(batch_size, num_bits)`.
            start_step: the step, counted from 0, that trains on the first
                batch. Pass it if `dataset` starts at a later step, as with
                `ExactResume.dataset`. Defaults to 0.

        Returns:
            The dataset to pass to `fit`, with the same shapes.

        Raises:
            InputError: if `dataset` is not endless.
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
        """Return the number of distinct inputs that were trained on."""
        return int(np.sum(self._first_steps.numpy() < self._steps))

    def get_state(self) -> dict[str, Any]:
        """Return the callback's state, for `ExactResume`."""
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
        """Restore the state that `get_state` returned."""
        # Version 0.1 saved them as `run_lengths`.
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
        """Reset `stopped_epoch`."""
        self.stopped_epoch = None

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Keep the counterexamples for another `fit`, with steps from 0."""
        self._keep_trained(self._first_steps < self._steps)
        self._steps = 0
        self._valid_from.assign(0)

    def on_train_batch_end(
        self, batch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Count the step."""
        self._steps += self.model.steps_per_execution

    def on_epoch_end(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Check every input; stop training, or add counterexamples."""
        epochs = epoch - self.start_from_epoch
        if epochs < 0 or epochs % self.every_epochs:
            return
        result = verify(self.model, self.task)
        if self.on_check is not None:
            self.on_check(epoch, result)
        if not result.num_wrong:
            self.stopped_epoch = epoch
            self.model.stop_training = True
        # A new pool must not be replaced before it is in use.
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
        hold_lengths = tf.gather(self._hold_lengths[pool], pick)[:, tf.newaxis]
        fresh = tf.random.stateless_uniform(
            tf.shape(symbols), fresh_key, 0, self.task.num_symbols, tf.int32
        )
        in_hold = tf.range(self.task.num_bits) <= hold_lengths
        neighbours = tf.where(in_hold, wrong, fresh)
        _, in_domain = self.task.transduce(neighbours)
        unchanged = tf.random.stateless_uniform([rows], kind_key) < 0.5
        unchanged |= ~in_domain
        mixed = tf.where(unchanged[:, tf.newaxis], wrong, neighbours)
        replaced = tf.cast(
            tf.round(self.fraction * tf.cast(rows, tf.float32)), tf.int32
        )
        # Replace the last rows: sampling may put special inputs first.
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
