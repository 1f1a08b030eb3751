"""Wrong training examples come up more often."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_lstm.callbacks import RepeatMistakes
from keras_lstm.callbacks.repeat_mistakes import _STEPS_AHEAD
from keras_lstm.core.errors import InputError
from keras_lstm.tasks.datasets import make_dataset
from keras_lstm.tasks.task import Split

# Examples 0 to 39: example i is the number i, i % 7 + 1 times.
LENGTHS = np.arange(40) % 7 + 1
WRONG = [3, 9, 13, 24]


def batch(indices):
    lengths = tf.gather(LENGTHS, indices)
    steps = tf.range(tf.reduce_max(lengths))
    inputs = tf.where(
        steps < lengths[:, tf.newaxis], indices[:, tf.newaxis] + 1, 0
    )
    return tf.cast(inputs, tf.int32), tf.cast(indices % 2, tf.int32)


SPLIT = Split(40, batch, lengths=LENGTHS)


@keras.saving.register_keras_serializable("tests")
class Parity(keras.layers.Layer):
    """Logits for the parity of an example's number, wrong for some."""

    def call(self, inputs):
        number = inputs[:, 0] - 1
        is_odd = number % 2 == 1
        for wrong in WRONG:
            is_odd ^= number == wrong
        return tf.where(is_odd[:, tf.newaxis], [[0.0, 1.0]], [[1.0, 0.0]])


def make_callback(split=SPLIT, **options):
    inputs = keras.Input((None,), dtype="int32")
    model = keras.Model(inputs, Parity()(inputs))
    callback = RepeatMistakes(split, **options)
    callback.set_model(model)
    model.steps_per_execution = 1
    return callback


def numbers(dataset, count):
    return [x.numpy()[:, 0] - 1 for x, _ in dataset.take(count)]


def test_batches_are_as_usual_until_something_is_known_to_be_wrong():
    callback = make_callback()
    usual = numbers(make_dataset(SPLIT, 8, training=True), 20)
    np.testing.assert_array_equal(
        numbers(callback.dataset(SPLIT, 8), 20), usual
    )


def test_wrong_examples_replace_others_from_some_steps_on():
    found = []
    callback = make_callback(
        fraction=0.5, on_check=lambda *each: found.append(each)
    )
    usual = numbers(make_dataset(SPLIT, 8, training=True), 120)
    callback.on_epoch_end(0)
    assert found == [(0, len(WRONG))]
    batches = numbers(callback.dataset(SPLIT, 8), 120)
    times = dict.fromkeys(WRONG, 0)
    for step, (one, other) in enumerate(zip(batches, usual, strict=True)):
        changed = one[one != other].tolist()
        assert set(changed) <= set(WRONG)
        if step < _STEPS_AHEAD:
            assert not changed
            continue
        assert len(changed) <= 4
        steps = LENGTHS[other].max()
        for number in changed:
            assert steps / 2 <= LENGTHS[number] <= steps
            times[number] += 1
    # They all come up, and more often than once in five steps, as usual.
    assert min(times.values()) > 120 / 5


def test_without_lengths_any_batch_has_any_mistake():
    split = dataclasses.replace(SPLIT, lengths=None)
    callback = make_callback(split)
    callback.on_epoch_end(0)
    batches = numbers(callback.dataset(split, 8), 60)[_STEPS_AHEAD:]
    usual = numbers(make_dataset(split, 8, training=True), 60)[_STEPS_AHEAD:]
    replaced = [
        one[one != other] for one, other in zip(batches, usual, strict=True)
    ]
    assert set(np.concatenate(replaced).tolist()) == set(WRONG)
    # Half of each batch, but for those replaced by themselves.
    assert {len(each) for each in replaced} <= {1, 2, 3, 4}


def test_padding_and_targets_go_with_the_examples():
    callback = make_callback()
    callback.on_epoch_end(0)
    for inputs, targets in (
        callback.dataset(SPLIT, 8).skip(_STEPS_AHEAD).take(9)
    ):
        expected = batch(tf.cast(inputs[:, 0] - 1, tf.int64))
        np.testing.assert_array_equal(inputs, expected[0])
        np.testing.assert_array_equal(targets, expected[1])


def test_the_state_gives_the_same_batches_again():
    callback = make_callback(seed=3)
    for step in range(5):
        callback.on_train_batch_end(step)
    callback.on_epoch_end(0)
    whole = numbers(callback.dataset(SPLIT, 8), 40)
    again = make_callback(seed=3)
    again.set_state(callback.get_state())
    rest = numbers(again.dataset(SPLIT, 8, start_step=10), 30)
    np.testing.assert_array_equal(rest, whole[10:])
    np.testing.assert_array_equal(
        again.get_state()["trained"], callback.get_state()["trained"]
    )


def test_what_was_trained_on_is_counted():
    callback = make_callback()
    batches = numbers(callback.dataset(SPLIT, 8), 4)
    for step in range(3):
        callback.on_train_batch_end(step)
    assert callback.num_distinct() == len(np.unique(batches[:3])) == 24


def test_only_the_worst_are_kept_where_there_are_too_many():
    callback = make_callback(capacity=2)
    callback.on_epoch_end(0)
    batches = np.array(numbers(callback.dataset(SPLIT, 8), 99)[_STEPS_AHEAD:])
    usual = np.array(
        numbers(make_dataset(SPLIT, 8, training=True), 99)[_STEPS_AHEAD:]
    )
    assert set(batches[batches != usual].tolist()) == set(WRONG[:2])


def test_a_split_without_end_is_refused():
    with pytest.raises(InputError, match="`split` must have a number of"):
        RepeatMistakes(Split(None, batch))


def test_another_split_is_refused():
    other = dataclasses.replace(SPLIT, num_examples=30)
    with pytest.raises(InputError, match="`split` must be the one that the"):
        make_callback().dataset(other, 8)
