"""A table of runs: filtered, sorted, as text, CSV or JSON."""

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from keras_lstm.config import Config, ModelConfig, TrainingConfig
from keras_lstm.core.console import percent
from keras_lstm.core.errors import escaped
from keras_lstm.core.options import check_known, option_kinds
from keras_lstm.runs.filters import parse_filter
from keras_lstm.runs.report import Report
from keras_lstm.runs.summary import RunState, RunSummary
from keras_lstm.tasks.registry import TASKS

# The text of a value, and the number of values of a run, that a line shows.
_MAX_VALUE = 24
_MAX_VALUES = 8

# Columns, by name: the type of the values, and what they are in a report.
_REPORTED: dict[str, tuple[type, Callable[[Report], Any]]] = {
    "result": (float, lambda report: report.sequence_accuracy),
    "checked": (str, lambda report: report.checked),
    "wrong": (int, lambda report: report.num_wrong),
    "of": (int, lambda report: report.num_examples),
    "proved": (bool, lambda report: report.proved),
    "examples": (int, lambda report: report.training_examples),
    "parameters": (int, lambda report: report.num_parameters),
    "seconds": (float, lambda report: round(report.seconds.total, 3)),
}
_COLUMNS: dict[str, type] = {
    **dict.fromkeys(("run", "task", "preset", "state"), str),
    "step": int,
    **{name: kind for name, (kind, _) in _REPORTED.items()},
    "problem": str,
}
SHOWN_COLUMNS = (
    *("run", "task", "preset", "state", "result", "wrong", "proved"),
    *("examples", "seconds", "differs"),
)
_TO_THE_LEFT = ("run", "task", "preset", "state", "differs")


def select_runs(
    runs: Iterable[RunSummary],
    filters: Sequence[str] = (),
    sort: str | None = None,
    descending: bool = False,
) -> list[RunSummary]:
    """Return the runs that meet all conditions, sorted.

    Args:
        runs: the runs.
        filters: the conditions; see `parse_filter`.
        sort: name of a column or an option to sort by; None to keep the
            order. Runs without the value come last.
        descending: whether the largest value comes first.

    Returns:
        The runs.

    Raises:
        InputError: if a condition is not one, or a name is unknown.
    """
    rows = [(run, _values(run)) for run in runs]
    kinds = _kinds([values for _, values in rows])
    conditions = [parse_filter(text, kinds, _COLUMNS) for text in filters]
    for condition in conditions:
        if condition.name == "state" and condition.value is not None:
            check_known(condition.value, list(RunState), "state")
    kept = [
        (run, values)
        for run, values in rows
        if all(condition.keeps(values) for condition in conditions)
    ]
    if sort is not None:
        name = sort.replace("-", "_")
        check_known(name, kinds, "column or option")
        known = [row for row in kept if row[1].get(name) is not None]
        others = [row for row in kept if row[1].get(name) is None]
        known.sort(key=lambda row: _order(row[1][name]), reverse=descending)
        kept = known + others
    return [run for run, _ in kept]


def _values(run: RunSummary) -> dict[str, Any]:
    """Return a run's values by name of the column or option."""
    return (run.config.values if run.config else {}) | columns_of(run)


def columns_of(run: RunSummary) -> dict[str, Any]:
    """Return a run's values by name of the column.

    Args:
        run: the run.
    """
    config, report = run.config, run.report
    task = preset = None
    if config is not None:
        task, preset = config.task, config.preset
    elif report is not None:
        task, preset = report.task, report.preset
    reported = {
        name: None if report is None else read(report)
        for name, (_, read) in _REPORTED.items()
    }
    return {
        "run": run.name,
        "task": task,
        "preset": preset,
        "state": run.state.value,
        "step": run.step,
        **reported,
        "problem": run.problem,
    }


