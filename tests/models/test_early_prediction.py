import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_lstm.core.errors import InputError
from keras_lstm.models.early_prediction import (
    EarlyPrediction,
    build_stepwise_model,
)


def test_the_last_logits_pass():
    logits = np.float32(np.random.default_rng(0).normal(size=(4, 5, 3)))
    layer = EarlyPrediction(0.5)
    np.testing.assert_array_equal(layer(logits), logits[:, -1])
    assert layer.losses == []


def test_the_loss_is_the_crossentropy_against_the_end():
    logits = np.float32(np.random.default_rng(0).normal(size=(4, 5, 3)))
    layer = EarlyPrediction(0.5)
    layer(logits, training=True)
    probabilities = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    by_step = [
        -(probabilities[:, -1] * np.log(probabilities[:, step])).sum(-1).mean()
        for step in range(4)
    ]
    weights = np.array([1, 2, 3, 4]) / 5
    expected = 0.5 * (weights * by_step).mean()
    assert float(layer.losses[0]) == pytest.approx(expected, rel=1e-5)


def test_the_end_is_not_moved_by_what_came_before():
    rng = np.random.default_rng(1)
    logits = tf.Variable(np.float32(rng.normal(size=(2, 3, 4))))
    layer = EarlyPrediction(1.0)
    with tf.GradientTape() as tape:
        layer(logits, training=True)
        loss = layer.losses[0]
    gradient = tape.gradient(loss, logits).numpy()
    np.testing.assert_array_equal(gradient[:, -1], 0)
    assert np.all(gradient[:, :-1] != 0)


def test_bad_weights_are_refused():
    with pytest.raises(InputError, match="`weight` must be above 0"):
        EarlyPrediction(0.0)
    assert issubclass(EarlyPrediction, keras.layers.Layer)


def test_one_step_has_none_before_it():
    layer = EarlyPrediction(0.5)
    logits = np.ones((2, 1, 3), np.float32)
    np.testing.assert_array_equal(layer(logits, training=True), logits[:, 0])
    assert layer.losses == []
    with pytest.raises(InputError, match="fixed number of time steps"):
        layer(keras.Input((None, 3)))


def test_a_model_with_it_is_copied_and_loaded(tmp_path):
    inputs = keras.Input((5, 3))
    outputs = EarlyPrediction(0.3)(keras.layers.Dense(2)(inputs))
    model = keras.Model(inputs, outputs)
    model.save(tmp_path / "model.keras")
    rows = np.float32(np.random.default_rng(0).normal(size=(2, 5, 3)))
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(rows), model(rows))
    for each in (loaded, keras.models.clone_model(model)):
        assert each.layers[-1].get_config() == model.layers[-1].get_config()
        assert (each.layers[-1].weight, each.layers[-1].name) == (
            *(0.3, "early_prediction"),
        )


@pytest.mark.parametrize("layer", [keras.layers.GRU, keras.layers.LSTM])
def test_a_sequential_model_predicts_at_every_step(layer):
    model = keras.Sequential(
        [keras.Input((5, 3)), layer(4), keras.layers.Dense(2)]
    )
    inputs = np.float32(np.random.default_rng(0).normal(size=(2, 5, 3)))
    every = build_stepwise_model(model)(inputs)
    assert every.shape == (2, 5, 2)
    np.testing.assert_allclose(every[:, -1], model(inputs), atol=1e-6)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([keras.layers.Dense(2)], "must have an LSTM, GRU or SimpleRNN"),
        (
            [
                keras.layers.LSTM(2, return_sequences=True),
                keras.layers.Bidirectional(keras.layers.LSTM(2)),
            ],
            "last layers to each time step.*Bidirectional",
        ),
    ],
)
def test_a_model_without_steps_is_refused(layers, message):
    model = keras.Sequential([keras.Input((5, 3)), *layers])
    with pytest.raises(InputError, match=message):
        build_stepwise_model(model)
    with pytest.raises(InputError, match="functional or Sequential"):
        build_stepwise_model(keras.Model())


def test_functions_of_ones_own_stay_what_they_are():
    def hard_sigmoid(x):
        return keras.ops.clip(0.2 * x + 0.5, 0, 1)

    inputs = keras.Input((6, 2))
    # Keras has another function of this name.
    lstm = keras.layers.LSTM(3, recurrent_activation=hard_sigmoid)
    model = keras.Model(inputs, keras.layers.Dense(2)(lstm(inputs)))
    rows = np.random.default_rng(0).normal(size=(4, 6, 2)).astype(np.float32)
    found = build_stepwise_model(model).predict(rows * 9, verbose=0)
    expected = model.predict(rows * 9, verbose=0)
    np.testing.assert_allclose(found[:, -1], expected, atol=1e-6)
