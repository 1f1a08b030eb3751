"""Training on a model's errors until it makes none."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from keras_lstm.callbacks.feedback import Feedback
from keras_lstm.callbacks.final_weights import keep_weights
from keras_lstm.config_rules import MAX_FED_BACK_INPUTS
from keras_lstm.core.errors import InputError
from keras_lstm.tasks.datasets import check_endless, make_dataset
from keras_lstm.tasks.task import Split
from keras_lstm.tasks.transducer import TransducerTask
from keras_lstm.verification.verify import Verification, verify

# Batches may be made up to this many steps before they are trained on. New
# counterexamples are mixed in only this many steps later, so that batches do
# not depend on how far ahead the pipeline happens to be.
_STEPS_AHEAD = 8


class Counterexamples(Feedback):
    """Train on the inputs that the model gets wrong until there are none.

    At the end of an epoch, `verify` checks the model on every input of the
    task. If all predictions are right, `model.stop_training` is set to True and
    training ends with the weights that were checked, also if the optimizer has
    `use_ema=True`. Otherwise the inputs with wrong predictions, the
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
        if task.num_sequences > MAX_FED_BACK_INPUTS:
            raise InputError(
                f"`task` must have at most {MAX_FED_BACK_INPUTS} inputs to "
                f"check during training. Received: num_bits={task.num_bits}"
            )
        super().__init__(
            task.num_symbols**task.num_bits,
            {
                "symbols": ((task.num_bits,), tf.int32),
                "hold_lengths": ((), tf.int32),
            },
            capacity=capacity,
            steps_ahead=_STEPS_AHEAD,
            fraction=fraction,
            start_from_epoch=start_from_epoch,
            every_epochs=every_epochs,
            seed=seed,
            name="counterexamples",
        )
        self.task = task
        self.on_check = on_check

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

    def dataset(
        self, split: Split, batch_size: int, seed: int = 0, start_step: int = 0
    ) -> tf.data.Dataset:
        """Return `mix` of the training dataset of a split."""
        return self.mix(
            make_dataset(
                *(split, batch_size),
                training=True,
                seed=seed,
                start_step=start_step,
            ),
            start_step,
        )

    def get_state(self) -> dict[str, Any]:
        """Return the callback's state, for `ExactResume`."""
        return super().get_state() | {"stopped_epoch": self.stopped_epoch}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore the state that `get_state` returned."""
        # Version 0.1 saved them as `run_lengths`.
        super().set_state({"hold_lengths": state.get("run_lengths"), **state})
        self.stopped_epoch = state["stopped_epoch"]

    def on_epoch_end(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Check every input; stop training, or add counterexamples."""
        if not self._checks(epoch):
            return
        result = verify(self.model, self.task)
        if self.on_check is not None:
            self.on_check(epoch, result)
        if not result.num_wrong:
            self.stopped_epoch = epoch
            self.model.stop_training = True
            keep_weights(self.model)
            return
        failures = result.failures[: self.capacity]
        self._feed_back(
            {
                "symbols": np.array([f.symbols for f in failures]),
                "hold_lengths": np.array([f.hold_length for f in failures]),
            }
        )

    def _mix_batch(self, step: Any, batch: Any) -> Any:
        symbols, targets = batch
        rows = tf.shape(symbols)[0]
        pool, count = self._pool_at(step)
        pick_key, fresh_key, kind_key = self._keys(step, 3)
        pick = tf.random.stateless_uniform(
            [rows], pick_key, 0, tf.maximum(count, 1), tf.int32
        )
        wrong = tf.gather(pool["symbols"], pick)
        hold_lengths = tf.gather(pool["hold_lengths"], pick)[:, tf.newaxis]
        fresh = tf.random.stateless_uniform(
            tf.shape(symbols), fresh_key, 0, self.task.num_symbols, tf.int32
        )
        in_hold = tf.range(self.task.num_bits) <= hold_lengths
        neighbours = tf.where(in_hold, wrong, fresh)
        _, in_domain = self.task.transduce(neighbours)
        unchanged = tf.random.stateless_uniform([rows], kind_key) < 0.5
        unchanged |= ~in_domain
        mixed = tf.where(unchanged[:, tf.newaxis], wrong, neighbours)
        # Replace the last rows: sampling may put special inputs first.
        first = rows - self._num_replaced(rows)
        chosen = (tf.range(rows) >= first) & (count > 0)
        symbols = tf.where(chosen[:, tf.newaxis], mixed, symbols)
        targets = tf.where(
            chosen[:, tf.newaxis], self.task.transduce(symbols)[0], targets
        )
        powers = self.task.num_symbols ** np.arange(self.task.num_bits)
        numbers = tf.linalg.matvec(tf.cast(symbols, tf.int64), powers)
        self._count_trained(step, numbers)
        return symbols, targets
