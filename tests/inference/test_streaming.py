import keras
import numpy as np
import pytest

from keras_lstm.config import ModelConfig
from keras_lstm.core.errors import InputError
from keras_lstm.inference.streaming import Stream
from keras_lstm.models.build import build_model
from keras_lstm.models.logits import predictions_of
from keras_lstm.tasks.image_rows import ImageRows
from keras_lstm.tasks.increment import Increment
from keras_lstm.verification.evaluation import build_stepwise_model

rng = np.random.default_rng(0)


@pytest.fixture
def model():
    config = ModelConfig(units=5, input_noise=1.0, dropout=0.3)
    return build_model(Increment(), config)


def pieces(length):
    """Yield random sizes that add up to a length."""
    while length:
        size = int(rng.integers(1, min(length, 7) + 1))
        yield size
        length -= size


def test_bits_one_at_a_time_are_answered_as_the_whole(model):
    bits = rng.integers(2, size=30)
    expected = model.predict(bits[np.newaxis], verbose=0)[0]
    stream = Stream(model)
    logits = [stream.feed_logits(bit) for bit in bits]
    np.testing.assert_allclose(logits, expected, atol=1e-6)
    stream.reset()
    predictions = [stream.feed(int(bit)) for bit in bits]
    assert all(each.shape == () for each in predictions)
    np.testing.assert_array_equal(predictions, predictions_of(expected))


def test_pieces_of_many_streams_are_answered_as_the_whole(model):
    bits = rng.integers(2, size=(4, 40))
    expected = model.predict(bits, verbose=0)
    stream = Stream(model, num_streams=4)
    found, at = [], 0
    for size in pieces(40):
        found.append(stream.feed_logits(bits[:, at : at + size]))
        at += size
    np.testing.assert_allclose(np.concatenate(found, 1), expected, atol=1e-6)
    stream.reset()
    np.testing.assert_array_equal(
        stream.feed(bits[:, 0]), predictions_of(expected[:, 0])
    )


@pytest.mark.parametrize("encoder", [None, 3])
def test_rows_are_answered_with_the_class_so_far(encoder):
    task = ImageRows(dataset="digits")
    config = ModelConfig(
        head="last_state", units=6, encoder_units=encoder, encoder_steps=3
    )
    model = build_model(task, config)
    images = rng.random((3, 8, 8), np.float32)
    expected = build_stepwise_model(model).predict(images, verbose=0)
    stream = Stream(model, num_streams=3)
    found, at = [], 0
    for size in (1, 1, 3, 2, 1):
        found.append(stream.feed_logits(images[:, at : at + size]))
        at += size
    np.testing.assert_allclose(np.concatenate(found, 1), expected, atol=1e-5)
    last = model.predict(images, verbose=0)
    np.testing.assert_allclose(found[-1][:, -1], last, atol=1e-5)
    one = Stream(model)
    np.testing.assert_array_equal(
        [one.feed(row) for row in images[0]], predictions_of(expected[0])
    )


def test_a_long_stream_needs_no_more_memory(model):
    stream = Stream(model)
    sizes = []
    for _ in range(3):
        stream.feed(rng.integers(2, size=1000))
        for bit in rng.integers(2, size=1000):
            stream.feed(bit)
        kept = stream._quick._segments
        sizes.append(sum(len(segment.steps) for segment in kept))
    # Of 6,000 steps; how many depends on where the model was asked last.
    assert max(sizes) < 1000


def layers(*between, inputs=None):
    inputs = keras.Input((None, 2)) if inputs is None else inputs
    x = inputs
    for layer in between:
        x = layer(x)
    return keras.Model(inputs, x)


@pytest.mark.parametrize(
    "options",
    [
        {"activation": "relu"},
        {"recurrent_activation": "hard_sigmoid"},
        {"use_bias": False},
        {"stateful": True},
    ],
)
def test_any_forward_lstm_is_streamed(options):
    rows = rng.normal(size=(1, 6, 2)).astype(np.float32)
    model = layers(
        keras.layers.LSTM(3, return_sequences=True, **options),
        keras.layers.Dense(4),
        inputs=keras.Input(batch_shape=(1, None, 2)),
    )
    expected = model.predict(rows, verbose=0)[0]
    stream = Stream(model)
    found = [stream.feed_logits(row) for row in rows[0]]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def over_time(x):
    return keras.ops.softmax(x, axis=1)


