import keras
import numpy as np
import pytest
import tensorflow as tf

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


class Adversaries(keras.Model):
    """Model whose own `train_step` uses two optimizers and two losses."""

    def __init__(self):
        super().__init__()
        self.one, self.two = keras.layers.Dense(1), keras.layers.Dense(1)
        self.d_optimizer = keras.optimizers.SGD(0.5)
        self.g_optimizer = keras.optimizers.SGD(0.25)
        self.lost = 1.0

    def train_step(self, data):
        for layer, optimizer in (
            (self.one, self.d_optimizer),
            (self.two, self.g_optimizer),
        ):
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(layer(data))
            gradients = tape.gradient(loss, layer.trainable_weights)
            optimizer.apply(gradients, layer.trainable_weights)
        return {"d_loss": 1.0, "g_loss": loss * self.lost, "score": np.nan}


@pytest.mark.parametrize(
    ("lost", "bias", "message"),
    [
        (np.nan, 0.0, "the g loss is nan after step 1"),
        (1.0, np.inf, "a weight is not finite after step 1"),
    ],
)
def test_every_loss_and_optimizer_of_an_own_step_is_seen(lost, bias, message):
    model = Adversaries()
    model.lost = lost
    model.one.bias_initializer = keras.initializers.Constant(bias)
    model.compile(run_eagerly=True)
    rates = r" \(learning rate now 0.5 of d_optimizer, 0.25 of g_optimizer\)"
    with pytest.raises(NonFiniteError, match=f"{message}{rates}"):
        model.fit(np.ones((8, 2)), verbose=0, callbacks=[RaiseOnNonFinite()])


@pytest.mark.skipif(
    not hasattr(keras.optimizers, "MultiOptimizer"), reason="newer Keras"
)
def test_an_optimizer_made_of_several_is_told_by_their_rates():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    inner = keras.optimizers.SGD(0.25)
    model.compile(
        keras.optimizers.MultiOptimizer(lambda variable: inner), "mse"
    )
    with pytest.raises(
        NonFiniteError, match=r"nan after step 1 \(learning rate now 0\.25\)"
    ):
        model.fit(
            *(np.ones((8, 2)), np.full(8, np.nan)),
            verbose=0,
            callbacks=[RaiseOnNonFinite()],
        )


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
