"""Batches from a Python generator without end."""

import keras
import numpy as np
from keras import layers

rng = np.random.default_rng(0)


def build():
    model = keras.Sequential(
        [
            keras.Input((6, 2)),
            layers.SimpleRNN(5, return_sequences=True),
            layers.GRU(4),
            layers.Dense(1),
        ]
    )
    model.compile(keras.optimizers.SGD(0.1), "mae", jit_compile=False)
    return model


def arguments():
    def batches():
        drawn = np.random.default_rng(1)
        while True:
            x = np.float32(drawn.normal(size=(8, 6, 2)))
            yield x, x.sum((1, 2), keepdims=True)[:, 0]

    return {"x": batches(), "steps_per_epoch": 4, "epochs": 3}


def EXAMPLES():  # noqa: N802
    return rng.normal(size=(6, 6, 2))
