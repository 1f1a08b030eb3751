"""Denoising with averaged weights of its own and an adapted Normalization."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

rng = np.random.default_rng(0)
DATA = np.float32(rng.normal(3.0, 2.0, size=(32, 4)))


class Diffusion(keras.Model):
    """Network, its average, and a normalizer that learned from the data."""

    def __init__(self):
        super().__init__()
        self.normalizer = layers.Normalization()
        self.network = keras.Sequential(
            [keras.Input((5,)), layers.Dense(8, "swish"), layers.Dense(4)]
        )
        self.average = keras.models.clone_model(self.network)
        self.average.set_weights(self.network.get_weights())
        self.noise_loss = keras.metrics.Mean(name="n_loss")
        self.seed_generator = keras.random.SeedGenerator(5)

    @property
    def metrics(self):
        return [self.noise_loss]

    def train_step(self, x):
        x = self.normalizer(x)
        noise = keras.random.normal(ops.shape(x), seed=self.seed_generator)
        rate = keras.random.uniform(
            (ops.shape(x)[0], 1), seed=self.seed_generator
        )
        mixed = ops.sqrt(1 - rate) * x + ops.sqrt(rate) * noise
        with tf.GradientTape() as tape:
            found = self.network(ops.concatenate([mixed, rate], 1))
            loss = self.loss(noise, found)
        weights = self.network.trainable_weights
        self.optimizer.apply_gradients(
            zip(tape.gradient(loss, weights), weights, strict=True)
        )
        self.noise_loss.update_state(loss)
        for weight, mean in zip(
            self.network.weights, self.average.weights, strict=True
        ):
            mean.assign(0.9 * mean + 0.1 * weight)
        return {metric.name: metric.result() for metric in self.metrics}

    def call(self, x):
        return self.average(ops.pad(self.normalizer(x), [[0, 0], [0, 1]]))


def build():
    model = Diffusion()
    model.normalizer.adapt(DATA)
    model.compile(
        keras.optimizers.AdamW(0.01, weight_decay=1e-3),
        keras.losses.MeanAbsoluteError(),
        jit_compile=False,
    )
    return model


def arguments():
    dataset = tf.data.Dataset.from_tensor_slices(DATA).cache()
    dataset = dataset.repeat(2).shuffle(64, seed=1).batch(16)
    return {"x": dataset.prefetch(tf.data.AUTOTUNE), "epochs": 3}


def EXAMPLES():  # noqa: N802
    return np.ones((4, 4), np.float32)
