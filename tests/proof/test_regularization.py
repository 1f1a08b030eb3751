import handmade
import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_lstm.config import ModelConfig
from keras_lstm.core.errors import InputError
from keras_lstm.models.build import build_model
from keras_lstm.models.weights import read_weights
from keras_lstm.proof.intervals import Interval
from keras_lstm.proof.propagation import read_symbol, smallest_margins
from keras_lstm.proof.regularization import (
    ProofRegularization,
    _advance,
    _worst_logits,
)
from keras_lstm.tasks.datasets import make_dataset
from keras_lstm.tasks.increment import Add, Increment

TASK = Increment(num_bits=6)


def small_model(units=4, num_layers=2, task=TASK):
    return build_model(task, ModelConfig(units=units, num_layers=num_layers))


def compiled(model, terms, learning_rate=0.01):
    training_model = keras.Model(model.input, terms(model.output))
    training_model.compile(
        keras.optimizers.SGD(learning_rate),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,
    )
    return training_model


def test_the_logits_pass_through_and_the_model_stays_stock():
    model = small_model()
    layers, config = list(model.layers), model.get_config()
    terms = ProofRegularization(model, TASK)
    training_model = keras.Model(model.input, terms(model.output))
    symbols = np.array([[0, 1, 1, 0], [1, 1, 0, 1]])
    np.testing.assert_array_equal(
        model(symbols), training_model(symbols, training=True)
    )
    assert len(training_model.losses) == 1
    training_model(symbols)
    assert training_model.losses == []
    assert (model.layers, model.get_config()) == (layers, config)
    # Every weight is trained once; the boxes are not trained.
    assert training_model.trainable_weights == model.trainable_weights
    # Code that reads a model's layers sees the same network.
    assert (
        read_weights(training_model, 2).digest()
        == read_weights(model, 2).digest()
    )


def test_nothing_is_added_before_the_warmup_is_over():
    model = small_model()
    terms = ProofRegularization(model, TASK, warmup_steps=2, ramp_steps=2)
    training_model = keras.Model(model.input, terms(model.output))
    losses = []
    for _ in range(6):
        training_model(np.array([[0, 1]]), training=True)
        losses.append(float(training_model.losses[0]))
    assert losses[:3] == [0, 0, 0]
    assert all(loss > 0 for loss in losses[3:])


@pytest.mark.parametrize(("is_right", "first"), [(False, 25), (True, 21)])
def test_the_terms_wait_for_right_answers(is_right, first):
    model = handmade.make_network(TASK) if is_right else small_model()
    terms = ProofRegularization(
        model, TASK, warmup_steps=20, wait_steps=4, ramp_steps=2
    )
    training_model = keras.Model(model.input, terms(model.output))
    losses = []
    for _ in range(28):
        training_model(np.array([[0, 1]]), training=True)
        losses.append(float(training_model.losses[0]))
    assert [loss > 0 for loss in losses] == [i >= first for i in range(28)]


def loss_with_weights(model, containment, forget):
    terms = ProofRegularization(
        *(model, TASK),
        warmup_steps=0,
        ramp_steps=1,
        containment_weight=containment,
        forget_weight=forget,
    )
    training_model = keras.Model(model.input, terms(model.output))
    for _ in range(3):
        training_model(np.array([[0, 1]]), training=True)
    return float(training_model.losses[0])


