"""A subclassed model, built by its first batch, with a scalar loss."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

rng = np.random.default_rng(0)
SCALAR_LOSSES = "mean"


class Forecaster(keras.Model):
    """LSTM and a residual connection."""

    def __init__(self):
        super().__init__()
        self.lstm = layers.LSTM(5)
        self.dense = layers.Dense(2)

    def call(self, x):
        return self.dense(self.lstm(x)) + x[:, -1]


def scalar_loss(y_true, y_pred):
    return ops.mean(ops.square(y_true - y_pred))


def build():
    model = Forecaster()
    model.compile(keras.optimizers.SGD(0.1), scalar_loss, jit_compile=False)
    return model


def arguments():
    x = np.float32(rng.normal(size=(32, 5, 2)))
    dataset = tf.data.Dataset.from_tensor_slices((x, x.mean(1))).batch(8)
    return {"x": dataset, "epochs": 3, "shuffle": False}


def EXAMPLES():  # noqa: N802
    return rng.normal(size=(6, 5, 2))
