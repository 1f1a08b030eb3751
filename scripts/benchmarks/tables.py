"""Tables of results in Markdown, and the ranges of numbers that they are of."""

from collections.abc import Mapping, Sequence
from typing import Any


def numbers(text: str) -> range:
    """Return the numbers of a range such as 0-9, or of a single number."""
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def cell(value: Any) -> str:
    """Return a value as text for a table."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    return "-" if value is None else str(value)


def print_table(rows: Sequence[Mapping[str, str]]) -> None:
    """Print rows that have the same titles."""
    print(f"| {' | '.join(rows[0])} |")
    print(f"|{' ---: |' * len(rows[0])}")
    for row in rows:
        print(f"| {' | '.join(row.values())} |")
