"""Points, with a regularizer of its own on a learned transformation."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

rng = np.random.default_rng(0)


@keras.saving.register_keras_serializable("programs")
class Orthogonal(keras.regularizers.Regularizer):
    """Penalty on the distance of a matrix times its transpose from one."""

    def __init__(self, num_features, strength=0.001):
        self.num_features, self.strength = num_features, strength

    def __call__(self, x):
        x = ops.reshape(x, (-1, self.num_features, self.num_features))
        product = ops.matmul(x, ops.transpose(x, (0, 2, 1)))
        return ops.sum(
            self.strength * ops.square(product - ops.eye(self.num_features))
        )

    def get_config(self):
        return {"num_features": self.num_features, "strength": self.strength}


def conv(x, filters):
    x = layers.Conv1D(filters, 1, padding="valid")(x)
    x = layers.LayerNormalization()(x)
    return layers.Activation("relu")(x)


def build():
    inputs = keras.Input((7, 3))
    x = layers.GlobalMaxPooling1D()(conv(inputs, 8))
    x = layers.Dense(
        9,
        kernel_initializer="zeros",
        bias_initializer=keras.initializers.Constant(np.eye(3).flatten()),
        activity_regularizer=Orthogonal(3),
    )(x)
    x = layers.Dot((2, 1))([inputs, layers.Reshape((3, 3))(x)])
    x = layers.GlobalMaxPooling1D()(conv(x, 8))
    x = layers.Dropout(0.3, seed=4)(x)
    model = keras.Model(inputs, layers.Dense(4, "softmax")(x))
    model.compile(
        keras.optimizers.Adam(0.001),
        "sparse_categorical_crossentropy",
        metrics=["sparse_categorical_accuracy"],
        jit_compile=False,
    )
    return model


def arguments():
    points = np.float32(rng.normal(size=(32, 7, 3)))
    labels = rng.integers(4, size=32)

    def augment(points, label):
        return points + tf.random.uniform(
            tf.shape(points), -0.005, 0.005, seed=2
        ), label

    dataset = tf.data.Dataset.from_tensor_slices((points, labels))
    dataset = dataset.shuffle(32, seed=3).map(augment).batch(8)
    return {"x": dataset, "epochs": 3}


def EXAMPLES():  # noqa: N802
    return np.float32(rng.normal(size=(8, 7, 3)))
