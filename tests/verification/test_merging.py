import dataclasses

import numpy as np
import pytest
from handmade import make_network

from keras_lstm.config import ModelConfig
from keras_lstm.models.build import build_model
from keras_lstm.models.stepper import LSTMStepper
from keras_lstm.models.weights import read_weights
from keras_lstm.tasks.hard_inputs import num_by_hold_length
from keras_lstm.tasks.increment import Decrement, Increment, Parity
from keras_lstm.tasks.transducer import TransducerTask
from keras_lstm.verification import asked_inputs, blocks, merging, prefix_tree
from keras_lstm.verification import verify as verification
from keras_lstm.verification.prefix_tree import CheckedInputs, RightInputs
from keras_lstm.verification.rounding_bounds import DifferenceBounds
from keras_lstm.verification.verify import verify


class AlwaysOne(TransducerTask):
    """Two states, two symbols: the answer is always 1."""

    name = "always-one"
    next_state = ((0, 1), (1, 0))
    output = ((1, 1), (1, 1))


class Ternary(AlwaysOne):
    """Three states and symbols, and inputs that must not end in one state."""

    name = "ternary"
    next_state = ((1, 2, 0), (2, 0, 1), (0, 0, 2))
    output = ((1, 1, 1),) * 3
    domain_states = frozenset({0, 2})


def network(task, lead, memory=0.01):
    """Return a random network that prefers the answer 1 by about `lead`.

    Args:
        task: the machine.
        lead: the bias of that answer.
        memory: factor of the recurrent weights; a small one forgets soon.
    """
    config = ModelConfig(units=6, num_layers=2, forget_bias=-8.0)
    model = build_model(task, config, seed=3)
    *weights, bias = model.get_weights()
    for recurrent_kernel in weights[2::3]:
        recurrent_kernel *= memory
    model.set_weights([*weights, bias + np.array([0, lead], np.float32)])
    return model


@pytest.fixture
def walks(monkeypatch):
    """Note the walks, and merge whatever can be, in small trees, too."""
    monkeypatch.setattr(verification, "_MANY_SEQUENCES", 1)
    monkeypatch.setattr(merging, "_LEAST_NODES", 2)
    monkeypatch.setattr(merging, "_WORTHWHILE", 10**9)
    found = []

    def noting(name):
        walk = getattr(verification, name)

        def walk_and_note(*arguments):
            found.append(name)
            yield from walk(*arguments)

        monkeypatch.setattr(verification, name, walk_and_note)

    noting("walk")
    noting("walk_merged")
    return found


def unmerged(monkeypatch, model, task, **options):
    """Return the result of a walk that visits every prefix."""
    with monkeypatch.context() as patch:
        patch.setattr(verification, "_MANY_SEQUENCES", np.inf)
        return verify(model, task, **options)


def compare(found, expected):
    """Compare all but durations and the order of nearly equal margins."""
    names = {field.name for field in dataclasses.fields(found)}
    names -= {"seconds", "min_margin", "min_margin_input", "failures"}
    for name in names:
        assert getattr(found, name) == getattr(expected, name), name
    assert found.min_margin == pytest.approx(expected.min_margin, abs=1e-7)
    listed, others = (
        {tuple(x.symbols): (x.margin, x.hold_length) for x in each.failures}
        for each in (found, expected)
    )
    assert listed.keys() == others.keys()
    for symbols, pair in listed.items():
        assert pair == pytest.approx(others[symbols], abs=1e-7)


@pytest.mark.parametrize("block", [2**15, 64])
@pytest.mark.parametrize(
    "task", [AlwaysOne(num_bits=12), Ternary(num_bits=8)], ids=str
)
def test_equal_states_are_walked_once(monkeypatch, walks, task, block):
    monkeypatch.setattr(prefix_tree, "_BLOCK_NODES", block)
    steps = []
    extend = prefix_tree._Walk._extend

    def counting(self, nodes):
        steps.append(len(nodes.numbers))
        return extend(self, nodes)

    monkeypatch.setattr(prefix_tree._Walk, "_extend", counting)
    model = network(task, lead=9)
    found = verify(model, task)
    num_merged, steps[:] = sum(steps), []
    expected = unmerged(monkeypatch, model, task)
    assert walks == ["walk_merged", "walk"]
    assert found.num_wrong == 0
    assert found.num_examples == task.num_inputs()
    compare(found, expected)
    assert num_merged < sum(steps) * 0.8
    # The input is one that has the margin.
    symbols = found.min_margin_input[np.newaxis]
    logits = model.predict(symbols, verbose=0)[0]
    assert np.min(logits[:, 1] - logits[:, 0]) == pytest.approx(
        found.min_margin, abs=1e-5
    )