def tripled(x):
    return 3 * x


class Subclassed(keras.Model):
    """Model with a `call` of its own."""

    def call(self, inputs):
        return inputs


STREAMED = {
    "GRU": [keras.layers.GRU(3, return_sequences=True)],
    "SimpleRNN": [keras.layers.SimpleRNN(3), keras.layers.ReLU()],
    "TimeDistributed": [keras.layers.TimeDistributed(keras.layers.Dense(4))],
    "normalized": [
        keras.layers.GRU(3, return_sequences=True, reset_after=False),
        keras.layers.BatchNormalization(),
        keras.layers.LayerNormalization(),
        keras.layers.Activation(tripled),
    ],
    "last state": [
        keras.layers.LSTM(3),
        keras.layers.BatchNormalization(),
        keras.layers.Softmax(axis=1),
    ],
    "unrolled": [keras.layers.LSTM(3, unroll=True)],
}


def hard_sigmoid(x):
    return keras.ops.clip(0.2 * x + 0.5, 0, 1)


def squashed(x):
    return keras.ops.clip(x, -1, 1)


class NoPenalty(keras.regularizers.Regularizer):
    """Regularizer that Keras cannot make again from its configuration."""

    def __call__(self, x):
        return keras.ops.sum(x) * 0.0

    def get_config(self):
        return {}


def from_a_state():
    inputs = keras.Input((None, 2))
    state = [np.ones((1, 3), np.float32)] * 2
    return keras.Model(inputs, keras.layers.LSTM(3)(inputs, state))


# Of the first, Keras has a function of the same name.
@pytest.mark.parametrize("function", [hard_sigmoid, squashed])
def test_functions_of_ones_own_stay_what_they_are(function):
    model = layers(
        keras.layers.Conv1D(3, 2, padding="causal", activation=function),
        keras.layers.LSTM(
            3,
            return_sequences=True,
            activation=function,
            recurrent_activation=function,
            kernel_regularizer=NoPenalty(),
        ),
        keras.layers.GRU(
            3, return_sequences=True, recurrent_activation=function
        ),
    )
    model.set_weights(
        [rng.normal(size=w.shape).astype(w.dtype) for w in model.get_weights()]
    )
    rows = rng.normal(size=(1, 6, 2)).astype(np.float32)
    expected = model.predict(rows, verbose=0)[0]
    stream = Stream(model)
    found = [stream.feed_logits(row) for row in rows[0]]
    # Rounding; another function of that name differs by far more.
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("name", STREAMED)
def test_other_stock_layers_are_streamed(name):
    rows = rng.normal(size=(2, 6, 2)).astype(np.float32)
    model = keras.Sequential([keras.Input((6, 2)), *STREAMED[name]])
    expected = model.predict(rows, verbose=0)
    stream = Stream(model, num_streams=2)
    found = stream.feed_logits(rows[:, :2])
    for step in range(2, 6):
        found = stream.feed_logits(rows[:, step])
    last = expected[:, -1] if expected.ndim == 3 else expected
    np.testing.assert_allclose(found, last, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (
            lambda: build_model(Increment(), ModelConfig(head="last_state")),
            "Reshape.: it needs the whole sequence",
        ),
        (
            lambda: layers(keras.layers.Bidirectional(keras.layers.LSTM(2))),
            "Bidirectional.: it needs the whole sequence",
        ),
        (
            lambda: layers(keras.layers.Masking(), keras.layers.LSTM(2)),
            "`masking.*it masks time steps",
        ),
        (
            lambda: layers(keras.layers.Softmax(axis=1)),
            "Softmax.: its output at a time step depends on other steps",
        ),
        (
            lambda: layers(keras.layers.Activation(over_time)),
            "Activation.: its output at a time step depends on other steps",
        ),
        (
            lambda: layers(
                keras.layers.LayerNormalization(axis=1),
                inputs=keras.Input((3, 2)),
            ),
            "LayerNormalization.: it",
        ),
        (
            lambda: layers(keras.layers.Lambda(over_time)),
            "Lambda.: what it computes at a time step may depend on other",
        ),
        (
            lambda: layers(keras.layers.RNN(keras.layers.LSTMCell(2))),
            "RNN.: its state is not followed here",
        ),
        (Subclassed, "functional or Sequential.*Subclassed"),
        (
            lambda: layers(keras.layers.LSTM(2, go_backwards=True)),
            "it reads backwards",
        ),
        (
            lambda: layers(keras.layers.Conv1D(2, 3, padding="same")),
            "it is not causal with stride 1",
        ),
        (
            lambda: layers(
                keras.layers.Conv1D(2, 3, padding="causal", strides=2)
            ),
            "it is not causal with stride 1",
        ),
        (
            lambda: layers(
                keras.layers.Conv1D(
                    2, 3, padding="causal", data_format="channels_first"
                ),
                inputs=keras.Input((5, 3)),
            ),
            "its last axis is that of time",
        ),
        (
            lambda: layers(keras.layers.PReLU(), inputs=keras.Input((5, 3))),
            "it has a weight for each time step",
        ),
        (from_a_state, "it is called with more than its input"),
    ],
)
def test_a_model_that_cannot_be_streamed_is_refused(made, message):
    with pytest.raises(InputError, match=message):
        Stream(made())


