"""Text classification by a Transformer block."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

rng = np.random.default_rng(0)


@keras.saving.register_keras_serializable("programs")
class Block(layers.Layer):
    """Attention and two Dense layers, normalized."""

    def __init__(self, **options):
        super().__init__(**options)
        self.attention = layers.MultiHeadAttention(2, 4)
        self.dense = keras.Sequential(
            [layers.Dense(8, "relu"), layers.Dense(8)]
        )
        self.one = layers.LayerNormalization()
        self.two = layers.LayerNormalization()

    def call(self, x):
        x = self.one(x + self.attention(x, x))
        return self.two(x + self.dense(x))


@keras.saving.register_keras_serializable("programs")
class Embeddings(layers.Layer):
    """Embeddings of tokens and positions, added."""

    def __init__(self, **options):
        super().__init__(**options)
        self.tokens = layers.Embedding(20, 8)
        self.positions = layers.Embedding(7, 8)

    def call(self, x):
        return self.tokens(x) + self.positions(ops.arange(7))


def build():
    inputs = keras.Input((7,), dtype="int32")
    x = layers.GlobalAveragePooling1D()(Block()(Embeddings()(inputs)))
    model = keras.Model(inputs, layers.Dense(2, "softmax")(x))
    model.compile(
        keras.optimizers.Adam(0.01, epsilon=1e-3),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=False,
    )
    return model


def arguments():
    x = rng.integers(20, size=(40, 7))
    y = x.sum(1) % 2
    dataset = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(40, seed=1)
    return {"x": dataset.batch(16), "epochs": 3, "shuffle": False}


def EXAMPLES():  # noqa: N802
    return rng.integers(20, size=(6, 7))
