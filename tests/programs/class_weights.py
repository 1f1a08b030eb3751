"""Rare events, with class weights, in a convolutional network for series."""

import keras
import numpy as np
from keras import layers

rng = np.random.default_rng(0)


def build():
    model = keras.Sequential(
        [
            keras.Input((10, 2)),
            layers.Conv1D(6, 3, activation="relu"),
            layers.GlobalMaxPooling1D(),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(
        keras.optimizers.Adam(0.01, epsilon=1e-3),
        "binary_crossentropy",
        metrics=[keras.metrics.AUC(name="auc"), keras.metrics.Recall()],
        jit_compile=False,
    )
    return model


def arguments():
    x = np.float32(rng.normal(size=(45, 10, 2)))
    return {
        "x": x,
        "y": (x[:, 0, 0] > 1).astype(int),
        "batch_size": 8,
        "epochs": 3,
        "class_weight": {0: 0.6, 1: 4.0},
        "shuffle": False,
    }


def EXAMPLES():  # noqa: N802
    return rng.normal(size=(6, 10, 2))
