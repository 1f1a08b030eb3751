"""Microbatches and replicas, compared with stock Keras on one device."""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

from keras_lstm.core.errors import InputError
from keras_lstm.distribute.microbatches import enable_microbatches
from keras_lstm.distribute.multi_worker import (
    enable_multi_worker,
    sum_losses_over_replicas,
)
from keras_lstm.models.gradient_clipping import clip_aggregated_gradients

rng = np.random.default_rng(0)
# 13 examples in batches of 8: the last batch has 5, which two parts cannot
# halve. The parts differ in how many positions are masked.
TOKENS = rng.integers(1, 5, size=(13, 6))
TOKENS[:4, 2:] = 0
TARGETS = rng.integers(3, size=(13, 6))
ROWS = np.float32(rng.normal(size=(13, 4)))
VALUES = np.float32(rng.normal(size=(13, 2)))
CROSSENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


class Adds(layers.Layer):
    """Layer that adds to the loss what a function makes of its input."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def call(self, x):
        self.add_loss(self.function(x))
        return x


def mean_of_squares(x):
    return ops.mean(x**2)


def sum_of_squares(x):
    return 0.1 * ops.sum(x**2)


def by_example(x):
    return ops.mean(x**2, -1)


def scalar_mean(y, p):
    return ops.mean((y - p) ** 2)


def scalar_sum(y, p):
    return 0.1 * ops.sum((y - p) ** 2)


def dense(*between, loss="mse", **options):
    model = keras.Sequential([keras.Input((4,)), *between, layers.Dense(2)])
    model.compile(keras.optimizers.SGD(0.5), loss, jit_compile=False, **options)
    return model


def masked(**options):
    inputs = keras.Input((6,), dtype="int32")
    x = layers.Embedding(5, 3, mask_zero=True)(inputs)
    one = layers.LSTM(2)(x)
    every = layers.Dense(3, name="every")(x)
    model = keras.Model(inputs, {"every": every, "one": one})
    model.compile(
        keras.optimizers.SGD(0.5),
        {"every": CROSSENTROPY, "one": "mse"},
        metrics={"every": ["accuracy"], "one": ["mae"]},
        loss_weights={"every": 0.5, "one": 2.0},
        jit_compile=False,
    )
    return model


SEVERAL = (TOKENS, {"every": TARGETS, "one": VALUES})
# How the model is made, its data, and what enables it is told.
CASES = {
    "masks": (masked, SEVERAL, None),
    "sample weights": (dense, (ROWS, VALUES, rng.random(13)), None),
    "a sum": (
        lambda: dense(loss=keras.losses.MeanSquaredError(reduction="sum")),
        (0.1 * ROWS, VALUES),
        None,
    ),
    "a scalar mean": (lambda: dense(loss=scalar_mean), (ROWS, VALUES), "mean"),
    "a scalar sum": (lambda: dense(loss=scalar_sum), (ROWS, VALUES), "sum"),
    "an added mean": (
        lambda: dense(Adds(mean_of_squares), layers.Dense(3)),
        (ROWS, VALUES),
        "mean",
    ),
    "an added sum": (
        lambda: dense(layers.Dense(3), Adds(sum_of_squares)),
        (ROWS, VALUES),
        "sum",
    ),
    "added by example": (
        lambda: dense(layers.Dense(3), Adds(by_example)),
        (0.1 * ROWS, VALUES),
        None,
    ),
    "regularizers": (
        lambda: dense(
            layers.Dense(3, kernel_regularizer="l2", activity_regularizer="l2")
        ),
        (ROWS, VALUES),
        None,
    ),
}
PARTS = ["microbatches", "replicas"]


def fitted(case, how, mirrored, class_weight=None):
    make, data, scalar_losses = case
    keras.utils.set_random_seed(3)
    on_replicas = how == "replicas"
    with mirrored.scope() if on_replicas else contextlib.nullcontext():
        model = make()
        if on_replicas:
            sum_losses_over_replicas(model, scalar_losses)
    if how == "microbatches":
        enable_microbatches(model, 2, scalar_losses=scalar_losses)
    x, y, *weights = data
    history = model.fit(
        x,
        y,
        sample_weight=weights[0] if weights else None,
        class_weight=class_weight,
        batch_size=8,
        epochs=2,
        shuffle=False,
        verbose=0,
        validation_data=data if on_replicas or how is None else None,
    ).history
    return model.get_weights(), history


def compare(case, how, mirrored, **options):
    stock, expected = fitted(case, None, mirrored, **options)
    weights, found = fitted(case, how, mirrored, **options)
    for one, other in zip(stock, weights, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    for name, values in found.items():
        np.testing.assert_allclose(values, expected[name], rtol=1e-4)
    assert {x for x in expected if not x.startswith("val_")} <= set(found)


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("masks", "microbatches"),
        pytest.param("masks", "replicas", marks=pytest.mark.slow),
        *(("a scalar sum", how) for how in PARTS),
        *(("added by example", how) for how in PARTS),
    ],
)
def test_parts_learn_what_stock_keras_does(mirrored, name, how):
    compare(CASES[name], how, mirrored)


class Positions(layers.Layer):
    """Embeddings of tokens and of positions, which all examples share."""

    def build(self, shape):
        self.tokens = layers.Embedding(5, 2)
        self.positions = layers.Embedding(6, 2)

    def call(self, x):
        return self.tokens(x) + self.positions(ops.arange(6))


@pytest.mark.slow
@pytest.mark.parametrize("how", PARTS)
def test_rows_of_embeddings_are_squared_as_on_one_device(mirrored, how):
    """Adam squares each summand of a row by itself."""

    def make():
        model = keras.Sequential([keras.Input((6,)), Positions()])
        model.compile(
            keras.optimizers.Adam(0.1, epsilon=1e-3), "mse", jit_compile=False
        )
        return model

    values = np.stack([TOKENS, TOKENS % 2], -1).astype("float32")
    compare((make, (TOKENS, values), None), how, mirrored)


@pytest.mark.slow
@pytest.mark.parametrize("how", PARTS)
@pytest.mark.parametrize("name", CASES)
def test_all_parts_learn_what_stock_keras_does(mirrored, name, how):
    compare(CASES[name], how, mirrored)


@pytest.mark.slow
@pytest.mark.parametrize("how", PARTS)
def test_class_weights_count(mirrored, how):
    case = (lambda: dense(loss=CROSSENTROPY), (ROWS, TARGETS[:, 0] % 2), None)
    compare(case, how, mirrored, class_weight={0: 1.0, 1: 5.0})


@pytest.mark.slow
@pytest.mark.parametrize("how", PARTS)
def test_averages_of_a_synchronized_batch_are_those_of_one_device(
    mirrored, how
):
    def make():
        return dense(layers.BatchNormalization(synchronized=True))

    case = (make, (ROWS, VALUES), None)
    if how == "replicas":
        compare(case, how, mirrored)
        return
    with pytest.raises(InputError, match=r"Use LayerNorm.*/moving_mean"):
        fitted(case, how, mirrored)


REFUSED = {
    "a scalar loss": (
        lambda: dense(loss=scalar_mean),
        "`scalar_losses` must be 'mean' or 'sum'.*loss `scalar_mean`",
    ),
    "an added scalar": (
        lambda: dense(Adds(mean_of_squares)),
        "`scalar_losses` must be 'mean' or 'sum'.*`add_loss` of `adds",
    ),
    "a ratio of sums": (
        lambda: dense(loss=keras.losses.Dice()),
        "Dice with axis=None, which is a ratio of sums",
    ),
    "no reduction": (
        lambda: dense(loss=keras.losses.MeanSquaredError(reduction="none")),
        "reduced to a mean or a sum.*reduction=none of loss",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_loss_that_is_not_known_is_refused(mirrored, name):
    make, message = REFUSED[name]
    with pytest.raises(InputError, match=message):
        fitted((make, (ROWS, VALUES), None), "microbatches", mirrored)


OF_CLASSES = {
    "ignored classes": (
        keras.losses.SparseCategoricalCrossentropy(
            from_logits=True, ignore_class=1
        ),
        "must not choose what counts in its mean.*ignore_class=1",
    ),
    "a comparison of examples": (
        keras.losses.Circle(),
        "circle, which compares the examples",
    ),
}


@pytest.mark.parametrize("how", PARTS)
@pytest.mark.parametrize("name", OF_CLASSES)
def test_a_loss_over_more_than_its_part_is_refused(mirrored, name, how):
    loss, message = OF_CLASSES[name]
    case = (lambda: dense(loss=loss), (ROWS, TARGETS[:, 0] % 2), None)
    with pytest.raises(InputError, match=message):
        fitted(case, how, mirrored)


@pytest.mark.slow
@pytest.mark.parametrize("how", PARTS)
def test_a_sum_may_ignore_a_class(mirrored, how):
    loss = keras.losses.SparseCategoricalCrossentropy(
        from_logits=True, ignore_class=1, reduction="sum"
    )
    case = (lambda: dense(loss=loss), (0.1 * ROWS, TARGETS[:, 0] % 2), None)
    compare(case, how, mirrored)


@pytest.mark.slow
@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_on_replicas_too(mirrored, name):
    make, message = REFUSED[name]
    with pytest.raises(InputError, match=message):
        fitted((make, (ROWS, VALUES), None), "replicas", mirrored)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (layers.BatchNormalization(), "must have synchronized=True.*`batch_n"),
        (
            keras.Sequential([layers.BatchNormalization()]),
            "must have synchronized=True",
        ),
    ],
)
def test_layers_that_see_their_replicas_part_are_refused(
    mirrored, layer, message
):
    with pytest.raises(InputError, match=message):
        fitted(
            (lambda: dense(layer), (ROWS, VALUES), None), "replicas", mirrored
        )


def test_scalars_with_weights_are_refused(mirrored):
    data = (ROWS, VALUES, np.ones(13))
    with pytest.raises(InputError, match="`loss` must return one value per ex"):
        fitted(
            (lambda: dense(loss=scalar_mean), data, "mean"), PARTS[0], mirrored
        )


class OwnStep(keras.Model):
    """Model with a `train_step` of its own."""

    def train_step(self, data):
        return {}


@pytest.mark.parametrize(
    ("enable", "or_else"),
    [
        (lambda model: enable_microbatches(model, 2), "without microbatches"),
        (sum_losses_over_replicas, "pass trust_own_steps=True if it divides"),
    ],
)
def test_a_step_of_the_models_own_is_refused(enable, or_else):
    model = OwnStep()
    model.compile(loss="mse", jit_compile=False)
    with pytest.raises(
        InputError, match=rf"`train_step` of its own.*{or_else}.*OwnStep"
    ):
        enable(model)


@pytest.mark.parametrize(
    "enable",
    [
        lambda model: enable_microbatches(model, 2, scalar_losses="max"),
        lambda model: enable_multi_worker(model, scalar_losses="max"),
    ],
)
def test_a_scalar_is_a_mean_or_a_sum(enable):
    with pytest.raises(InputError, match=r"`scalar_losses` must .*'max'"):
        enable(dense())


class ReadsTwice(layers.Layer):
    """Embedding that is read at the inputs and twice at fixed rows."""

    def build(self, shape=None):
        self.table = layers.Embedding(5, 3)
        self.table.build()

    def call(self, x):
        fixed = ops.concatenate([ops.arange(5), ops.arange(3)])
        return ops.mean(self.table(x), 1) + ops.sum(self.table(fixed), 0)


READERS = {
    "adam": {},
    "global_clipnorm": {"global_clipnorm": 0.1},
    "clipnorm": {"clipnorm": 0.1},
    "clipvalue": {"clipvalue": 0.01},
}


def fit_reading_twice(settings, num_microbatches=0, strategy=None):
    with (strategy or tf.distribute.get_strategy()).scope():
        keras.utils.set_random_seed(0)
        model = keras.Sequential(
            [keras.Input((4,), dtype="int32"), ReadsTwice(), layers.Dense(2)]
        )
        optimizer = keras.optimizers.Adam(0.05, **READERS[settings])
        if strategy:
            clip_aggregated_gradients(optimizer)
        model.compile(optimizer, "mse", jit_compile=False)
    if num_microbatches:
        enable_microbatches(model, num_microbatches)
    if strategy:
        sum_losses_over_replicas(model)
    rng = np.random.default_rng(0)
    x, y = rng.integers(5, size=(38, 4)), rng.normal(size=(38, 2))
    model.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0)
    return model.get_weights()


@pytest.mark.parametrize(
    "settings",
    [
        "global_clipnorm",
        pytest.param("adam", marks=pytest.mark.slow),
        pytest.param("clipnorm", marks=pytest.mark.slow),
        pytest.param("clipvalue", marks=pytest.mark.slow),
    ],
)
def test_a_table_is_read_at_the_inputs_and_at_fixed_rows(mirrored, settings):
    """Each summand of a row is squared and clipped as on one device."""
    stock = fit_reading_twice(settings)
    for other in (
        fit_reading_twice(settings, num_microbatches=3),
        fit_reading_twice(settings, strategy=mirrored),
    ):
        for one, another in zip(stock, other, strict=True):
            np.testing.assert_allclose(one, another, rtol=1e-4, atol=1e-5)


def test_a_table_without_a_graph_is_refused():
    model = keras.Sequential(
        [
            keras.Input((4,), dtype="int32"),
            layers.Embedding(5, 3),
            layers.Flatten(),
            layers.Dense(2),
        ]
    )
    model.compile("adam", "mse", jit_compile=False, run_eagerly=True)
    with pytest.raises(InputError, match="run_eagerly=False if it has an Emb"):
        enable_microbatches(model, 2).fit(
            np.ones((4, 4), int), np.ones((4, 2)), verbose=0
        )
