"""Adversaries with an optimizer each, in a `train_step` of their own."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

rng = np.random.default_rng(0)


class GAN(keras.Model):
    """Generator and discriminator."""

    def __init__(self):
        super().__init__()
        self.discriminator = keras.Sequential(
            [keras.Input((3,)), layers.Dense(8, "relu"), layers.Dense(1)]
        )
        self.generator = keras.Sequential(
            [keras.Input((2,)), layers.Dense(8, "relu"), layers.Dense(3)]
        )
        self.seed_generator = keras.random.SeedGenerator(7)
        self.built = True

    def compile(self, d_optimizer, g_optimizer):
        super().compile(jit_compile=False)
        self.d_optimizer, self.g_optimizer = d_optimizer, g_optimizer
        self.loss_function = keras.losses.BinaryCrossentropy(from_logits=True)

    def train_step(self, real):
        def noise():
            shape = (ops.shape(real)[0], 2)
            return keras.random.normal(shape, seed=self.seed_generator)

        ones = ops.ones((ops.shape(real)[0], 1))
        with tf.GradientTape() as tape:
            d_loss = self.loss_function(ones, self.discriminator(real))
            fake = self.discriminator(self.generator(noise()))
            d_loss += self.loss_function(0 * ones, fake)
        weights = self.discriminator.trainable_weights
        self.d_optimizer.apply(tape.gradient(d_loss, weights), weights)
        with tf.GradientTape() as tape:
            fake = self.discriminator(self.generator(noise()))
            g_loss = self.loss_function(ones, fake)
        weights = self.generator.trainable_weights
        self.g_optimizer.apply(tape.gradient(g_loss, weights), weights)
        return {"d_loss": d_loss, "g_loss": g_loss}

    def call(self, inputs):
        return self.generator(inputs)


def build():
    model = GAN()
    model.compile(keras.optimizers.Adam(0.01), keras.optimizers.Adam(0.02))
    return model


def arguments():
    data = np.float32(rng.normal(size=(32, 3)))
    dataset = tf.data.Dataset.from_tensor_slices(data).batch(8)
    return {"x": dataset, "epochs": 3, "shuffle": False}


def EXAMPLES():  # noqa: N802
    return np.zeros((4, 2), np.float32)
