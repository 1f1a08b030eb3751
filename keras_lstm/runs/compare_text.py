"""A comparison of runs as text."""

from collections.abc import Sequence
from typing import Any

from keras_lstm.core.console import percent
from keras_lstm.core.errors import escaped, shown
from keras_lstm.runs.compare import Comparison
from keras_lstm.runs.table import short_value
from keras_lstm.runs.wrong_inputs import Difference, WrongInput, WrongInputs

_MAX_VALUE = 40
_MAX_EPOCHS = 20
_MAX_INPUTS = 10
# The metrics to show; the others if no run has one of these.
_CURVES = ("val_sequence_accuracy", "val_loss")
_OTHER_CURVES = ("sequence_accuracy", "loss")


def comparison_text(comparison: Comparison) -> str:
    """Return a comparison as text.

    Args:
        comparison: the comparison.

    Returns:
        The runs; tables of the options that differ, of the results and of
        metrics by epoch, with a column for each run; and the inputs that one
        gets right and the other does not.
    """
    runs = comparison.runs
    heads = [f"run {number}" for number in range(1, len(runs) + 1)]
    named = zip(heads, runs, strict=True)
    parts = [
        [
            f"{head}  {escaped(run.name)}  {run.state_text}"
            for head, run in named
        ]
    ]
    if comparison.options:
        parts.append(_options(heads, comparison))
    else:
        parts.append(["No option differs."])
    parts.append(_results(heads, comparison))
    curves = comparison.curves
    names = [name for name in _CURVES if name in curves]
    for name in names or [name for name in _OTHER_CURVES if name in curves]:
        parts.append(_curve(name, heads, comparison))
    for number, difference in enumerate(comparison.differences, start=1):
        wrong = comparison.wrong[0], comparison.wrong[number]
        pair = heads[0], heads[number]
        parts.append(_difference(difference, pair, wrong))
    if comparison.problems:
        parts.append([escaped(problem) for problem in comparison.problems])
    return "\n\n".join("\n".join(lines) for lines in parts)


def _options(heads: list[str], comparison: Comparison) -> list[str]:
    """Return a table of the options that differ."""
    rows = [["option", *heads]]
    for name, values in comparison.options.items():
        cells = [
            "-"
            # Not an option of this run's task.
            if value is None and name not in run.config.values
            else short_value(value, _MAX_VALUE)
            for run, value in zip(comparison.runs, values, strict=True)
            if run.config is not None
        ]
        rows.append([name, *cells])
    return _aligned(rows)


def _results(heads: list[str], comparison: Comparison) -> list[str]:
    """Return a table of the results."""
    rows = [["result", *heads]]
    for name, values in comparison.results.items():
        cells = [_figure(name, value) for value in values]
        rows.append([name.replace("_", " "), *cells])
    return _aligned(rows)


def _figure(name: str, value: Any) -> str:
    """Return a metric or a field of a report as text."""
    if value is None:
        return "-"
    if name.endswith("accuracy"):
        return percent(value)
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else shown(value)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows as lines, with the first column to the left."""
    rows = [[escaped(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            [
                row[0].ljust(widths[0]),
                *map(str.rjust, row[1:], widths[1:]),
            ]
        ).rstrip()
        for row in rows
    ]


def _curve(name: str, heads: list[str], comparison: Comparison) -> list[str]:
    """Return a metric by epoch, a line for each of some epochs."""
    epochs, values = comparison.epochs, comparison.curves[name]
    last = len(epochs) - 1
    count = min(len(epochs), _MAX_EPOCHS)
    # The first, the last, and as many between.
    chosen = sorted({round(i * last / max(1, count - 1)) for i in range(count)})
    rows = [[f"{name} by epoch", *heads]]
    for index in chosen:
        cells = [_figure(name, run[index]) for run in values]
        rows.append([str(epochs[index]), *cells])
    lines = _aligned(rows)
    if len(chosen) < len(epochs):
        lines.append(f"({len(chosen)} of {len(epochs)} epochs)")
    return lines


def _difference(
    difference: Difference,
    heads: tuple[str, str],
    wrong: tuple[WrongInputs, WrongInputs],
) -> list[str]:
    """Return the inputs that one run gets right and the other wrong."""
    if difference.reason is not None:
        return [
            f"The inputs of {heads[0]} and {heads[1]} are not compared: "
            f"{escaped(difference.reason)}."
        ]
    lines = []
    for inputs, right, other in (
        (difference.first_right, 0, 1),
        (difference.other_right, 1, 0),
    ):
        pair = heads[right], heads[other]
        lines += _one_way(inputs, pair, wrong[right], wrong[other])
    is_exact = difference.is_complete or not all(w.num_wrong for w in wrong)
    least = "" if is_exact else "at least "
    lines.append(
        f"Wrong in both: {least}{difference.num_both_wrong:,} of "
        f"{wrong[0].num_checked:,} ({escaped(wrong[0].checked or '')})."
    )
    for head, each in zip(heads, wrong, strict=True):
        if not each.is_complete:
            lines.append(
                f"Of the {each.num_wrong:,} wrong inputs of {head}, only "
                f"{len(each.listed):,} are listed."
            )
    return lines


def _one_way(
    inputs: list[WrongInput] | None,
    heads: tuple[str, str],
    right: WrongInputs,
    other: WrongInputs,
) -> list[str]:
    """Return the inputs that the first of two runs gets right."""
    what = f"right that {heads[1]} gets wrong"
    if inputs is None:
        return [
            f"Which inputs {heads[0]} gets {what} is not known: not all of its "
            f"{right.num_wrong:,} wrong ones are listed."
        ]
    # A run without mistakes gets those right as well that are not listed.
    count = len(inputs) if right.num_wrong else other.num_wrong
    is_exact = other.is_complete or not right.num_wrong
    least = "" if is_exact else "at least "
    name = heads[0].capitalize()
    if not inputs:
        none = "none" if is_exact else "none of those listed"
        return [f"{name} gets {none} {what}."]
    some = ":" if count <= _MAX_INPUTS and is_exact else ", such as:"
    rows = [["line", "input", "target", heads[1]]]
    for each in inputs[:_MAX_INPUTS]:
        # A drawing of an image has several lines.
        text = "" if "\n" in each.input else each.input
        cells = text, each.target, each.prediction
        line = "" if each.line is None else str(each.line)
        rows.append([line, *map(shown, cells)])
    # Columns that are empty but for their names are left out.
    shown_columns = [
        index for index in range(4) if any(row[index] for row in rows[1:])
    ]
    rows = [[row[index] for index in shown_columns] for row in rows]
    lines = [f"{name} gets {least}{count:,} {what}{some}"]
    return [*lines, *(f"  {line}" for line in _aligned(rows))]
