"""The tables of a Mealy machine."""

import inspect
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from keras_lstm.core.errors import InputError, shown

_MAX_SYMBOLS = 2**15
_TABLES = ("next_state", "output")
# Attributes that say what a machine computes, and with them what is checked.
_BY_TABLES = (
    *("targets", "states", "transduce", "in_domain"),
    *("symbols_of", "hold_length", "num_inputs"),
    *("num_symbols", "num_classes", "codes", "hold_symbols", "leave_symbols"),
)
# Attributes that are about certain tables.
_OF_TABLES = (
    *("domain_states", "state_names"),
    *("input_name", "target_name", "hold_label"),
)


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


def settle_tables(cls: type, base: type) -> None:
    """Make a class of machines what its tables say.

    Names and the domain of another machine, whose tables a class replaces, are
    not taken over. The rest of the package compares tables, hashes states and
    writes JSON, so arrays become tuples and integers.

    Args:
        cls: the class.
        base: the class that all machines are derived from.

    Raises:
        InputError: if it has a method of its own where the tables decide.
    """
    for name in _BY_TABLES:
        if inspect.getattr_static(cls, name) is not vars(base)[name]:
            raise InputError(
                "a machine must be what its tables say. Received: "
                f"{cls.__name__}, which defines `{name}` itself"
            )
    of_tables = min(_depth(cls, name) for name in _TABLES)
    for name in _OF_TABLES:
        depth = _depth(cls, name)
        if depth > of_tables and hasattr(cls.__mro__[depth], _TABLES[0]):
            setattr(cls, name, vars(base)[name])
    for name in (*_TABLES, "domain_states"):
        if name in vars(cls):
            setattr(cls, name, without_arrays(vars(cls)[name]))


def _depth(cls: type, name: str) -> int:
    """Return which of a class and its bases, in order, defines a name."""
    bases = cls.__mro__
    found = (i for i, each in enumerate(bases) if name in vars(each))
    return next(found, len(bases))


def check_tables(next_state: Any, output: Any, domain_states: Any) -> None:
    """Refuse values that are not the tables of a machine.

    Args:
        next_state: as for `are_tables`.
        output: as for `are_tables`.
        domain_states: final states of the inputs in the domain; None for all.

    Raises:
        InputError: if `are_tables` is false, or a final state does not exist.
    """
    if are_tables(next_state, output):
        states = range(len(next_state))
        if domain_states is None or (
            isinstance(domain_states, Collection)
            and all(state in states for state in domain_states)
        ):
            return
    raise InputError(
        "`next_state` and `output` must be tables of the same shape, of "
        "integers, with a row for each state and a column for each of at least "
        "two symbols, naming existing states. Received: "
        f"next_state={shown(next_state)}, output={shown(output)}, "
        f"domain_states={shown(domain_states)}"
    )


def codes_of(
    next_state: Sequence[Sequence[int]], output: Sequence[Sequence[int]]
) -> list[tuple[int, int, int]]:
    """Return what a step can lead to.

    Args:
        next_state: as for `are_tables`.
        output: as for `are_tables`.

    Returns:
        The different triples of a next state, the symbol read and the symbol
        written.
    """
    triples = (
        (end, symbol, written)
        for ends, outputs in zip(next_state, output, strict=True)
        for symbol, (end, written) in enumerate(zip(ends, outputs, strict=True))
    )
    return list(dict.fromkeys(triples))


def without_arrays(values: Any) -> Any:
    """Convert NumPy arrays to nested tuples of Python's numbers.

    Args:
        values: an array, a sequence that may hold arrays, or anything else.

    Returns:
        The tuples; for anything else, `values`.
    """
    if isinstance(values, np.ndarray | np.generic):
        values = values.tolist()
    if isinstance(values, list | tuple):
        return tuple(without_arrays(value) for value in values)
    return values