def _kinds(rows: Iterable[dict[str, Any]]) -> dict[str, type]:
    """Return the type of the values of all columns and options, by name."""
    kinds: dict[str, type] = {}
    for values in rows:
        for name, value in values.items():
            # A custom task's option may be anything.
            kind = type(value)
            if value is not None and name not in kinds:
                kinds[name] = kind if kind in (int, float, bool) else str
    for cls in (*TASKS.values(), Config, ModelConfig, TrainingConfig):
        kinds |= option_kinds(cls)
    return kinds | _COLUMNS


def _order(value: Any) -> tuple[bool, Any]:
    """Return a sort key: numbers come before texts."""
    is_number = isinstance(value, int | float)
    return (not is_number, value if is_number else str(value))


def runs_json(runs: Iterable[RunSummary]) -> list[dict[str, Any]]:
    """Return runs as mappings for JSON.

    Args:
        runs: the runs.

    Returns:
        For each the values of all columns, None where they are unknown, and
        the options that differ from the preset as `differs`.
    """
    return [
        columns_of(run)
        | {"differs": run.config.differing if run.config else None}
        for run in runs
    ]


def runs_csv(runs: Sequence[RunSummary]) -> str:
    """Return runs as CSV, one line each.

    Args:
        runs: the runs.

    Returns:
        A header and a line for each run: all columns, then the options that
        differ from the preset in any of them. Line breaks and control
        characters are escaped.
    """
    configs = [run.config for run in runs if run.config is not None]
    names = {name: None for config in configs for name in config.differing}
    options = [name for name in names if name not in _COLUMNS]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*_COLUMNS, *map(escaped, options)])
    for run in runs:
        values = _values(run)
        cells = [values.get(name) for name in (*_COLUMNS, *options)]
        writer.writerow("" if x is None else escaped(str(x)) for x in cells)
    return text.getvalue()


def runs_text(runs: Sequence[RunSummary]) -> str:
    """Return runs as a table of text.

    Args:
        runs: the runs.

    Returns:
        A header and a line for each run; the options that differ from the
        preset come last.
    """
    lines_of_runs = ([escaped(x) for x in cells_of(run)] for run in runs)
    rows = [list(SHOWN_COLUMNS), *lines_of_runs]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if name in _TO_THE_LEFT else cell.rjust(width)
            for cell, width, name in zip(
                row, widths, SHOWN_COLUMNS, strict=True
            )
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def cells_of(run: RunSummary) -> list[str]:
    """Return the texts of a run's line in a table.

    Args:
        run: the run.

    Returns:
        A text for each of `SHOWN_COLUMNS`.
    """
    values = columns_of(run)
    report = run.report
    named = [values[name] or "-" for name in ("run", "task", "preset")]
    if report is None:
        figures = ["-"] * 5
    else:
        checked = report.checked
        figures = [
            f"{percent(report.sequence_accuracy)} of {short_checked(checked)}",
            f"{report.num_wrong:,} of {report.num_examples:,}",
            "yes" if report.proved else "no",
            f"{report.training_examples:,}",
            f"{report.seconds.total:,.0f}",
        ]
    return [*named, run.state_text, *figures, _differing_text(run)]


def short_checked(checked: str) -> str:
    """Return what was checked in a few words.

    Args:
        checked: a report's `checked`.
    """
    known = {"all inputs": "all", "test split": "test"}
    return known.get(checked, "a sample")


def _differing_text(run: RunSummary) -> str:
    if run.config is None:
        return run.problem or "-"
    differing = run.config.differing
    parts = [
        f"{name}={short_value(value)}"
        for name, value in list(differing.items())[:_MAX_VALUES]
    ]
    left = len(differing) - len(parts)
    parts += [f"and {left} more"] if left else []
    return " ".join(parts) or "-"


def short_value(value: Any, limit: int = _MAX_VALUE) -> str:
    """Return an option's value as text, cut if it is long.

    Args:
        value: the value.
        limit: the largest number of characters.
    """
    if value is None or isinstance(value, bool):
        return str(value).lower()
    text = str(value)
    first = text.split("\n")[0]
    is_cut = len(first) > limit or first != text
    return f"{first[: limit - 3]}..." if is_cut else text
