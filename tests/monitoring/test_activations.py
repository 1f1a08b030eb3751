import keras
import numpy as np
import pytest

from keras_lstm.config import ModelConfig
from keras_lstm.models.build import build_model
from keras_lstm.monitoring.activations import (
    GATES,
    activations,
    logits_by_step,
    lstm_layers,
    most_correlated_unit,
)
from keras_lstm.tasks.image_rows import ImageRows
from keras_lstm.tasks.increment import Increment
from keras_lstm.verification.evaluation import build_stepwise_model


@pytest.fixture
def model():
    config = ModelConfig(units=5, num_layers=2, input_noise=1.0)
    return build_model(Increment(num_bits=7), config)


def test_states_are_those_that_keras_computes(model):
    inputs = np.random.default_rng(0).integers(2, size=(4, 7))
    for layer in lstm_layers(model):
        found = activations(model, layer, inputs)
        assert list(found) == [*GATES, "c", "h"]
        expected = keras.Model(model.input, layer.output).predict(
            inputs, verbose=0
        )
        np.testing.assert_allclose(found["h"], expected, atol=1e-6)


def test_a_sequential_model_is_one_too():
    model = keras.Sequential(
        [keras.layers.LSTM(2), keras.layers.Dropout(0.5), keras.layers.Dense(3)]
    )
    inputs = np.random.default_rng(0).normal(size=(4, 7, 5))
    expected = model(inputs)
    (layer,) = lstm_layers(model)
    h = activations(model, layer, inputs)["h"]
    logits = logits_by_step(model, h)
    np.testing.assert_allclose(logits[:, -1], expected, atol=1e-6)


def test_gates_explain_the_cell(model):
    inputs = np.random.default_rng(0).integers(2, size=(4, 7))
    found = activations(model, lstm_layers(model)[1], inputs)
    for gate in ("input gate", "forget gate", "output gate"):
        assert (found[gate] > 0).all()
        assert (found[gate] < 1).all()
    before = np.pad(found["c"], ((0, 0), (1, 0), (0, 0)))[:, :-1]
    expected = (
        found["forget gate"] * before + found["input gate"] * found["candidate"]
    )
    np.testing.assert_allclose(found["c"], expected, atol=1e-6)


def test_layers_that_are_not_supported_are_left_out():
    inputs = keras.Input((3, 2))
    layers = keras.layers
    x = layers.LSTM(2, activation="relu", return_sequences=True)(inputs)
    x = layers.LSTM(2, go_backwards=True, return_sequences=True)(x)
    x = layers.LSTM(2, use_bias=False, return_sequences=True)(x)
    x = layers.LSTM(2, name="usual")(x)
    (found,) = lstm_layers(keras.Model(inputs, x))
    assert found.name == "usual"


def test_what_a_layer_returns_does_not_matter():
    inputs = keras.Input((3, 2))
    lstm = keras.layers.LSTM(4, return_state=True)
    last, *_ = lstm(inputs)
    model = keras.Model(inputs, last)
    assert lstm_layers(model) == [lstm]
    rows = np.random.default_rng(0).normal(size=(5, 3, 2))
    found = activations(model, lstm, rows)
    expected = model.predict(rows, verbose=0)
    np.testing.assert_allclose(found["h"][:, -1], expected, atol=1e-6)


def test_answers_after_each_row_are_those_of_a_model_that_gives_them():
    task = ImageRows(dataset="digits")
    model = build_model(task, ModelConfig(head="last_state", units=6))
    images = np.random.default_rng(0).random((5, 8, 8), np.float32)
    h = activations(model, lstm_layers(model)[-1], images)["h"]
    expected = build_stepwise_model(model).predict(images, verbose=0)
    np.testing.assert_allclose(logits_by_step(model, h), expected, atol=1e-5)


def test_a_head_that_does_not_fit_gives_no_answers():
    inputs = keras.Input((3, 2))
    x = keras.layers.Dense(7)(keras.layers.LSTM(2)(inputs))
    model = keras.Model(inputs, keras.layers.Dense(4)(x))
    h = np.zeros((1, 3, 2), np.float32)
    assert logits_by_step(model, h) is None


def test_the_unit_that_tells_a_state_best():
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=(8, 10))
    noise = rng.normal(size=(8, 10, 4))
    constant = np.zeros((8, 10, 2))
    told = noise.copy()
    told[..., 2] = -3.0 * (labels == 1) + 0.5
    found = most_correlated_unit(
        {"constant": constant, "noise": noise, "told": told}, labels
    )
    assert found[:3] == ("told", 2, 1)
    assert found[3] == pytest.approx(-1.0)
    expected = np.corrcoef(noise[..., 0].ravel(), (labels == 1).ravel())[0, 1]
    name, unit, _, correlation = most_correlated_unit(
        {"noise": noise[..., :1]}, (labels == 1).astype(int)
    )
    assert (name, unit) == ("noise", 0)
    assert abs(correlation) == pytest.approx(abs(expected))


def test_where_nothing_varies_there_is_no_correlation():
    labels = np.zeros((2, 3), int)
    found = most_correlated_unit({"h": np.ones((2, 3, 4))}, labels)
    assert found == ("h", 0, 0, 0.0)
