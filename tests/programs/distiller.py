"""A student of a frozen teacher, by a `compute_loss` of its own."""

import keras
import numpy as np
from keras import layers, ops

rng = np.random.default_rng(0)


def classifier(width):
    return keras.Sequential(
        [keras.Input((5,)), layers.Dense(width, "relu"), layers.Dense(3)]
    )


class Distiller(keras.Model):
    """Student and teacher; the loss is of labels and of the teacher."""

    def __init__(self, student, teacher):
        super().__init__()
        self.student, self.teacher = student, teacher
        self.teacher.trainable = False

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        loss = super().compute_loss(x, y, y_pred, sample_weight, training)
        soft = ops.softmax(self.teacher(x, training=False) / 3.0)
        of_teacher = keras.losses.kl_divergence(soft, ops.softmax(y_pred / 3.0))
        return 0.3 * loss + 0.7 * ops.mean(of_teacher)

    def call(self, inputs):
        return self.student(inputs)


def build():
    model = Distiller(classifier(4), classifier(16))
    model.compile(
        keras.optimizers.Adam(0.01),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=False,
    )
    return model


def arguments():
    x = np.float32(rng.normal(size=(32, 5)))
    y = rng.integers(3, size=32)
    return {"x": x, "y": y, "batch_size": 8, "epochs": 3, "shuffle": False}


def EXAMPLES():  # noqa: N802
    return np.zeros((4, 5), np.float32)
