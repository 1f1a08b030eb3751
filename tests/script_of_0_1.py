"""A script of one's own, as it was written for version 0.1.

Command: python tests/script_of_0_1.py FOLDER [STEP], which stops after a step
as `kill -9` does; else it writes its weights into FOLDER/weights.npz. Version
0.1 has made tests/data/script-0.1.0 with it: see tests/data/README.md.
"""

import os
import pathlib
import sys

import keras
import numpy as np
import tensorflow as tf

# The name under which all versions have it.
from keras_lstm.callbacks.exact_resume import ExactResume


class Stop(keras.callbacks.Callback):
    """Ends the process after a step."""

    def __init__(self, step):
        super().__init__()
        self.left = step

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if self.left == 0:
            os._exit(9)


def fit(folder, step=None):
    """Train, from the newest checkpoint in a folder if there is one.

    Args:
        folder: path of the folder.
        step: number of steps after which the process ends; None to train to
            the end.

    Returns:
        The model, and the callback that has resumed it.
    """
    keras.utils.set_random_seed(3)
    numbers = np.random.default_rng(0).normal(size=(24, 5, 2))
    inputs = numbers.astype("float32")
    pairs = tf.data.Dataset.from_tensor_slices((inputs, inputs.sum((1, 2))))
    batches = pairs.repeat().batch(4)
    model = keras.Sequential(
        [
            keras.Input((5, 2)),
            keras.layers.GaussianNoise(0.1, seed=5),
            keras.layers.LSTM(3),
            keras.layers.Dense(1),
        ]
    )
    model.compile(keras.optimizers.Adam(0.05), "mse")
    plateau = keras.callbacks.ReduceLROnPlateau("loss", 0.5, patience=0)
    resume = ExactResume(folder, [plateau], every_steps=2, verbose=0)
    stop = [] if step is None else [Stop(step)]
    model.fit(
        resume.dataset(batches.skip),
        epochs=4,
        steps_per_epoch=6,
        shuffle=False,
        verbose=0,
        callbacks=[resume, plateau, *stop],
    )
    return model, resume


if __name__ == "__main__":
    main_folder = pathlib.Path(sys.argv[1])
    trained, _ = fit(main_folder, *map(int, sys.argv[2:]))
    np.savez(main_folder / "weights.npz", *trained.get_weights())
