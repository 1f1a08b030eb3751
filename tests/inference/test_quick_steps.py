import keras
import numpy as np
import pytest

from keras_lstm.inference.layer_steps import LayerSteps
from keras_lstm.inference.quick_steps import make_quick_steps
from keras_lstm.inference.streaming import Stream
from keras_lstm.models.logits import predictions_of
from keras_lstm.models.numpy_stepper import CHUNK_STEPS


def make_model(units=(6, 4), classes=3, features=None, scale=0.5, seed=0):
    """Make a chain with random weights."""
    rng = np.random.default_rng(seed)
    layers = keras.layers
    inputs = x = keras.Input((None, features) if features else (None,))
    if not features:
        x = layers.Embedding(4, 3)(x)
    for size in units:
        x = layers.LSTM(size, return_sequences=True)(x)
    model = keras.Model(inputs, layers.Dense(classes)(x))
    weights = [scale * rng.normal(size=w.shape) for w in model.get_weights()]
    model.set_weights(weights)
    return model


def nearly_tied(**options):
    """Make a model whose classes are as close as rounding can tell."""
    model = make_model(classes=2, **options)
    kernel, bias = model.layers[-1].get_weights()
    rng = np.random.default_rng(1)
    kernel[:, 1] = kernel[:, 0] * (1 + rng.normal(size=len(kernel)) * 1e-7)
    bias[1] = bias[0]
    model.layers[-1].set_weights([kernel, bias])
    return model


def inputs_of(model, steps, streams=1, seed=2):
    rng = np.random.default_rng(seed)
    if len(model.input_shape) == 2:
        return rng.integers(4, size=(streams, steps))
    shape = (streams, steps, model.input_shape[-1])
    return rng.normal(size=shape).astype(np.float32)


def feed(stream, values, seed=3):
    """Feed one step, or several, or hundreds, at a time."""
    rng = np.random.default_rng(seed)
    axis = 0 if stream._num_streams is None else 1
    found, at = [], 0
    while at < values.shape[axis]:
        size = int(rng.choice([0, 1, 1, 2, 5, 40, 700]))
        steps = np.arange(at, min(at + max(size, 1), values.shape[axis]))
        part = values.take(steps if size else at, axis)
        logits = stream.feed_logits(part)
        found.append(logits if size else np.expand_dims(logits, axis))
        at = steps[-1] + 1
    return np.concatenate(found, axis)


def by_layers(model):
    """Return a stream that only the model's own layers read."""
    stream = Stream(model)
    stream._quick, stream._num_quick_symbols = None, 0
    return stream


def count_calls(stream, monkeypatch):
    """Return a list that grows by the steps that the model is asked."""
    asked = []
    read = stream._layers.read

    def count(values, states):
        asked.append(values.shape[1])
        return read(values, states)

    monkeypatch.setattr(stream._layers, "read", count)
    return asked


@pytest.mark.parametrize("features", [None, 5])
@pytest.mark.parametrize("units", [(5,), (3, 4, 5)])
@pytest.mark.parametrize("streams", [None, 3])
def test_any_pieces_are_answered_as_the_whole(features, units, streams):
    model = make_model(units, features=features, seed=len(units))
    values = inputs_of(model, 1200, streams or 1)
    expected = model.predict(values, verbose=0)
    stream = Stream(model, streams)
    found = feed(stream, values if streams else values[0])
    assert stream._quick is not None
    if streams is None:
        found = found[np.newaxis]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    right = predictions_of(expected)
    np.testing.assert_array_equal(predictions_of(found), right)


@pytest.mark.parametrize("features", [None, 5])
def test_the_model_decides_what_rounding_may_decide(features, monkeypatch):
    model = nearly_tied(features=features)
    values = inputs_of(model, 400)[0]
    # How TensorFlow rounds depends on the number of steps in a call, on some
    # processors: so the model's own layers read the same pieces.
    layers = by_layers(model)
    stream = Stream(model)
    asked = count_calls(stream, monkeypatch)
    np.testing.assert_array_equal(
        *(
            predictions_of(np.array([each.feed_logits(x) for x in values]))
            for each in (stream, layers)
        )
    )
    # All were in doubt: nothing is read twice.
    assert asked == [1] * 400
    stream.reset()
    layers.reset()
    expected = predictions_of(feed(layers, values))
    np.testing.assert_array_equal(
        predictions_of(feed(stream, values)), expected
    )
    # The other way round is seldom the same.
    quick = Stream(model)
    quick._quick.tolerance = -1.0
    assert np.any(predictions_of(feed(quick, values)) != expected)


