import itertools
import re

import numpy as np
import pytest
import tensorflow as tf

from keras_lstm.core.errors import InputError
from keras_lstm.tasks import transducer
from keras_lstm.tasks.hard_inputs import hard_inputs
from keras_lstm.tasks.increment import Decrement, Increment, Parity
from keras_lstm.tasks.sampling import transduce_numbers
from keras_lstm.tasks.transducer import TransducerTask


class Keep(TransducerTask):
    """A machine of three symbols and three states, with a domain."""

    name = "keep"
    next_state = ((1, 2, 0), (2, 0, 1), (0, 1, 2))
    output = ((0, 1, 2), (2, 0, 1), (1, 2, 0))
    domain_states = frozenset({0, 2})


def numbers_of(symbols):
    """Return little-endian bits as Python integers."""
    return [int("".join(map(str, row[::-1])), 2) for row in symbols.tolist()]


def all_inputs(task):
    """Return every input in the domain."""
    symbols = task.symbols_of(np.arange(task.num_symbols**task.num_bits))
    return symbols[task.in_domain(task.states(symbols)[:, -1])]


@pytest.mark.parametrize("num_bits", range(1, 11))
def test_increment_adds_one_to_every_number(num_bits):
    task = Increment(num_bits=num_bits)
    symbols = all_inputs(task)
    numbers = numbers_of(symbols)
    assert numbers == list(range(2**num_bits - 1))
    assert numbers_of(task.targets(symbols)) == [n + 1 for n in numbers]
    assert task.num_inputs() == 2**num_bits - 1


@pytest.mark.parametrize("num_bits", range(1, 11))
def test_decrement_takes_one_from_every_number(num_bits):
    task = Decrement(num_bits=num_bits)
    symbols = all_inputs(task)
    numbers = numbers_of(symbols)
    assert numbers == list(range(1, 2**num_bits))
    assert numbers_of(task.targets(symbols)) == [n - 1 for n in numbers]


@pytest.mark.parametrize("num_bits", range(1, 9))
def test_parity_counts_the_ones_so_far(num_bits):
    task = Parity(num_bits=num_bits)
    symbols = all_inputs(task)
    assert len(symbols) == task.num_inputs() == 2**num_bits
    expected = np.cumsum(symbols, 1) % 2
    np.testing.assert_array_equal(task.targets(symbols), expected)


def test_hold_length_is_the_length_of_the_carry():
    task = Increment(num_bits=6)
    symbols = all_inputs(task)
    expected = [
        len(bin(n)) - len(bin(n).rstrip("1")) for n in numbers_of(symbols)
    ]
    assert task.hold_length(symbols).tolist() == expected


def test_text_is_most_significant_first():
    task = Increment(num_bits=4)
    assert task.text_of(task.symbols_of(7)) == "0111"
    assert task.text_of(task.targets(task.symbols_of(7))) == "1000"


@pytest.mark.parametrize("sampling", ["uniform", "carry", "permutation"])
@pytest.mark.parametrize("num_bits", [1, 2, 3, 7, 20])
def test_every_training_example_is_right_and_in_the_domain(sampling, num_bits):
    task = Increment(
        num_bits=num_bits,
        sampling=sampling,
        train_examples=1,
        validation_examples=0,
    )
    train = task.splits(seed=3).train
    size = train.num_examples or 256
    symbols, targets = (x.numpy() for x in train.batch(tf.range(size)))
    numbers = numbers_of(symbols)
    assert symbols.shape == (size, num_bits)
    assert numbers_of(targets) == [n + 1 for n in numbers]
    assert max(numbers) <= 2**num_bits - 2


@pytest.mark.parametrize("sampling", ["uniform", "carry"])
def test_targets_in_the_pipeline_are_the_machines_answers(sampling):
    task = Keep(num_bits=13, sampling=sampling, validation_examples=0)
    train = task.splits(seed=1).train
    symbols, targets = (x.numpy() for x in train.batch(tf.range(500)))
    np.testing.assert_array_equal(targets, task.targets(symbols))
    assert set(task.states(symbols)[:, -1]) == {0, 2}


def test_four_thousand_bits_need_no_wide_integers():
    task = Increment(num_bits=4096, sampling="carry", validation_examples=0)
    train = task.splits(seed=0).train
    symbols, targets = (x.numpy() for x in train.batch(tf.range(8)))
    numbers = [int(task.text_of(row), 2) for row in symbols]
    assert [int(task.text_of(row), 2) for row in targets] == [
        n + 1 for n in numbers
    ]


