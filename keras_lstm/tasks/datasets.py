"""A task's split as a tf.data.Dataset."""

import sys
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_lstm.core.errors import InputError
from keras_lstm.core.seeds import derive_seed
from keras_lstm.tasks.task import Split

# Of functions without Python that has to be turned into a graph, which takes a
# while. A task's own may have some.
_without_autograph = tf.autograph.experimental.do_not_convert
# Batches made while a step is computed.
_PREFETCHED = 4


def make_dataset(
    split: Split,
    batch_size: int,
    *,
    training: bool = False,
    seed: int = 0,
    start_step: int = 0,
) -> tf.data.Dataset:
    """Makes the input pipeline of a split.

    Every batch is made whole, from a vector of indices that depends on `seed`
    and the step alone.

    Args:
        split: the examples.
        batch_size: examples in a batch, over all replicas together.
        training: if true, batches without end: each pass in another order,
            every batch full, the one at the end of a pass filled up from the
            next, inputs augmented if the split says how. Otherwise every
            example once, in order; the last batch may be smaller.
        seed: the order of a training split, and how it is augmented, depend
            on this alone.
        start_step: the batches of a training split from this one on, counted
            from 0; those before it are not made.

    Returns:
        Pairs of inputs, `(batch_size, *input_shape)`, and targets,
        `(batch_size, *output_shape)`.

    Raises:
        InputError: a training split has fewer examples than a batch.

    Example:

    >>> task = Increment(num_bits=4)
    >>> dataset = make_dataset(task.splits(seed=0).train, 8, training=True)
    >>> inputs, targets = next(iter(dataset))
    >>> inputs.shape, targets.shape
    (TensorShape([8, 4]), TensorShape([8, 4]))
    """
    if split.num_examples is None:
        if not training:
            raise InputError("`split` has no end and can only be trained on")
        start = start_step * batch_size
        end = sys.maxsize - batch_size
        starts = tf.data.Dataset.range(start, end, batch_size)
        indices = starts.map(
            _without_autograph(lambda start: start + _range(batch_size))
        )
    elif not training:
        whole = tf.data.Dataset.range(split.num_examples)
        indices = whole.batch(batch_size)
    else:
        check_fills_a_batch(split, batch_size)
        indices = _shuffled(split.num_examples, batch_size, seed, start_step)
    dataset = indices.map(split.batch)
    if training and split.augment is not None:
        dataset = _augmented(dataset, split.augment, seed, start_step)
    options = tf.data.Options()
    # Of each batch every worker makes the whole and keeps its part.
    options.experimental_distribute.auto_shard_policy = (
        tf.data.experimental.AutoShardPolicy.DATA
    )
    dataset = dataset.prefetch(_PREFETCHED).with_options(options)
    return without_autotuning(dataset)


def without_autotuning(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """The dataset, whose iterators end at once.

    The end of an iterator waits for TensorFlow's tuner of pipelines to look
    up, which it does less and less often: after a training of some minutes
    every 60 s.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def check_fills_a_batch(split: Split, batch_size: int) -> None:
    """Refuses a training split with fewer examples than a batch.

    Raises:
        InputError: it has.
    """
    if split.num_examples is not None and batch_size > split.num_examples:
        raise InputError(
            f"`batch_size` must be at most the {split.num_examples} training "
            f"examples. Received: batch_size={batch_size}"
        )


def check_endless(dataset: tf.data.Dataset, argument: str) -> tf.data.Dataset:
    """Refuses a dataset that ends.

    Args:
        dataset: what `make_dataset` makes for training is as good as endless.
        argument: what error messages call it.

    Returns:
        The dataset.

    Raises:
        InputError: it ends.
    """
    if 0 <= int(dataset.cardinality()) < 2**31:
        raise InputError(
            f"`{argument}` must be without end: use repeat(). Received: "
            f"{int(dataset.cardinality())} batches"
        )
    return dataset


def _augmented(
    dataset: tf.data.Dataset,
    augment: Callable[[Any, Any], Any],
    seed: int,
    start_step: int,
) -> tf.data.Dataset:
    key = tf.constant(derive_seed(seed, "augmentation"), tf.int64)

    def change(step: Any, batch: Any) -> Any:
        inputs, targets = batch
        return augment(inputs, tf.stack([key, step])), targets

    return dataset.enumerate(start_step).map(_without_autograph(change))


def _shuffled(
    num_examples: int, batch_size: int, seed: int, start_step: int
) -> tf.data.Dataset:
    """Indices for passes without end, each in an order of its own."""
    key = tf.constant(derive_seed(seed, "order"), tf.int64)
    start = start_step * batch_size

    def order(epoch: Any) -> Any:
        return tf.random.experimental.stateless_shuffle(
            _range(num_examples), tf.stack([key, epoch])
        )

    def epoch_batches(epoch: Any) -> tf.data.Dataset:
        following = order(epoch + 1)[:batch_size]
        indices = tf.concat([order(epoch), following], 0)
        # The batch before the first one here began in the pass before.
        first = tf.math.floormod(-epoch * num_examples, batch_size)
        first = tf.maximum(first, start - epoch * num_examples)
        starts = tf.data.Dataset.range(first, num_examples, batch_size)
        return starts.map(
            _without_autograph(
                lambda start: indices[start : start + batch_size]
            )
        )

    epochs = tf.data.Dataset.range(start // num_examples, sys.maxsize)
    return epochs.flat_map(_without_autograph(epoch_batches))


def _range(length: int) -> Any:
    return tf.range(length, dtype=tf.int64)