def test_a_margin_of_the_tolerance_is_in_doubt(monkeypatch):
    model = make_model(classes=2)
    symbols = inputs_of(model, 3)[0]
    stream = Stream(model)
    logits = stream.feed_logits(symbols)
    small, large = np.sort(logits[-1]).tolist()
    for tolerance, doubted in [(large - small, True), (0.0, False)]:
        for one_by_one in (True, False):
            stream.reset()
            asked = count_calls(stream, monkeypatch)
            stream._quick.tolerance = 0.0
            stream.feed(symbols[:2])
            stream._quick.tolerance = tolerance
            stream.feed(symbols[2] if one_by_one else symbols[2:])
            # From the first symbol on, as there are so few.
            assert asked == ([3] if doubted else [])


def test_a_doubt_is_settled_from_hundreds_of_steps_before(monkeypatch):
    model = make_model(classes=2)
    symbols = inputs_of(model, 9 * CHUNK_STEPS)[0]
    expected, _ = LayerSteps(model, 1).read(
        symbols[np.newaxis], LayerSteps(model, 1).start
    )
    stream = Stream(model)
    asked = count_calls(stream, monkeypatch)
    before = stream.feed_logits(symbols)
    assert not asked
    margins = np.abs(before[:, 0] - before[:, 1])
    late = np.argmin(margins[5 * CHUNK_STEPS :]) + 5 * CHUNK_STEPS
    stream._quick.tolerance = float(margins[late])
    stream.reset()
    found = stream.feed_logits(symbols)
    doubted = np.flatnonzero(margins <= margins[late]) // CHUNK_STEPS
    first, last = doubted[0], doubted[-1]
    steps = last - max(first - 2, 0) + 1
    assert asked == [steps * CHUNK_STEPS]
    np.testing.assert_allclose(found, expected[0], atol=1e-5)
    part = slice(first * CHUNK_STEPS, (last + 1) * CHUNK_STEPS)
    assert np.any(found[part] != before[part])
    np.testing.assert_array_equal(found[part.stop :], before[part.stop :])


def test_numpy_is_given_up_once_it_differs():
    model = make_model()
    symbols = inputs_of(model, 60)
    expected = model.predict(symbols, verbose=0)[0]
    for one_by_one in (True, False):
        stream = Stream(model)
        stream.feed(symbols[0, :20])
        # As if rounding had grown.
        stream._quick._largest_difference = -1.0
        stream._quick.tolerance = np.inf
        symbol = symbols[0, 20]
        stream.feed(int(symbol) if one_by_one else [symbol])
        assert stream._quick is None
        found = feed(stream, symbols[0, 21:])
        np.testing.assert_allclose(found, expected[21:], atol=1e-5)


def test_a_model_that_magnifies_rounding_is_left_to_keras():
    model = make_model((24, 24), scale=3.0)
    layers = LayerSteps(model, 1)
    assert make_quick_steps(model, layers, None) is None
    symbols = inputs_of(model, 300)
    expected = model.predict(symbols, verbose=0)[0]
    np.testing.assert_array_equal(
        Stream(model).feed(symbols[0]), predictions_of(expected)
    )


@pytest.mark.parametrize("streams", [None, 2])
@pytest.mark.parametrize("value", [np.nan, 1e38, -1e6])
def test_rows_beyond_the_trial_are_left_to_the_model(value, streams):
    model = make_model(features=2)
    rows = inputs_of(model, 8, streams or 1)
    rows[:, 3, 1] = value
    expected = model.predict(rows, verbose=0)
    stream = Stream(model, streams)
    for one_by_one in (True, False):
        stream.reset()
        found = (
            np.stack([stream.feed(x) for x in rows.swapaxes(0, 1)], 1)
            if one_by_one and streams
            else np.array([[stream.feed(x) for x in rows[0]]])
            if one_by_one
            else stream.feed(rows if streams else rows[0])
        )
        np.testing.assert_array_equal(
            found.reshape(len(rows), -1), predictions_of(expected)
        )


def test_what_is_large_is_left_to_keras():
    model = make_model((32, 32))
    assert make_quick_steps(model, LayerSteps(model, 16), 16) is not None
    assert make_quick_steps(model, LayerSteps(model, 64), 64) is None
    model = make_model((256,))
    assert make_quick_steps(model, LayerSteps(model, 1), None) is None


def test_an_array_that_changes_later_is_not_what_was_fed():
    model = make_model(features=2)
    stream = Stream(model)
    row = np.ones(2, np.float32)
    rows = np.ones((3, 2), np.float32)
    stream.feed(row)
    stream.feed(rows)
    row[:], rows[:] = 7, 7
    stream._quick.tolerance = np.inf
    found = stream.feed_logits(np.ones(2, np.float32))
    expected = model.predict(np.ones((1, 5, 2)), verbose=0)[0, -1]
    np.testing.assert_allclose(found, expected, atol=1e-5)
