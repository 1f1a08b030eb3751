"""Errors that the command line prints as one line."""

import numbers
import reprlib
from typing import Any

# A message and a value in it are shortened to about this many characters.
_MAX_MESSAGE = 2000
_MAX_VALUE = 80
# Integers above this size have more digits than Python prints at once.
_MAX_BITS = 4096

_short = reprlib.Repr()
_short.maxlevel = 2
_short.maxdict = _short.maxlist = _short.maxtuple = 4
_short.maxset = _short.maxfrozenset = _short.maxdeque = _short.maxarray = 4
_short.maxstring = _short.maxother = _MAX_VALUE


class InputError(ValueError):
    """Error for invalid input, whose message is one line.

    It names the argument, the rule and the value received. The command line
    prints it without a traceback and exits with code 2.

    Args:
        message: the message; `one_line` makes it one line.
    """

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


class RunError(RuntimeError):
    """Error for a failed run, whose message is one line.

    The command line prints it without a traceback and exits with code 1.

    Args:
        message: the message; `one_line` makes it one line.
    """

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


def one_line(text: str) -> str:
    """Escape line breaks, control characters and the like; shorten.

    Args:
        text: any text.

    Returns:
        Printable text of about 2,000 characters at most. A longer one loses
        its middle.
    """
    return escaped(_shortened(text, _MAX_MESSAGE))


def escaped(text: str) -> str:
    """Escape line breaks, control characters and the like.

    Args:
        text: any text, such as the name of a file.

    Returns:
        Printable text on one line.
    """
    if text.isprintable():
        return text
    return "".join(
        each
        if each.isprintable()
        else each.encode("unicode_escape").decode("ascii")
        for each in text
    )


def shown(value: Any) -> str:
    """Return a received value for an error message, shortened.

    Args:
        value: any value.

    Returns:
        Strings as they are, other values as Python writes them; about 80
        characters of either, and a few of the elements of a container.
    """
    if isinstance(value, str):
        return _shortened(value, _MAX_VALUE)
    if isinstance(value, int) and value.bit_length() > _MAX_BITS:
        return f"an integer of {value.bit_length()} bits"
    return _shortened(_short.repr(value), _MAX_MESSAGE // 2)


def check_integer(name: str, value: Any, least: int) -> None:
    """Check an argument that is a number of something.

    Args:
        name: name of the argument.
        value: what was passed.
        least: the smallest value that is allowed.

    Raises:
        InputError: if it is no integer, or a smaller one.
    """
    is_integer = isinstance(value, numbers.Integral)
    if isinstance(value, bool) or not is_integer or value < least:
        raise InputError(
            f"`{name}` must be an integer of at least {least}. Received: "
            f"{name}={shown(value)}"
        )


def described(error: BaseException) -> str:
    """Return an error's type and message, on one line.

    Args:
        error: any error, also one whose message cannot be made.
    """
    try:
        message = " ".join(str(error).split())
    except Exception:
        message = ""
    name = type(error).__name__
    return _shortened(f"{name}: {message}" if message else name, 500)


def _shortened(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    start, end = limit * 2 // 3, limit // 3
    return f"{text[:start]}...{text[-end:]} ({len(text):,} characters)"
