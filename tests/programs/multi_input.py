"""A rating from a text and from a row of numbers."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers

rng = np.random.default_rng(0)


def build():
    text = keras.Input((5,), dtype="int32", name="text")
    row = keras.Input((3,), name="row")
    x = layers.GRU(6)(layers.Embedding(12, 4)(text))
    x = layers.Concatenate()([x, layers.Dense(4, "tanh")(row)])
    model = keras.Model({"text": text, "row": row}, layers.Dense(1)(x))
    model.compile(
        keras.optimizers.SGD(0.05, momentum=0.9),
        keras.losses.Huber(),
        metrics=["mae"],
        jit_compile=False,
    )
    return model


def arguments():
    data = {
        "text": rng.integers(12, size=(37, 5)),
        "row": np.float32(rng.normal(size=(37, 3))),
    }
    y = np.float32(rng.normal(size=(37, 1)))
    dataset = tf.data.Dataset.from_tensor_slices((data, y)).batch(8)
    return {"x": dataset, "epochs": 3, "shuffle": False}
