import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import expit

from keras_lstm.config import ModelConfig
from keras_lstm.models.build import build_model
from keras_lstm.models.cells import joined
from keras_lstm.models.logits import margins_of
from keras_lstm.models.numpy_stepper import LARGEST_PRODUCT
from keras_lstm.models.stepper import LSTMStepper, lstm_cell
from keras_lstm.models.weights import read_weights
from keras_lstm.monitoring.activations import activations, lstm_layers
from keras_lstm.tasks.increment import Increment

ARRAY_FUNCTIONS = {
    "numpy": {"split": np.split, "sigmoid": expit, "tanh": np.tanh},
    "tensorflow": {"split": tf.split, "sigmoid": tf.sigmoid, "tanh": tf.tanh},
}


@pytest.fixture
def model():
    """Return a model with different gates, spread over their whole ranges."""
    config = ModelConfig(units=5, num_layers=2, embedding_dim=3)
    model = build_model(Increment(num_bits=5), config)
    rng = np.random.default_rng(0)
    model.set_weights(
        [rng.normal(size=w.shape).astype(w.dtype) for w in model.get_weights()]
    )
    return model


def states_by_keras(model, layer, inputs):
    """Return an LSTM layer's h and c after the last symbol."""
    config = layer.get_config() | {"return_state": True}
    copy = keras.layers.LSTM.from_config(config)
    _, h, c = copy(layer.input)
    copy.set_weights(layer.get_weights())
    return keras.Model(model.input, [h, c]).predict(inputs, verbose=0)


def test_steps_and_activations_are_those_of_the_layers(model):
    num_bits = 5
    # `step` orders children by symbol, then as their nodes, so the first bit
    # read is the least significant bit of the row number.
    inputs = np.arange(2**num_bits)[:, np.newaxis] >> np.arange(num_bits) & 1
    stepper = LSTMStepper(read_weights(model, 2))
    cells = stepper.start()
    for _ in range(num_bits):
        cells = joined([child.cells for child in stepper.step(cells)])
    stepped = cells.values()
    for number, layer in enumerate(lstm_layers(model)):
        h, c = states_by_keras(model, layer, inputs)
        assert h.std() > 0.1
        cells_of_layer = stepped[2 * number : 2 * number + 2]
        np.testing.assert_allclose(cells_of_layer[0], h, atol=1e-6)
        np.testing.assert_allclose(cells_of_layer[1], c, atol=1e-6)
        found = activations(model, layer, inputs)
        np.testing.assert_allclose(found["h"][:, -1], h, atol=1e-6)
        np.testing.assert_allclose(found["c"][:, -1], c, atol=1e-6)


@pytest.mark.parametrize("library", ARRAY_FUNCTIONS)
def test_the_gates_of_a_single_unit(library):
    z = np.float32([[-1.0, 2.0, 0.5, -3.0]])
    c = np.float32([[0.7]])
    i, f, g, o, c_after, h = (
        float(values[0, 0])
        for values in lstm_cell(z, c, **ARRAY_FUNCTIONS[library])
    )
    assert i == pytest.approx(0.26894143)
    assert f == pytest.approx(0.88079709)
    assert g == pytest.approx(0.46211717)
    assert o == pytest.approx(0.04742587)
    assert c_after == pytest.approx(f * 0.7 + i * g)
    assert h == pytest.approx(o * np.tanh(c_after))


@pytest.mark.parametrize("units", [32, 127, 200])
def test_products_are_small_and_right(units, monkeypatch):
    task = Increment(num_bits=3)
    model = build_model(task, ModelConfig(units=units))
    stepper = LSTMStepper(read_weights(model, 2))
    # Not a multiple of the columns in a product.
    symbols = np.random.default_rng(0).integers(2, size=(1001, 3))
    targets = task.targets(symbols)
    multiply, sizes = np.matmul, []

    def recorded(a, b, out):
        sizes.append(a.shape[-2] * a.shape[-1] * b.shape[-1])
        return multiply(a, b, out)

    monkeypatch.setattr(np, "matmul", recorded)
    found = stepper.follow(symbols, targets)
    assert max(sizes) <= LARGEST_PRODUCT
    # No more calls than are needed, but for the last columns.
    assert sum(sizes) > LARGEST_PRODUCT * len(sizes) // 4
    monkeypatch.undo()
    expected = margins_of(model.predict(symbols, verbose=0), targets)
    np.testing.assert_allclose(found, expected, atol=1e-5)