def test_uniform_sampling_reaches_all_inputs_alike():
    task = Increment(num_bits=3, validation_examples=0)
    symbols, _ = task.splits(seed=0).train.batch(tf.range(70_000))
    counts = np.bincount(numbers_of(symbols.numpy()), minlength=8)
    assert counts[7] == 0
    # Seven inputs, 10,000 each, within five standard deviations.
    assert np.abs(counts[:7] - 10_000).max() < 500


def test_carry_sampling_makes_long_carries_common():
    task = Increment(
        num_bits=20, sampling="carry", carry_fraction=0.5, validation_examples=0
    )
    symbols, _ = task.splits(seed=0).train.batch(tf.range(40_000))
    runs = task.hold_length(symbols.numpy())
    chosen, rest = runs[:20_000], runs[20_000:]
    counts = np.bincount(chosen, minlength=20)
    assert np.abs(counts - 1000).max() < 160
    assert (rest > 10).mean() < 0.002


def test_batches_depend_on_the_seed_and_the_first_index_alone():
    train = Increment().splits(seed=0).train
    first = train.batch(tf.range(8))[0].numpy()
    again = Increment().splits(seed=0).train.batch(tf.range(8))[0].numpy()
    np.testing.assert_array_equal(first, again)
    for other in (
        train.batch(tf.range(8, 16)),
        Increment().splits(seed=1).train.batch(tf.range(8)),
        Increment().splits(seed=0).validation.batch(tf.range(8)),
    ):
        assert (other[0].numpy() != first).any()


def test_many_listed_inputs_are_made_batch_by_batch(monkeypatch):
    task = Increment(
        num_bits=6,
        sampling="permutation",
        train_examples=40,
        validation_examples=8,
    )
    stored = task.splits(seed=3).train.batch(tf.range(32))
    monkeypatch.setattr(transducer, "_MAX_STORED_INPUTS", 0)
    listed = task.splits(seed=3).train.batch(tf.range(32))
    for tensor, same in zip(stored, listed, strict=True):
        assert tensor.dtype == same.dtype == tf.int32
        np.testing.assert_array_equal(tensor, same)


@pytest.mark.parametrize(
    ("num_states", "num_symbols", "num_bits"),
    [(1, 2, 9), (3, 2, 13), (5, 3, 8), (700, 2, 12), (2, 300, 2), (4, 7, 1)],
)
def test_numbers_are_transduced_several_digits_at_a_time(
    num_states, num_symbols, num_bits
):
    rng = np.random.default_rng(num_states)
    shape = (num_states, num_symbols)

    class Drawn(TransducerTask):
        """Write what was drawn."""

        name = "drawn"
        next_state = tuple(map(tuple, rng.integers(num_states, size=shape)))
        output = tuple(map(tuple, rng.integers(300, size=shape)))

    task = Drawn(num_bits=num_bits)
    numbers = rng.integers(num_symbols**num_bits, size=2000)
    inputs, targets = transduce_numbers(
        numbers, num_bits, task.next_state, task.output
    )
    symbols = task.symbols_of(numbers)
    np.testing.assert_array_equal(inputs, symbols)
    np.testing.assert_array_equal(targets, task.targets(symbols))


def test_a_permutation_holds_the_rest_of_the_domain_out():
    task = Increment(
        num_bits=10,
        sampling="permutation",
        train_examples=300,
        validation_examples=50,
    )
    parts = []
    splits = task.splits(seed=5)
    for split, size in (
        (splits.train, 250),
        (splits.validation, 50),
        (splits.test, 723),
    ):
        assert split.num_examples == size
        parts.append(numbers_of(split.batch(tf.range(size))[0].numpy()))
    assert sorted(itertools.chain(*parts)) == list(range(1023))
    assert numbers_of(task.symbols_of(task.permutation(5)[1])) == parts[2]
    assert parts[2] != sorted(parts[2])


def test_the_tutorials_cut_is_two_to_the_eighteen():
    task = Increment(sampling="permutation", validation_examples=0)
    kept, held_out = task.permutation(seed=0)
    assert (len(kept), len(held_out)) == (2**18, 786_431)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num_bits": 0}, "`num_bits` must be an integer from 1 to 4096"),
        ({"num_bits": 4097}, "Received: num_bits=4097"),
        (
            {"num_bits": 25, "sampling": "permutation"},
            "at most 16777216 inputs for `sampling` permutation. Received: ",
        ),
        (
            {"num_bits": 4, "sampling": "permutation", "train_examples": 16},
            "at most the domain's 15 inputs",
        ),
        (
            {"sampling": "permutation", "train_examples": 1024},
            "cut from `train_examples`, must be fewer",
        ),
    ],
)
def test_bad_options_are_refused(values, message):
    with pytest.raises(InputError, match=message):
        Increment(**values)


