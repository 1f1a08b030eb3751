import itertools
import re

import fuzzing
import pytest
from hypothesis import strategies as st
from machines import answers

from keras_lstm.core.errors import InputError
from keras_lstm.tasks.machine_files import (
    is_machine,
    machine_of_dot,
    read_machine,
)
from keras_lstm.tasks.machine_library import MACHINES
from keras_lstm.tasks.machine_regex import machine_of_regex

# As LearnLib writes Mealy machines.
MEALY = """digraph g {

	s0 [shape="circle" label="0"];
	s1 [shape="circle" label="1"];
	s0 -> s1 [label="coin / opens"];
	s0 -> s0 [label="push / stays"]; // stays locked
	s1 -> s1 [label="coin / stays"];
	s1 -> s0 [label="push / closes"];

__start0 [label="" shape="none" width="0" height="0"];
__start0 -> s0;

}
"""
# As AALpy writes acceptors and Moore machines.
ACCEPTOR = """digraph fsm {
s0 [label="s0", shape=doublecircle];
s1 [label="s1"];
s0 -> s1  [label="a"];
s0 -> s0  [label="b"];
s1 -> s0  [label="a"];
s1 -> s1  [label="b"];
__start0 [shape=none, label=""];
__start0 -> s0  [label=""];
}
"""
MOORE = ACCEPTOR.replace('"s0", shape=doublecircle', '"s0|7", shape=record')
MOORE = MOORE.replace('[label="s1"]', '[label="{ s1 | 8 }", shape="record"]')


def test_a_mealy_machine_is_read():
    table = machine_of_dot(MEALY, "lock")
    assert (table.name, table.states) == ("lock", ("s0", "s1"))
    assert table.symbols == ("coin", "push")
    assert table.outputs == ("opens", "stays", "closes")
    assert table.next_state == ((1, 0), (1, 0))
    assert table.output == ((0, 1), (1, 2))


@pytest.mark.parametrize(
    ("text", "outputs"),
    [(ACCEPTOR, ("reject", "accept")), (MOORE, ("8", "7"))],
)
def test_outputs_of_states_are_read(text, outputs):
    table = machine_of_dot(text)
    assert table.next_state == ((1, 0), (0, 1))
    assert table.outputs == outputs
    assert table.output == ((0, 1), (1, 0))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("digraph", "graph", "a directed graph"),
        ("}", "", "the DOT language. Received: line "),
        ("s0 -> s1 [", "s0 -> s1 ![", r"line 5, column 11: s0 -> s1 !\["),
        ("__start0 -> s0;", "", "from `__start0` to the start state"),
        ("__start0 -> s0;", "__start0 -> s2; __start0 -> s0;", "line 11: to `"),
        ('[label="push / stays"]', "", "line 6: none from `s0` to `s0`"),
        ('"push / stays"', '"/ stays"', "line 6: `/ stays`"),
        ('"push / stays"', '"coin / stays"', r"`coin` .*\(line 5 and line 6\)"),
        (
            's0 -> s0 [label="push / stays"];',
            "",
            "none for `push` in state `s0",
        ),
    ],
)
def test_what_is_no_machine_is_refused_with_its_line(old, new, message):
    with pytest.raises(InputError, match=message):
        machine_of_dot(MEALY.replace(old, new))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (MEALY.replace('label="0"', 'label="0|5"'), "none for `s1`"),
        (
            MEALY.replace('"circle" label="0"', '"doublecircle"'),
            "either in labels or in states",
        ),
        (MEALY.replace("coin / stays", "coin"), "line 7: `coin`"),
        (MEALY.replace("coin / stays", r"coin / a\nb / c"), "without escapes"),
        (MEALY.replace("s0 -> s1", "s0 -- s1"), "line 5"),
        (MEALY.replace("{\n", "{ node [shape=doublecircle]\n"), "as defaults"),
        (MEALY.replace("{\n", '{ edge [label="a/b"]\n'), "as defaults"),
        (MOORE.replace("s0|7", "s0|7|8"), r"`s0` of label `s0\|7\|8`"),
        (MOORE.replace("s0|7", "s0|{7}"), r"`s0` of label `s0\|\{7\}`"),
    ],
)
def test_what_could_be_misread_is_refused(text, message):
    with pytest.raises(InputError, match=message):
        machine_of_dot(text)


