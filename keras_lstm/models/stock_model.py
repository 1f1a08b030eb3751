"""A stock model built from weights, to compare another model with."""

import keras
import numpy as np

from keras_lstm.core.errors import InputError
from keras_lstm.models.weights import LSTMWeights

# Lengths of the sequences that are compared, and how many of each.
_SEQUENCES = {1: 64, 5: 1024, 20: 1024}
_ONE_LENGTH = 2048


def build_stock_model(network: LSTMWeights) -> keras.Model:
    """Build a model of stock Keras layers with given weights.

    Args:
        network: the weights. A one-hot encoding is an Embedding here, whose
            rows are the same numbers.

    Returns:
        An uncompiled model from symbols, `(batch_size, timesteps)`, int32, to
        logits, `(batch_size, timesteps, num_classes)`, or for the last_state
        head `(batch_size, num_bits, num_classes)`.
    """
    layers = keras.layers
    inputs = x = keras.Input((None,), dtype="int32")
    x = layers.Embedding(*network.embedding.shape, dtype="float32")(x)
    for lstm in network.lstms:
        sequences = network.per_step or lstm is not network.lstms[-1]
        x = layers.LSTM(
            lstm.units, return_sequences=sequences, dtype="float32"
        )(x)
    x = layers.Dense(len(network.bias), dtype="float32")(x)
    if not network.per_step:
        x = layers.Reshape(network.output_shape, dtype="float32")(x)
    model = keras.Model(inputs, x)
    model.set_weights(network.weights())
    return model


def check_computes_as_stock(model: keras.Model, network: LSTMWeights) -> None:
    """Compare a model with the stock model of its weights, bit for bit.

    Both answer the same few thousand random sequences, of several lengths if
    the model reads any length. Both run the same operations one after the
    other, so equal networks give equal bits.

    Args:
        model: the model from which `network` was read.
        network: its weights.

    Raises:
        InputError: if any logit differs.
    """
    stock = build_stock_model(network)
    # It decides the order of the sums, which the claim leaves open.
    for mine, theirs in zip(_cells(model), _cells(stock), strict=True):
        theirs.implementation = mine.implementation
    length = model.input_shape[1]
    sequences = {length: _ONE_LENGTH} if length else _SEQUENCES
    rng = np.random.default_rng(0)
    for timesteps, count in sequences.items():
        shape = (count, timesteps)
        symbols = rng.integers(len(network.embedding), size=shape)
        found, expected = (
            np.asarray(
                each(symbols.astype(each.inputs[0].dtype), training=False)
            )
            for each in (model, stock)
        )
        if not np.array_equal(found, expected, equal_nan=True):
            wrong = (found != expected).reshape(count, -1).any(-1).sum()
            raise InputError(
                "`model` must compute what a stock model with its weights "
                f"does. Received: {model.name}, with other logits for {wrong} "
                f"of {count} sequences of {timesteps} symbols"
            )


def _cells(model: keras.Model) -> list[keras.layers.LSTMCell]:
    layers = model.layers
    return [x.cell for x in layers if isinstance(x, keras.layers.LSTM)]
