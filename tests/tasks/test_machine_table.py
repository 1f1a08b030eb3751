import itertools

import numpy as np
import pytest
from machines import answers

from keras_lstm.core.errors import InputError
from keras_lstm.tasks.machine_arrows import Arrow
from keras_lstm.tasks.machine_table import (
    explore,
    make_table,
    parse_table,
)

LOCK = """
start: locked
states:
  locked: {coin: unlocked / opens, push: locked / stays}
  unlocked: {coin: unlocked / stays, push: locked / closes}
"""


def arrows(*rows):
    return [
        Arrow(*row.split(), f"line {i}") for i, row in enumerate(rows, start=1)
    ]


def test_a_table_has_names_and_is_read_back():
    table = parse_table(LOCK)
    assert table.states == ("locked", "unlocked")
    assert table.symbols == ("coin", "push")
    assert answers(table, ["push", "coin", "coin", "push"]) == [
        *("stays", "opens", "stays", "closes")
    ]
    assert parse_table(table.to_text()) == table


@pytest.mark.parametrize(
    "states",
    ["accepting: [b]", "outputs: {a: reject, b: accept}"],
)
def test_states_may_have_the_outputs(states):
    table = parse_table(
        f"states: {{a: {{x: b, 0: a}}, b: {{x: a, 0: b}}}}\n{states}"
    )
    assert table.symbols == ("x", "0")
    assert answers(table, "x0x") == ["accept", "accept", "reject"]


def test_a_machine_is_minimal():
    # c is as a, and d is not reached.
    table = make_table(
        arrows(
            *("a x b 0", "a y a 1", "b x c 1", "b y b 0"),
            *("c x b 0", "c y a 1", "d x a 0", "d y d 0"),
        ),
        "a",
    )
    assert table.states == ("a", "b")
    assert table.remarks == (
        "dropped what the start does not reach: `d`",
        "merged states that no sequence tells apart: `a`, `c`",
    )


def test_minimizing_does_not_change_what_a_machine_writes():
    rng = np.random.default_rng(0)
    for _ in range(20):
        size = int(rng.integers(2, 7))
        ends, outputs = rng.integers(size, size=(2, size, 2))
        outputs %= 2
        outputs[0] = [0, 1]
        rows = [
            f"{s} {x} {ends[s, x]} {outputs[s, x]}"
            for s, x in itertools.product(range(size), range(2))
        ]
        table = make_table(arrows(*rows), "0")
        for word in itertools.product("01", repeat=7):
            state, expected = 0, []
            for symbol in map(int, word):
                expected.append(str(outputs[state, symbol]))
                state = ends[state, symbol]
            assert answers(table, word) == expected
        # Every two states are told apart by a word of that many symbols.
        words = list(itertools.product("01", repeat=len(table.states)))
        rows = [
            [answers_from(table, state, word) for word in words]
            for state in range(len(table.states))
        ]
        assert all(a != b for a, b in itertools.combinations(rows, 2))


def answers_from(table, state, word):
    found = []
    for symbol in map(int, word):
        found.append(table.output[state][symbol])
        state = table.next_state[state][symbol]
    return found


def test_missing_arrows_lead_to_a_sink():
    rows = arrows("a x b accept", "a y a reject", "b y a reject")
    with pytest.raises(InputError, match=r"none for `x` in state `b`"):
        make_table(rows, "a")
    table = make_table(rows, "a", undefined="sink")
    assert table.states == ("a", "b", "sink")
    assert answers(table, "xxyx") == ["accept", "reject", "reject", "reject"]
    assert table.remarks[0].startswith("1 missing arrow leads to `sink`")
    # Without acceptance, what is undefined has an output of its own.
    table = make_table(arrows("a x a 0", "a y b 1"), "a", undefined="sink")
    assert answers(table, "xyx") == ["0", "1", "undefined"]


@pytest.mark.parametrize(
    ("rows", "start", "message"),
    [
        (["a x a 0", "a x a 1", "a y a 0"], "a", "line 1 and line 2"),
        (["a x a 0", "a y a 1"], "b", r"start state that exists: `a`.*b"),
        (["a x a 0"], "a", "at least two symbols"),
        (["a x a 0", "a y a 0"], "a", "two different outputs"),
    ],
)
def test_what_is_no_machine_is_refused(rows, start, message):
    with pytest.raises(InputError, match=message):
        make_table(arrows(*rows), start)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "a YAML mapping with `states`"),
        ("states: {}", "of at least one"),
        ("states: {a: {x: a / 0, y: a / 1}}\nfinal: [a]", "`final`|final"),
        ("states: {a: 3}", "for state `a`"),
        ("states: {a: {x: a, y: a}}", 'next state / output" for `x`'),
        ("states: {a: {x: b / 0, y: a / 1}}", "`b`, which is none"),
        ("states: {a: {x: b, y: a}}\naccepting: [a]", "`b`, which is none"),
        ("states: {a: {x: a, y: a}}\naccepting: a", "a list `accepting`"),
        ("states: {a: {x: a, y: a}}\naccepting: [b]", "one output for each"),
        ("states: {a: {'x y': a / 0, y: a / 1}}", "without spaces"),
        ("states: {a: {x: a / 0, y: a / 1}, 'a': {}}", "duplicate key"),
        ("states: {1: {x: a / 0}, '1': {y: a / 1}}", "duplicate key"),
        ('states: {a: {x: "a / \\e[31m", y: a / 1}}', "printable"),
        ("states: {a: {x: [], y: a / 1}}", "text or numbers"),
    ],
)
def test_a_text_that_is_no_table_is_refused(text, message):
    with pytest.raises(InputError, match=message):
        parse_table(text)


def test_names_stay_as_they_are_written():
    table = parse_table(
        "states: {no: {00: no / 1.50, 01: 010 / 0x1}, 010: {00: no / 1_0, "
        "01: no / 1:30}}"
    )
    assert table.states == ("no", "010")
    assert table.symbols == ("00", "01")
    assert table.outputs == ("1.50", "0x1", "1_0", "1:30")
    assert parse_table(table.to_text()) == table


def test_large_machines_are_refused():
    rows = [f"{i} {x} {i + 1} {i % 2}" for i in range(1001) for x in "ab"]
    with pytest.raises(InputError, match="at most 2,000 arrows"):
        make_table(arrows(*rows), "0")
    name = "x" * 30_000
    with pytest.raises(InputError, match="at most 50,000 bytes"):
        make_table(arrows(f"a {name} a 0", f"a y a {name}"), "a")


def test_only_states_that_are_reached_need_arrows():
    table = make_table(arrows("a x a 0", "a y a 1", "b x a 0"), "a")
    assert table.remarks == ("dropped what the start does not reach: `b`",)


def test_a_function_is_explored():
    table = explore(
        *("mod-3", "", 0, "ab"),
        lambda state, symbol: ((state + (symbol == "a")) % 3, state == 2),
    )
    assert table.states == ("0", "1", "2")
    assert answers(table, "aaba") == ["reject", "reject", "accept", "accept"]
