"""LSTMs and convolutions by large products, beside stock Keras."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_lstm import Increment, ModelConfig, build_model
from keras_lstm.core.errors import InputError
from keras_lstm.distribute.microbatches import enable_microbatches
from keras_lstm.models.large_products import (
    enable_large_products,
    has_large_products,
)
from keras_lstm.models.weights import supported_layers

INPUTS = np.random.default_rng(0).normal(size=(6, 5, 3)).astype("float32")
LABELS = np.arange(6) % 4


def make_model(*, length=5, **options):
    keras.utils.set_random_seed(3)
    options = {"bias_initializer": "random_normal"} | options
    model = keras.Sequential(
        [
            keras.Input((length, 3)),
            keras.layers.Conv1D(6, 3, padding="causal", activation="relu"),
            keras.layers.LSTM(7, return_sequences=True, **options),
            keras.layers.LSTM(8, **options),
            keras.layers.Dense(4),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.5), loss, jit_compile=False)
    return model


def changed(model):
    return [has_large_products(layer) for layer in model.layers]


def gradients(model, inputs):
    inputs = tf.constant(inputs)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = model(inputs, training=True)
        total = tf.reduce_sum(outputs * outputs)
    return outputs, *tape.gradient(total, [inputs, *model.trainable_weights])


@pytest.mark.parametrize("length", [5, None])
def test_outputs_and_gradients_are_those_of_stock_keras(length):
    stock = gradients(make_model(), INPUTS)
    compiled = enable_large_products(make_model(length=length))
    for ours, theirs in zip(gradients(compiled, INPUTS), stock, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_one_step_has_no_state_before_it():
    stock = gradients(make_model(length=1), INPUTS[:, :1])
    model = enable_large_products(make_model(length=1))
    for ours, theirs in zip(
        gradients(model, INPUTS[:, :1]), stock, strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("num_microbatches", [1, 2])
def test_fit_learns_the_same_also_in_microbatches(num_microbatches):
    models = make_model(), enable_large_products(make_model())
    if num_microbatches > 1:
        enable_microbatches(models[1], num_microbatches)
    losses = [
        model.fit(
            *(INPUTS, LABELS), batch_size=6, epochs=5, shuffle=False, verbose=0
        ).history["loss"]
        for model in models
    ]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-4)
    assert losses[0][-1] < losses[0][0]
    for ours, theirs in zip(models[1].weights, models[0].weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5)


def test_only_training_is_compiled_and_files_are_as_before(tmp_path):
    stock, model = make_model(), enable_large_products(make_model())
    assert changed(model) == [True, True, True, False]
    assert changed(stock) == [False] * 4
    features = stock.layers[0](INPUTS)
    same = model.layers[1](features) == stock.layers[1](features)
    assert np.all(same)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert changed(loaded) == [False] * 4
    assert np.all(loaded(INPUTS) == stock(INPUTS))


@pytest.mark.parametrize(
    "options",
    [
        {"activation": "relu"},
        {"dropout": 0.5},
        {"go_backwards": True},
        {"stateful": True},
        {"unroll": True},
        {"use_bias": False},
        {"dtype": "mixed_bfloat16"},
    ],
)
def test_other_lstms_stay_as_they_are(options):
    model = keras.Sequential(
        [
            keras.Input((5, 3), batch_size=6),
            keras.layers.LSTM(7, return_sequences=True),
            keras.layers.LSTM(8, **options),
        ]
    )
    assert changed(enable_large_products(model)) == [True, False]


@pytest.mark.parametrize(
    "options",
    [
        {"padding": "same"},
        {"dilation_rate": 2},
        {"groups": 3},
        {"strides": 2},
        {"dtype": "mixed_bfloat16"},
    ],
)
def test_other_convolutions_stay_as_they_are(options):
    options = {"padding": "causal"} | options
    model = keras.Sequential(
        [keras.Input((5, 3)), keras.layers.Conv1D(6, 3, **options)]
    )
    assert changed(enable_large_products(model)) == [False]


def test_xla_compiles_convolutions_of_which_order_does_not_matter(monkeypatch):
    monkeypatch.setattr(
        "keras_lstm.distribute.microbatches.is_op_determinism_enabled",
        lambda: True,
    )
    with pytest.raises(InputError, match="XLA has no deterministic ones"):
        enable_microbatches(make_model(), 2, jit_compile=True)
    model = enable_large_products(make_model())
    enable_microbatches(model, 2, jit_compile=True)
    loss = model.fit(INPUTS, LABELS, batch_size=6, verbose=0).history["loss"]
    stock = make_model().fit(INPUTS, LABELS, batch_size=6, verbose=0)
    np.testing.assert_allclose(loss, stock.history["loss"], rtol=1e-4)


def test_a_fitted_network_is_walked_by_its_weights():
    # Each epoch that looks for counterexamples walks the model that is fitted.
    model = build_model(Increment(num_bits=4), ModelConfig(units=4))
    layers = supported_layers(model, 2)
    assert supported_layers(enable_large_products(model), 2) == layers
    assert [has_large_products(x) for x in layers].count(True) == 2


@pytest.mark.parametrize("is_traced", [True, False])
def test_a_gradient_of_a_gradient_is_refused_and_not_wrong(is_traced):
    def penalty(model):
        inputs = tf.constant(INPUTS)
        with tf.GradientTape() as outer:
            with tf.GradientTape() as inner:
                inner.watch(inputs)
                total = tf.reduce_sum(model(inputs, training=True))
            loss = tf.reduce_sum(inner.gradient(total, inputs) ** 2)
        return outer.gradient(loss, model.trainable_weights)

    if is_traced:
        penalty = tf.function(penalty, autograph=False)
    assert len(penalty(make_model())) == 10
    with pytest.raises(InputError, match="a gradient of a gradient"):
        penalty(enable_large_products(make_model()))


def test_a_mask_is_left_to_keras():
    def masked(change):
        keras.utils.set_random_seed(1)
        model = keras.Sequential(
            [
                keras.Input((5,)),
                keras.layers.Embedding(4, 3, mask_zero=True),
                keras.layers.LSTM(6),
            ]
        )
        return change(model)(np.array([[1, 2, 3, 0, 0]]), training=True)

    same = masked(enable_large_products) == masked(lambda model: model)
    assert np.all(same)