def test_of_equal_margins_the_smallest_input_is_named(walks):
    task = Increment(num_bits=9)
    found = verify(make_network(task), task)
    numbers = np.arange(2**9 - 1)
    symbols = task.symbols_of(numbers)
    logits = make_network(task).predict(symbols, verbose=0)
    targets = task.targets(symbols)
    by_bit = np.where(targets == 1, 1, -1) * (logits[..., 1] - logits[..., 0])
    margins = by_bit.min(-1)
    assert walks == ["walk_merged"]
    assert found.num_wrong == 0
    assert found.min_margin == margins.min()
    first = numbers[margins == margins.min()][0]
    np.testing.assert_array_equal(found.min_margin_input, symbols[first])


@pytest.mark.parametrize("is_proved", [False, True])
@pytest.mark.parametrize("share", [0, 0.02, 0.5])
def test_wrong_answers_are_all_found(monkeypatch, walks, share, is_proved):
    task = AlwaysOne(num_bits=12)
    model = network(task, lead=0)
    numbers = np.arange(2**12)
    logits = model.predict(task.symbols_of(numbers), verbose=0)
    margins = np.unique((logits[..., 1] - logits[..., 0]).min(-1))
    at = int(share * len(margins))
    model = network(task, lead=-margins[at : at + 2].mean())
    found = verify(model, task, is_proved=is_proved)
    expected = unmerged(monkeypatch, model, task, is_proved=is_proved)
    assert 0 < found.num_wrong < found.num_examples
    compare(found, expected)


def test_a_prefix_in_doubt_has_a_node_of_its_own(monkeypatch, walks):
    task = AlwaysOne(num_bits=10)
    with_margins = prefix_tree._Walk._with_margins

    def doubt(self, block, groups, margins):
        found = with_margins(self, block, groups, margins)
        if block.length == 3:
            found = dataclasses.replace(found, close=found.numbers == 5)
        return found

    monkeypatch.setattr(prefix_tree._Walk, "_with_margins", doubt)
    found = verify(network(task, lead=9), task)
    assert walks == ["walk_merged"]
    assert found.num_predicted == 2**7
    assert (found.num_wrong, found.num_examples) == (0, 2**10)
    lengths = {x.hold_length: x.num_examples for x in found.by_hold_length}
    counts = num_by_hold_length(task)
    assert lengths == {k: count for k, count in enumerate(counts) if count}


@pytest.mark.parametrize("seed", range(8))
def test_each_input_is_accounted_for_once(monkeypatch, walks, seed):
    """Also where much is doubtful, keys collide and blocks are cut up."""
    rng = np.random.default_rng(seed)
    task = [AlwaysOne(num_bits=11), Ternary(num_bits=7)][seed % 2]
    monkeypatch.setattr(prefix_tree, "_BLOCK_NODES", 300)
    monkeypatch.setattr(blocks, "_NODES_TO_PACK", 130)
    keys, divisor = merging._keys, int(rng.integers(3, 50))
    monkeypatch.setattr(merging, "_keys", lambda *each: keys(*each) % divisor)
    with_margins = prefix_tree._Walk._with_margins
    length, doubtful = 4, rng.integers(task.num_symbols**4, size=3)

    def doubt(self, block, groups, margins):
        found = with_margins(self, block, groups, margins)
        if block.length == length:
            close = np.isin(found.numbers, doubtful)
            found = dataclasses.replace(found, close=close)
        return found

    monkeypatch.setattr(prefix_tree._Walk, "_with_margins", doubt)
    stepper = LSTMStepper(read_weights(network(task, lead=9), task.num_symbols))
    bounds = DifferenceBounds(stepper.network)
    parts = list(prefix_tree.walk_merged(stepper, bounds, task))
    asked = [x.inputs[x.close] for x in parts if isinstance(x, CheckedInputs)]
    numbers = np.arange(task.num_symbols**task.num_bits)
    inside = task.in_domain(task.states(task.symbols_of(numbers))[:, -1])
    is_doubtful = np.isin(numbers % task.num_symbols**length, doubtful)
    expected = numbers[inside & is_doubtful]
    assert sorted(np.concatenate(asked).tolist()) == expected.tolist()
    right = [x.num_inputs for x in parts if isinstance(x, RightInputs)]
    assert sum(right) == (inside & ~is_doubtful).sum()
    assert sum(x.num_visited for x in parts) == len(numbers)


