import types

import keras
import numpy as np
import pytest

from keras_lstm.callbacks.stop_at_full_accuracy import StopAtFullAccuracy
from keras_lstm.core.errors import InputError

BELOW_ONE = float(np.nextafter(np.float32(1), np.float32(0)))


def drive(callback, values, monitor="val_sequence_accuracy"):
    """Drive the callback with monitored values; return the epochs run."""
    model = types.SimpleNamespace(stop_training=False)
    callback.set_model(model)
    callback.on_train_begin()
    for epoch, value in enumerate(values):
        logs = {"loss": 0.1} | ({} if value is None else {monitor: value})
        callback.on_epoch_end(epoch, logs)
        if model.stop_training:
            break
    callback.on_train_end()
    return epoch + 1


@pytest.mark.parametrize(
    ("values", "epochs", "stopped"),
    [
        ([0.5, 1.0, 1.0], 2, 1),
        ([1.0], 1, 0),
        ([0.5, BELOW_ONE, 0.9999], 3, None),
    ],
)
def test_it_fires_at_exactly_one(values, epochs, stopped):
    callback = StopAtFullAccuracy()
    assert drive(callback, values) == epochs
    assert callback.stopped_epoch == stopped


def test_it_waits_for_its_first_epoch():
    callback = StopAtFullAccuracy(start_from_epoch=2)
    assert drive(callback, [1.0, 1.0, 0.5, 1.0, 1.0]) == 4
    assert callback.stopped_epoch == 3


def test_the_training_average_is_an_option():
    callback = StopAtFullAccuracy(monitor="sequence_accuracy")
    assert drive(callback, [0.9, 1.0, 1.0], "sequence_accuracy") == 2


def test_it_is_usable_again():
    callback = StopAtFullAccuracy()
    drive(callback, [1.0])
    assert drive(callback, [0.5, 0.5]) == 2
    assert callback.stopped_epoch is None


def test_it_says_when_it_fired(capsys):
    drive(StopAtFullAccuracy(), [0.5, 1.0])
    said = "Epoch 2: val_sequence_accuracy is exactly 1; stopping\n"
    assert capsys.readouterr().err == said
    drive(StopAtFullAccuracy(verbose=0), [1.0])
    assert capsys.readouterr().err == ""


def test_an_unknown_monitor_is_refused_with_the_names_there_are():
    callback = StopAtFullAccuracy(monitor="accuracy")
    with pytest.raises(
        InputError, match=r"one of loss, val_sequence_accuracy\. .*=accuracy"
    ):
        drive(callback, [0.5])


def test_validation_every_other_epoch_is_waited_for():
    callback = StopAtFullAccuracy(validation_freq=2)
    assert drive(callback, [None, 0.5, None, 1.0]) == 4
    with pytest.raises(InputError, match="`monitor` must be one of loss"):
        drive(callback, [None, None])


def test_the_epochs_that_validate_may_be_listed():
    callback = StopAtFullAccuracy(validation_freq=[2, 5])
    values = [None, 0.5, None, None, 1.0]
    assert drive(callback, values) == 5
    with pytest.raises(InputError, match="`monitor` must be one of loss"):
        drive(callback, [None, None])


@pytest.mark.parametrize("value", [0, -1, "two"])
def test_a_frequency_that_is_none_is_refused(value):
    with pytest.raises(InputError, match=f"validation_freq={value}"):
        StopAtFullAccuracy(validation_freq=value)


def test_it_stops_a_fit():
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile(loss="mse", metrics=[always_right])
    callback = StopAtFullAccuracy("val_always_right", start_from_epoch=1)
    data = np.zeros((2, 1)), np.zeros((2, 1))
    history = model.fit(
        *data,
        validation_data=data,
        epochs=5,
        # Unseeded shuffling fails if another test has enabled determinism.
        shuffle=False,
        verbose=0,
        callbacks=[callback],
    )
    assert len(history.epoch) == 2


def always_right(y_true, y_pred):
    return keras.ops.ones_like(y_pred)
