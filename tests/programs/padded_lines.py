"""Lines of text as bytes, padded: a dataset of unknown cardinality."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers

rng = np.random.default_rng(0)


def build():
    inputs = keras.Input((None,), dtype="int32")
    x = layers.Embedding(6, 4, mask_zero=True)(inputs)
    x = layers.GRU(5, return_sequences=True)(x)
    model = keras.Model(inputs, layers.Dense(6)(x))
    model.compile(
        keras.optimizers.SGD(0.2),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,
    )
    return model


def arguments():
    lines = [rng.integers(1, 6, size=n) for n in rng.integers(2, 8, size=28)]

    def pairs(line):
        return line[:-1], line[1:]

    dataset = tf.data.Dataset.from_generator(
        lambda: iter(lines), output_signature=tf.TensorSpec((None,), "int64")
    )
    dataset = dataset.filter(lambda x: tf.size(x) > 2).map(pairs)
    return {"x": dataset.padded_batch(4), "epochs": 3, "shuffle": False}


def EXAMPLES():  # noqa: N802
    return rng.integers(1, 6, size=(5, 7))
