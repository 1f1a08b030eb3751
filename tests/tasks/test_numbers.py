import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_lstm.core.errors import InputError
from keras_lstm.tasks import numbers
from keras_lstm.tasks.increment import Add, Decrement, Increment, Parity
from keras_lstm.tasks.numbers import (
    Number,
    NumberNotation,
    _format,
    _symbols_of,
    read_number,
)

TASK = Increment(num_bits=8)


def read(text, task=TASK, any_length=True):
    number = read_number(text, task, any_length)
    return number.notation, number.value, number.num_bits


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("00000111", ("digits", 7, 8)),
        ("0b111", ("binary", 7, 8)),
        ("0b0000000111", ("binary", 7, 10)),
        ("0x1f", ("hexadecimal", 31, 8)),
        ("0xFFE", ("hexadecimal", 4094, 12)),
        ("7", ("decimal", 7, 8)),
        (" 7\n", ("decimal", 7, 8)),
        # Not eight digits, so decimal: one hundred and eleven.
        ("111", ("decimal", 111, 8)),
        ("000000111", ("decimal", 111, 8)),
        ("1000", ("decimal", 1000, 10)),
        # The target needs one more bit.
        ("255", ("decimal", 255, 9)),
        ("11111111", ("digits", 255, 9)),
        ("0xff", ("hexadecimal", 255, 9)),
    ],
)
def test_numbers_are_read_as_they_are_written(text, expected):
    assert read(text) == expected


@pytest.mark.parametrize(
    ("text", "any_length", "message"),
    [
        ("", True, "8 digits below 2, a decimal number, 0b... or 0x..."),
        ("x", True, "Received: 'x'"),
        ("1.5", True, "a decimal number"),
        ("-5", True, "a number that is not negative. Received: '-5'"),
        ("0b12", True, "bits, 0 and 1, after 0b"),
        ("0xg", True, "a decimal number"),
        ("0b", True, "a decimal number"),
        ("٣", True, "a decimal number"),
        ("²", True, "a decimal number"),
        ("256", False, "at most 8 bits, which the last_state head reads"),
        ("0b000000111", False, "at most 8 bits"),
        ("255", False, "increment, which excludes it at 8 bits"),
        ("9" * 4001, True, "written as 0x"),
        ("0x" + "f" * 2**15, True, "fewer than 65,536 bits"),
    ],
)
def test_what_is_no_number_is_refused(text, any_length, message):
    with pytest.raises(InputError) as error:
        read(text, any_length=any_length)
    assert message in str(error.value)
    assert len(str(error.value)) < 200


def test_machines_with_more_symbols_read_digits_and_decimal_numbers():
    add = Add(num_bits=4)
    assert read("0123", add) == ("digits", 27, 4)
    assert read("27", add) == ("decimal", 27, 4)
    assert read("256", add) == ("decimal", 256, 5)
    number = read_number("0123", add, True)
    symbols = _symbols_of([number], add)
    np.testing.assert_array_equal(symbols, [[3, 2, 1, 0]])
    with pytest.raises(InputError, match="a decimal number for this task"):
        read("0b1", add)


@given(
    st.integers(0, 2**200),
    st.sampled_from(["{:d}", "0x{:x}", "0b{:b}", "0b{:0250b}", "0x{:070X}"]),
)
def test_what_is_read_is_written_in_the_same_notation(value, form):
    task = Parity(num_bits=8)
    text = form.format(value)
    number = read_number(text, task, True)
    assert number.value == value or number.notation == "digits"
    (symbols,) = _symbols_of([number], task)
    assert len(symbols) == number.num_bits
    assert _format(symbols, number, 2) == text.lower()


def test_a_symbol_that_is_none_is_shown():
    number = read_number("7", TASK, True)
    assert _format(np.array([1, -1, 0]), number, 2) == "0 ? 1"


def test_a_number_too_long_for_decimal_is_shown_as_symbols():
    ternary = np.resize([2, 1, 0], 5000)
    number = Number("1", "decimal", 1, 5000)
    assert _format(ternary, number, 3) == " ".join(map(str, ternary[::-1]))


def test_the_limit_of_python_is_the_limit():
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(640)
    try:
        with pytest.raises(InputError, match="more than 640 digits"):
            read("9" * 641)
    finally:
        sys.set_int_max_str_digits(before)


@pytest.mark.parametrize("task", [Increment, Decrement, Add, Parity])
def test_the_domain_is_the_tasks_own(task):
    made = task(num_bits=5)
    count = made.num_symbols**5
    symbols = made.symbols_of(np.arange(count))
    inside = made.in_domain(made.states(symbols)[:, -1])
    for value in range(count):
        number = Number(str(value), "decimal", value, 5)
        assert numbers._in_domain(number, made) == inside[value]


@pytest.mark.parametrize("task", [Increment, Decrement, Add, Parity])
@pytest.mark.parametrize("num_bits", [2, 5, 61, 70])
def test_lines_read_together_are_read_as_by_one(task, num_bits):
    made = task(num_bits=num_bits)
    notation = NumberNotation(made, any_length=True)
    end = made.num_symbols**num_bits
    values = [0, 1, 2, 6, 9, 10, 31, end - 2, end - 1, end, 3 * end]
    texts = [str(value) for value in values if value >= 0]
    texts += ["", "x", "-1", "007", "0b11", "0x1f", "11", "1" * num_bits, "²"]
    texts += ["0" * num_bits + "1", "1.5", "٣"]
    together = notation.read_plain(texts)
    for text, query in zip(texts, together, strict=True):
        if query is not None:
            assert [query] == notation.read(text)
    if num_bits < 70 and task is Increment:
        assert any(query is not None for query in together)


class Rewritten(NumberNotation):
    """Numbers with another notation of the same."""

    def read(self, text):
        return super().read(text.removeprefix("no. "))


@pytest.mark.parametrize("num_bits", [5, 70])
def test_lines_described_together_are_described_as_by_one(num_bits):
    task = Increment(num_bits=num_bits)
    notation = NumberNotation(task, any_length=True)
    texts = ["0", "7", "12", "0b111", "0x1f", "0" * num_bits, "19"]
    queries = [notation.read(text)[0] for text in texts]
    symbols = notation.encode(queries)
    targets = task.targets(symbols)
    predictions = targets.copy()
    predictions[2, 0] = 1 - predictions[2, 0]
    predictions[-1, 1] = -1
    found = notation.describe(queries, predictions, np.ones(targets.shape))
    rows = zip(queries, predictions, targets, strict=True)
    assert found == [notation.describe_one(*row) for row in rows]
    assert [each.fields["right"] for each in found] == [
        *(True, True, False, True, True, True, False)
    ]


def test_a_notation_of_ones_own_reads_and_writes_each_line():
    notation = Rewritten(TASK, any_length=True)
    assert notation.read_plain(["7", "no. 7"]) == [None, None]
    (query,) = notation.read("no. 7")
    targets = TASK.targets(notation.encode([query]))
    (found,) = notation.describe([query], targets, np.ones(targets.shape))
    assert found.text.endswith("→ 8  right")
