"""Arrays in random order, a validation split, and Keras's callbacks."""

import keras
import numpy as np
from keras import layers

rng = np.random.default_rng(0)


def build():
    model = keras.Sequential(
        [
            keras.Input((4, 3)),
            layers.LSTM(6, recurrent_activation="hard_sigmoid"),
            layers.Dense(3, kernel_regularizer="l2"),
        ]
    )
    model.compile(
        keras.optimizers.RMSprop(0.01, epsilon=1e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=False,
    )
    return model


def arguments():
    x = np.float32(rng.normal(size=(40, 4, 3)))
    return {
        "x": x,
        "y": x[:, -1].argmax(1),
        "batch_size": 8,
        "epochs": 4,
        "validation_split": 0.2,
        "callbacks": [
            keras.callbacks.EarlyStopping(patience=2),
            keras.callbacks.ReduceLROnPlateau(patience=1),
        ],
    }


def EXAMPLES():  # noqa: N802
    return rng.normal(size=(6, 4, 3))
