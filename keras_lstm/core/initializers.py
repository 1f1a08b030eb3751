"""Keras's initializers as options name them, `name` or `name(number)`."""

import math
import re

from keras_lstm.core.errors import InputError

# A Keras initializer, and what the number in parentheses is to it.
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
    """Read an initializer, `name` or `name(number)`.

    Args:
        option: what error messages call it.
        text: the value of the option.

    Returns:
        A name among `INITIALIZERS`, and the number where there is one.

    Raises:
        InputError: if it is no such initializer.
    """
    match = re.fullmatch(r"([a-z_]+)(?:\(([^()]+)\))?", text)
    name = match[1] if match else ""
    try:
        number = float(match[2]) if match and match[2] else None
    except ValueError:
        name, number = "", None
    takes_number = number is None or (
        INITIALIZERS.get(name) is not None and math.isfinite(number)
    )
    if name not in INITIALIZERS or not takes_number:
        raise InputError(
            f"`{option}` must be one of {', '.join(INITIALIZERS)}, those "
            "that take a number with it in parentheses. Received: "
            f"{option}={text}"
        )
    if number is not None and number < 0 and INITIALIZERS[name] != "value":
        raise InputError(
            f"`{option}` must have a number of at least 0. Received: "
            f"{option}={text}"
        )
    return name, number
