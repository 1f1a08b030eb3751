"""Windows of a time series, with early stopping and the best weights kept."""

import pathlib
import tempfile

import keras
import numpy as np
from keras import layers

rng = np.random.default_rng(0)
SERIES = np.float32(np.cumsum(rng.normal(size=(90, 3)), 0))


def build():
    inputs = keras.Input((6, 3))
    x = layers.LSTM(8)(inputs)
    model = keras.Model(inputs, layers.Dense(1)(x))
    model.compile(keras.optimizers.Adam(0.01), "mse", jit_compile=False)
    return model


def windows(start, end):
    return keras.utils.timeseries_dataset_from_array(
        SERIES[start:end],
        SERIES[start + 6 : end, 1],
        sequence_length=6,
        sampling_rate=1,
        batch_size=16,
    )


def arguments():
    folder = pathlib.Path(tempfile.mkdtemp())
    return {
        "x": windows(0, 70),
        "validation_data": windows(70, 90),
        "epochs": 4,
        "callbacks": [
            keras.callbacks.EarlyStopping(min_delta=0, patience=5),
            keras.callbacks.ModelCheckpoint(
                folder / "weather.weights.h5",
                monitor="val_loss",
                save_weights_only=True,
                save_best_only=True,
            ),
        ],
    }


def EXAMPLES():  # noqa: N802
    return SERIES[:48].reshape(8, 6, 3)
