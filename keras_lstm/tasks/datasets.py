"""A task's split as a tf.data.Dataset."""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from keras_lstm.core.errors import InputError, check_integer, shown
from keras_lstm.core.seeds import derive_seed
from keras_lstm.tasks.task import Split

# For functions without Python control flow: AutoGraph takes time and would
# change nothing. The functions of a custom task may need it.
_without_autograph = tf.autograph.experimental.do_not_convert
# Batches made ahead while a training step runs.
_PREFETCHED = 4
# Batches among whose examples those of similar length are put together.
_GROUPED = 64


def make_dataset(
    split: Split,
    batch_size: int,
    *,
    training: bool = False,
    seed: int = 0,
    start_step: int = 0,
    replace: Callable[[Any, Any], Any] | None = None,
) -> tf.data.Dataset:
    """Make the input pipeline of a split.

    Each batch is made in one call of `split.batch`, from indices that depend
    on `seed` and the step alone.

    Args:
        split: the examples.
        batch_size: examples per batch, over all replicas together.
        training: if true, endless full batches: each pass has another order,
            the last batch of a pass is filled up from the next pass, and
            inputs are augmented if the split has an `augment`. If false,
            every example once, in order, or shorter ones first if the split
            has `lengths`; the last batch may be smaller.
        seed: determines the order of a training split and its augmentation.
        start_step: first batch of a training dataset, counted from 0; the
            batches before it are skipped without being made.
        replace: returns the indices to train on instead, given the step and
            the indices of a training batch, int64 tensors; traced into the
            pipeline. None for those indices.

    Returns:
        Pairs of inputs, `(batch_size, *input_shape)`, and targets,
        `(batch_size, *output_shape)`.

    Raises:
        InputError: if `split` is endless and `training` is false,
            `batch_size` exceeds the examples of a training split, or a number
            is not an integer or too small.

    Example:

    >>> task = Increment(num_bits=4)
    >>> dataset = make_dataset(task.splits(seed=0).train, 8, training=True)
    >>> inputs, targets = next(iter(dataset))
    >>> inputs.shape, targets.shape
    (TensorShape([8, 4]), TensorShape([8, 4]))
    """
    for name, value, least in (
        ("batch_size", batch_size, 1),
        ("seed", seed, 0),
        ("start_step", start_step, 0),
    ):
        check_integer(name, value, least)
    if split.num_examples is None:
        if not training:
            raise InputError(
                "`training` must be true for a split that has no end. "
                "Received: training=False"
            )
        start = start_step * batch_size
        end = sys.maxsize - batch_size
        starts = tf.data.Dataset.range(start, end, batch_size)
        indices = starts.map(
            _without_autograph(lambda start: start + _range(batch_size))
        )
    elif not training:
        whole = tf.data.Dataset.from_tensor_slices(split.in_order)
        indices = whole.batch(batch_size)
    else:
        check_fills_a_batch(split, batch_size)
        indices = _shuffled(
            *(split.num_examples, batch_size, seed, start_step), split.lengths
        )
    if training and replace is not None:
        numbered = indices.enumerate(start_step)
        indices = numbered.map(_without_autograph(replace))
    dataset = indices.map(split.batch)
    if training and split.augment is not None:
        dataset = _augmented(dataset, split.augment, seed, start_step)
    dataset = dataset.prefetch(_PREFETCHED)
    return without_autotuning(dataset.with_options(_options(replace)))


def _options(replace: Callable[[Any, Any], Any] | None) -> Any:
    options = tf.data.Options()
    if replace is not None:
        # What it depends on may change: stay only so far ahead.
        options.experimental_optimization.inject_prefetch = False
    # Every worker makes each batch whole and keeps its part of it.
    options.experimental_distribute.auto_shard_policy = (
        tf.data.experimental.AutoShardPolicy.DATA
    )
    return options


