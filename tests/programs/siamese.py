"""Two inputs through one encoder, with a contrastive loss of its own."""

import keras
import numpy as np
from keras import layers, ops

rng = np.random.default_rng(0)


def contrastive_loss(y_true, y_pred):
    far = ops.square(ops.maximum(1.0 - y_pred, 0.0))
    return ops.mean((1 - y_true) * ops.square(y_pred) + y_true * far)


class Distance(layers.Layer):
    """Euclidean distance of two batches of vectors."""

    def call(self, one, other):
        squares = ops.sum(ops.square(one - other), 1, keepdims=True)
        return ops.sqrt(ops.maximum(squares, 1e-7))


def build():
    inputs = keras.Input((6, 6, 1))
    x = layers.BatchNormalization()(inputs)
    x = layers.Conv2D(3, 3, activation="tanh")(x)
    x = layers.AveragePooling2D(2)(x)
    encoder = keras.Model(inputs, layers.Dense(4)(layers.Flatten()(x)))
    one, other = keras.Input((6, 6, 1)), keras.Input((6, 6, 1))
    distance = Distance()(encoder(one), encoder(other))
    distance = layers.BatchNormalization()(distance)
    outputs = layers.Dense(1, "sigmoid")(distance)
    model = keras.Model([one, other], outputs)
    model.compile(
        "RMSprop", contrastive_loss, metrics=["accuracy"], jit_compile=False
    )
    return model


def arguments():
    pairs = np.float32(rng.random((2, 32, 6, 6, 1)))
    labels = np.float32(rng.integers(2, size=32))
    validation = ([pairs[0, :8], pairs[1, :8]], labels[:8])
    return {
        "x": [pairs[0], pairs[1]],
        "y": labels,
        "validation_data": validation,
        "batch_size": 8,
        "epochs": 3,
        "shuffle": False,
    }
