"""Keras initializers as options write them: `name` or `name(number)`."""

import re

from keras_lstm.core.errors import InputError, shown
from keras_lstm.core.options import MAX_FLOAT

# For each initializer, the parameter that the number in parentheses sets.
INITIALIZERS = {
    "constant": "value",
    "glorot_normal": None,
    "glorot_uniform": None,
    "orthogonal": "gain",
    "random_normal": "stddev",
    "random_uniform": "maxval",
    "truncated_normal": "stddev",
    "zeros": None,
}


def parse_initializer(option: str, text: str) -> tuple[str, float | None]:
    """Parse an initializer, written as `name` or `name(number)`.

    Args:
        option: name of the option, for error messages.
        text: value of the option.

    Returns:
        A name among `INITIALIZERS`, and the number; None if there is none.

    Raises:
        InputError: if `text` is not such an initializer, or its number is
            negative, above the largest float32, or not allowed.
    """
    match = re.fullmatch(r"([a-z_]+)(?:\(([^()]+)\))?", text)
    name = match[1] if match else ""
    try:
        number = float(match[2]) if match and match[2] else None
    except ValueError:
        name, number = "", None
    takes_number = number is None or (
        INITIALIZERS.get(name) is not None and abs(number) <= MAX_FLOAT
    )
    if name not in INITIALIZERS or not takes_number:
        raise InputError(
            f"`{option}` must be one of {', '.join(INITIALIZERS)}, with a "
            "number in parentheses if it takes one. Received: "
            f"{option}={shown(text)}"
        )
    if number is not None and number < 0 and INITIALIZERS[name] != "value":
        raise InputError(
            f"`{option}` must have a number of at least 0. Received: "
            f"{option}={shown(text)}"
        )
    if name == "orthogonal" and option.endswith("_bias_initializer"):
        raise InputError(
            f"`{option}` must be an initializer of vectors; orthogonal makes "
            f"matrices. Received: {option}={shown(text)}"
        )
    return name, number