def without_autotuning(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Return the dataset with autotuning off, so that iterators end at once.

    Deleting an iterator waits for the autotuner's next period, and the
    periods grow: after some minutes of training they last 60 s.

    Args:
        dataset: any dataset.

    Returns:
        The dataset with the option set.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def check_fills_a_batch(split: Split, batch_size: int) -> None:
    """Refuse a training split with fewer examples than a batch.

    Args:
        split: the training split.
        batch_size: examples per batch.

    Raises:
        InputError: if `batch_size` exceeds the number of examples.
    """
    if split.num_examples is not None and batch_size > split.num_examples:
        raise InputError(
            f"`batch_size` must be at most the {split.num_examples} training "
            f"examples. Received: batch_size={batch_size}"
        )


def check_dataset(dataset: Any, argument: str) -> None:
    """Refuse what is no dataset, such as arrays.

    Args:
        dataset: what was passed.
        argument: the argument's name in the error message.

    Raises:
        InputError: if it is not a `tf.data.Dataset`.
    """
    if not isinstance(dataset, tf.data.Dataset):
        raise InputError(
            f"`{argument}` must be a tf.data.Dataset, of batches. Received: "
            f"{shown(dataset)}"
        )


def check_endless(dataset: tf.data.Dataset, argument: str) -> tf.data.Dataset:
    """Refuse a dataset that ends.

    Args:
        dataset: the dataset. At least 2^31 batches, as `make_dataset` makes
            for training, or an unknown number count as endless.
        argument: the argument's name in the error message.

    Returns:
        The dataset.

    Raises:
        InputError: if the dataset has fewer batches.
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
    num_examples: int,
    batch_size: int,
    seed: int,
    start_step: int,
    lengths: npt.NDArray[np.int64] | None,
) -> tf.data.Dataset:
    """Return batches of indices for endless passes, each in its own order."""
    key = tf.constant(derive_seed(seed, "order"), tf.int64)
    start = start_step * batch_size

    def order(epoch: Any) -> Any:
        return tf.random.experimental.stateless_shuffle(
            _range(num_examples), tf.stack([key, epoch])
        )

    def epoch_batches(epoch: Any) -> tf.data.Dataset:
        following = order(epoch + 1)[:batch_size]
        # The previous pass's last batch took the first indices of this one.
        first = tf.math.floormod(-epoch * num_examples, batch_size)
        own = order(epoch)
        if lengths is not None:
            batch_key = tf.stack([key, -1 - epoch])
            left = _grouped(own[first:], lengths, batch_size, batch_key)
            own = tf.concat([own[:first], left], 0)
        indices = tf.concat([own, following], 0)
        first = tf.maximum(first, start - epoch * num_examples)
        starts = tf.data.Dataset.range(first, num_examples, batch_size)
        return starts.map(
            _without_autograph(
                lambda start: tf.ensure_shape(
                    indices[start : start + batch_size], [batch_size]
                )
            )
        )

    epochs = tf.data.Dataset.range(start // num_examples, sys.maxsize)
    return epochs.flat_map(_without_autograph(epoch_batches))


def _grouped(
    indices: Any, lengths: npt.NDArray[np.int64], batch_size: int, key: Any
) -> Any:
    """Return indices in an order whose batches have similar lengths.

    Within stretches of many batches, examples are sorted by length; then the
    full batches are shuffled. What fills no batch stays at the end.
    """
    count = tf.shape(indices, tf.int64)[0]
    stretch = tf.range(count) // (batch_size * _GROUPED)
    longest = int(lengths.max(initial=0)) + 1
    order = tf.argsort(
        stretch * longest + tf.gather(lengths, indices), stable=True
    )
    indices = tf.gather(indices, order)
    num_full = count // batch_size
    full = tf.reshape(indices[: num_full * batch_size], [-1, batch_size])
    shuffled = tf.random.experimental.stateless_shuffle(full, key)
    return tf.concat(
        [tf.reshape(shuffled, [-1]), indices[num_full * batch_size :]], 0
    )


def _range(length: int) -> Any:
    return tf.range(length, dtype=tf.int64)
