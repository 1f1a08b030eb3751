import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_lstm.config import ModelConfig
from keras_lstm.core.errors import InputError
from keras_lstm.distribute import strategies
from keras_lstm.distribute.strategies import check_batch_size, get_strategy
from keras_lstm.models.build import build_model
from keras_lstm.models.metrics import SequenceAccuracy
from keras_lstm.tasks.datasets import make_dataset
from keras_lstm.tasks.increment import Increment


def test_without_a_gpu_auto_is_the_default_strategy():
    if tf.config.list_physical_devices("GPU"):
        pytest.skip("needs a machine without a GPU")
    assert get_strategy("auto") is tf.distribute.get_strategy()
    assert get_strategy("default").num_replicas_in_sync == 1


@pytest.mark.parametrize("num_gpus", [1, 2])
def test_with_gpus_auto_is_mirrored_on_them(monkeypatch, num_gpus):
    gpus = [
        tf.config.LogicalDevice(f"/device:GPU:{i}", "GPU")
        for i in range(num_gpus)
    ]
    requested = []
    monkeypatch.setattr(
        strategies.tf.config, "list_logical_devices", lambda kind: gpus
    )
    monkeypatch.setattr(strategies, "_make_once", lambda kind, make: make())
    monkeypatch.setattr(
        strategies.tf.distribute, "MirroredStrategy", requested.append
    )
    get_strategy("auto")
    assert requested == [[gpu.name for gpu in gpus]]


def test_mirrored_takes_all_cpu_devices_where_there_is_no_gpu(monkeypatch):
    if tf.config.list_physical_devices("GPU"):
        pytest.skip("needs a machine without a GPU")
    requested = []
    monkeypatch.setattr(strategies, "_make_once", lambda kind, make: make())
    monkeypatch.setattr(
        strategies.tf.distribute, "MirroredStrategy", requested.append
    )
    get_strategy("mirrored")
    assert requested == [["/device:CPU:0", "/device:CPU:1"]]


def test_an_unknown_strategy_is_refused():
    with pytest.raises(InputError, match="one of auto, default, mirrored"):
        get_strategy("parameter_server")


def test_a_batch_that_the_replicas_do_not_divide_is_refused(mirrored):
    check_batch_size(6, mirrored)
    with pytest.raises(InputError, match=r"multiple of the 2 replicas.*=7"):
        check_batch_size(7, mirrored)


@pytest.mark.slow
def test_two_replicas_learn_what_one_device_learns(mirrored):
    task = Increment(num_bits=6, validation_examples=101)
    splits = task.splits(seed=0)

    def fit(strategy):
        with strategy.scope():
            model = build_model(task, ModelConfig(units=8), seed=0)
            model.compile(
                keras.optimizers.Adam(0.01),
                keras.losses.SparseCategoricalCrossentropy(from_logits=True),
                metrics=[SequenceAccuracy()],
            )
        history = model.fit(
            make_dataset(splits.train, 32, training=True),
            validation_data=make_dataset(splits.validation, 32),
            steps_per_epoch=10,
            epochs=2,
            shuffle=False,
            verbose=0,
        ).history
        return model.get_weights(), history["val_sequence_accuracy"]

    weights, accuracies = fit(mirrored)
    alone, alone_accuracies = fit(get_strategy("default"))
    for one, other in zip(weights, alone, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    assert accuracies == alone_accuracies
