import fuzzing
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from keras_lstm.core import yaml_text
from keras_lstm.core.errors import InputError
from keras_lstm.core.yaml_text import (
    parse_repeated_yaml,
    parse_yaml,
    write_yaml,
)
from keras_lstm.presets import PRESETS


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
@example("a\x85b")
@example("two\nlines\u2028")
@example("a\n b: c\n\n")
@example(" a\nb ")
def test_any_text_is_read_back(text):
    assert parse_yaml(write_yaml({"text": text}), "x") == {"text": text}
    assert parse_yaml(write_yaml({text: 1}), "x") == {text: 1}


def test_a_text_of_several_lines_is_a_block():
    assert write_yaml({"a": "x: y\nz: é\n"}) == "a: |\n  x: y\n  z: é\n"


@pytest.mark.parametrize("scalar", ["010", "1_0", "1:30", "no", "~", "1.50"])
def test_scalars_can_be_read_as_they_are_written(scalar):
    assert parse_yaml(f"a: {scalar}", "x", as_text=True) == {"a": scalar}
    assert parse_yaml(f"a: {scalar}", "x") != {"a": scalar}


def both(text):
    """Return what both parsers make of a text: its value, or the error."""
    results = []
    for parse in (parse_yaml, parse_repeated_yaml):
        try:
            results.append(repr(parse(text, "x")))
        except InputError as error:
            results.append(str(error))
    return results


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_configurations_are_parsed_by_entry(name, monkeypatch):
    text = PRESETS[name]().to_yaml()
    expected = parse_yaml(text, "x")
    assert parse_repeated_yaml(text, "x") == expected
    again = text.replace("\nseed: 0\n", "\nseed: 7\n")
    # Nothing is parsed that was parsed before, nor plain numbers.
    monkeypatch.setattr(yaml_text, "parse_yaml", None)
    assert parse_repeated_yaml(again, "x") == expected | {"seed": 7}


@pytest.mark.parametrize(
    "text",
    [
        *("", "a", "- a", "a: 1", "a: 1\n", "a:\n", "a:\n  b: 1\n", "a: \n"),
        *(
            "  b: 1\n",
            "a: 1\n  b: 1\n",
            "a:\n  b: 1\n    c\n",
            "a: |\n  b: 1\n",
        ),
        *("a: 1\na: 2\n", "a:\n  b: 1\n  b: 2\n", "a:\n  b: 1\na:\n  c: 2\n"),
        *("a:\n  b: 1\na: 1\n", "a: {b: 1}\n", "a: [1,\n  b: 2]\n"),
        *('a:\n  b: "x\n  c: y"\n', 'a: "x\nb: y"\n', "a:\n  b: 'x\n  c: y'\n"),
        *("a:\n  b: &x 1\n  c: *x\n", "a:\n  b: *x\n", "a:\n  <<: {b: 1}\n"),
        *("a:\n  b: |\n    c: 1\n\n    d\n  e: 2\n", "a:\n  b: >-\n   c\n\n"),
        *(
            "a:\n  b: 1\r  c: 2\n",
            "a: 1\rb: 2\n",
            "a: 1\x85b: 2\n",
            "a:\r\n  b: 1\n",
        ),
        *("a:\n  b: 010\n  c: 1_0\n  d: 1:30\n  e: -0\n  f: 1.\n", "a: 1e5\n"),
        *(
            "a: 1.0e-05\nb: 1.5e5\nc: -2.50\nd: .5\n",
            "a: 99999999999999999999\n",
        ),
        *("no: 1\nyes: 2.5\n", "no:\n  on: 1\n", "a:\n  b:\n  c: 1\n"),
        *("a: 1 # b\n", "# a\nb: 1\n", "---\na: 1\n", "a: 1\n---\nb: 1\n"),
        *("a: 2026-11-28\n", "a: !!set {x}\n", "a: .nan\n", "a: 1\n\tb: 1\n"),
        *(
            "a: b: c\n",
            "a:\n  b: x: y\n",
            "a:\n  b: [\n",
            "a: %\n",
            "? a\n: b\n",
        ),
        "a: " + "9" * 5000 + "\n",
    ],
)
def test_both_parsers_agree(text):
    one, other = both(text)
    assert one == other
    assert both(text)[1] == one


@fuzzing.TIERS
def test_both_parsers_agree_on_damaged_texts(cases):
    valid = PRESETS["machine"]().to_yaml().encode()
    tokens = [b"\n", b"  ", b": ", b"&a ", b"*a", b"[", b'"', b"'", b"|", b"#"]

    def read(data):
        text = data.decode("utf-8", "replace")
        one, other = both(text)
        assert one == other

    fuzzing.survives(read, fuzzing.damaged([valid], tokens), cases)


def test_what_is_returned_is_the_callers():
    text = "a:\n  b: 1\n"
    parse_repeated_yaml(text, "x")["a"]["b"] = 2
    assert parse_repeated_yaml(text, "x") == {"a": {"b": 1}}