def test_bad_tables_are_refused():
    class Ragged(TransducerTask):
        name = "ragged"
        next_state = ((0, 1), (1,))
        output = ((0, 1), (1, 0))

    class Astray(TransducerTask):
        name = "astray"
        next_state = ((0, 2), (1, 1))
        output = ((0, 1), (1, 0))

    class Empty(TransducerTask):
        name = "empty"
        next_state = ()
        output = ()

    class OneSymbol(TransducerTask):
        name = "one-symbol"
        next_state = ((0,),)
        output = ((0,),)

    class Fractions(TransducerTask):
        name = "fractions"
        next_state = ((0, 1.5), (1, 1))
        output = ((0, 1), (1, 0))

    class Without(TransducerTask):
        name = "without"

    for task in (Ragged, Astray, Empty, OneSymbol, Fractions, Without):
        with pytest.raises(InputError, match="tables of the same shape"):
            task()


def test_an_empty_domain_is_refused():
    class Nothing(Increment):
        domain_states = frozenset()

    with pytest.raises(InputError, match="must admit some input"):
        Nothing()


def test_a_domain_too_rare_to_draw_from_is_refused():
    class OnlyZeros(TransducerTask):
        name = "only-zeros"
        next_state = ((0, 1), (1, 1))
        output = ((0, 1), (1, 0))
        domain_states = frozenset({0})

    assert OnlyZeros(num_bits=10).num_inputs() == 1
    with pytest.raises(InputError, match="one sequence in 1024"):
        OnlyZeros(num_bits=11)


def test_carry_sampling_needs_a_start_state_that_can_be_left():
    class Copy(TransducerTask):
        name = "copy"
        next_state = ((0, 0),)
        output = ((0, 1),)

    with pytest.raises(InputError, match="`sampling` carry needs"):
        Copy(sampling="carry")


@pytest.mark.parametrize(
    "name", ["targets", "states", "hold_length", "num_symbols", "leave_symbols"]
)
def test_a_machine_is_what_its_tables_say(name):
    own = {name: lambda self, symbols: symbols}
    for bases, values in (
        ((Parity,), own),
        ((Parity,), {name: 1}),
        # A base that is no machine comes first.
        ((type("Mixin", (), own), Parity), {}),
    ):
        with pytest.raises(InputError, match=f"Other, which defines `{name}`"):
            type("Other", bases, values)


def test_other_tables_do_not_take_over_what_is_said_of_the_first():
    class Negate(Increment):
        name = "negate"
        next_state = ((0, 1), (1, 1))
        output = ((0, 1), (1, 0))

    class Named(Negate):
        output = ((0, 1), (1, 1))
        target_name = "something else"

    class Longer(Increment):
        name = "longer"

    class Family(TransducerTask):
        domain_states = frozenset({1})
        input_name = "word"

    class Member(Family):
        name = "member"
        next_state, output = Negate.next_state, Negate.output

    # Names that are not about other tables stay.
    assert (Member.input_name, Member.domain_states) == ("word", {1})
    assert Negate.target_name == "what its machine writes"
    assert Negate.input_name == "sequence of symbols"
    assert (Negate.state_names, Negate.hold_label) == ((), "hold")
    assert Negate(num_bits=4).num_inputs() == 16
    assert Named.target_name == "something else"
    assert Longer.target_name == Increment.target_name
    assert Longer(num_bits=4).num_inputs() == 15


def test_hold_lengths_outside_the_domain_are_not_claimed():
    class Sixteenths(TransducerTask):
        """Ones counted modulo 16; only multiples are in the domain."""

        name = "sixteenths"
        next_state = tuple((s, (s + 1) % 16) for s in range(16))
        output = ((0, 1),) * 16
        domain_states = frozenset({0})

    task = Sixteenths(num_bits=256)
    inputs, kinds = hard_inputs(task)
    lengths = task.hold_length(inputs)
    (claimed,) = re.findall(r"(\d+) of the \w+ lengths from 0 to 255", kinds)
    assert int(claimed) <= len(np.unique(lengths[lengths < 256])) < 250
    assert "every" not in kinds
    every = hard_inputs(Increment(num_bits=256))[1]
    assert "every carry length from 0 to 255, each in" in every


@pytest.mark.parametrize("num_symbols", [127, 128, 129])
def test_machines_may_have_as_many_symbols_as_bytes_count(num_symbols):
    class Many(TransducerTask):
        """Whether a symbol is odd."""

        name = "many"
        next_state = ((0,) * num_symbols,)
        output = (tuple(i % 2 for i in range(num_symbols)),)

    inputs, _ = hard_inputs(Many(num_bits=16))
    assert sorted(np.unique(inputs)) == list(range(num_symbols))
