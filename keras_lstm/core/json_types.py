"""Types of parsed JSON, checked."""

import functools
import math
import types
import typing
from typing import Any


def check_type(name: str, value: Any, hint: Any) -> None:
    """Refuse a value of parsed JSON that does not have a type.

    An integer is also a float, and True is no integer. Integers for `int`
    are counts: from 0 on, and below 2^63.

    Args:
        name: words for the value, for error messages.
        value: the parsed JSON.
        hint: `str`, `bool`, `int`, `float`, a list or a dict of such types,
            such as `dict[str, list[int]]`, one of these or None, or `Any`.

    Raises:
        TypeError: if the type is another.
        ValueError: if a number is not finite or out of range.

    Example:

    >>> check_type("sizes", {"a": [1, 2]}, dict[str, list[int]])
    >>> check_type("sizes", {"a": [True]}, dict[str, list[int]])
    Traceback (most recent call last):
    TypeError: sizes, a, 0 must be int
    """
    if hint is Any:
        return
    origin, arms = _parts(hint)
    if origin is types.UnionType:
        if value is not None:
            check_type(name, value, arms[0])
    elif hint in (int, float) and type(value) is int:
        if not (0 if hint is int else -(2**63)) <= value < 2**63:
            raise ValueError(f"{name} is out of range")
    elif hint is float and type(value) is float:
        if not math.isfinite(value):
            raise ValueError(f"{name} is not finite")
    elif type(value) is not origin:
        raise TypeError(f"{name} must be {origin.__name__}")
    elif origin is list:
        for index, each in enumerate(value):
            if not _is_plainly(each, arms[0]):
                check_type(f"{name}, {index}", each, arms[0])
    elif origin is dict:
        for key, each in value.items():
            if not _is_plainly(each, arms[1]):
                check_type(f"{name}, {key}", each, arms[1])


def _is_plainly(value: Any, hint: Any) -> bool:
    """Return whether a value has a type; if not, ask `check_type`.

    Most values of a long report are counts, and have no name made for them.
    """
    kind = type(value)
    return kind is hint and (
        kind is str or (kind is int and 0 <= value < 2**63)
    )


@functools.lru_cache(256)
def _parts(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """Return a type without its arguments, and these."""
    return typing.get_origin(hint) or hint, typing.get_args(hint)
