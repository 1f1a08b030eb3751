"""An LSTM in float16 with a scaled loss."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers

rng = np.random.default_rng(0)
TOLERANCE = 1e-2


def build():
    inputs = keras.Input((6, 3))
    x = layers.LSTM(5, dtype="mixed_float16")(inputs)
    model = keras.Model(inputs, layers.Dense(2, dtype="float32")(x))
    model.compile(
        keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.05)),
        "mse",
        jit_compile=False,
    )
    return model


def arguments():
    x = np.float32(rng.normal(size=(32, 6, 3)))
    dataset = tf.data.Dataset.from_tensor_slices((x, x[:, -1, :2])).batch(8)
    return {"x": dataset, "epochs": 3, "shuffle": False}


def EXAMPLES():  # noqa: N802
    return rng.normal(size=(6, 6, 3))
