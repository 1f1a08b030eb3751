"""The mean margins of training examples."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_lstm.callbacks import AreaUnderMargin
from keras_lstm.config import ModelConfig
from keras_lstm.core.errors import InputError
from keras_lstm.models.build import build_model
from keras_lstm.models.logits import make_margin_function, numpy_margins
from keras_lstm.tasks.token_sequences import TokenSequences


def test_several_outputs_count_by_the_lowest_and_padding_does_not():
    task = TokenSequences(
        vocabulary='["a", "b"]',
        classes='["x", "y", "z"]',
        tokens="characters",
        target_kind="per_token",
    )
    model = build_model(task, ModelConfig("per_step", units=3))
    inputs = np.array([[2, 3, 2], [3, 0, 0]], np.int32)
    targets = np.array([[0, 1, 2], [2, 0, 0]], np.int32)
    dataset = tf.data.Dataset.from_tensor_slices((inputs, targets)).batch(2)
    callback = AreaUnderMargin(dataset, start_from_epoch=1)
    callback.set_model(model)
    callback.on_train_begin()
    for epoch in range(3):
        callback.on_epoch_end(epoch)
    assert callback.num_epochs == 2
    logits = model(inputs).numpy()
    margins = []
    for one, right in zip(logits, targets, strict=True):
        rows = []
        for row, label in zip(one, right, strict=True):
            rows.append(row[label] - np.delete(row, label).max())
        margins.append(rows)
    expected = [min(margins[0]), margins[1][0]]
    np.testing.assert_allclose(callback.means(), expected, atol=1e-6)
    again = AreaUnderMargin(dataset)
    again.set_state(callback.get_state())
    assert callback.means().dtype == again.means().dtype == np.float64
    np.testing.assert_array_equal(again.means(), callback.means())
    callback.on_train_begin()
    assert callback.num_epochs == 0


def test_labels_may_have_a_last_axis_of_one():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    inputs = np.random.default_rng(0).normal(size=(6, 2)).astype(np.float32)
    labels = np.array([0, 1, 2, 0, 1, 2])

    def margins(targets):
        whole = tf.data.Dataset.from_tensor_slices((inputs, targets))
        return make_margin_function(model)(whole.batch(4))

    expected = numpy_margins(model.predict(inputs, verbose=0).T, labels)
    for targets in (labels, labels[:, None]):
        np.testing.assert_allclose(margins(targets), expected, rtol=1e-4)
    for wrong in (labels[:, None, None], np.eye(3)[labels]):
        with pytest.raises(InputError, match="targets must be class numbers"):
            margins(wrong)


def test_a_model_of_one_unit_has_no_margins():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    whole = tf.data.Dataset.from_tensors((np.ones((4, 2)), np.ones(4)))
    with pytest.raises(InputError, match="of two classes or more"):
        make_margin_function(model)(whole)


def test_weights_are_left_out_and_soft_labels_are_no_class():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    inputs = np.random.default_rng(0).normal(size=(6, 2)).astype(np.float32)
    labels = np.array([0, 1, 2, 0, 1, 2])
    measure = make_margin_function(model)
    expected = measure(
        tf.data.Dataset.from_tensor_slices((inputs, labels)).batch(4)
    )
    soft = labels + 0.0
    whole = tf.data.Dataset.from_tensor_slices((inputs, soft, np.ones(6)))
    np.testing.assert_array_equal(measure(whole.batch(4)), expected)
    soft[1] = 0.9
    whole = tf.data.Dataset.from_tensor_slices((inputs, soft)).batch(4)
    assert np.isneginf(measure(whole)).tolist() == [False, True, *[False] * 4]


def test_what_is_no_dataset_of_examples_is_refused():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    arrays = np.ones((4, 2), np.float32), np.zeros(4, int)
    with pytest.raises(InputError, match="`dataset` must be a tf"):
        AreaUnderMargin(arrays)
    whole = tf.data.Dataset.from_tensor_slices(arrays).batch(2)
    with pytest.raises(InputError, match="must have examples"):
        make_margin_function(model)(whole.take(0))
    alone = tf.data.Dataset.from_tensor_slices(arrays[0]).batch(2)
    with pytest.raises(InputError, match=r"inputs and targets.*inputs alone"):
        make_margin_function(model)(alone)
