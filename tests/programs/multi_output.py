"""Tags of each word and a class, with a loss for each in a dictionary."""

import keras
import numpy as np
from keras import layers

rng = np.random.default_rng(0)


def build():
    inputs = keras.Input((6,), dtype="int32")
    x = layers.Embedding(10, 5, mask_zero=True)(inputs)
    x = layers.LSTM(7, return_sequences=True)(x)
    tags = layers.Dense(4, name="tags")(x)
    label = layers.Dense(1, "sigmoid", name="label")(layers.LSTM(4)(x))
    model = keras.Model(inputs, {"tags": tags, "label": label})
    model.compile(
        keras.optimizers.Adam(0.01, epsilon=1e-3),
        {
            "tags": keras.losses.SparseCategoricalCrossentropy(
                from_logits=True
            ),
            "label": "binary_crossentropy",
        },
        metrics={"tags": ["accuracy"], "label": ["accuracy"]},
        loss_weights={"tags": 1.0, "label": 0.2},
        jit_compile=False,
    )
    return model


def arguments():
    x = rng.integers(1, 10, size=(30, 6))
    x[::2, 3:] = 0
    return {
        "x": x,
        "y": {"tags": x % 4, "label": (x.sum(1) % 2)[:, None]},
        "batch_size": 10,
        "epochs": 3,
        "shuffle": False,
    }
