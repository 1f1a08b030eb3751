"""The tables of a Mealy machine."""

from typing import Any

import numpy as np

_MAX_SYMBOLS = 2**15


def are_tables(next_state: Any, output: Any) -> bool:
    """Return whether two values are the tables of a machine.

    Args:
        next_state: the next state for each state and input symbol,
            `(num_states, num_symbols)`.
        output: the output symbol for each state and input symbol, of the same
            shape.

    Returns:
        True if both are integer tables of the same shape, with at least one
        state and two symbols, and all entries are in range.
    """
    try:
        shapes = [np.shape(table) for table in (next_state, output)]
        kinds = [np.asarray(table).dtype.kind for table in (next_state, output)]
    # Rows of different lengths.
    except ValueError:
        return False
    if kinds != ["i", "i"] or shapes[0] != shapes[1] or len(shapes[0]) != 2:
        return False
    num_states, num_symbols = shapes[0]
    return bool(
        num_states > 0
        and 2 <= num_symbols <= _MAX_SYMBOLS
        and np.min(next_state) >= 0
        and np.max(next_state) < num_states
        and np.min(output) >= 0
        and np.max(output) < _MAX_SYMBOLS
    )
