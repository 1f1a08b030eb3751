import keras
import numpy as np
import pytest

from keras_lstm.callbacks.raise_on_non_finite import (
    NonFiniteError,
    RaiseOnNonFinite,
)


def fit(targets, epochs=1, callbacks=(), loss="mse"):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.25), loss)
    model.fit(
        *(np.ones((8, 2)), np.asarray(targets)),
        batch_size=2,
        epochs=epochs,
        shuffle=False,
        verbose=0,
        callbacks=[RaiseOnNonFinite(), *callbacks],
    )


def test_finite_numbers_pass():
    fit(np.zeros(8), epochs=2)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_ends_the_step(value):
    targets = np.zeros(8)
    targets[5] = value
    with pytest.raises(
        NonFiniteError,
        match=rf"the loss is {value} after step 3 \(learning rate now 0\.25\)",
    ):
        fit(targets)


def test_a_weight_that_is_not_finite_ends_the_step():
    class Spoil(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if batch == 1:
                self.model.layers[0].bias.assign([-np.inf])

    class Finite(keras.losses.Loss):
        """A loss that is finite for infinite weights."""

        def call(self, y_true, y_pred):
            return keras.ops.sigmoid(y_pred)

    with pytest.raises(NonFiniteError, match="a weight is not finite after st"):
        fit(np.zeros(8), callbacks=[Spoil()], loss=Finite())


def test_keras_terminate_on_nan_still_ends_as_if_all_was_well():
    """If it raises, `RaiseOnNonFinite` is no longer needed."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    history = model.fit(
        *(np.ones((8, 2)), np.full(8, np.nan)),
        shuffle=False,
        verbose=0,
        callbacks=[keras.callbacks.TerminateOnNaN()],
    )
    assert len(history.epoch) == 1
