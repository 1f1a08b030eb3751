"""A metric and a loss function of one's own, and sample weights."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

rng = np.random.default_rng(0)


@keras.saving.register_keras_serializable("programs")
class LargestError(keras.metrics.Metric):
    """Largest absolute error."""

    def __init__(self, name="largest_error", **options):
        super().__init__(name=name, **options)
        self.largest = self.add_variable((), "zeros", aggregation="mean")

    def update_state(self, y_true, y_pred, sample_weight=None):
        error = ops.max(ops.abs(y_true - y_pred))
        self.largest.assign(ops.maximum(self.largest, error))

    def result(self):
        return self.largest


@keras.saving.register_keras_serializable("programs")
def log_cosh(y_true, y_pred):
    return ops.mean(ops.log(ops.cosh(y_true - y_pred)), -1)


def build():
    inputs = keras.Input((8,))
    x = layers.Dense(6, "gelu")(inputs)
    model = keras.Model(inputs, layers.Dense(2)(layers.Add()([x, x])))
    model.compile(
        keras.optimizers.SGD(0.1, global_clipnorm=1.0),
        log_cosh,
        weighted_metrics=["mse"],
        jit_compile=False,
    )
    return model


def arguments():
    x = np.float32(rng.normal(size=(40, 8)))
    data = (x, x[:, :2], np.float32(rng.random(40)))
    dataset = tf.data.Dataset.from_tensor_slices(data)
    return {"x": dataset.batch(8), "epochs": 3, "shuffle": False}


def EXAMPLES():  # noqa: N802
    return rng.normal(size=(6, 8))