def test_other_forms_of_the_same_are_read():
    """LearnLib's Moore machines, and the other double circle of Graphviz."""
    learned = ACCEPTOR.replace('"s0", shape=doublecircle', '"s0 / 7"')
    learned = learned.replace('[label="s1"]', '[label="s1 / 8"]')
    assert machine_of_dot(learned) == machine_of_dot(MOORE)
    double = ACCEPTOR.replace("shape=doublecircle", "peripheries=2")
    assert machine_of_dot("\n" + double) == machine_of_dot(ACCEPTOR)


def test_an_unknown_shape_is_refused_with_its_line():
    with pytest.raises(InputError, match="line 2: `s0` of shape `star`"):
        machine_of_dot(ACCEPTOR.replace("doublecircle", "star"))


@pytest.mark.parametrize(
    "expression",
    [
        "(ab)*c?",
        "a.b",
        "a[$]|[$]b",
        r"[0-9]+(x|y)",
        "(a|b)*abb",
        "a{2,3}b|[^ab]",
        "((a|b?){2,}c)?[^a]{0,2}x?|()",
        "é*f",
    ],
)
def test_a_regular_expression_answers_after_each_symbol(expression):
    table = machine_of_regex(expression)
    for text in ("abab", "ababc", "axb", "aab", "aaab", "07x", "babb", "éf"):
        words = ["other" if x not in table.symbols else x for x in text]
        if any(word not in table.symbols for word in words):
            # A character that leads nowhere is no symbol.
            assert not re.fullmatch(expression, text)
            continue
        matches = [
            re.fullmatch(expression, text[: end + 1])
            for end in range(len(text))
        ]
        assert answers(table, words) == [
            "accept" if match else "reject" for match in matches
        ]


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("(ab", r"greenery reads.*regex:\(ab"),
        ("a**", "greenery reads"),
        ("[z-a]", "greenery reads"),
        ("^ab", "without anchors"),
        ("ab$", "without anchors"),
        ("a$|b", "without anchors"),
        ("", "at least two symbols"),
        ("a*", "two different outputs|two symbols"),
        ("[ab]*a[ab]{99}", "at most 10,000 arrows"),
        ("((a{999}|b){999}){999}", "1,000 characters, repetitions written out"),
        ("(a{0}){99999999}b", "1,000 characters, repetitions written out"),
        ("a|" * 2000 + "b", "at most 2,000 characters"),
        ("[^!-߿]", "at most 1,024 characters"),
    ],
)
def test_other_expressions_are_refused(expression, message):
    with pytest.raises(InputError, match=message):
        machine_of_regex(expression)


def test_machines_have_names_in_place_of_a_task(tmp_path):
    path = tmp_path / "lock.dot"
    path.write_text(MEALY)
    assert read_machine(str(path)) == machine_of_dot(MEALY, "lock")
    (tmp_path / "m.yaml").write_text(machine_of_dot(MEALY, "lock").to_text())
    assert read_machine(str(tmp_path / "m.yaml")) == read_machine(str(path))
    assert read_machine("regex:(ab)*").symbols == ("a", "b")
    assert not is_machine("increment")
    assert not is_machine("module:Class")
    with pytest.raises(InputError, match="a readable file"):
        read_machine(str(tmp_path / "no.dot"))
    (tmp_path / "no.gv").write_bytes(b"\xff")
    with pytest.raises(InputError, match="a readable file"):
        read_machine(str(tmp_path / "no.gv"))


