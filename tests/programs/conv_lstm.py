"""Prediction of the next frame by ConvLSTM2D, with BatchNormalization."""

import keras
import numpy as np
from keras import layers

rng = np.random.default_rng(0)


def build():
    model = keras.Sequential(
        [
            keras.Input((4, 6, 6, 1)),
            layers.ConvLSTM2D(4, 3, padding="same", return_sequences=True),
            layers.BatchNormalization(),
            layers.Conv3D(1, 3, padding="same", activation="sigmoid"),
        ]
    )
    model.compile("adam", "binary_crossentropy", jit_compile=False)
    return model


def arguments():
    frames = np.float32(rng.random((16, 5, 6, 6, 1)) < 0.3)
    return {
        "x": frames[:, :-1],
        "y": frames[:, 1:],
        "batch_size": 8,
        "epochs": 2,
        "shuffle": False,
    }


def EXAMPLES():  # noqa: N802
    return rng.random((3, 4, 6, 6, 1))
