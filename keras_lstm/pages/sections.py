"""Sections of the page of a run, as values for its template."""

import csv
import functools
import io
import math
from typing import Any

from keras_lstm.core.console import percent, share_of
from keras_lstm.core.errors import InputError
from keras_lstm.core.files import read_small_text
from keras_lstm.monitoring.machine_picture import (
    has_arrows,
    plot_arrows,
    plot_codes,
)
from keras_lstm.monitoring.state_boxes import StateBoxes
from keras_lstm.pages.drawings import draw
from keras_lstm.pages.line_chart import plot_lines
from keras_lstm.pages.render import shortened
from keras_lstm.presets import get_preset
from keras_lstm.proof.ellipsoid_search import EllipsoidSearch
from keras_lstm.proof.search import ProofSearch
from keras_lstm.runs.run import Run
from keras_lstm.tasks.transducer import TransducerTask, get_machine

Search = ProofSearch | EllipsoidSearch

_MAX_HISTORY = 2**24
_MAX_VALUE = 200
_MAX_NAME = 40
_MAX_GROUPS = 32
_NUM_WORST = 20
# A table of more could not be read.
_MAX_STATES, _MAX_SYMBOLS = 64, 16


def read_history(run: Run) -> dict[str, list[float]]:
    """Read the metrics of all epochs.

    Args:
        run: the run.

    Returns:
        By metric, a value per epoch, NaN for one that is missing; empty
        without a `history.csv`.

    Raises:
        InputError: if the file is damaged.
    """
    try:
        text = read_small_text(run.folder.history, _MAX_HISTORY)
        rows = list(csv.DictReader(io.StringIO(text)))
        return {
            name: [float(row[name] or math.nan) for row in rows]
            for name in (rows[0] if rows else {})
            if name != "epoch"
        }
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError, csv.Error) as error:
        raise InputError(
            f"`run_dir` must hold a readable {run.folder.history.name}. "
            f"Received: {run.run_dir} ({error})"
        ) from None


def drawn_metrics(run: Run, history: dict[str, list[float]]) -> list[str]:
    """Return the metrics that have a drawing of their own.

    Args:
        run: the run.
        history: see `read_history`.
    """
    return [
        name
        for name in history
        if not (name.startswith("val_") and name[4:] in history)
        # With one output per example, it is the sequence accuracy.
        and (name != "token_accuracy" or run.config.task.output_shape)
    ]


def draw_curves(
    history: dict[str, list[float]], metrics: list[str]
) -> list[Any]:
    """Draw the curve of each metric, with that in validation.

    Args:
        history: see `read_history`.
        metrics: see `drawn_metrics`.

    Returns:
        The drawings.
    """
    found = []
    for name in metrics:
        both = {n: history[n] for n in (name, f"val_{name}") if n in history}
        named = zip(("training", "validation"), both.values(), strict=False)
        epochs = range(1, len(history[name]) + 1)
        title = name.replace("_", " ")
        plot = functools.partial(
            plot_lines, epochs, dict(named), "epoch", title
        )
        values = "; ".join(
            f"{each.replace('_', ' ')}: first {numbers[0]:.4g}, last "
            f"{numbers[-1]:.4g}"
            for each, numbers in both.items()
        )
        label = f"Curve of {title} by epoch. {values}"
        found.append(draw(plot, f"curve-{name}", label))
    return found


def describe_machine(
    run: Run, machine: TransducerTask, search: Search | None
) -> dict[str, Any]:
    """Return a machine, drawn and as a table.

    Args:
        run: the run.
        machine: the machine.
        search: the proof; None without one.

    Returns:
        The values, by name.
    """
    drawn = codes = None

    def short(name: str) -> str:
        return shortened(name, _MAX_NAME)

    states = [
        short(machine.state_name(state))
        for state in range(len(machine.next_state))
    ]
    if has_arrows(machine):
        label = (
            f"The machine: {len(states)} states and an arrow for each symbol; "
            "the table below says the same."
        )
        drawn = draw(functools.partial(plot_arrows, machine), "machine", label)
    if isinstance(search, ProofSearch) and search.proof is not None:
        boxes = StateBoxes.of(search.proof, run.config.model.units)
        label = (
            f"A row for each of the {len(search.proof.states)} boxes of the "
            "proof, a column for each unit of the last layer: the middle of "
            "the box."
        )
        plot = functools.partial(plot_codes, machine, boxes)
        codes = draw(plot, "codes", label)
    symbols = [
        short(machine.symbol_name(x)) for x in range(machine.num_symbols)
    ]
    return {
        "drawn": drawn,
        "codes": codes,
        "symbols": symbols[:_MAX_SYMBOLS],
        "num_symbols": len(symbols),
        "num_states": len(states),
        "rows": [
            (
                states[state],
                [
                    (short(machine.output_name(written)), states[after])
                    for written, after in list(
                        zip(
                            machine.output[state],
                            machine.next_state[state],
                            strict=True,
                        )
                    )[:_MAX_SYMBOLS]
                ],
            )
            for state in range(min(_MAX_STATES, len(states)))
        ],
        "hold_label": machine.hold_label,
    }


def describe_groups(run: Run) -> dict[str, Any] | None:
    """Return the counts by hold length, or by length.

    Args:
        run: the run.

    Returns:
        The values, by name; None if there are no such counts.
    """
    task, report = run.config.task, run.report
    machine = get_machine(task)
    rows = []
    if machine is not None and report.by_hold_length:
        label = f"{machine.hold_label} length"
        for each in report.by_hold_length:
            # Version 0.1 wrote run lengths.
            length = _count(each, "hold_length", "run_length")
            rows.append((str(length), each))
    elif report.by_length:
        label = f"{task.step_label}s"
        for each in report.by_length:
            low = _count(each, "min_length")
            high = _count(each, "max_length")
            rows.append((f"{low}" if low == high else f"{low} to {high}", each))
    else:
        return None
    shown = rows
    if len(rows) > _MAX_GROUPS:
        order = sorted(rows, key=lambda row: -_count(row[1], "num_wrong"))
        worst = [name for name, _ in order[:_NUM_WORST]]
        shown = [row for row in rows if row[0] in worst]
    return {
        "label": label,
        "num_left": len(rows) - len(shown),
        "rows": [_group(name, each) for name, each in shown],
    }


def _group(name: str, counts: dict[str, int]) -> dict[str, Any]:
    count = _count(counts, "num_examples")
    num_wrong = _count(counts, "num_wrong")
    right = share_of(count - num_wrong, count) if count else 0.0
    return {
        "name": name,
        "num_wrong": num_wrong,
        "num_examples": count,
        "right": percent(right),
        "share": round(right, 4),
    }


def _count(counts: dict[str, int], *names: str) -> int:
    """Return the first of some counts of a report that is there."""
    for name in names:
        if name in counts:
            return counts[name]
    raise InputError(
        f"`run_dir` must hold a complete report. Received: counts without "
        f"{names[0]}"
    )


def describe_changes(run: Run) -> list[tuple[str, str, str]]:
    """Return the options that differ from those of the preset.

    Args:
        run: the run.

    Returns:
        For each, its name, its value and the preset's.
    """
    config = run.config
    preset = get_preset(config.preset, type(config.task)).to_flat()
    return [
        (name, _value(value), _value(preset.get(name)))
        for name, value in config.to_flat().items()
        if name != "preset" and value != preset.get(name)
    ]


def _value(value: Any) -> str:
    return "none" if value is None else shortened(str(value), _MAX_VALUE)
