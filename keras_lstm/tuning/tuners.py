"""KerasTuner's tuners, each of whose trials is a run in its own folder."""

import contextlib
import functools
import json
import pathlib
import sys
from collections.abc import Iterator
from typing import Any

import keras
import keras_tuner

from keras_lstm.core.console import print_status
from keras_lstm.core.errors import InputError
from keras_lstm.core.files import write_text
from keras_lstm.runs.folder import RunFolder
from keras_lstm.tuning.folder import PROJECT, trial_dir
from keras_lstm.tuning.hypermodel import LSTMHyperModel
from keras_lstm.tuning.results import outcome_text
from keras_lstm.tuning.settings import Search


def make_tuner(folder: pathlib.Path, search: Search) -> keras_tuner.Tuner:
    """Make the tuner of a search, or restore it from the search's folder."""
    base: Any = {
        "grid": keras_tuner.GridSearch,
        "random": keras_tuner.RandomSearch,
        "bayesian": keras_tuner.BayesianOptimization,
        "hyperband": keras_tuner.Hyperband,
    }[search.algorithm]
    options: dict[str, Any] = {"max_trials": search.max_trials}
    if search.algorithm == "hyperband":
        options = {"max_epochs": search.config.training.epochs}
    elif search.algorithm != "grid":
        options["max_trials"] = search.max_trials or 10
    hypermodel = LSTMHyperModel(search.config, search.names, search.objective)

    class RunFolders(base):
        def run_trial(
            self, trial: Any, *arguments: Any, **named: Any
        ) -> dict[str, float]:
            keras.backend.clear_session()
            values = trial.hyperparameters
            try:
                return hypermodel.fit(
                    values,
                    hypermodel.build(values),
                    run_dir=trial_dir(folder, trial.trial_id),
                    epochs=values.values.get("tuner/epochs"),
                )
            # Every other trial would fail in the same way.
            except InputError as error:
                raise keras_tuner.errors.FatalError(str(error)) from None

        def on_trial_end(self, trial: Any) -> None:
            super().on_trial_end(trial)
            ended = self.oracle.get_trial(trial.trial_id)
            print_status(
                f"trial {trial.trial_id}: {_outcome(folder, search, ended)}"
            )

    keras_tuner.src.utils.save_json = _save_json
    # KerasTuner prints; standard output is for the result.
    with contextlib.redirect_stdout(sys.stderr), _restoring(folder):
        tuner = RunFolders(
            hypermodel,
            keras_tuner.Objective("score", "min"),
            seed=search.seed,
            directory=folder,
            project_name=PROJECT,
            **options,
        )
    _restore_lost_trials(tuner.oracle)
    if search.algorithm == "grid":
        _restore_grid(tuner.oracle)
    return tuner


@contextlib.contextmanager
def _restoring(folder: pathlib.Path) -> Iterator[None]:
    """Put errors of KerasTuner about a search's own files in one line."""
    try:
        yield
    except Exception as error:
        if not (folder / PROJECT / "oracle.json").exists():
            raise
        raise InputError(
            "`run_dir` must hold a search that KerasTuner can restore. "
            f"Received: run_dir={folder} ({type(error).__name__}: {error})"
        ) from error


def _save_json(path: str, state: Any) -> str:
    """Write a file of KerasTuner atomically.

    KerasTuner itself leaves half a file if it is killed.

    Returns:
        The text, as KerasTuner's own function does.
    """
    text = json.dumps(state)
    write_text(pathlib.Path(path), text)
    return text


def _restore_lost_trials(oracle: Any) -> None:
    """Run trials again that were begun, but not noted, before a kill.

    KerasTuner writes a trial's file, then that of the oracle, which counts
    the trial's file but would never run it.
    """
    if not hasattr(oracle, "_retry_queue"):
        return
    for name, trial in sorted(oracle.trials.items()):
        if name not in oracle.start_order:
            oracle.start_order.append(name)
            if trial.status == "RUNNING":
                oracle._retry_queue.append(name)


def _restore_grid(oracle: Any) -> None:
    """Restore which combinations the oracle of a grid search has tried.

    KerasTuner 1.4 does not save them, so a reloaded grid search considers
    itself finished.
    """
    tried = sorted(
        getattr(oracle, "start_order", ()),
        key=functools.cmp_to_key(
            lambda one, other: oracle._compare(
                oracle.trials[one].hyperparameters.values,
                oracle.trials[other].hyperparameters.values,
            )
        ),
    )
    if hasattr(oracle, "_populate_next") and not oracle._populate_next:
        for before, trial_id in zip([None, *tried], tried, strict=False):
            oracle._ordered_ids.insert(trial_id, before)
        oracle._populate_next.extend(tried)


def _outcome(folder: pathlib.Path, search: Search, trial: Any) -> str:
    """Return the values and the result of a trial, in words."""
    chosen = {
        name: trial.hyperparameters.values.get(name) for name in search.names
    }
    values = ", ".join(f"{name}={value}" for name, value in chosen.items())
    if trial.score is None:
        reason = (trial.message or "").strip().splitlines()
        return f"{values}: failed: {reason[-1] if reason else trial.status}"
    report = RunFolder(trial_dir(folder, trial.trial_id)).read_report()
    return f"{values}: {outcome_text(report, search.objective)}"
