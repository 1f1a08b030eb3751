"""Texts of options of `FeatureSequences`."""

import functools
import json

import numpy as np
import numpy.typing as npt

from keras_lstm.core.errors import InputError, shown

# Digits that a float32 needs.
_DIGITS = 9
# That of float32 is larger.
_MAX_STATISTIC = 1e38
_MAX_SIZE = 2**14


def parse_size(text: str | None) -> tuple[int, int] | None:
    """Return the size of images in the text of an option.

    Args:
        text: "ROWS,COLUMNS"; None for no size.

    Returns:
        Rows and columns; None for None.

    Raises:
        InputError: if the text is anything else.
    """
    if text is None:
        return None
    rows, _, columns = text.partition(",")
    try:
        size = int(rows), int(columns)
    except ValueError:
        size = 0, 0
    if not all(1 <= each <= _MAX_SIZE for each in size):
        raise InputError(
            f"`image_size` must be ROWS,COLUMNS, integers from 1 to "
            f"{_MAX_SIZE}. Received: image_size={shown(text)}"
        )
    return size


def numbers_to_text(numbers: npt.NDArray[np.float64]) -> str:
    """Return numbers as a JSON list, as precise as float32."""
    return json.dumps([float(f"{x:.{_DIGITS}g}") for x in numbers.tolist()])


@functools.lru_cache(maxsize=8)
def parse_numbers(text: str, argument: str) -> tuple[float, ...]:
    """Return the numbers in the text of an option.

    Args:
        text: a JSON list of numbers.
        argument: the option's name.

    Returns:
        The numbers, at least one.

    Raises:
        InputError: if the text is anything else, or a number is larger than
            float32 holds.
    """
    try:
        numbers = json.loads(text)
    except (ValueError, RecursionError):
        numbers = None
    if (
        not isinstance(numbers, list)
        or not numbers
        or not all(
            type(x) in (int, float) and abs(x) <= _MAX_STATISTIC
            for x in numbers
        )
    ):
        raise InputError(
            f"`{argument}` must be a JSON list of finite numbers. Received: "
            f"{argument}={shown(text)}"
        )
    return tuple(map(float, numbers))