@pytest.mark.parametrize(
    ("num_streams", "inputs", "message"),
    [
        (None, 2, "symbols from 0 to 1. Received: inputs=2"),
        (None, -1, "symbols from 0 to 1"),
        (None, 0.5, "symbols from 0 to 1"),
        (None, [[0]], r"shape \(steps\), or without steps"),
        (None, np.array([1], "m8[s]"), "symbols from 0 to 1"),
        (None, [[0], [0, 1]], "lists of different lengths"),
        (None, [9] * 10**5, r"inputs=\[9, 9.*\.\.\."),
        (2**70, 0, "`num_streams` must be an integer"),
        (True, 0, "`num_streams` must be an integer"),
        (2.5, 0, "`num_streams` must be an integer"),
        (3, [0, 1], r"shape \(3, steps\), or without steps"),
    ],
)
def test_wrong_inputs_are_refused(model, num_streams, inputs, message):
    with pytest.raises(InputError, match=message):
        Stream(model, num_streams).feed(inputs)


@pytest.mark.parametrize("num_streams", [None, 2])
def test_one_output_is_a_number_and_no_class(num_streams):
    net = keras.Sequential(
        [
            keras.Input((None,), dtype="int32"),
            keras.layers.Embedding(2, 3),
            keras.layers.LSTM(4, return_sequences=True),
            keras.layers.Dense(1),
        ]
    )
    stream = Stream(net, num_streams)
    one = 1 if num_streams is None else [1, 0]
    assert stream.feed_logits(one).shape[-1] == 1
    with pytest.raises(InputError, match="two classes or more"):
        stream.feed(one)


def test_no_streams_are_refused(model):
    with pytest.raises(InputError, match="num_streams=0"):
        Stream(model, 0)


def test_rows_that_are_no_numbers_are_refused():
    config = ModelConfig(head="last_state")
    stream = Stream(build_model(ImageRows(dataset="digits"), config))
    for row in (["1"] * 8, [1j] * 8, [None] * 8):
        with pytest.raises(InputError, match="`inputs` must be numbers"):
            stream.feed(row)


@pytest.mark.parametrize("last", ["gru", "lstm", "dense"])
@pytest.mark.parametrize("dilation", [1, 2])
def test_no_steps_change_nothing(last, dilation):
    layers = keras.layers
    between = {
        "gru": [layers.GRU(3, return_sequences=True)],
        "lstm": [layers.LSTM(3, return_sequences=True)],
        "dense": [],
    }
    model = keras.Sequential(
        [
            keras.Input((None,), dtype="int32"),
            layers.Embedding(5, 4),
            layers.Conv1D(4, 3, padding="causal", dilation_rate=dilation),
            *between[last],
            layers.Dense(5),
        ]
    )
    symbols = rng.integers(5, size=8)
    stream = Stream(model)
    found = []
    for piece in (symbols[:0], symbols[:3], [], symbols[3:]):
        found.append(stream.feed_logits(piece))
        assert found[-1].shape == (len(piece), 5)
    expected = model(symbols[np.newaxis])[0]
    np.testing.assert_allclose(np.concatenate(found), expected, atol=1e-6)
    assert stream.feed([]).shape == (0,)
