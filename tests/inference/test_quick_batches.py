import keras
import numpy as np
import pytest

from keras_lstm.config import ModelConfig
from keras_lstm.inference.quick_batches import make_quick_batches
from keras_lstm.models import chunk_reader
from keras_lstm.models.build import build_model
from keras_lstm.tasks.increment import Increment

layers = keras.layers


def model_of(head="per_step"):
    model = build_model(Increment(num_bits=6), ModelConfig(head, 4))
    rng = np.random.default_rng(0)
    model.set_weights(
        [rng.normal(size=w.shape).astype(w.dtype) for w in model.get_weights()]
    )
    return model


def all_symbols():
    return np.arange(64)[:, np.newaxis] >> np.arange(6) & 1


@pytest.mark.parametrize("head", ["per_step", "last_state"])
def test_the_logits_are_the_models_within_rounding(head):
    model = model_of(head)
    quick = make_quick_batches(model)
    found = quick.logits(all_symbols())
    expected = model.predict(all_symbols(), verbose=0)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert 0 < quick.tolerance < 1e-3


def test_the_model_is_asked_where_rounding_may_decide():
    model = model_of()
    asked, shift = [], 1e-6

    def ask(inputs):
        asked.append(inputs)
        return model.predict(inputs, verbose=0) + np.float32(shift)

    quick = make_quick_batches(model, ask)
    before = quick.logits(all_symbols())
    assert not asked
    gaps = np.abs(np.diff(before)).min((1, 2))
    quick.tolerance = float(np.sort(gaps)[2] * 1.0001)
    logits = quick.logits(all_symbols())
    (inputs,) = asked
    nearest = np.sort(np.argsort(gaps)[:3])
    np.testing.assert_array_equal(inputs, all_symbols()[nearest])
    np.testing.assert_allclose(
        logits[nearest], before[nearest] + 1e-6, atol=5e-7
    )
    others = np.delete(np.arange(64), nearest)
    np.testing.assert_array_equal(logits[others], before[others])
    # It is asked for everything once its answers differ.
    shift = 0.5
    for _ in range(2):
        logits = quick.logits(all_symbols())
        np.testing.assert_allclose(logits, before + 0.5, atol=1e-5)
        assert not quick.is_reliable
    assert [len(inputs) for inputs in asked] == [3, 3, 64, 64]


@pytest.mark.parametrize("is_exp_faster", [True, False])
def test_longer_sequences_than_the_trials_are_tried(is_exp_faster, monkeypatch):
    monkeypatch.setattr(chunk_reader, "is_exp_faster", lambda: is_exp_faster)
    model = build_model(Increment(), ModelConfig(units=32, num_layers=1))
    rng = np.random.default_rng(1)
    lstm = model.get_layer("lstm_1")
    kernel, recurrent, bias = lstm.get_weights()
    # A network whose rounding errors grow, slowly at first.
    chaos = rng.normal(size=recurrent.shape).astype(np.float32) * 0.55
    lstm.set_weights([kernel * 0.1, chaos, bias * 0])
    quick = make_quick_batches(model)
    inputs = rng.integers(2, size=(1024, 250))
    short = inputs[:, :20]
    found, expected = quick.logits(short), model.predict(short, verbose=0)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert quick.is_reliable
    np.testing.assert_array_equal(
        quick.logits(inputs).argmax(-1),
        model.predict(inputs, batch_size=1024, verbose=0).argmax(-1),
    )
    assert not quick.is_reliable


def test_numbers_beyond_the_trial_are_left_to_the_model():
    inputs = keras.Input((5, 3))
    x = layers.LSTM(4)(inputs)
    model = keras.Model(inputs, layers.Dense(2)(x))
    model.layers[-1].bias.assign([0, 9])
    asked = []
    quick = make_quick_batches(model, lambda x: asked.append(len(x)) or x)
    rows = np.zeros((4, 5, 3), np.float32)
    assert quick.logits(rows).shape == (4, 2)
    rows[0, 0, 0] = 1.5
    quick.logits(rows)
    rows[0, 0, 0] = np.nan
    quick.logits(rows)
    assert asked == [4, 4]


@pytest.mark.parametrize(
    "layer",
    [
        layers.GRU(4, return_sequences=True),
        layers.LSTM(4, return_sequences=True, activation="relu"),
        layers.Bidirectional(layers.LSTM(4, return_sequences=True)),
    ],
)
def test_other_models_are_left_to_keras(layer):
    model = keras.Sequential(
        [keras.Input((5,), dtype="int32"), layers.Embedding(2, 3), layer]
    )
    model.add(layers.Dense(2))
    assert make_quick_batches(model) is None


def test_weights_of_nan_are_left_to_keras():
    model = model_of()
    model.set_weights([np.full_like(w, np.nan) for w in model.get_weights()])
    assert make_quick_batches(model) is None
