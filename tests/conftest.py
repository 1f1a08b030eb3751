"""Fixtures for all tests, and two CPU devices."""

import gc
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import pytest
import tensorflow as tf
from handmade import copier_with_sums
from keras.src.trainers import trainer
from tensorflow.python.data.ops import dataset_ops

from keras_lstm.tasks.transducer import TransducerTask

# Two devices give the mirrored strategy two replicas on one machine. They must
# be configured before TensorFlow initializes its devices.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * 2,
)


def pytest_collection_finish(session):
    """Keep what was imported out of garbage collection: it takes seconds."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)


@pytest.fixture(autouse=True)
def without_automatic_xla(monkeypatch):
    """Compile models by XLA only where a test asks for it.

    By default, Keras compiles each small model of Dense layers: seconds each.
    The slow tests run whole programs, with Keras's default.
    """
    monkeypatch.setattr(trainer, "model_supports_jit", lambda model: False)


@pytest.fixture(autouse=True)
def without_autotuning(monkeypatch):
    """Turn tf.data's autotuning off: what is computed does not depend on it.

    Its thread sleeps for about as long as the iterator is old, and the
    iterator's end waits for it: seconds in a test, a third of all the time.
    """

    def apply(dataset):
        options = tf.data.Options()
        options.autotune.enabled = False
        return dataset_ops._OptionsDataset(dataset, options)

    monkeypatch.setattr(tf.data.Dataset, "_apply_debug_options", apply)


@pytest.fixture(scope="session")
def mirrored():
    """Return the only mirrored strategy that a process may have."""
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


@pytest.fixture
def mnist_dir():
    """Return the folder of the real MNIST files; skip the test without it."""
    folder = os.environ.get("KERAS_LSTM_DATA_DIR")
    if not folder or not pathlib.Path(folder, "mnist").is_dir():
        pytest.skip("KERAS_LSTM_DATA_DIR must name a folder that holds mnist")
    return pathlib.Path(folder)


@pytest.fixture
def write_idx():
    """Return a function that writes an IDX file of unsigned bytes."""

    def write(path, values, magic=None, shape=None):
        values = np.asarray(values, np.uint8)
        shape = values.shape if shape is None else shape
        header = magic or bytes([0, 0, 8, len(shape)])
        sizes = np.array(shape, ">u4").tobytes()
        path.write_bytes(header + sizes + values.tobytes())
        return path

    return write


@pytest.fixture
def write_dataset(write_idx):
    """Return a function that writes random images as MNIST's four files."""

    def write(folder, num_train=5200, num_test=50):
        rng = np.random.default_rng(0)
        for name, count in (("train", num_train), ("t10k", num_test)):
            images = rng.integers(256, size=(count, 28, 28))
            write_idx(folder / f"{name}-images-idx3-ubyte", images)
            labels = rng.integers(10, size=count)
            write_idx(folder / f"{name}-labels-idx1-ubyte", labels)
        return folder

    return write


class Copy(TransducerTask):
    """Copy the input: a machine with one state."""

    name = "copy"
    next_state = ((0, 0),)
    output = ((0, 1),)


@pytest.fixture
def copier():
    """Return a network with weights set by hand to copy, and its task."""
    return _make_copier()


@pytest.fixture(scope="module")
def copier_of_module():
    """Return what `copier` does; a module's tests must not change it."""
    return _make_copier()


def _make_copier():
    task = Copy(num_bits=10)
    return copier_with_sums(task), task
