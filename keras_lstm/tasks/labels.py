"""Names: of classes, tokens and columns, and as texts of options."""

import functools
import json
from collections.abc import Sequence
from typing import Any

from keras_lstm.core.errors import InputError, shown

_SURROGATES = frozenset(map(chr, range(0xD800, 0xE000)))


def check_text(text: str) -> None:
    """Refuse text that the stock layers do not take as it is.

    Args:
        text: any text.

    Raises:
        InputError: if it has a NUL character, or one that UTF-8 lacks.
    """
    if "\0" in text or not (text.isascii() or _SURROGATES.isdisjoint(text)):
        raise InputError(
            "a text must have no NUL characters or lone surrogates. Received: "
            f"{shown(text)}"
        )


def label_text(value: Any) -> str:
    """Return the name of a class.

    Args:
        value: a text, an integer or a boolean.

    Raises:
        InputError: if the value is of another type.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and value.strip():
        check_text(value)
        return value.strip()
    if isinstance(value, int):
        return str(value)
    raise InputError(
        f"a class must be a text or an integer. Received: {shown(value)}"
    )


def class_order(names: set[str]) -> tuple[str, ...]:
    """Return names of classes in order: as numbers if they all are."""
    if all(map(_is_integer, names)):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names))


def _is_integer(name: str) -> bool:
    digits = name.removeprefix("-")
    return digits.isascii() and digits.isdecimal() and len(digits) < 20


def names_to_text(names: Sequence[str]) -> str:
    """Return names as one line of text, for an option."""
    return json.dumps(list(names), ensure_ascii=False)


def names_from_text(text: str, argument: str) -> tuple[str, ...]:
    """Return the names in the text of an option.

    Args:
        text: a JSON list of strings.
        argument: the option's name, for the error.

    Raises:
        InputError: if the text is anything else.
    """
    try:
        names = json.loads(text)
    except (ValueError, RecursionError):
        names = None
    if not isinstance(names, list) or not all(
        isinstance(name, str) for name in names
    ):
        raise InputError(
            f"`{argument}` must be a JSON list of strings. Received: "
            f"{argument}={shown(text)}"
        )
    return tuple(names)


@functools.lru_cache(maxsize=8)
def parse_names(text: str, argument: str) -> tuple[str, ...]:
    """Return the names in the text of an option.

    Args:
        text: a JSON list of strings.
        argument: the option's name.

    Returns:
        The names, at least two of classes and one of others.

    Raises:
        InputError: if the text is anything else, or names repeat.
    """
    names = names_from_text(text, argument)
    least, rule = 1, "at least one name, and none twice"
    if argument == "classes":
        least, rule = 2, "at least two different names"
    if len(set(names)) < max(least, len(names)):
        raise InputError(
            f"`{argument}` must have {rule}. Received: {shown(list(names))}"
        )
    return names