# From the papers: states, and words of each kind. Only the length of a prefix
# counts.
ANSWERS = {
    "tomita-1": (2, ["1", "111"], ["0", "110"]),
    "tomita-2": (3, ["10", "1010"], ["1", "101", "100", "0"]),
    "tomita-3": (5, ["1", "0", "100", "1100", "01100", "1001"], ["10", "1000"]),
    "tomita-4": (4, ["00", "100100"], ["000", "00010"]),
    "tomita-5": (4, ["11", "00", "0101"], ["1", "0", "011"]),
    "tomita-6": (3, ["01", "000", "1110"[:3]], ["0", "1", "00", "011"]),
    "tomita-7": (5, ["0101", "0011", "1101"], ["01010", "10101"]),
    "dyck-2": (16, ["()", "[()]", "([[]])", "()[]"], ["(", "(]", "(((()"]),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_acceptors_of_the_library(name):
    num_states, accepted, rejected = ANSWERS[name]
    table = MACHINES[name]()
    assert len(table.states) == num_states
    for words, answer in ((accepted, "accept"), (rejected, "reject")):
        for word in words:
            assert answers(table, word)[-1] == answer, word


def test_arithmetic_of_the_library():
    def number(digits, base):
        return int("".join(reversed(digits)), base)

    for name, base, expected in (
        ("times-3", 2, lambda x: 3 * x),
        ("times-7-decimal", 10, lambda x: 7 * x),
        ("increment-decimal", 10, lambda x: x + 1),
    ):
        table = MACHINES[name]()
        for value in (0, 1, 7, 19, 95):
            digits = f"{value:010b}" if base == 2 else f"{value:06d}"
            found = answers(table, reversed(digits))
            assert number(found, base) == expected(value), name
    for name, digits in (
        ("remainder-7", "{:b}"),
        ("remainder-7-decimal", "{}"),
    ):
        for value in (1, 13, 700, 12345):
            found = answers(MACHINES[name](), digits.format(value))
            assert found[-1] == str(value % 7)
    table = MACHINES["modular-arithmetic"]()
    assert (len(table.states), len(table.symbols)) == (25, 15)
    assert answers(table, ["+3", "*4", "-2", "+1", "*3"])[-1] == "3"
    table = MACHINES["cycle-navigation"]()
    assert answers(table, ["left", "left", "stay", "right"]) == list("4334")
    table = MACHINES["even-pairs"]()
    assert answers(table, "abab") == ["even", "odd", "even", "odd"]
    assert answers(MACHINES["parity-check"](), "bab")[-1] == "even"


@fuzzing.TIERS
def test_damaged_files(cases):
    def read(data):
        machine_of_dot(data.decode("utf-8", "replace"))

    parts = [b"->", b"[", b"]", b"{", b"}", b'"', b"subgraph", b"/", b"label="]
    parts += [b"node [", b"__start0 -> s1;", b"s0", b"record", b"peripheries=2"]
    parts += [
        b"strict",
        b"--",
        b"\\n",
        b"|",
        b" / ",
        b"/*",
        b"//",
        b"#",
        b"<a>",
    ]
    valid = [text.encode() for text in (MEALY, ACCEPTOR, MOORE)]
    fuzzing.survives(read, fuzzing.damaged(valid, parts), cases)


@fuzzing.TIERS
def test_damaged_expressions(cases):
    parts = [b"[^", b"]", b"(", b")*", b"{,3}", b"{2,}", b"{99}", b"|", b"."]
    fuzzing.survives(
        lambda data: machine_of_regex(data.decode("utf-8", "replace")),
        fuzzing.damaged([b"(a|b)*abb", b"[^ab]{2,3}c?", rb"\d+(x|y)"], parts),
        cases,
    )


def longer(shorter):
    """Return expressions made of shorter ones."""
    times = st.sampled_from(["*", "+", "?", "{2}", "{0,2}", "{2,}", "{0}"])
    return st.one_of(
        st.tuples(shorter, shorter).map("".join),
        st.tuples(shorter, shorter).map(lambda two: f"({two[0]}|{two[1]})"),
        st.tuples(shorter, times).map(lambda one: f"({one[0]}){one[1]}"),
    )


@fuzzing.TIERS
def test_expressions_mean_what_they_mean_to_python(cases):
    words = [
        "".join(word)
        for length in range(1, 5)
        for word in itertools.product("abx", repeat=length)
    ]

    def read(expression):
        table = machine_of_regex(expression)
        for word in words:
            named = ["other" if x not in table.symbols else x for x in word]
            right = re.fullmatch(expression, word) is not None
            if set(named) <= set(table.symbols):
                assert (answers(table, named)[-1] == "accept") == right
            else:
                assert not right

    parts = st.sampled_from(["a", "b", "[ab]", "[^a]", ".", "()"])
    fuzzing.survives(read, st.recursive(parts, longer, max_leaves=6), cases)
