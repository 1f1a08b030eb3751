"""What is said of a model is what its `predict` does, however it was made."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_lstm.core.errors import InputError
from keras_lstm.models.logits import margins_of
from keras_lstm.models.weights import read_weights
from keras_lstm.proof.certificate import check_proof
from keras_lstm.proof.search import find_proof
from keras_lstm.proof.subject import provable_weights
from keras_lstm.tasks.increment import Increment, Parity
from keras_lstm.tasks.transducer import TransducerTask
from keras_lstm.verification import rounding_bounds
from keras_lstm.verification.agreement import find_stepper
from keras_lstm.verification.rounding_bounds import DifferenceBounds
from keras_lstm.verification.verify import verify

layers = keras.layers


class Doubled(TransducerTask):
    """Two symbols are read, three are written: 0, 1 and 2."""

    name = "doubled"
    next_state = ((1, 0), (0, 1))
    output = ((0, 2), (2, 0))


def make_model(*last, sequences=True, **settings):
    inputs = keras.Input((None,), dtype="int32")
    x = layers.Embedding(2, 2)(inputs)
    x = layers.LSTM(2, return_sequences=sequences, **settings)(x)
    for layer in last:
        x = layer(x)
    return keras.Model(inputs, x)


def test_a_symbol_that_the_model_cannot_write_is_wrong():
    task = Doubled(num_bits=3)
    model = make_model(layers.Dense(2))
    # It always answers 0.
    model.layers[-1].set_weights([np.zeros((2, 2)), np.array([1.0, 0.0])])
    found = verify(model, task)
    assert found.method == "prefix tree"
    targets = task.targets(task.symbols_of(np.arange(8)))
    assert found.num_wrong == (targets == 2).any(-1).sum()
    assert found.min_margin == -np.inf


def test_the_margin_of_a_symbol_without_a_logit_is_minus_infinity():
    logits = tf.constant([[3.0, 1.0]] * 3)
    assert margins_of(logits, np.arange(3)).numpy().tolist() == [
        2.0,
        -2.0,
        -np.inf,
    ]


@pytest.mark.parametrize("positions", [1, 5])
def test_answers_for_another_number_of_symbols_are_refused(positions):
    head = [layers.Dense(2 * positions), layers.Reshape((positions, 2))]
    model = make_model(*head, sequences=False)
    received = rf"4, num_classes.*\(batch_size, {positions}, 2\)"
    with pytest.raises(InputError, match=received):
        verify(model, Parity(num_bits=4))


def test_inputs_that_are_not_checked_are_not_held_out():
    task = Increment(num_bits=4)
    model = make_model(layers.Dense(2))
    found = verify(model, task, held_out=np.arange(12, 16))
    # 15 has no successor of 4 bits.
    assert found.num_examples == 15
    assert found.test_num_examples == 3


def test_what_was_compiled_before_is_what_predicts(copier):
    model, task = copier
    other = keras.models.clone_model(model)
    other.set_weights(model.get_weights())
    proof = find_proof(other, task).proof
    other.predict_function = lambda _: tf.zeros((256, task.num_bits, 2))
    with pytest.raises(InputError, match="with a margin of 0 where at least"):
        check_proof(other, task, proof)
    other.predict_function = lambda _: tf.zeros((1024, task.num_bits, 2))
    assert find_stepper(other, task) is None


def test_a_patched_keras_is_noticed(copier, monkeypatch):
    model, task = copier
    call = layers.Dense.call
    monkeypatch.setattr(
        layers.Dense, "call", lambda self, x, **k: -call(self, x, **k)
    )
    with pytest.raises(InputError, match=r"margin of -1.* where at least 1"):
        find_proof(model, task)


def test_the_order_of_a_cells_sums_does_not_matter_to_a_proof(copier):
    _, task = copier
    other = make_model(layers.Dense(2), implementation=1)
    weights = [np.zeros_like(w) for w in other.get_weights()]
    rng = np.random.default_rng(0)
    # The candidate is of the symbol alone; the rest only adds rounding.
    weights[0][:] = [[-1, -0.1], [1, 0.1]]
    weights[1][:] = rng.normal(size=(2, 8)) / 10
    weights[1][0, 4:6] = 4
    weights[2][:] = rng.normal(size=(2, 8)) / 100
    weights[3][:] = [5, 5, -5, -5, 0, 0, 5, 5]
    weights[4][:] = [[-1, 1], [-1, 1]]
    other.set_weights(weights)
    search = find_proof(other, task)
    assert search.reason == ""
    assert search.margin > 1


class Doubling(keras.DTypePolicy):
    """A policy that changes what a layer reads."""

    def convert_input(self, x, autocast, input_dtype):
        x = super().convert_input(x, autocast, input_dtype)
        return x if isinstance(x, bool) else 2 * x


def test_a_policy_of_ones_own_is_not_proved(copier):
    model, task = copier
    other = keras.models.clone_model(model)
    other.set_weights(model.get_weights())
    other.layers[-1].dtype_policy = Doubling("float32")
    with pytest.raises(InputError, match="does not compute in float32"):
        find_proof(other, task)


def test_nothing_is_known_of_sums_of_too_many_terms(copier, monkeypatch):
    network = read_weights(copier[0], 2)
    assert DifferenceBounds(network).start() is not None
    monkeypatch.setattr(rounding_bounds, "MAX_TERMS", 2)
    assert DifferenceBounds(network).start() is None


def test_xla_may_be_turned_on_at_any_time(copier):
    model, task = copier
    assert find_stepper(model, task) is not None
    tf.config.optimizer.set_jit(True)
    try:
        assert find_stepper(model, task) is None
    finally:
        tf.config.optimizer.set_jit(False)
    assert find_stepper(model, task) is not None


def test_less_exact_graphs_are_noticed_at_any_time(copier, monkeypatch):
    model, task = copier
    options = {"auto_mixed_precision_onednn_bfloat16": True}
    tf.config.optimizer.set_experimental_options(options)
    try:
        assert find_stepper(model, task) is None
        with pytest.raises(InputError, match="must leave float32 as it is"):
            provable_weights(model, task)
    finally:
        options = dict.fromkeys(options, False)
        tf.config.optimizer.set_experimental_options(options)
    assert find_stepper(model, task) is not None
    monkeypatch.setenv("TF_XLA_FLAGS", "--tf_xla_auto_jit=2")
    assert find_stepper(model, task) is None


@pytest.mark.parametrize("num_bits", [3, 10, 100])
def test_nothing_is_said_of_a_length_that_the_model_does_not_read(num_bits):
    model = keras.Sequential(
        [
            keras.Input((4,), dtype="int32"),
            layers.Embedding(2, 3),
            layers.LSTM(4, return_sequences=True),
            layers.Dense(2),
        ]
    )
    # 100 bits are never walked.
    message = rf"sequences of {num_bits} symbols\..* reads sequences of 4$"
    with pytest.raises(InputError, match=message):
        verify(model, Increment(num_bits=num_bits))
    assert verify(model, Increment(num_bits=4)).checked == "all inputs"
