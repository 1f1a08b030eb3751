"""Results of a search: its trials, read back, ranked, written and shown."""

import csv
import dataclasses
import io
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from keras_lstm.config import Config
from keras_lstm.core.files import write_text
from keras_lstm.runs.folder import RunFolder
from keras_lstm.runs.report import Report
from keras_lstm.tuning.folder import (
    PROJECT,
    read_state,
    trial_config,
    trial_dir,
)
from keras_lstm.tuning.scores import rank, trial_metrics
from keras_lstm.tuning.settings import Search

_COLUMNS = ("num_wrong", "training_examples", "num_parameters", "seconds")


@dataclasses.dataclass(frozen=True)
class Trial:
    """A trial and its result.

    Args:
        name: KerasTuner's ID of the trial.
        values: the values tried, by option name.
        score: the score that KerasTuner minimizes; None until the trial is
            done.
        report: the run's report; None if the run failed or is not finished.
        config: the configuration with the trial's values.
    """

    name: str
    values: dict[str, Any]
    score: float | None
    report: Report | None
    config: Config

    @property
    def metrics(self) -> dict[str, float]:
        """Figures for a table of trials, by name; empty without a report."""
        return {} if self.report is None else trial_metrics(self.report)


def read_trials(folder: pathlib.Path, search: Search) -> list[Trial]:
    """Read all trials of a search: best first, unfinished ones last."""
    trials = []
    for path in sorted((folder / PROJECT).glob("trial_*/trial.json")):
        trials.append(trial_from_state(folder, search, read_state(path)))
    return sorted(trials, key=lambda trial: order_of(trial, search))


def trial_from_state(
    folder: pathlib.Path, search: Search, state: dict[str, Any]
) -> Trial:
    """Return a trial and its result.

    Args:
        folder: the search folder.
        search: the search.
        state: the parsed `trial.json`, from `read_state`.
    """
    chosen = state["hyperparameters"]["values"]
    return Trial(
        state["trial_id"],
        {name: chosen[name] for name in search.names},
        state["score"],
        RunFolder(trial_dir(folder, state["trial_id"])).read_report(),
        trial_config(search, state),
    )


def order_of(trial: Trial, search: Search) -> tuple[float, ...]:
    """Return the sort key of a trial; at the same cost, size decides."""
    if trial.score is None or trial.report is None:
        return (1, float(trial.score is None))
    size = trial.metrics["num_parameters"]
    return (0, *rank(trial.report, search.objective), size)


def write_results(
    folder: pathlib.Path, search: Search, trials: Sequence[Trial]
) -> None:
    """Write `trials.csv`, `best.yaml`, and TensorBoard's HParams."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trial", *search.names, "score", *_COLUMNS])
    for trial in trials:
        metrics = [trial.metrics.get(name, "") for name in _COLUMNS]
        values = [trial.values[name] for name in search.names]
        score = "" if trial.score is None else trial.score
        writer.writerow([trial.name, *values, score, *metrics])
    write_text(folder / "trials.csv", text.getvalue())
    if trials and trials[0].report is not None:
        write_text(folder / "best.yaml", trials[0].config.to_yaml())
    _write_hparams(folder, trials)


def _write_hparams(folder: pathlib.Path, trials: Sequence[Trial]) -> None:
    # Imported here: the rest of this module needs no TensorFlow.
    import tensorflow as tf
    from tensorboard.plugins.hparams import api as hparams

    for name, trial in _events(folder, trials):
        with tf.summary.create_file_writer(name).as_default():
            hparams.hparams(trial.values, trial_id=trial.name)
            found = trial.metrics | {"score": trial.score}
            for metric, value in found.items():
                tf.summary.scalar(metric, value, step=0)


def _events(
    folder: pathlib.Path, trials: Sequence[Trial]
) -> Iterator[tuple[str, Trial]]:
    """Yield each finished trial and its folder, cleared of event files."""
    for trial in trials:
        path = folder / "hparams" / trial.name
        for old in path.glob("events.*"):
            old.unlink()
        if trial.score is not None:
            yield str(path), trial


def table(search: Search, trials: Sequence[Trial]) -> str:
    """Return a text table of the trials, in the order given."""
    columns = ("wrong", "examples", "parameters", "seconds")
    rows = [["trial", *search.names, "result", *columns]]
    for trial in trials:
        result = "not done"
        if trial.score is not None:
            result = outcome_text(trial.report, search.objective)
        rows.append(
            [
                trial.name,
                *(f"{trial.values[name]:g}" for name in search.names),
                result,
                *(
                    "-" if number is None else f"{number:,.0f}"
                    for number in map(trial.metrics.get, _COLUMNS)
                ),
            ]
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "\n".join("  ".join(line) for line in lines)


def outcome_text(report: Report | None, objective: str) -> str:
    """Return the result of a finished trial, in words."""
    if report is None:
        return "its numbers went wrong"
    num_wrong, cost = rank(report, objective)
    if num_wrong:
        return f"{num_wrong:,} wrong"
    if objective == "accuracy":
        return f"validation accuracy {1 - cost:.4%}"
    unit = {"cost": "examples to exact", "smallest": "parameters, exact"}
    return f"{cost:,.0f} {unit[objective]}"
