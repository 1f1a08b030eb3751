"""Training more often on the examples that a model gets wrong."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_lstm.callbacks.feedback import Feedback
from keras_lstm.core.errors import InputError
from keras_lstm.models.logits import make_margin_function
from keras_lstm.tasks.datasets import make_dataset
from keras_lstm.tasks.task import Split

# `make_dataset` makes four batches ahead, and `fit` some more.
_STEPS_AHEAD = 16
# Examples to measure at once.
_MEASURED = 1024


class RepeatMistakes(Feedback):
    """Train more often on the training examples that the model gets wrong.

    At the end of an epoch, the model predicts every training example. In the
    batches that follow, a fraction `fraction` of the examples is replaced by
    wrong ones. Where lengths differ, wrong ones are put into batches at most
    twice as long as they are. They take effect 16 steps after the check, so
    that prefetching does not change the batches.

    Pass the result of `dataset` to `fit`, and the callback as well.

    Args:
        split: the training examples, a finite number.
        fraction: fraction of each batch to replace, above 0 and at most 1.
            Defaults to 0.5.
        start_from_epoch: first epoch after which to check, counted from 0.
            Defaults to 0.
        every_epochs: number of epochs from one check to the next. Defaults
            to 1.
        capacity: maximum number of examples to repeat. Those with the
            smallest margins are chosen. Defaults to 65,536.
        seed: seed of the rows that are replaced. Defaults to 0.
        on_check: function called after each check, with the epoch, counted
            from 0, and the number of wrong examples. Defaults to None.

    Raises:
        InputError: if `split` has no end, or another argument is out of range.

    Example:

    ```python
    mistakes = RepeatMistakes(split, start_from_epoch=5)
    model.fit(
        mistakes.dataset(split, batch_size=64),
        epochs=20,
        steps_per_epoch=50,
        callbacks=[mistakes],
    )
    ```
    """

    def __init__(
        self,
        split: Split,
        fraction: float = 0.5,
        start_from_epoch: int = 0,
        every_epochs: int = 1,
        capacity: int = 2**16,
        seed: int = 0,
        on_check: Callable[[int, int], None] | None = None,
    ) -> None:
        if split.num_examples is None:
            raise InputError(
                "`split` must have a number of examples. Received: one that "
                "has no end"
            )
        super().__init__(
            split.num_examples,
            {"indices": ((), tf.int64), "lengths": ((), tf.int64)},
            capacity=min(capacity, split.num_examples),
            steps_ahead=_STEPS_AHEAD,
            fraction=fraction,
            start_from_epoch=start_from_epoch,
            every_epochs=every_epochs,
            seed=seed,
            name="mistakes",
        )
        self._split = split
        lengths = split.lengths
        if lengths is None:
            lengths = np.ones(split.num_examples, np.int64)
        self._lengths = lengths
        self._order = split.in_order
        self._examples = make_dataset(split, _MEASURED)
        self.on_check = on_check
        self._measure: Any = None

    def dataset(
        self, split: Split, batch_size: int, seed: int = 0, start_step: int = 0
    ) -> tf.data.Dataset:
        """Return the training dataset of the split, some examples replaced.

        Args:
            split: that of the callback, whose indices the pool holds.
            batch_size: examples per batch.
            seed: see `make_dataset`. Defaults to 0.
            start_step: see `make_dataset`. Defaults to 0.

        Returns:
            The dataset to pass to `fit`.

        Raises:
            InputError: if `split` is another one.
        """
        if split is not self._split:
            raise InputError(
                "`split` must be the one that the callback was made with. "
                f"Received: another one, of {split.num_examples} examples"
            )
        return make_dataset(
            *(split, batch_size),
            training=True,
            seed=seed,
            start_step=start_step,
            replace=self._replace,
        )

    def set_model(self, model: keras.Model) -> None:
        """Set the model, whose mistakes to repeat."""
        super().set_model(model)
        self._measure = make_margin_function(model)

    def on_epoch_end(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Predict all examples, and repeat the wrong ones from now on."""
        if not self._checks(epoch):
            return
        margins = self._measure(self._examples)
        # NaN is wrong, too.
        places = np.flatnonzero(~(margins > 0))
        if self.on_check is not None:
            self.on_check(epoch, len(places))
        worst = np.argsort(margins[places], kind="stable")[: self.capacity]
        indices = np.sort(self._order[places[worst]])
        lengths = self._lengths[indices]
        by_length = np.argsort(lengths, kind="stable")
        self._feed_back(
            {"indices": indices[by_length], "lengths": lengths[by_length]}
        )

    def _replace(self, step: Any, indices: Any) -> Any:
        rows = tf.shape(indices)[0]
        pool, count = self._pool_at(step)
        steps = tf.reduce_max(tf.gather(self._lengths, indices))
        lengths = pool["lengths"][:count]
        ends = tf.stack([(steps + 1) // 2, steps + 1])
        low, high = tf.unstack(tf.searchsorted(lengths, ends))
        pick_key, row_key = self._keys(step, 2)
        pick = tf.random.stateless_uniform(
            [rows], pick_key, low, tf.maximum(high, low + 1), tf.int32
        )
        wrong = tf.gather(pool["indices"], tf.minimum(pick, self.capacity - 1))
        # Within a batch, examples are sorted by length.
        place = tf.random.experimental.stateless_shuffle(
            tf.range(rows), row_key
        )
        chosen = (place < self._num_replaced(rows)) & (high > low)
        indices = tf.where(chosen, wrong, indices)
        self._count_trained(step, indices)
        return indices