def test_the_terms_are_weighted():
    model = small_model()
    bare = loss_with_weights(model, 0.0, 0.0)
    parts = [loss_with_weights(model, *w) - bare for w in ((1, 0), (0, 1))]
    assert min(parts) > 0
    found = loss_with_weights(model, 0.5, 3.0)
    expected = bare + 0.5 * parts[0] + 3.0 * parts[1]
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_the_terms_bound_what_the_proof_bounds():
    model = small_model()
    network = read_weights(model, 2)
    lstms = [x for x in model.layers if isinstance(x, keras.layers.LSTM)]
    rng = np.random.default_rng(0)
    low = np.float32(rng.normal(size=(6, 16)))
    high = low + np.float32(rng.random((6, 16)))
    symbols = rng.integers(2, size=6)
    x = np.stack([np.asarray(model.layers[1].embeddings)[symbols]] * 2)
    found = []
    for layer, lstm in enumerate(lstms):
        h, c = (
            np.stack([low[:, i : i + 4], high[:, i : i + 4]])
            for i in (8 * layer, 8 * layer + 4)
        )
        h, c, _ = _advance(lstm, x, h, c)
        x = h
        found += [h, c]
    bounds = read_symbol(network, Interval(low, high), symbols)
    for mine, theirs in zip(np.concatenate(found, 2), bounds, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-5)

    targets = rng.integers(2, size=6)
    worst = _worst_logits(model.layers[-1], found[2], targets)
    others = np.asarray(worst)[np.arange(6), 1 - targets]
    margins = smallest_margins(network, bounds, targets)
    np.testing.assert_allclose(-others, margins, atol=1e-5)
    np.testing.assert_allclose(
        np.asarray(worst)[np.arange(6), targets], 0, atol=1e-6
    )


def test_there_is_a_box_for_each_state_and_symbol():
    model = small_model(task=Add(num_bits=4), num_layers=1)
    terms = ProofRegularization(model, Add(num_bits=4))
    terms.build(None)
    # Besides the start: state 0, no carry, after symbols 0 to 2, and state 1, a
    # carry, after 1 to 3. Symbol 0 never carries, and symbol 3 always does.
    places = {(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (1, 3)}
    assert [tuple(w.shape) for w in terms.weights] == [
        (1 + len(places), 4),
        (1 + len(places), 4),
        (),
    ]


def test_the_centers_follow_the_network():
    model = small_model(num_layers=1)
    terms = ProofRegularization(model, TASK, warmup_steps=1000)
    training_model = keras.Model(model.input, terms(model.output))
    step = tf.function(
        lambda: training_model(tf.constant([[0, 1]]), training=True)
    )
    for _ in range(200):
        step()
    centers = np.concatenate([np.asarray(w) for w in terms.weights[:2]], 1)
    np.testing.assert_array_equal(centers[0], 0)
    # A long stretch of ones keeps the carry, and settles in a box.
    lstm = keras.layers.LSTM(4, return_state=True)
    lstm.build((None, None, 10))
    lstm.set_weights(model.layers[2].get_weights())
    ones = model.layers[1](np.ones((1, 300), int))
    _, h, c = lstm(ones)
    state = np.concatenate([h, c], 1)[0]
    distances = np.abs(centers[1:] - state).max(1)
    assert distances.min() < 0.05


@pytest.mark.slow
def test_replicas_train_as_one_device_does(mirrored):
    def trained(strategy):
        with strategy.scope():
            model = small_model(num_layers=1)
            terms = ProofRegularization(
                model, TASK, warmup_steps=2, ramp_steps=4
            )
            training_model = compiled(model, terms)
        train = make_dataset(TASK.splits(seed=0).train, 16, training=True)
        training_model.fit(train, steps_per_epoch=8, shuffle=False, verbose=0)
        return [np.asarray(w) for w in training_model.get_weights()]

    import tensorflow as tf

    one, two = trained(tf.distribute.get_strategy()), trained(mirrored)
    assert len(one) == len(two)
    for mine, theirs in zip(one, two, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-5)


def test_bad_arguments():
    with pytest.raises(InputError, match="must answer at every time step"):
        ProofRegularization(
            build_model(TASK, ModelConfig("last_state", units=4)), TASK
        )
    with pytest.raises(InputError, match="`radius` must be above 0"):
        ProofRegularization(small_model(), TASK, radius=0.0)
    with pytest.raises(InputError, match="`forget_weight` must be at least 0"):
        ProofRegularization(small_model(), TASK, forget_weight=-1.0)
