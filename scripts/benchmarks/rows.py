"""Rows of the benchmark's table, and what is measured in turns for them."""

import dataclasses
import os
import pathlib
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

from limits import OURS, Bar

ROOT = pathlib.Path(__file__).parents[2]
ENVIRONMENT = os.environ | {
    "CUDA_VISIBLE_DEVICES": "-1",
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "PYTHONPATH": str(ROOT),
}


@dataclasses.dataclass(frozen=True)
class Row:
    """Row of the table.

    Args:
        what: what was measured.
        unit: its unit.
        figures: the figures by peer.
        products: the multiplications of what was measured, for the limit; None
            where they take little of the time.
        bar: what our figure must reach; None for nothing.
    """

    what: str
    unit: str
    figures: dict[str, float]
    products: int | None = None
    bar: Bar | None = None

    def to_mapping(self) -> dict[str, object]:
        """Return the row for JSON."""
        return {
            "what": self.what,
            "unit": self.unit,
            "figures": self.figures,
            "multiplications": self.products,
            "bar": None if self.bar is None else self.bar.verdict(self.figures),
        }


def print_status(text: str) -> None:
    """Print progress to standard error."""
    print(text, file=sys.stderr, flush=True)


def in_turns(
    measures: dict[str, Callable[[], float]], rounds: int
) -> dict[str, float]:
    """Measure in turns, and return the medians."""
    found: dict[str, list[float]] = {name: [] for name in measures}
    for number in range(rounds):
        for name, measure in list(measures.items())[:: -1 if number % 2 else 1]:
            found[name].append(measure())
    return {name: statistics.median(each) for name, each in found.items()}


def seconds_of(command: Sequence[str], lines: str = "") -> float:
    """Return the seconds that a process takes."""
    start = time.perf_counter()
    subprocess.run(
        command,
        check=True,
        input=lines,
        text=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=ENVIRONMENT,
    )
    return time.perf_counter() - start


def table(rows: Sequence[Row], peak: float) -> str:
    """Return the rows as a Markdown table.

    Args:
        rows: the rows.
        peak: multiplications that the cores do in a second, for the limit.
    """
    # A column for each peer, in the order of first appearance.
    names = [*{name: None for row in rows for name in row.figures}]
    titles = ["", "unit", *names, "stock : ours", "limit", "bar"]
    lines = [f"| {' | '.join(titles)} |"]
    lines.append(f"| --- | --- |{' ---: |' * (len(names) + 2)} --- |")
    for row in rows:
        stock = row.figures.get("stock_keras")
        limit = None
        if row.products is not None:
            scale = {"s": 1, "ms a step": 1000}[row.unit]
            limit = row.products / peak * scale
        cells = [
            *(row.what, row.unit),
            *(_figure(row.figures.get(name)) for name in names),
            f"{stock / row.figures[OURS]:.2f}" if stock else "",
            _figure(limit),
            "" if row.bar is None else row.bar.verdict(row.figures),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _figure(value: float | None) -> str:
    """Return a cell of the table."""
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
