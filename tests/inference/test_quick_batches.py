import keras
import numpy as np
import pytest

from keras_lstm.config import ModelConfig
from keras_lstm.inference.quick_batches import make_quick_batches
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
    asked = []

    def ask(inputs):
        asked.append(inputs)
        return np.full((len(inputs), 6, 2), 7, np.float32)

    quick = make_quick_batches(model, ask)
    logits = quick.logits(all_symbols())
    assert not asked
    gaps = np.abs(np.diff(logits)).min((1, 2))
    quick.tolerance = float(np.sort(gaps)[2] * 1.0001)
    logits = quick.logits(all_symbols())
    (inputs,) = asked
    assert len(inputs) == 3
    assert (logits[np.argsort(gaps)[:3]] == 7).all()
    assert (logits == 7).all((1, 2)).sum() == 3


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
