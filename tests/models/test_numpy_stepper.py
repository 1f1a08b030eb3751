import itertools

import keras
import numpy as np
import pytest

from keras_lstm.config import ModelConfig
from keras_lstm.models import numpy_stepper
from keras_lstm.models.build import build_model
from keras_lstm.models.numpy_stepper import (
    CHUNK_STEPS,
    NumpyStepper,
    read_chain,
)
from keras_lstm.tasks.increment import Increment


def make_model(rng, units, scale=1.0, symbols=3, features=None, bias=True):
    """Make a chain with random weights."""
    layers = keras.layers
    inputs = x = keras.Input((None, features) if features else (None,))
    if not features:
        x = layers.Embedding(symbols, 4)(x)
    for size in units:
        x = layers.LSTM(size, return_sequences=True)(x)
        x = layers.Dropout(0.5)(x)
    model = keras.Model(inputs, layers.Dense(symbols, use_bias=bias)(x))
    model.set_weights(
        [scale * rng.normal(size=w.shape) for w in model.get_weights()]
    )
    return model


def rows_of(model, values):
    """Return the rows that the first LSTM layer reads."""
    embedding = read_chain(model).embedding
    return values if embedding is None else embedding[values]


@pytest.mark.parametrize(
    ("units", "scale", "features", "bias"),
    [
        ((3,), 0.3, None, True),
        ((5, 2), 0.5, None, False),
        ((2, 3, 4), 0.5, None, True),
        ((4, 4), 0.5, 6, True),
        # Gates that are saturated, one way or the other.
        ((4, 3), 1e3, None, True),
        ((3,), 1e15, 2, True),
    ],
)
def test_steps_are_those_of_the_model(units, scale, features, bias):
    rng = np.random.default_rng(len(units))
    model = make_model(rng, units, scale, features=features, bias=bias)
    values = (
        rng.normal(size=(2, 30, features)).astype(np.float32)
        if features
        else rng.integers(3, size=(2, 30))
    )
    expected = model.predict(values, verbose=0)
    size = max(1, np.abs(expected).max())
    rows = rows_of(model, values)
    one = NumpyStepper(read_chain(model), ())
    found = np.stack([one.step(row).copy() for row in rows[0]])
    np.testing.assert_allclose(found / size, expected[0] / size, atol=1e-6)
    both = NumpyStepper(read_chain(model), (2,))
    found = [both.step(row.T).T.copy() for row in rows.swapaxes(0, 1)]
    found = np.stack(found, 1)
    np.testing.assert_allclose(found / size, expected / size, atol=1e-6)
    both = NumpyStepper(read_chain(model), (2,))
    found, _ = both.scan(np.ascontiguousarray(rows.transpose(1, 2, 0)))
    np.testing.assert_allclose(
        found.transpose(2, 0, 1) / size, expected / size, atol=1e-6
    )


def test_the_state_is_that_of_keras():
    rng = np.random.default_rng(0)
    x = inputs = keras.Input((None, 2))
    x, *first = keras.layers.LSTM(3, return_sequences=True, return_state=True)(
        x
    )
    x, *second = keras.layers.LSTM(4, return_state=True)(x)
    states = keras.Model(inputs, [*first, *second])
    copy = keras.Sequential(
        [
            keras.Input((None, 2)),
            keras.layers.LSTM(3, return_sequences=True),
            keras.layers.LSTM(4),
            keras.layers.Dense(2),
        ]
    )
    copy.set_weights([*states.get_weights(), *copy.layers[-1].get_weights()])
    rows = rng.normal(size=(9, 2)).astype(np.float32)
    stepper = NumpyStepper(read_chain(copy), ())
    stepper.scan(rows)
    expected = states(rows[np.newaxis])
    for found, right in zip(stepper.state, expected, strict=True):
        np.testing.assert_allclose(found, right[0], atol=1e-6)
    kept = stepper.state
    after = stepper.step(rows[0]).copy()
    stepper.state = kept
    np.testing.assert_array_equal(stepper.step(rows[0]), after)


def counter():
    """Make a model whose c never forgets what it has read."""
    model = make_model(np.random.default_rng(0), (1,), 0.0, features=1)
    kernel, recurrent, bias, head, _ = model.get_weights()
    bias[:] = [20, 20, 0, 20]
    kernel[0, 2] = 0.01
    head[:] = [[1, -1, 0.5]]
    model.set_weights([kernel, recurrent, bias, head, np.zeros(3)])
    return model


@pytest.mark.parametrize("forgets", [True, False])
def test_chunks_side_by_side_are_one_after_the_other(forgets, monkeypatch):
    rng = np.random.default_rng(0)
    model = (
        build_model(Increment(), ModelConfig(units=8)) if forgets else counter()
    )
    steps = 6 * CHUNK_STEPS + 11
    rows = rng.normal(size=(steps, 1)).astype(np.float32)
    if forgets:
        rows = rows_of(model, rng.integers(2, size=steps))
    side_by_side = NumpyStepper(read_chain(model), ())
    found, states = side_by_side.scan(rows)
    assert side_by_side._forgets is forgets
    monkeypatch.setattr(numpy_stepper, "_MIN_CHUNKS", steps)
    in_order = NumpyStepper(read_chain(model), ())
    expected, right = in_order.scan(rows)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert len(states) == len(right) == 7
    for state, other in itertools.chain(
        zip(states, right, strict=True),
        [(side_by_side.state, in_order.state)],
    ):
        for each, wanted in zip(state, other, strict=True):
            np.testing.assert_allclose(each, wanted, atol=1e-5)


def test_a_wrong_guess_is_corrected():
    # The last layer forgets slower than the steps it is guessed from.
    model = counter()
    weights = model.get_weights()
    weights[2][1] = 3.5
    model.set_weights(weights)
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(6 * CHUNK_STEPS, 1)).astype(np.float32)
    stepper = NumpyStepper(read_chain(model), ())
    found, _ = stepper.scan(rows)
    assert stepper._forgets
    stepper = NumpyStepper(read_chain(model), ())
    expected = [stepper.step(row).copy() for row in rows]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def chain(*layers, inputs=None):
    return keras.Sequential([inputs or keras.Input((None, 2)), *layers])


LSTM, Dense = keras.layers.LSTM, keras.layers.Dense


@pytest.mark.parametrize(
    "model",
    [
        lambda: chain(LSTM(2, activation="relu"), Dense(2)),
        lambda: chain(LSTM(2, use_bias=False), Dense(2)),
        lambda: chain(LSTM(2, dtype="float16"), Dense(2)),
        lambda: chain(LSTM(2), Dense(2, activation="softmax")),
        lambda: chain(LSTM(2), Dense(2, dtype="mixed_bfloat16")),
        lambda: chain(keras.layers.GRU(2), Dense(2)),
        lambda: chain(keras.layers.LayerNormalization(), LSTM(2), Dense(2)),
        lambda: chain(LSTM(2)),
        lambda: chain(Dense(2)),
    ],
)
def test_other_models_are_not_read(model):
    assert read_chain(model()) is None


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_weights_that_overflow_are_not_read(value):
    model = chain(LSTM(2), Dense(2))
    weights = model.get_weights()
    weights[1][0, 0] = value
    model.set_weights(weights)
    assert read_chain(model) is None
