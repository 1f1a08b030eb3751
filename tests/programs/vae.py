"""A variational autoencoder with metrics and a `train_step` of its own."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

rng = np.random.default_rng(0)


class VAE(keras.Model):
    """Encoder, sampling and decoder."""

    def __init__(self):
        super().__init__()
        self.encoder = keras.Sequential([keras.Input((6,)), layers.Dense(4)])
        self.decoder = keras.Sequential([keras.Input((2,)), layers.Dense(6)])
        self.seed_generator = keras.random.SeedGenerator(3)
        self.total = keras.metrics.Mean(name="total_loss")
        self.built = True

    @property
    def metrics(self):
        return [self.total]

    def train_step(self, data):
        with tf.GradientTape() as tape:
            mean, log_var = ops.split(self.encoder(data), 2, -1)
            noise = keras.random.normal(
                ops.shape(mean), seed=self.seed_generator
            )
            decoded = self.decoder(mean + ops.exp(log_var / 2) * noise)
            kl = -0.5 * (1 + log_var - mean**2 - ops.exp(log_var))
            loss = ops.mean((data - decoded) ** 2) + ops.mean(ops.sum(kl, 1))
        weights = self.trainable_weights
        self.optimizer.apply(tape.gradient(loss, weights), weights)
        self.total.update_state(loss)
        return {"total_loss": self.total.result()}

    def call(self, inputs):
        return self.encoder(inputs)


def build():
    model = VAE()
    model.compile(keras.optimizers.Adam(0.01), jit_compile=False)
    return model


def arguments():
    data = np.float32(rng.normal(size=(32, 6)))
    dataset = tf.data.Dataset.from_tensor_slices(data).batch(8)
    return {"x": dataset, "epochs": 3, "shuffle": False}


def EXAMPLES():  # noqa: N802
    return np.zeros((4, 6), np.float32)
