"""Runs side by side: options, results, metrics by epoch, wrong inputs."""

import csv
import dataclasses
import io
import math
import pathlib
from collections.abc import Sequence
from typing import Any

from keras_lstm.core.errors import InputError
from keras_lstm.core.files import read_small_text
from keras_lstm.runs.folder import RunFolder
from keras_lstm.runs.summary import RunSummary, summarize_run
from keras_lstm.runs.wrong_inputs import (
    Difference,
    WrongInputs,
    compare_wrong_inputs,
    read_wrong_inputs,
)

_MAX_HISTORY = 2**26
# Fields of a report, in the order of a table.
_RESULTS = (
    *("num_wrong", "num_examples", "checked", "sequence_accuracy"),
    *("token_accuracy", "min_margin", "test_num_wrong", "test_num_examples"),
    *("proved", "proof_boxes", "proof_margin", "taught_by"),
    *("validation_accuracy", "training_examples"),
    *("distinct_training_examples", "optimizer_steps", "epochs", "best_epoch"),
    *("stopped_because", "num_parameters"),
)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Runs side by side.

    Args:
        runs: the runs.
        options: the options that differ: by name, a value for each run, None
            also if its task has no such option.
        results: by name, a value for each run, None if it has none.
        epochs: the epochs that any run has finished.
        curves: by metric, for each run a value for each of `epochs`, None if
            it has none.
        wrong: the wrong inputs of each run.
        differences: for each run but the first, the inputs that one of the
            two gets right and the other wrong.
        problems: what could not be read, a line each.
    """

    runs: list[RunSummary]
    options: dict[str, list[Any]]
    results: dict[str, list[Any]]
    epochs: list[int]
    curves: dict[str, list[list[float | None]]]
    wrong: list[WrongInputs]
    differences: list[Difference]
    problems: list[str]

    def to_mapping(self) -> dict[str, Any]:
        """Return the comparison as a mapping for JSON."""
        others = zip(self.runs[1:], self.differences, strict=True)
        return {
            "runs": [run.name for run in self.runs],
            "options": self.options,
            "results": self.results,
            "epochs": self.epochs,
            "curves": self.curves,
            "listed": [
                {
                    "run": run.name,
                    "num_wrong": wrong.num_wrong,
                    "num_listed": len(wrong.listed),
                    "reason": wrong.reason,
                }
                for run, wrong in zip(self.runs, self.wrong, strict=True)
            ],
            "wrong_inputs": [
                {"run": self.runs[0].name, "other": other.name}
                | dataclasses.asdict(difference)
                for other, difference in others
            ],
            "problems": self.problems,
        }


def compare_runs(run_dirs: Sequence[pathlib.Path]) -> Comparison:
    """Compare runs, each with the first.

    Args:
        run_dirs: the run folders, two or more.

    Returns:
        The comparison.

    Raises:
        InputError: if there are fewer, or a folder holds no run whose
            configuration can be read.
    """
    if len(run_dirs) < 2:
        raise InputError(
            "`run_dir` must be given twice or more often to compare runs. "
            f"Received: run_dir={', '.join(map(str, run_dirs))}"
        )
    runs = [summarize_run(run_dir) for run_dir in run_dirs]
    for run in runs:
        if run.config is None:
            raise InputError(
                "`run_dir` must hold a run. Received: "
                f"run_dir={run.name} ({run.problem})"
            )
    problems = [f"{run.name}: {run.problem}" for run in runs if run.problem]
    histories = []
    for run in runs:
        try:
            histories.append(_read_history(RunFolder(run.run_dir)))
        except (OSError, ValueError, csv.Error) as error:
            histories.append({})
            name = RunFolder(run.run_dir).history.name
            problems.append(f"{run.name}: {name} cannot be read: {error}")
    epochs = sorted({each for history in histories for each in history})
    metrics = dict.fromkeys(
        name
        for history in histories
        for values in history.values()
        for name in values
    )
    wrong = [read_wrong_inputs(run) for run in runs]
    return Comparison(
        runs,
        _differing_options(runs),
        _results(runs),
        epochs,
        {
            metric: [
                [history.get(epoch, {}).get(metric) for epoch in epochs]
                for history in histories
            ]
            for metric in metrics
        },
        wrong,
        [
            compare_wrong_inputs(runs[0], wrong[0], *pair)
            for pair in zip(runs[1:], wrong[1:], strict=True)
        ],
        problems,
    )


def _differing_options(runs: Sequence[RunSummary]) -> dict[str, list[Any]]:
    """Return the options, the task and the preset that are not all equal."""
    rows = [
        {"task": run.config.task, "preset": run.config.preset}
        | run.config.values
        for run in runs
        if run.config is not None
    ]
    names = {name: None for row in rows for name in row}
    table = {name: [row.get(name) for row in rows] for name in names}
    return {
        name: values
        for name, values in table.items()
        if any(value != values[0] for value in values)
    }


def _results(runs: Sequence[RunSummary]) -> dict[str, list[Any]]:
    """Return the fields of the reports that any run has, by name."""
    reports = [
        {} if run.report is None else run.report.to_mapping() for run in runs
    ]
    results: dict[str, list[Any]] = {
        "state": [run.state.value for run in runs],
        "step": [run.step for run in runs],
    }
    results |= {
        name: [report.get(name) for report in reports] for name in _RESULTS
    }
    results["seconds"] = [
        report.get("seconds", {}).get("total") for report in reports
    ]
    return {
        name: values
        for name, values in results.items()
        if any(value is not None for value in values)
    }


def _read_history(folder: RunFolder) -> dict[int, dict[str, float]]:
    """Return the metrics by epoch and by name; empty if there are none.

    Args:
        folder: the run folder.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if it is not UTF-8, or a value is no number.
        csv.Error: if it is no CSV.
    """
    try:
        text = read_small_text(folder.history, _MAX_HISTORY)
    except FileNotFoundError:
        return {}
    history = {}
    for row in csv.DictReader(io.StringIO(text, newline="")):
        # `None` has what is beyond the last column.
        cells = {k: v for k, v in row.items() if k is not None and v}
        if "epoch" not in cells:
            raise ValueError("a line has no epoch")
        epoch = int(cells.pop("epoch"))
        if not 0 <= epoch < 2**31:
            raise ValueError("an epoch is out of range")
        values = {name: float(value) for name, value in cells.items()}
        history[epoch] = {
            name: value
            for name, value in values.items()
            if math.isfinite(value)
        }
    return history
