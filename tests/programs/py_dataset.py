"""Batches from a PyDataset."""

import keras
import numpy as np
from keras import layers

rng = np.random.default_rng(0)


class Series(keras.utils.PyDataset):
    """Windows of a series, and what follows each."""

    def __init__(self):
        super().__init__()
        self.series = np.float32(np.sin(np.arange(60) / 3))[:, None]

    def __len__(self):
        return 6

    def __getitem__(self, index):
        starts = range(8 * index, 8 * index + 8)
        x = np.stack([self.series[i : i + 5] for i in starts])
        return x, np.stack([self.series[i + 5] for i in starts])


def build():
    model = keras.Sequential(
        [keras.Input((5, 1)), layers.LSTM(6), layers.Dense(1)]
    )
    model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=False)
    return model


def arguments():
    return {"x": Series(), "epochs": 3, "shuffle": False}


def EXAMPLES():  # noqa: N802
    return rng.normal(size=(6, 5, 1))
