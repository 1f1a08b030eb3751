import dataclasses
import typing

import pytest

from keras_lstm.core.errors import InputError
from keras_lstm.core.options import Options, check_keys, option


@dataclasses.dataclass(frozen=True)
class Example(Options):
    count: int = option(1, "number of items", minimum=1, maximum=9)
    fraction: float = option(0.5, "a fraction", minimum=0.0, below=1.0)
    kind: str = option("a", "a kind", choices=("a", "b"))
    limit: float | None = option(None, "a limit", above=0.0)
    on: bool = option(False, "a switch")
    size: typing.Optional[int] = option(None, "a size")  # noqa: UP045


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"count": 0},
            "`count` must be an integer from 1 to 9. Received: count=0",
        ),
        ({"count": True}, "`count` must be an integer from 1 to 9"),
        ({"count": 1.0}, "Received: count=1.0"),
        (
            {"fraction": 1.0},
            "`fraction` must be a finite number of at least 0.0 and below 1.0",
        ),
        ({"fraction": float("nan")}, "Received: fraction=nan"),
        ({"fraction": float("inf")}, "Received: fraction=inf"),
        ({"kind": "c"}, "`kind` must be one of a, b. Received: kind=c"),
        ({"limit": 0}, "a finite number above 0.0, or none"),
        ({"on": 1}, "`on` must be true or false"),
        ({"kind": None}, "Received: kind=None"),
    ],
)
def test_a_value_that_breaks_its_rule_is_refused(values, message):
    with pytest.raises(InputError, match=message):
        Example(**values)


def test_an_integer_serves_as_a_number():
    assert Example(limit=2).limit == 2.0
    assert isinstance(Example(limit=2).limit, float)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("count", "3", 3),
        ("fraction", "1e-3", 0.001),
        ("limit", "none", None),
        ("size", "3", 3),
        ("on", "true", True),
        ("kind", "b", "b"),
    ],
)
def test_a_flag_is_read_as_its_type(name, text, value):
    assert Example.parse(name, text) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [("count", "3.5"), ("fraction", "much"), ("on", "1"), ("count", "none")],
)
def test_text_of_another_type_is_refused(name, text):
    with pytest.raises(InputError, match=f"Received: {name}={text}"):
        Example.parse(name, text)


def test_a_misspelt_key_gets_a_suggestion():
    with pytest.raises(InputError, match=r"Did you mean `count`?"):
        check_keys(Example, {"cuont": 1}, "example")


def test_a_part_must_be_a_mapping():
    with pytest.raises(InputError, match=r"Received: example=\[1\]"):
        check_keys(Example, [1], "example")
