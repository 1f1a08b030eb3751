"""A comparison of runs as text."""

import dataclasses
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
    runs, heads = comparison.runs, run_heads(comparison)
    named = zip(heads, runs, strict=True)
    parts = [
        [
            f"{head}  {escaped(run.name)}  {run.state_text}"
            for head, run in named
        ]
    ]
    if comparison.options:
        parts.append(_aligned(option_rows(comparison)))
    else:
        parts.append(["No option differs."])
    parts.append(_aligned(result_rows(comparison)))
    curves = comparison.curves
    names = [name for name in _CURVES if name in curves]
    for name in names or [name for name in _OTHER_CURVES if name in curves]:
        parts.append(_curve(name, comparison))
    for number, difference in enumerate(comparison.differences, start=1):
        wrong = comparison.wrong[0], comparison.wrong[number]
        pair = heads[0], heads[number]
        parts.append(_difference(difference, pair, wrong))
    if comparison.problems:
        parts.append([escaped(problem) for problem in comparison.problems])
    return "\n\n".join("\n".join(lines) for lines in parts)


def run_heads(comparison: Comparison) -> list[str]:
    """Return the head of each run's column.

    Args:
        comparison: the comparison.
    """
    return [f"run {number}" for number in range(1, len(comparison.runs) + 1)]


def option_rows(comparison: Comparison) -> list[list[str]]:
    """Return the options that differ, a row for each after that of heads.

    Args:
        comparison: the comparison.
    """
    rows = [["option", *run_heads(comparison)]]
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
    return rows


def result_rows(comparison: Comparison) -> list[list[str]]:
    """Return the results, a row for each after that of heads.

    Args:
        comparison: the comparison.
    """
    rows = [["result", *run_heads(comparison)]]
    for name, values in comparison.results.items():
        cells = [_figure(name, value) for value in values]
        rows.append([name.replace("_", " "), *cells])
    return rows


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


def _curve(name: str, comparison: Comparison) -> list[str]:
    """Return a metric by epoch, a line for each of some epochs."""
    rows = curve_rows(name, comparison)
    lines = _aligned(rows)
    num_shown, num_epochs = len(rows) - 1, len(comparison.epochs)
    if num_shown < num_epochs:
        lines.append(f"({num_shown} of {num_epochs} epochs)")
    return lines


def curve_rows(name: str, comparison: Comparison) -> list[list[str]]:
    """Return a metric by epoch, a row for each of some after that of heads.

    Args:
        name: the metric.
        comparison: the comparison.
    """
    epochs, values = comparison.epochs, comparison.curves[name]
    last = len(epochs) - 1
    count = min(len(epochs), _MAX_EPOCHS)
    # The first, the last, and as many between.
    chosen = sorted({round(i * last / max(1, count - 1)) for i in range(count)})
    rows = [[f"{name} by epoch", *run_heads(comparison)]]
    for index in chosen:
        cells = [_figure(name, run[index]) for run in values]
        rows.append([str(epochs[index]), *cells])
    return rows


def _difference(
    difference: Difference,
    heads: tuple[str, str],
    wrong: tuple[WrongInputs, WrongInputs],
) -> list[str]:
    """Return the inputs that one run gets right and the other wrong."""
    lines = []
    for each in one_ways(difference, heads, wrong):
        if not each.inputs:
            lines.append(f"{each.said}.")
            continue
        is_all = each.is_all and len(each.inputs) <= _MAX_INPUTS
        lines.append(f"{each.said}{':' if is_all else ', such as:'}")
        rows = input_rows(each.inputs[:_MAX_INPUTS], each.wrong_head)
        rows = [[shown(cell) for cell in row] for row in rows]
        lines += [f"  {line}" for line in _aligned(rows)]
    return lines + difference_remarks(difference, heads, wrong)


def difference_remarks(
    difference: Difference,
    heads: tuple[str, str],
    wrong: tuple[WrongInputs, WrongInputs],
) -> list[str]:
    """Return what else there is to say of the wrong inputs of two runs.

    Args:
        difference: their difference.
        heads: the heads of both.
        wrong: the wrong inputs of both.

    Returns:
        Sentences.
    """
    if difference.reason is not None:
        return [
            f"The inputs of {heads[0]} and {heads[1]} are not compared: "
            f"{escaped(difference.reason)}."
        ]
    is_exact = difference.is_complete or not all(w.num_wrong for w in wrong)
    least = "" if is_exact else "at least "
    lines = [
        f"Wrong in both: {least}{difference.num_both_wrong:,} of "
        f"{wrong[0].num_checked:,} ({escaped(wrong[0].checked or '')})."
    ]
    for head, each in zip(heads, wrong, strict=True):
        if not each.is_complete:
            lines.append(
                f"Of the {each.num_wrong:,} wrong inputs of {head}, only "
                f"{len(each.listed):,} are listed."
            )
    return lines


@dataclasses.dataclass(frozen=True)
class OneWay:
    """Inputs that one of two runs gets right and the other wrong.

    Args:
        said: how many they are, a sentence without its end.
        inputs: those that are known.
        wrong_head: head of the run that gets them wrong.
        is_all: whether there are no others.
    """

    said: str
    inputs: list[WrongInput]
    wrong_head: str
    is_all: bool


def one_ways(
    difference: Difference,
    heads: tuple[str, str],
    wrong: tuple[WrongInputs, WrongInputs],
) -> list[OneWay]:
    """Return the inputs that one of two runs gets right, one way and the other.

    Args:
        difference: their difference.
        heads: the heads of both.
        wrong: the wrong inputs of both.

    Returns:
        Those of the first, and those of the second; nothing if the runs are
        not compared by input.
    """
    if difference.reason is not None:
        return []
    both = difference.first_right, difference.other_right
    return [
        _one_way(inputs, (heads[k], heads[1 - k]), wrong[k], wrong[1 - k])
        for k, inputs in enumerate(both)
    ]


def _one_way(
    inputs: list[WrongInput] | None,
    heads: tuple[str, str],
    right: WrongInputs,
    other: WrongInputs,
) -> OneWay:
    """Return the inputs that the first of two runs gets right."""
    what = f"right that {heads[1]} gets wrong"
    if inputs is None:
        said = (
            f"Which inputs {heads[0]} gets {what} is not known: not all of its "
            f"{right.num_wrong:,} wrong ones are listed"
        )
        return OneWay(said, [], heads[1], False)
    # A run without mistakes gets those right as well that are not listed.
    count = len(inputs) if right.num_wrong else other.num_wrong
    is_exact = other.is_complete or not right.num_wrong
    least = "" if is_exact else "at least "
    name = heads[0].capitalize()
    is_all = is_exact and len(inputs) == count
    if not count:
        none = "none" if is_exact else "none of those listed"
        return OneWay(f"{name} gets {none} {what}", [], heads[1], is_all)
    said = f"{name} gets {least}{count:,} {what}"
    return OneWay(said, inputs, heads[1], is_all)


def input_rows(inputs: list[WrongInput], head: str) -> list[list[str]]:
    """Return wrong inputs as rows after that of heads.

    Args:
        inputs: the inputs.
        head: the head of the predictions.

    Returns:
        The rows, without columns that are empty in all.
    """
    rows = [["line", "input", "target", head]]
    for each in inputs:
        # A drawing of an image has several lines.
        text = "" if "\n" in each.input else each.input
        line = "" if each.line is None else str(each.line)
        rows.append([line, text, each.target, each.prediction])
    # Columns that are empty but for their names are left out.
    shown_columns = [
        index for index in range(4) if any(row[index] for row in rows[1:])
    ]
    return [[row[index] for index in shown_columns] for row in rows]
