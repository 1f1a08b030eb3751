"""Sampling of sequences whose lengths differ from batch to batch."""

import numpy as np
import pytest

from keras_lstm.core.errors import InputError
from keras_lstm.presets import get_preset
from keras_lstm.tasks.datasets import make_dataset
from keras_lstm.tasks.increment import Increment, Parity
from keras_lstm.tasks.machine import FiniteStateMachine
from keras_lstm.tasks.make import make_splits
from keras_lstm.training.distinct import count_distinct


def lengths_task(**options):
    return Parity(num_bits=20, sampling="lengths", **options)


def batches_of_lengths(count):
    dataset = make_dataset(
        lengths_task().splits(0).train, 8, training=True, seed=0
    )
    return list(dataset.take(count).as_numpy_iterator())


def test_lengths_sampling_draws_short_sequences_most_often():
    batches = batches_of_lengths(400)
    lengths = np.array([inputs.shape[1] for inputs, _ in batches])
    for inputs, targets in batches:
        np.testing.assert_array_equal(targets, lengths_task().targets(inputs))
    assert set(lengths) == set(range(1, 21))
    # The share of 1 is log 2 of log 21, of 10 to 20 log 2.1.
    assert 0.16 < np.mean(lengths == 1) < 0.30
    assert 0.17 < np.mean(lengths >= 10) < 0.32


def test_lengths_sampling_starts_at_any_step():
    whole = batches_of_lengths(8)
    rest = make_dataset(
        lengths_task().splits(0).train, 8, training=True, seed=0, start_step=5
    )
    for (inputs, targets), expected in zip(
        rest.take(3).as_numpy_iterator(), whole[5:], strict=True
    ):
        np.testing.assert_array_equal(inputs, expected[0])
        np.testing.assert_array_equal(targets, expected[1])


def test_lengths_sampling_validates_on_whole_sequences():
    validation = lengths_task(validation_examples=16).splits(0).validation
    inputs, _ = validation.batch(np.arange(16))
    assert inputs.shape == (16, 20)


def test_lengths_sampling_needs_every_input_in_the_domain():
    with pytest.raises(InputError, match="`sampling` lengths needs a machine"):
        Increment(sampling="lengths")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"head": "last_state"}, "lengths needs the per_step head"),
        ({"counterexamples_from_epoch": 0}, "must not be lengths"),
    ],
)
def test_lengths_sampling_is_refused_where_lengths_are_fixed(options, message):
    config = get_preset("increment", Parity).replace(prove_from_epoch=None)
    with pytest.raises(InputError, match=message):
        config.replace(sampling="lengths", **options)


def test_distinct_sequences_of_all_lengths_are_counted():
    config = get_preset("machine", FiniteStateMachine).replace(
        num_bits=3, validation_examples=0
    )
    splits = make_splits(config.task, config.seed)
    # 2 of one symbol, 4 of two and 8 of three: 40 batches of 128 have all.
    assert count_distinct(config, splits, 40) == 14
