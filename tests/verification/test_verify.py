import dataclasses
import functools
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_lstm.config import ModelConfig
from keras_lstm.core.errors import InputError
from keras_lstm.models.build import build_model
from keras_lstm.proof.search import find_proof
from keras_lstm.tasks.datasets import make_dataset
from keras_lstm.tasks.hard_inputs import hard_inputs
from keras_lstm.tasks.increment import Decrement, Increment, Parity
from keras_lstm.tasks.transducer import TransducerTask
from keras_lstm.verification import asked_inputs, blocks, prefix_tree
from keras_lstm.verification import verify as verification
from keras_lstm.verification.rounding_bounds import DifferenceBounds
from keras_lstm.verification.verify import verify


class Keep(TransducerTask):
    """Three symbols, three states."""

    name = "keep"
    next_state = ((1, 2, 0), (2, 0, 1), (0, 1, 2))
    output = ((0, 1, 2), (2, 0, 1), (1, 2, 0))
    domain_states = frozenset({0, 2})


def half_trained(task, config, steps=12):
    """Return a model with some right and some wrong predictions."""
    model = build_model(task, config, seed=1)
    model.set_weights(half_trained_weights(task, config, steps))
    return model


@functools.cache
def half_trained_weights(task, config, steps):
    model = build_model(task, config, seed=1)
    model.compile(
        keras.optimizers.Adam(0.03),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    train = make_dataset(task.splits(seed=0).train, 64, training=True)
    model.fit(train, steps_per_epoch=steps, shuffle=False, verbose=0)
    return model.get_weights()


def brute_force(model, task):
    """Return the domain's numbers, wrong tokens and margins, by `predict`."""
    numbers = np.arange(task.num_symbols**task.num_bits)
    symbols = task.symbols_of(numbers)
    inside = task.in_domain(task.states(symbols)[:, -1])
    numbers, symbols = numbers[inside], symbols[inside]
    logits = model.predict(symbols, verbose=0)
    targets = task.targets(symbols)
    right = np.take_along_axis(logits, targets[..., None], -1)[..., 0]
    np.put_along_axis(logits, targets[..., None], -np.inf, -1)
    margins = (right - logits.max(-1)).min(-1)
    wrong = (right <= logits.max(-1)).sum(-1)
    return numbers, wrong, margins


@pytest.mark.parametrize(
    ("block", "pack"),
    [
        (256, 70),
        pytest.param(4, 2**10, marks=pytest.mark.slow),
        pytest.param(2**14, 2**10, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize(
    ("task", "config"),
    [
        (Increment(num_bits=9), ModelConfig(units=8)),
        (Increment(num_bits=9), ModelConfig("last_state", 8)),
        (Keep(num_bits=5), ModelConfig(units=8, input_noise=0.1)),
        *(
            pytest.param(task, config, marks=pytest.mark.slow)
            for task, config in (
                (Parity(num_bits=8), ModelConfig(units=6, num_layers=3)),
                (Increment(num_bits=1), ModelConfig(units=2)),
                (Decrement(num_bits=8), ModelConfig(units=6, num_layers=1)),
                (Parity(num_bits=7), ModelConfig("last_state", 6, dropout=0.1)),
                (
                    Keep(num_bits=5),
                    ModelConfig("last_state", 8, layer_noise=0.1),
                ),
            )
        ),
    ],
)
def test_the_walk_finds_what_predict_says(
    monkeypatch, task, config, block, pack
):
    monkeypatch.setattr(prefix_tree, "_BLOCK_NODES", block)
    monkeypatch.setattr(blocks, "_NODES_TO_PACK", pack)
    model = half_trained(task, config)
    numbers, wrong, margins = brute_force(model, task)
    found = verify(model, task)
    assert (found.checked, found.method) == ("all inputs", "prefix tree")
    assert found.num_examples == len(numbers) == task.num_inputs()
    assert found.num_wrong == (wrong > 0).sum()
    assert found.num_wrong_tokens == wrong.sum()
    assert found.num_tokens == len(numbers) * task.num_bits
    assert found.min_margin == pytest.approx(margins.min(), abs=1e-5)
    powers = task.num_symbols ** np.arange(task.num_bits)
    listed = {int(f.symbols @ powers): f for f in found.failures}
    assert sorted(listed) == numbers[wrong > 0].tolist()
    order = [f.margin for f in found.failures]
    assert order == sorted(order)
    by_number = dict(zip(numbers.tolist(), margins, strict=True))
    for number, failure in listed.items():
        assert failure.margin == pytest.approx(by_number[number], abs=1e-5)
        assert (failure.prediction != failure.target).any()
        assert failure.hold_length == task.hold_length(failure.symbols)
    lengths = task.hold_length(task.symbols_of(numbers))
    assert [
        (c.hold_length, c.num_wrong, c.num_examples)
        for c in found.by_hold_length
    ] == [
        (k, (wrong[lengths == k] > 0).sum(), (lengths == k).sum())
        for k in np.unique(lengths)
    ]


@pytest.mark.slow
def test_a_random_sample_of_a_large_domain_agrees_with_predict():
    task = Increment(num_bits=16)
    model = half_trained(task, ModelConfig("last_state", 16), steps=60)
    found = verify(model, task)
    powers = 2 ** np.arange(16)
    wrong = {int(f.symbols @ powers) for f in found.failures}
    rng = np.random.default_rng(0)
    sample = rng.choice(2**16 - 1, 2000, replace=False)
    symbols = task.symbols_of(sample)
    predicted = model.predict(symbols, verbose=0).argmax(-1)
    expected = (predicted != task.targets(symbols)).any(-1)
    assert found.num_wrong == len(wrong)
    assert [int(n) in wrong for n in sample] == expected.tolist()


def test_close_margins_are_checked_again(monkeypatch):
    task = Increment(num_bits=5)
    model = half_trained(task, ModelConfig(units=4))
    expected = verify(model, task)
    rechecked = []
    compare = asked_inputs._compare

    def noting(model, task, symbols):
        rechecked.append(len(symbols))
        return compare(model, task, symbols)

    monkeypatch.setattr(asked_inputs, "_compare", noting)
    monkeypatch.setattr(DifferenceBounds, "start", lambda self: None)
    found = verify(model, task)
    assert sum(rechecked) == found.num_predicted == 31
    assert found.num_wrong == expected.num_wrong
    assert found.num_wrong_tokens == expected.num_wrong_tokens


@pytest.mark.parametrize("num_bits", [5, 14])
def test_of_a_proved_model_only_wrong_answers_are_checked_again(num_bits):
    task = Increment(num_bits=num_bits)
    model = build_model(task, ModelConfig(units=4))
    weights = half_trained_weights(Increment(5), ModelConfig(units=4), 32)
    model.set_weights(weights)
    expected = verify(model, task)
    assert 0 < expected.num_wrong < expected.num_examples
    # This model is not proved: what it gets wrong is found all the same.
    found = verify(model, task, is_proved=True)
    assert found.num_predicted == found.num_wrong == expected.num_wrong
    assert found.num_wrong_tokens == expected.num_wrong_tokens
    assert found.min_margin == pytest.approx(expected.min_margin, abs=1e-5)
    assert found.by_hold_length == expected.by_hold_length


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_other_layers_are_asked_one_by_one(precision):
    task = Increment(num_bits=6)
    if precision == "float32":
        model = keras.Sequential(
            [
                keras.layers.Embedding(2, 3),
                keras.layers.GRU(4, return_sequences=True),
                keras.layers.Dense(2),
            ]
        )
        model.build((None, 6))
    else:
        model = build_model(task, ModelConfig(units=4, precision=precision))
    numbers, wrong, _ = brute_force(model, task)
    found = verify(model, task)
    assert (found.checked, found.method) == ("all inputs", "predict")
    assert found.num_examples == len(numbers)
    assert found.num_wrong == (wrong > 0).sum()


@pytest.mark.parametrize(
    "change",
    [
        {"go_backwards": True},
        {"activation": "relu"},
        {"recurrent_activation": "hard_sigmoid"},
        {"use_bias": False},
    ],
)
def test_an_lstm_that_is_not_stock_is_asked_one_by_one(change):
    model = keras.Sequential(
        [
            keras.Input((3,), dtype="int32"),
            keras.layers.Embedding(2, 3),
            keras.layers.LSTM(4, return_sequences=True, **change),
            keras.layers.Dense(2),
        ]
    )
    task = Increment(num_bits=3)
    assert verify(model, task).method == "predict"


@pytest.mark.parametrize("head", ["per_step", "last_state"])
@pytest.mark.parametrize("walked", [2**24, 1])
def test_a_network_of_nans_is_wrong_everywhere(head, walked):
    task = Increment(num_bits=6)
    model = build_model(task, ModelConfig(head, 4))
    model.set_weights([np.full_like(w, np.nan) for w in model.get_weights()])
    found = verify(model, task, max_walked_inputs=walked)
    assert found.num_wrong == found.num_examples > 0
    assert found.num_wrong_tokens == found.num_tokens
    assert found.min_margin == -np.inf
    assert (found.failures[0].prediction == -1).all()


class Wide(TransducerTask):
    """Two input symbols, ten output symbols: 20 outputs exceed 64 bits."""

    name = "wide"
    next_state = ((0, 1), (1, 0))
    output = ((9, 0), (3, 7))


@pytest.mark.parametrize(
    "head", ["per_step", pytest.param("last_state", marks=pytest.mark.slow)]
)
def test_a_larger_output_alphabet_is_walked(head):
    task = Wide(num_bits=20)
    config = ModelConfig(head, 4, num_layers=1)
    model = build_model(task, config)
    found = verify(model, task, max_walked_inputs=2**20)
    small = Wide(num_bits=6)
    if head == "per_step":
        _, wrong, _ = brute_force(model, small)
        again = verify(model, small)
        assert again.num_wrong == (wrong > 0).sum()
    assert found.num_examples == 2**20
    symbols = task.symbols_of(np.arange(0, 2**20, 2**10))
    predicted = model.predict(symbols, verbose=0).argmax(-1)
    wrong = (predicted != task.targets(symbols)).any(-1)
    assert wrong.all() == (found.num_wrong == 2**20)


@pytest.mark.parametrize("per_step", [True, False])
def test_a_custom_embedding_and_reshape_are_supported(per_step):
    layers = [
        keras.Input((4,), dtype="int32"),
        keras.layers.Embedding(10, 3),
        keras.layers.LSTM(4, return_sequences=per_step),
        keras.layers.Dense(2 if per_step else 8),
    ]
    model = keras.Sequential(
        layers + ([] if per_step else [keras.layers.Reshape((-1, 2))])
    )
    task = Increment(num_bits=4)
    _, wrong, _ = brute_force(model, task)
    found = verify(model, task)
    assert found.method == "prefix tree"
    assert found.num_wrong == (wrong > 0).sum()


class Late(TransducerTask):
    """A domain of inputs that end in a 1: the upper half of all numbers."""

    name = "late"
    next_state = ((0, 1), (0, 1))
    output = ((0, 1), (0, 1))
    domain_states = frozenset({1})


def test_a_part_without_inputs_is_passed_over():
    task = Late(num_bits=14)
    config = ModelConfig(units=2, num_layers=1, precision="mixed_bfloat16")
    found = verify(build_model(task, config), task)
    assert found.method == "predict"
    assert found.num_examples == 2**13


def test_a_branch_is_asked_one_by_one():
    inputs = keras.Input((3,), dtype="int32")
    x = keras.layers.Embedding(2, 4)(inputs)
    y = keras.layers.LSTM(4, return_sequences=True)(x)
    outputs = keras.layers.Dense(2)(keras.layers.Add()([x, y]))
    task = Increment(num_bits=3)
    found = verify(keras.Model(inputs, outputs), task)
    assert (found.checked, found.method) == ("all inputs", "predict")


def test_logits_of_another_shape_are_refused():
    model = keras.Sequential(
        [
            keras.Input((4,), dtype="int32"),
            keras.layers.Embedding(2, 3),
            keras.layers.LSTM(4),
            keras.layers.Dense(8),
        ]
    )
    with pytest.raises(
        InputError, match=r"4, num_classes\).*\(batch_size, 8\)"
    ):
        verify(model, Increment(num_bits=4))


@pytest.mark.parametrize("is_walked", [True, False])
def test_a_model_of_one_class_is_refused(is_walked):
    between = [] if is_walked else [keras.layers.Activation("tanh")]
    model = keras.Sequential(
        [
            keras.Input((4,), dtype="int32"),
            keras.layers.Embedding(2, 3),
            *between,
            keras.layers.LSTM(4, return_sequences=True),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    with pytest.raises(InputError, match="two classes or more"):
        verify(model, Increment(num_bits=4))


def test_the_walk_of_a_large_domain_is_short_for_small_networks_too(
    monkeypatch,
):
    limits = []

    def refused(*arguments):
        limits.append(arguments[-1])
        raise prefix_tree.UnmergedError
        yield

    monkeypatch.setattr(verification, "walk_merged", refused)
    for units in (4, 256):
        task = Parity(num_bits=40)
        verify(build_model(task, ModelConfig(units=units)), task)
    # A network of few weights is walked no faster, state by state.
    assert limits[0] == 2**20
    assert 2**16 < limits[1] < 2**17


@pytest.mark.parametrize(
    ("held_out", "message"),
    [
        (np.array([0.5]), "must be integers. Received: dtype=float64"),
        (np.array([3, 16]), "must be inputs from 0 to 15. Received: 16"),
        (np.array([-1]), "must be inputs from 0 to 15. Received: -1"),
    ],
)
def test_held_out_inputs_are_of_the_domain(held_out, message):
    task = Parity(num_bits=4)
    model = build_model(task, ModelConfig(units=4))
    with pytest.raises(InputError, match=message):
        verify(model, task, held_out=held_out)


def test_held_out_inputs_are_counted_apart():
    task = Increment(num_bits=8)
    model = half_trained(task, ModelConfig("last_state", 8), steps=40)
    numbers, wrong, _ = brute_force(model, task)
    held_out = np.arange(3, 255, 5)
    found = verify(model, task, held_out=held_out)
    expected = np.isin(held_out, numbers[wrong > 0]).sum()
    assert 0 < expected < len(held_out)
    assert (found.test_num_examples, found.test_num_wrong) == (
        len(held_out),
        expected,
    )


def test_progress_ends_at_the_whole():
    task = Increment(num_bits=6)
    calls = []
    verify(
        build_model(task, ModelConfig(units=2)),
        task,
        progress=lambda done, total: calls.append((done, total)),
    )
    assert calls[-1] == (64, 64)


def test_the_list_of_failures_is_bounded_and_the_counts_are_not(monkeypatch):
    monkeypatch.setattr(verification, "_MAX_FAILURES", 7)
    monkeypatch.setattr(prefix_tree, "_BLOCK_NODES", 8)
    task = Increment(num_bits=7)
    model = build_model(task, ModelConfig(units=2), seed=0)
    _, wrong, margins = brute_force(model, task)
    found = verify(model, task)
    assert found.num_wrong == (wrong > 0).sum() > 7
    assert len(found.failures) == 7
    np.testing.assert_allclose(
        [f.margin for f in found.failures], np.sort(margins)[:7], atol=1e-5
    )


def test_a_large_domain_is_asked_inputs_of_kinds_and_says_so():
    task = Increment(num_bits=40)
    model = half_trained(dataclasses.replace(task), ModelConfig(units=4), 2)
    found = verify(model, task)
    assert found.checked.startswith(f"{found.num_examples:,} inputs of these")
    assert "every carry length from 0 to 39" in found.checked
    lengths = {count.hold_length for count in found.by_hold_length}
    assert lengths == set(range(40))
    assert found.num_wrong > 0
    failure = found.failures[0]
    number = int(task.text_of(failure.symbols), 2)
    assert int(task.text_of(failure.target), 2) == number + 1


def test_the_kinds_hold_the_extremes():
    task = Increment(num_bits=64)
    inputs, kinds = hard_inputs(task)
    texts = {task.text_of(row) for row in inputs}
    assert "0" * 64 in texts
    assert "0" + "1" * 63 in texts
    assert "1" * 64 not in texts
    assert "01" * 32 in texts
    assert "10" * 32 in texts
    assert "1" + "0" * 63 in texts
    assert "every carry length from 0 to 63" in kinds
    assert len(texts) == len(inputs)


def test_a_long_walk_is_forecast(monkeypatch):
    task = Increment(num_bits=12)
    model = build_model(task, ModelConfig(units=4))
    forecasts = []
    verify(model, task, forecast=forecasts.append)
    assert not forecasts
    monkeypatch.setattr(verification, "_LONG_WALK", 0)
    verify(model, task, forecast=forecasts.append)
    assert len(forecasts) == 1
    assert 0 < forecasts[0] < 60


LARGE = """
import resource, sys
from keras_lstm import Increment, ModelConfig, build_model, verify
task = Increment(num_bits=24)
result = verify(build_model(task, ModelConfig()), task)
assert result.num_examples == 2**24 - 1, result.num_examples
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
assert peak < 2 * 2**30, peak
"""


@pytest.mark.slow
def test_sixteen_million_inputs_take_little_memory():
    done = subprocess.run(
        [sys.executable, "-c", LARGE],
        capture_output=True,
        text=True,
        timeout=580,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_more_than_can_be_walked_is_refused():
    model = build_model(Increment(), ModelConfig(units=2))
    with pytest.raises(
        InputError, match=r"from 0 to 1073741824\. .*1073741825"
    ):
        verify(model, Increment(), max_walked_inputs=2**30 + 1)


class Noisy(keras.layers.Layer):
    """Noise at inference too."""

    def call(self, inputs):
        return inputs + keras.random.normal(keras.ops.shape(inputs))


class Dropping(keras.Model):
    """A model that calls its dropout with training=True, always."""

    def __init__(self, model):
        super().__init__(name="dropping")
        self.model = model
        self.drop = keras.layers.Dropout(0.5)

    def call(self, inputs):
        return self.drop(self.model(inputs), training=True)


@pytest.mark.parametrize("name", ["noisy", "dropping"])
def test_random_answers_are_refused(name):
    task = Increment(num_bits=4)
    model = build_model(task, ModelConfig(units=2, num_layers=1))
    if name == "dropping":
        model = Dropping(model)
    else:
        outputs = Noisy()(model.output)
        model = keras.Model(model.input, outputs, name="noisy")
    with pytest.raises(
        InputError, match=f"answer an input the same way each time.*{name}"
    ):
        verify(model, task)


def test_a_functional_model_turns_off_dropout_that_is_called_for_training():
    # Random weights may come too close to call.
    keras.utils.set_random_seed(0)
    inputs = keras.Input((None,), dtype="int32")
    x = keras.layers.Embedding(2, 4)(inputs)
    x = keras.layers.Dropout(0.5)(x, training=True)
    x = keras.layers.LSTM(4, return_sequences=True)(x)
    model = keras.Model(inputs, keras.layers.Dense(2)(x))
    task = Increment(num_bits=4)
    numbers, wrong, _ = brute_force(model, task)
    found = verify(model, task)
    assert (found.method, found.num_predicted) == ("prefix tree", 0)
    assert (found.num_examples, found.num_wrong) == (15, (wrong > 0).sum())
    assert len(numbers) == 15


@pytest.mark.parametrize("number", [-1, 16])
def test_held_out_inputs_out_of_range_are_refused(number):
    task = Increment(num_bits=4)
    model = build_model(task, ModelConfig(units=4))
    message = f"`held_out` must be inputs from 0 to 15. Received: {number}"
    for given in ([3, number], np.array([3, number])):
        with pytest.raises(InputError, match=message):
            verify(model, task, held_out=given)


def test_held_out_inputs_of_a_sampled_domain_are_refused():
    task = Increment(num_bits=30)
    model = build_model(task, ModelConfig(units=2))
    with pytest.raises(InputError, match="`held_out` must be None"):
        verify(model, task, held_out=np.arange(3))


def reversing(model):
    """Return a model whose LSTM layer reads in the other direction."""
    layer = model.layers[-2]
    call = layer.call
    layer.call = lambda x, *a, **k: call(x[:, ::-1], *a, **k)
    return model


def replaced_weights(model):
    cell = model.layers[-2].cell
    other = keras.Variable(-cell.recurrent_kernel.numpy())
    object.__setattr__(cell, "recurrent_kernel", other)
    return model


def patched_cell(model):
    cell = model.layers[-2].cell
    call = cell.call
    cell.call = lambda x, states, **k: call(-x, states, **k)
    return model


def other_cell(model):
    layer = model.layers[-2]
    cell = keras.layers.LSTMCell(4, activation="relu")
    cell.build((None, layer.cell.kernel.shape[0]))
    object.__setattr__(layer, "cell", cell)
    return model


def other_start(model):
    cell = model.layers[-2].cell
    start = cell.get_initial_state
    cell.get_initial_state = lambda *a, **k: [x + 1 for x in start(*a, **k)]
    return model


def patched_predict(model):
    step = model.predict_step
    model.predict_step = lambda data: -step(data)
    return model


TAMPERED = {
    "is replaced": [reversing, patched_predict],
    "the usual settings": [patched_cell, other_start],
    "not the float32 variables": [replaced_weights, other_cell],
}


@pytest.mark.parametrize(
    ("why", "tamper"), [(k, f) for k, each in TAMPERED.items() for f in each]
)
def test_what_is_not_stock_is_asked_and_not_proved(why, tamper):
    task = Increment(num_bits=6)
    config = ModelConfig(units=4, num_layers=1)
    model = tamper(half_trained(task, config))
    with pytest.raises(InputError, match=why):
        find_proof(model, task)
    _, wrong, _ = brute_force(model, task)
    found = verify(model, task)
    assert found.method == "predict"
    assert found.num_predicted == 63
    assert found.num_wrong == (wrong > 0).sum()
