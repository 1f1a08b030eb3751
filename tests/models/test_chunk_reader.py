import keras
import numpy as np
import pytest

from keras_lstm.models import chunk_reader
from keras_lstm.models.chunk_reader import ChunkReader
from keras_lstm.models.numpy_stepper import ChainWeights, read_chain
from keras_lstm.models.weights import read_weights

layers = keras.layers


def random_weights(model):
    rng = np.random.default_rng(0)
    model.set_weights(
        [rng.normal(size=w.shape).astype(w.dtype) for w in model.get_weights()]
    )
    return model


def symbol_model(num_symbols, units=5, *, per_step=True):
    inputs = keras.Input((9,), dtype="int32")
    x = layers.Embedding(num_symbols, 3)(inputs)
    x = layers.LSTM(units, return_sequences=True)(x)
    x = layers.LSTM(units, return_sequences=per_step)(x)
    x = layers.Dense(num_symbols if per_step else 9 * num_symbols)(x)
    if not per_step:
        x = layers.Reshape((9, num_symbols))(x)
    return random_weights(keras.Model(inputs, x))


def reader_of(model, num_symbols):
    network = read_weights(model, num_symbols)
    weights = ChainWeights(
        network.embedding, network.lstms, network.kernel, network.bias
    )
    return ChunkReader(weights, network.per_step)


@pytest.mark.parametrize("cores", [1, 3])
@pytest.mark.parametrize("num_symbols", [2, 7])
@pytest.mark.parametrize("per_step", [True, False])
def test_the_logits_are_those_of_the_model(
    monkeypatch, cores, num_symbols, per_step
):
    monkeypatch.setattr(chunk_reader, "num_cores", lambda: cores)
    monkeypatch.setattr(chunk_reader, "_KEPT_PREFIXES", 64)
    monkeypatch.setattr(chunk_reader, "_GATES_AT_ONCE", 2**12)
    model = symbol_model(num_symbols, per_step=per_step)
    reader = reader_of(model, num_symbols)
    rng = np.random.default_rng(1)
    # The second batch keeps prefixes, and the third goes on from them.
    for count in (1, 300, 65):
        symbols = rng.integers(num_symbols, size=(count, 9), dtype=np.int32)
        expected = np.asarray(model(symbols))
        found = reader.logits(symbols).reshape(expected.shape)
        np.testing.assert_allclose(found, expected, atol=2e-5)
    shorter = symbols[:, :2]
    if per_step:
        found = reader.logits(shorter)
        np.testing.assert_allclose(found, expected[:, :2], atol=2e-5)


@pytest.mark.parametrize("per_step", [True, False])
def test_rows_of_numbers_are_read(per_step):
    inputs = keras.Input((6, 4))
    x = layers.LSTM(9, return_sequences=per_step)(inputs)
    model = random_weights(keras.Model(inputs, layers.Dense(3)(x)))
    reader = ChunkReader(read_chain(model), per_step)
    rows = np.random.default_rng(1).random((70, 6, 4), np.float32)
    expected = np.asarray(model(rows))
    np.testing.assert_allclose(reader.logits(rows), expected, atol=2e-5)
