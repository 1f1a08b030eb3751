import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from keras_lstm.core.yaml_text import parse_yaml, write_yaml


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
