import inspect

import keras
import numpy as np
import pytest

from keras_lstm.core.errors import InputError
from keras_lstm.models.losses import SmoothedSparseCategoricalCrossentropy


def test_it_is_keras_own_on_one_hot_targets():
    rng = np.random.default_rng(0)
    logits = np.float32(rng.normal(size=(6, 3, 4)))
    targets = rng.integers(4, size=(6, 3))
    stock = keras.losses.CategoricalCrossentropy(True, label_smoothing=0.2)
    found = SmoothedSparseCategoricalCrossentropy(0.2)(targets, logits)
    expected = stock(np.eye(4, dtype=np.float32)[targets], logits)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    # Compare one output with the formula.
    log_probabilities = np.log(
        np.exp(logits[0, 0]) / np.exp(logits[0, 0]).sum()
    )
    smooth = 0.8 * np.eye(4)[targets[0, 0]] + 0.05
    found = SmoothedSparseCategoricalCrossentropy(0.2)(
        targets[0, :1], logits[0, :1]
    )
    np.testing.assert_allclose(
        found, -(smooth * log_probabilities).sum(), rtol=1e-5
    )


def test_targets_may_have_a_last_axis_of_one():
    logits = np.float32(np.random.default_rng(0).normal(size=(6, 3, 4)))
    targets = np.arange(18).reshape(6, 3) % 4
    loss = SmoothedSparseCategoricalCrossentropy(0.2)
    expected = loss(targets, logits)
    assert float(loss(targets[..., np.newaxis], logits)) == float(expected)
    one = logits[:, 0]
    assert float(loss(targets[:, :1], one)) == float(loss(targets[:, 0], one))


@pytest.mark.parametrize("target", [-1, 4])
def test_a_target_that_is_no_class_has_no_loss(target):
    loss = SmoothedSparseCategoricalCrossentropy(0.2, reduction=None)
    found = loss(np.array([0, target, 3]), np.zeros((3, 4), np.float32))
    assert np.isnan(found).tolist() == [False, True, False]


@pytest.mark.parametrize("smoothing", [-0.1, 1.5, float("nan")])
def test_a_fraction_out_of_range_is_refused(smoothing):
    with pytest.raises(InputError, match="`label_smoothing` must be from 0"):
        SmoothedSparseCategoricalCrossentropy(smoothing)


def test_it_comes_back_from_its_config():
    loss = SmoothedSparseCategoricalCrossentropy(0.1)
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert again.label_smoothing == 0.1


def test_keras_still_needs_it():
    # When this fails, use the `label_smoothing` of Keras instead.
    stock = inspect.signature(keras.losses.SparseCategoricalCrossentropy)
    assert "label_smoothing" not in stock.parameters
