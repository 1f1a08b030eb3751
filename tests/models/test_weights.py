import keras
import numpy as np
import pytest

from keras_lstm.config import ModelConfig
from keras_lstm.core.errors import InputError
from keras_lstm.models.build import build_model
from keras_lstm.models.weights import (
    read_weights,
    supported_layers,
    why_not_stock_lstm,
)
from keras_lstm.tasks.increment import Increment

layers = keras.layers


def chain(*parts):
    inputs = x = keras.Input((None,), dtype="int32")
    for part in parts:
        x = part(x)
    return keras.Model(inputs, x)


def test_the_weights_are_the_layers():
    model = build_model(
        Increment(), ModelConfig(units=5, input_noise=0.1, dropout=0.1)
    )
    network = read_weights(model, 2)
    assert network.per_step
    assert network.output_shape == (2,)
    assert [lstm.units for lstm in network.lstms] == [5, 5]
    for found, expected in zip(
        network.weights(), model.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


def test_the_digest_is_of_every_weight():
    model = build_model(Increment(), ModelConfig(units=2, num_layers=1))
    digests = {read_weights(model, 2).digest()}
    weights = model.get_weights()
    for array in weights:
        array.flat[-1] = np.nextafter(array.flat[-1], np.float32(9))
        model.set_weights(weights)
        digests.add(read_weights(model, 2).digest())
    assert len(digests) == 1 + len(weights)


def test_one_hot_is_an_embedding_too():
    one_hot = layers.CategoryEncoding(3, output_mode="one_hot")
    model = chain(one_hot, lstm(), layers.Dense(2))
    np.testing.assert_array_equal(
        read_weights(model, 2).embedding, np.eye(2, 3)
    )


def embedding(**options):
    return layers.Embedding(**{"input_dim": 2, "output_dim": 3} | options)


def lstm(**options):
    return layers.LSTM(4, return_sequences=True, **options)


@pytest.mark.parametrize(
    ("make_parts", "name"),
    [
        (lambda: (embedding(), layers.GRU(4, return_sequences=True)), "gru"),
        (lambda: (embedding(), lstm(activation="relu")), "lstm"),
        (lambda: (embedding(), lstm(go_backwards=True)), "lstm"),
        (lambda: (embedding(), lstm(recurrent_activation="relu")), "lstm"),
        (lambda: (embedding(), lstm(use_bias=False)), "lstm"),
        (lambda: (embedding(), lstm(dtype="mixed_bfloat16")), "lstm"),
        (
            lambda: (
                embedding(),
                layers.Dropout(0.1, dtype="bfloat16"),
                lstm(),
            ),
            "dropout",
        ),
        (lambda: (embedding(input_dim=1), lstm()), "embedding"),
        (lambda: (embedding(dtype="mixed_float16"), lstm()), "embedding"),
        (
            lambda: (
                layers.CategoryEncoding(1, output_mode="one_hot", name="a"),
                lstm(),
            ),
            "a",
        ),
    ],
)
def test_a_layer_that_is_not_supported_is_named(make_parts, name):
    keras.utils.clear_session()
    model = chain(*make_parts(), layers.Dense(2))
    with pytest.raises(InputError, match=f"layer `{name}`") as error:
        read_weights(model, 2)
    assert "\n" not in str(error.value)


def test_a_network_that_reads_both_ways_is_refused_for_that():
    both = layers.Bidirectional(lstm(), name="both")
    with pytest.raises(InputError, match="it reads backwards as well"):
        read_weights(chain(embedding(), both, layers.Dense(2)), 2)


UNUSUAL = "it is not an LSTM with the usual settings"
BACKWARDS = "it reads backwards"


@pytest.mark.parametrize(
    ("options", "stock", "sequences", "by_keras"),
    [
        ({}, None, UNUSUAL, None),
        ({"return_sequences": True}, None, None, None),
        ({"return_sequences": True, "dropout": 0.1}, None, None, None),
        ({"return_sequences": True, "unroll": True}, None, None, None),
        (
            {"return_sequences": True, "return_state": True},
            None,
            UNUSUAL,
            None,
        ),
        ({"go_backwards": True}, BACKWARDS, BACKWARDS, BACKWARDS),
        ({"stateful": True}, UNUSUAL, UNUSUAL, None),
        ({"activation": "relu"}, UNUSUAL, UNUSUAL, None),
        ({"recurrent_activation": "tanh"}, UNUSUAL, UNUSUAL, None),
        ({"use_bias": False}, UNUSUAL, UNUSUAL, None),
    ],
)
def test_the_reason_why_an_lstm_is_not_stock(
    options, stock, sequences, by_keras
):
    layer = layers.LSTM(4, **options)
    layer.build((1, 3, 2))
    assert why_not_stock_lstm(layer) == stock
    assert why_not_stock_lstm(layer, return_sequences=True) == sequences
    assert why_not_stock_lstm(layer, computed_by_keras=True) == by_keras


def test_the_last_output_alone_may_be_wanted():
    layer = layers.LSTM(4)
    layer.build((1, 3, 2))
    assert why_not_stock_lstm(layer, return_sequences=False) is None
    layer = lstm()
    layer.build((1, 3, 2))
    assert why_not_stock_lstm(layer, return_sequences=False) == UNUSUAL


def test_other_layers_are_no_stock_lstm():
    class Custom(layers.LSTM):
        """A subclass, which may compute anything."""

    for layer in (Custom(4), layers.GRU(4), layers.Dense(4)):
        layer.build((1, 3, 2))
        assert why_not_stock_lstm(layer) == UNUSUAL
        assert why_not_stock_lstm(layer, computed_by_keras=True) == UNUSUAL


def test_an_lstm_with_one_more_weight_is_not_stock():
    layer = layers.LSTM(4)
    layer.add_weight(shape=(1,))
    layer.build((1, 3, 2))
    assert why_not_stock_lstm(layer) == UNUSUAL
    assert why_not_stock_lstm(layer, computed_by_keras=True) is None


def test_logits_only():
    model = chain(embedding(), lstm(), layers.Dense(2, "softmax", name="last"))
    with pytest.raises(
        InputError, match=r"layer `last` .*not a Dense layer of l"
    ):
        read_weights(model, 2)


def test_a_side_branch_is_named():
    inputs = keras.Input((None,), dtype="int32")
    x = layers.Embedding(2, 3)(inputs)
    y = layers.LSTM(4, return_sequences=True)(x)
    joined = layers.Concatenate(name="joined")([x, y])
    model = keras.Model(inputs, layers.Dense(2)(joined))
    with pytest.raises(InputError, match=r"layer `joined` \(Concatenate\)"):
        read_weights(model, 2)


def test_too_few_layers_are_listed():
    model = chain(layers.Embedding(2, 3, name="only"))
    with pytest.raises(InputError, match="Received: only"):
        read_weights(model, 2)


def simple(inputs):
    return layers.Dense(2)(lstm()(embedding()(inputs)))


def is_supported(model):
    try:
        read_weights(model, 2)
    except InputError:
        return False
    return True


def test_a_model_gives_what_its_last_layer_does():
    inputs = keras.Input((None,), dtype="int32")
    y = simple(inputs)
    assert is_supported(keras.Model(inputs, y))
    assert not is_supported(keras.Model(inputs, -y))
    assert not is_supported(keras.Model(inputs, y[..., ::-1]))
    assert not is_supported(keras.Model(inputs, [y, y]))
    twice = layers.Dense(2)
    hidden = layers.LSTM(2, return_sequences=True)(embedding()(inputs))
    assert not is_supported(keras.Model(inputs, twice(twice(hidden))))
    assert not is_supported(keras.Sequential())


def test_a_model_whose_call_is_its_own_is_refused():
    class Negated(keras.Model):
        def call(self, *args, **kwargs):
            return -super().call(*args, **kwargs)

    inputs = keras.Input((None,), dtype="int32")
    assert not is_supported(Negated(inputs, simple(inputs)))


def test_a_layer_called_with_more_than_its_input_is_refused():
    inputs = keras.Input((4,), dtype="int32")
    x = embedding()(inputs)
    state = [np.ones((1, 4), np.float32)] * 2
    y = layers.Dense(2)(lstm()(x, initial_state=state))
    assert not is_supported(keras.Model(inputs, y))
    mask = np.array([[True, False, True, True]])
    y = layers.Dense(2)(lstm()(x, mask=mask))
    assert not is_supported(keras.Model(inputs, y))
    y = layers.Dense(2)(lstm()(x, training=True))
    assert is_supported(keras.Model(inputs, y))


def test_other_dtypes_are_refused():
    inputs = keras.Input((None,), dtype="bool")
    assert not is_supported(keras.Model(inputs, simple(inputs)))
    inputs = keras.Input((None,), dtype="int32")
    model = keras.Model(inputs, simple(inputs))
    model.layers[2].cell.dtype_policy = "mixed_bfloat16"
    assert not is_supported(model)


class Liar(keras.layers.Layer):
    """A custom layer that calls itself an identity, and is none."""

    is_identity_at_inference = True

    def call(self, inputs):
        return -inputs


def test_a_custom_layer_is_not_taken_for_an_identity():
    model = build_model(Increment(), ModelConfig(units=2))
    lying = keras.Model(model.input, Liar(name="liar")(model.output))
    with pytest.raises(InputError, match="must be a chain of an Embedding"):
        supported_layers(lying, 2)
