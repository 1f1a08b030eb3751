"""Translation of symbols by an encoder and a decoder, with masks."""

import keras
import numpy as np
from keras import layers

rng = np.random.default_rng(0)


def build():
    source = keras.Input((None,), dtype="int32", name="source")
    target = keras.Input((None,), dtype="int32", name="target")
    x = layers.Embedding(9, 6, mask_zero=True)(source)
    _, h, c = layers.LSTM(8, return_state=True)(x)
    y = layers.Embedding(9, 6, mask_zero=True)(target)
    y = layers.LSTM(8, return_sequences=True)(y, initial_state=[h, c])
    model = keras.Model([source, target], layers.Dense(9)(y))
    model.compile(
        keras.optimizers.RMSprop(0.01),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=False,
    )
    return model


def arguments():
    lengths = rng.integers(2, 7, size=(40, 1))
    source = rng.integers(1, 9, size=(40, 6)) * (np.arange(6) < lengths)
    target = np.pad(source[:, ::-1], ((0, 0), (1, 0)), constant_values=1)
    return {
        "x": [source, target[:, :-1]],
        "y": target[:, 1:],
        "batch_size": 16,
        "epochs": 3,
        "shuffle": False,
    }
