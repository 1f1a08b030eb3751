"""A metric and a loss function of one's own, and sample weights."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

rng = np.random.default_rng(0)


@keras.saving.register_keras_serializable("programs")
class LargeErrors(keras.metrics.Metric):
    """Fraction of the errors above 0.5."""

    def __init__(self, name="large_errors", **options):
        super().__init__(name=name, **options)
        self.large = self.add_weight(name="large", initializer="zeros")
        self.all = self.add_weight(name="all", initializer="zeros")

    def update_state(self, y_true, y_pred, sample_weight=None):
        large = ops.cast(ops.abs(y_true - y_pred) > 0.5, "float32")
        self.large.assign_add(ops.sum(large))
        self.all.assign_add(ops.sum(ops.ones_like(large)))

    def result(self):
        return self.large / self.all


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
        metrics=[LargeErrors()],
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