def test_copies_stand_for_nothing(monkeypatch):
    """A copy, which fills a chunk, does not take the place of a prefix."""
    monkeypatch.setattr(merging, "_LEAST_NODES", 2)
    task = AlwaysOne(num_bits=9)
    stepper = LSTMStepper(read_weights(network(task, lead=9), 2))
    start = blocks.root(stepper, DifferenceBounds(stepper.network))
    many = start.chosen(np.zeros(6, np.int64))
    block = dataclasses.replace(
        many,
        cells=start.cells.chosen(np.zeros(6, np.int64)),
        numbers=np.array([0, 0, 1, 2, 3, 4]),
        counts=np.array([0, 0, 1, 2, 1, 1]),
        close=np.array([True, False, False, False, True, False]),
    )
    (found,) = merging.merged(block, 100)
    assert found.numbers.tolist() == [1, 3]
    assert found.counts.tolist() == [4, 1]
    assert found.close.tolist() == [False, True]


def test_a_network_of_nans_is_asked_in_few_parts(monkeypatch, walks):
    task = AlwaysOne(num_bits=9)
    model = network(task, lead=9)
    model.set_weights([np.full_like(w, np.nan) for w in model.get_weights()])
    asked = []
    predict = asked_inputs.predict_logits

    def noting(model, symbols):
        asked.append(len(symbols))
        return predict(model, symbols)

    monkeypatch.setattr(asked_inputs, "predict_logits", noting)
    found = verify(model, task)
    assert found.num_wrong == found.num_predicted == 2**9
    assert len(asked) <= 4


def test_a_domain_of_any_size_is_checked_in_full_if_the_states_are_few(walks):
    task = AlwaysOne(num_bits=60)
    found = verify(network(task, lead=9), task)
    assert walks == ["walk_merged"]
    assert (found.checked, found.method) == ("all inputs", "prefix tree")
    assert (found.num_wrong, found.num_examples) == (0, 2**60)
    counts = [x.num_examples for x in found.by_hold_length]
    assert counts == [2 ** (59 - held) for held in range(60)] + [1]


def test_else_of_a_large_domain_a_sample_is_checked(monkeypatch, walks):
    task = AlwaysOne(num_bits=40)
    monkeypatch.setattr(verification, "_LONG_WALK", 2**16)
    found = verify(network(task, lead=9, memory=2), task)
    assert walks == ["walk_merged"]
    assert (found.kinds != "", found.method) == (True, "predict")
    assert 0 < found.num_examples < 2**20


def test_beyond_numbers_of_64_bits_a_sample_is_checked(walks):
    task = AlwaysOne(num_bits=63)
    found = verify(network(task, lead=9), task)
    assert walks == []
    assert found.kinds != ""


def test_held_out_inputs_are_counted(monkeypatch, walks):
    task = Ternary(num_bits=7)
    held_out = np.arange(5, 3**7, 3)
    model = network(task, lead=9)
    found = verify(model, task, held_out=held_out)
    assert walks == ["walk_merged"]
    ends = task.states(task.symbols_of(held_out))[:, -1]
    assert found.test_num_examples == task.in_domain(ends).sum()
    compare(found, unmerged(monkeypatch, model, task, held_out=held_out))


def test_a_network_that_does_not_forget_is_walked_prefix_by_prefix(
    monkeypatch, walks
):
    monkeypatch.setattr(prefix_tree, "_BLOCK_NODES", 64)
    task = AlwaysOne(num_bits=10)
    model = network(task, lead=9, memory=2)
    found = verify(model, task)
    assert walks == ["walk_merged", "walk"]
    assert (found.num_wrong, found.num_examples) == (0, 2**10)


def test_the_same_key_does_not_make_the_same_state(monkeypatch, walks):
    keys = merging._keys
    monkeypatch.setattr(merging, "_keys", lambda *each: keys(*each) % 7)
    task = AlwaysOne(num_bits=9)
    model = network(task, lead=9)
    found = verify(model, task)
    assert walks == ["walk_merged"]
    compare(found, unmerged(monkeypatch, model, task))


@pytest.mark.parametrize(
    "task",
    [
        Increment(num_bits=7),
        Decrement(num_bits=6),
        Parity(num_bits=5),
        Ternary(num_bits=5),
    ],
    ids=lambda task: task.name,
)
def test_hold_lengths_are_counted_without_listing_inputs(task):
    numbers = np.arange(task.num_symbols**task.num_bits)
    symbols = task.symbols_of(numbers)
    inside = task.in_domain(task.states(symbols)[:, -1])
    lengths = task.hold_length(symbols[inside])
    counts = np.bincount(lengths, minlength=task.num_bits + 1)
    assert num_by_hold_length(task) == counts.tolist()


def test_a_walk_that_loses_inputs_is_noticed(monkeypatch, walks):
    task = AlwaysOne(num_bits=6)
    monkeypatch.setattr(
        verification,
        "walk_merged",
        lambda *_: iter([RightInputs(64, 63, 1.0, 0)]),
    )
    with pytest.raises(RuntimeError, match="63 inputs"):
        verify(network(task, lead=9), task)
