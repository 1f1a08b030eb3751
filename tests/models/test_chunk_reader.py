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


@pytest.fixture(params=[True, False], ids=["exp", "tanh"])
def _by_exp_or_tanh(request, monkeypatch):
    monkeypatch.setattr(chunk_reader, "is_exp_faster", lambda: request.param)


@pytest.mark.usefixtures("_by_exp_or_tanh")
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


@pytest.mark.parametrize(
    ("found", "is_faster"),
    [
        (["X86_V3"], True),
        (["SSE42", "AVX", "FMA3", "AVX2"], True),
        (["X86_V3", "X86_V4"], False),
        (["AVX2", "AVX512F", "AVX512_SKX"], False),
        (["ASIMDHP", "SVE"], False),
        ([], False),
    ],
)
def test_exp_is_used_where_a_processor_has_avx2_alone(
    monkeypatch, found, is_faster
):
    known = {"SIMD Extensions": {"baseline": ["X86_V2"], "found": found}}
    monkeypatch.setattr(np, "show_config", lambda mode: known)
    assert chunk_reader.is_exp_faster.__wrapped__() is is_faster


@pytest.mark.usefixtures("_by_exp_or_tanh")
def test_gates_that_are_far_from_zero_have_their_limits():
    inputs = keras.Input((6, 4))
    model = keras.Model(
        inputs, layers.Dense(3)(layers.LSTM(9, return_sequences=True)(inputs))
    )
    rng = np.random.default_rng(0)
    model.set_weights(
        [300 * rng.normal(size=x.shape) for x in model.get_weights()]
    )
    rows = rng.random((70, 6, 4), np.float32)
    found = ChunkReader(read_chain(model), True).logits(rows)
    expected = np.asarray(model(rows))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-2)


@pytest.mark.usefixtures("_by_exp_or_tanh")
@pytest.mark.parametrize("per_step", [True, False])
def test_rows_of_numbers_are_read(per_step):
    inputs = keras.Input((6, 4))
    x = layers.LSTM(9, return_sequences=per_step)(inputs)
    model = random_weights(keras.Model(inputs, layers.Dense(3)(x)))
    reader = ChunkReader(read_chain(model), per_step)
    rows = np.random.default_rng(1).random((70, 6, 4), np.float32)
    expected = np.asarray(model(rows))
    np.testing.assert_allclose(reader.logits(rows), expected, atol=2e-5)
