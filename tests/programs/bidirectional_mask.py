"""Sentiment of a text of any length, by two bidirectional LSTMs."""

import keras
import numpy as np
from keras import layers

from keras_lstm import SequenceAccuracy

rng = np.random.default_rng(0)


def build():
    model = keras.Sequential(
        [
            keras.Input((None,), dtype="int32"),
            layers.Embedding(15, 6, mask_zero=True),
            layers.Bidirectional(layers.LSTM(5, return_sequences=True)),
            layers.Bidirectional(layers.LSTM(5)),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(
        keras.optimizers.SGD(0.1),
        "binary_crossentropy",
        metrics=["accuracy", SequenceAccuracy(threshold=0.5)],
        jit_compile=False,
    )
    return model


def arguments():
    lengths = rng.integers(2, 8, size=(32, 1))
    x = rng.integers(1, 15, size=(32, 8)) * (np.arange(8) < lengths)
    return {
        "x": x,
        "y": (x[:, :1] > 7).astype(int),
        "batch_size": 8,
        "epochs": 3,
        "shuffle": False,
    }


def EXAMPLES():  # noqa: N802
    return rng.integers(1, 15, size=(5, 8))
