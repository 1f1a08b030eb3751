import types

import keras
import numpy as np
import pytest

from keras_lstm.callbacks import counterexamples, stop_at_proof
from keras_lstm.callbacks.counterexamples import Counterexamples
from keras_lstm.callbacks.stop_at_full_accuracy import StopAtFullAccuracy
from keras_lstm.callbacks.stop_at_proof import StopAtProof
from keras_lstm.tasks.increment import Increment

TASK = Increment(num_bits=4)
X = np.array([[1.0], [2.0], [3.0], [4.0]], np.float32)
Y = -5 * X


class Noted(keras.callbacks.Callback):
    """Notes the weights that each validation sees."""

    def on_test_batch_end(self, batch, logs=None):
        self.weights = self.model.get_weights()


def always_right(y_true, y_pred):
    return keras.ops.ones_like(y_pred)


def compiled(*, scaled=False):
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    optimizer = keras.optimizers.SGD(0.01, use_ema=True, ema_momentum=0.9)
    if scaled:
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    model.compile(optimizer, "mse", metrics=[always_right])
    return model


def fit(model, callbacks):
    return model.fit(
        *(X, Y),
        validation_data=(X, Y),
        epochs=5,
        batch_size=2,
        shuffle=False,
        verbose=0,
        callbacks=callbacks,
    )


def in_each_place(callback):
    """Return lists of a callback with and without `SwapEMAWeights`."""
    swaps = [
        keras.callbacks.SwapEMAWeights(swap_on_epoch=on_epoch)
        for on_epoch in (False, True)
    ]
    return [
        [callback],
        *([swap, callback] for swap in swaps),
        *([callback, swap] for swap in swaps),
    ]


@pytest.mark.parametrize(
    ("place", "scaled"), [*((place, False) for place in range(5)), (0, True)]
)
def test_full_accuracy_keeps_the_weights_that_were_validated(place, scaled):
    model, noted = compiled(scaled=scaled), Noted()
    stop = StopAtFullAccuracy("val_always_right", 2, verbose=0)
    history = fit(model, [*in_each_place(stop)[place], noted])
    assert len(history.epoch) == 3
    for one, other in zip(model.get_weights(), noted.weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_training_metric_keeps_the_weights_of_the_last_step():
    averaged, plain = compiled(), compiled()
    stop = StopAtFullAccuracy("always_right", 2, verbose=0)
    fit(averaged, [stop])
    plain.compile(keras.optimizers.SGD(0.01), "mse", metrics=[always_right])
    fit(plain, [StopAtFullAccuracy("always_right", 2, verbose=0)])
    np.testing.assert_array_equal(
        averaged.get_weights()[0], plain.get_weights()[0]
    )


def found(model, monkeypatch, kind):
    """Return a callback that stops in epoch 2, and the weights it looked at."""
    looked_at = []

    def look(seen, task):
        assert (seen, task) == (model, TASK)
        looked_at.append(seen.get_weights())
        return types.SimpleNamespace(num_wrong=0, proof="proof", failures=[])

    module, name = {
        Counterexamples: (counterexamples, "verify"),
        StopAtProof: (stop_at_proof, "find_proof"),
    }[kind]
    monkeypatch.setattr(module, name, look)
    return kind(TASK, start_from_epoch=2), looked_at


@pytest.mark.parametrize("place", range(5))
@pytest.mark.parametrize("kind", [Counterexamples, StopAtProof])
def test_what_was_checked_or_proved_is_kept(monkeypatch, kind, place):
    model = compiled()
    callback, looked_at = found(model, monkeypatch, kind)
    history = fit(model, in_each_place(callback)[place])
    assert len(history.epoch) == 3
    assert len(looked_at) == 1
    for one, other in zip(model.get_weights(), looked_at[0], strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kind", [Counterexamples, StopAtProof])
def test_on_two_replicas_too(monkeypatch, mirrored, kind):
    with mirrored.scope():
        model = compiled()
    callback, looked_at = found(model, monkeypatch, kind)
    fit(model, [callback])
    for one, other in zip(model.get_weights(), looked_at[0], strict=True):
        np.testing.assert_array_equal(one, other)


def test_without_a_stop_fit_ends_with_averages_as_in_keras():
    stock, watched = compiled(), compiled()
    fit(stock, [])
    fit(watched, [StopAtFullAccuracy("val_always_right", 9, verbose=0)])
    np.testing.assert_array_equal(
        stock.get_weights()[0], watched.get_weights()[0]
    )
