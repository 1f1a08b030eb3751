"""A search folder: trials run one after the other or side by side, reported."""

import contextlib
import csv
import dataclasses
import functools
import io
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import keras_tuner
import tensorflow as tf
import yaml
from tensorboard.plugins.hparams import api as hparams

from keras_lstm.config import Config
from keras_lstm.console import say
from keras_lstm.files import locked, remove_temporary, write_text
from keras_lstm.interruption import Interruption
from keras_lstm.options import InputError, RunError, check_known
from keras_lstm.run_folder import saved_report
from keras_lstm.tuning import LSTMHyperModel, rank, trial_metrics

# KerasTuner's.
ALGORITHMS = ("grid", "random", "hyperband", "bayesian")
# A worker that ends so often without a trial done in between has a reason.
_MAX_STARTS = 3
_PROJECT = "keras_tuner"
# What files of KerasTuner's must hold, by name.
_STATE_KEYS = {
    "oracle.json": {"ongoing_trials", "hyperparameters", "start_order"},
    "trial.json": {"trial_id", "hyperparameters", "score", "status"},
}
_COLUMNS = ("num_wrong", "training_examples", "num_parameters", "seconds")


@dataclasses.dataclass(frozen=True)
class Search:
    """What is searched, and how.

    Args:
        hypermodel: the configuration and what of it is searched.
        algorithm: "grid", "random", "hyperband" or "bayesian".
        max_trials: at most so many; None for all there are ("grid"), or 10;
            "hyperband" makes its number from the epochs.
        seed: of the algorithm.

    Raises:
        InputError: an algorithm that is not known, or `max_trials` with
            "hyperband".
    """

    hypermodel: LSTMHyperModel
    algorithm: str = "grid"
    max_trials: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        check_known(self.algorithm, ALGORITHMS, "algorithm")
        if self.algorithm == "hyperband" and self.max_trials is not None:
            raise InputError(
                "`max_trials` must be left out with hyperband, which makes "
                "the number of trials from `epochs`. Received: "
                f"max_trials={self.max_trials}"
            )

    def to_yaml(self) -> str:
        """What tells this search from another."""
        return yaml.safe_dump(
            {
                "algorithm": self.algorithm,
                "objective": self.hypermodel.objective,
                "search": list(self.hypermodel.search),
                "seed": self.seed,
                "config": yaml.safe_load(self.hypermodel.config.to_yaml()),
            },
            sort_keys=False,
        )


@dataclasses.dataclass(frozen=True)
class Trial:
    """A trial and what came of it.

    Args:
        name: KerasTuner's number for it.
        values: the values tried, by option name.
        score: what KerasTuner minimised; None while it is not done.
        report: what the run came to; None if its numbers went wrong.
        config: the whole configuration.
    """

    name: str
    values: dict[str, Any]
    score: float | None
    report: dict[str, Any] | None
    config: Config

    @property
    def metrics(self) -> dict[str, float]:
        """What is told of it in tables, by name."""
        return {} if self.report is None else trial_metrics(self.report)


def check_folder(
    folder: pathlib.Path, search: Search, resume: bool, overwrite: bool
) -> None:
    """Refuses a folder that holds a search, unless that is wanted.

    Raises:
        InputError: it does, or it holds another search, or files of it are
            damaged.
    """
    held = folder / "search.yaml"
    if folder.exists() and not folder.is_dir():
        raise InputError(
            f"`run_dir` must be a folder. Received: run_dir={folder}"
        )
    if not held.exists():
        # A worker may be there before the chief.
        names = {path.name for path in folder.glob("*")} - {".lock", _PROJECT}
        if names or (folder / _PROJECT / "oracle.json").exists():
            raise InputError(
                "`run_dir` must be empty, or hold a search. Received: "
                f"run_dir={folder}"
            )
        return
    if not (resume or overwrite):
        raise InputError(
            "`run_dir` must not hold a search yet, without `resume` or "
            f"`overwrite`. Received: run_dir={folder}"
        )
    if overwrite:
        return
    _check_same(folder, search)
    damaged, whole = [], []
    for path in sorted((folder / _PROJECT).glob("**/*.json")):
        try:
            _read_state(path)
        except (OSError, ValueError):
            damaged.append(str(path))
        else:
            if path.name == "trial.json":
                whole.append(path.parent.name.removeprefix("trial_"))
    if damaged:
        raise InputError(
            f"KerasTuner's {', '.join(damaged)} cannot be read. Trials that "
            f"could be: {', '.join(whole) or 'none'}; their runs are in "
            f"{folder / 'trials'}. Use overwrite to begin anew"
        )


def _check_same(folder: pathlib.Path, search: Search) -> None:
    """Refuses a folder that holds another search."""
    held = folder / "search.yaml"
    if held.read_bytes() != search.to_yaml().encode():
        raise InputError(
            "a search is gone on with, or worked for, with the same task, "
            f"options and search space. Received: others than in {held}"
        )


def _read_state(path: pathlib.Path) -> dict[str, Any]:
    """A file of KerasTuner's.

    Raises:
        ValueError: it is damaged.
    """
    state = json.loads(path.read_text("utf-8"))
    keys = _STATE_KEYS.get(path.name, set())
    if not isinstance(state, dict) or not keys <= set(state):
        raise ValueError(path)
    return state


def _remove(folder: pathlib.Path) -> None:
    """Removes a search, without the lock."""
    for name in ("search.yaml", "trials.csv", "best.yaml"):
        (folder / name).unlink(missing_ok=True)
    for name in (_PROJECT, "trials", "hparams"):
        shutil.rmtree(folder / name, ignore_errors=True)


def make_tuner(folder: pathlib.Path, search: Search) -> keras_tuner.Tuner:
    """KerasTuner's tuner; each trial is a run in a folder of its own."""
    base: Any = {
        "grid": keras_tuner.GridSearch,
        "random": keras_tuner.RandomSearch,
        "bayesian": keras_tuner.BayesianOptimization,
        "hyperband": keras_tuner.Hyperband,
    }[search.algorithm]
    options: dict[str, Any] = {"max_trials": search.max_trials}
    if search.algorithm == "hyperband":
        options = {"max_epochs": search.hypermodel.config.training.epochs}
    elif search.algorithm != "grid":
        options["max_trials"] = search.max_trials or 10

    class RunFolders(base):
        def run_trial(
            self, trial: Any, *arguments: Any, **named: Any
        ) -> dict[str, float]:
            keras.backend.clear_session()
            values = trial.hyperparameters
            try:
                return search.hypermodel.fit(
                    values,
                    search.hypermodel.build(values),
                    run_dir=folder / "trials" / trial.trial_id,
                    epochs=values.values.get("tuner/epochs"),
                )
            # No other trial would fare better.
            except InputError as error:
                raise keras_tuner.errors.FatalError(str(error)) from None

        def on_trial_end(self, trial: Any) -> None:
            super().on_trial_end(trial)
            ended = self.oracle.get_trial(trial.trial_id)
            say(f"trial {trial.trial_id}: {_outcome(folder, search, ended)}")

    # KerasTuner prints; standard output is for the result.
    with contextlib.redirect_stdout(sys.stderr):
        tuner = RunFolders(
            search.hypermodel,
            keras_tuner.Objective("score", "min"),
            seed=search.seed,
            directory=folder,
            project_name=_PROJECT,
            **options,
        )
    if search.algorithm == "grid":
        _remember_grid(tuner.oracle)
    return tuner


def _remember_grid(oracle: Any) -> None:
    """Tells a grid's oracle which combinations it has tried.

    KerasTuner 1.4 does not write that down, so that a grid search that is
    reloaded takes itself for finished.
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
    chosen = {
        name: trial.hyperparameters.values.get(name)
        for name in search.hypermodel.search
    }
    values = ", ".join(f"{name}={value}" for name, value in chosen.items())
    if trial.score is None:
        reason = (trial.message or "").strip().splitlines()
        return f"{values}: failed: {reason[-1] if reason else trial.status}"
    report = saved_report(folder / "trials" / trial.trial_id)
    return f"{values}: {outcome_text(report, search.hypermodel.objective)}"


def outcome_text(report: dict[str, Any] | None, objective: str) -> str:
    """What came of a trial that is done, as people read it."""
    if report is None:
        return "its numbers went wrong"
    num_wrong, cost = rank(report, objective)
    if num_wrong:
        return f"{num_wrong:,} wrong"
    if objective == "accuracy":
        return f"validation accuracy {1 - cost:.4%}"
    unit = {"cost": "examples to exact", "smallest": "parameters, exact"}
    return f"{cost:,.0f} {unit[objective]}"


def run(
    folder: pathlib.Path, search: Search, resume: bool, overwrite: bool
) -> list[Trial]:
    """Runs a search to its end and writes what it found.

    Where KerasTuner's variables make this process the chief, the trials are
    run by its workers.

    Args:
        folder: where everything goes.
        search: what to search.
        resume: go on with the search in the folder.
        overwrite: remove the one in the folder.

    Returns:
        The trials, best first.

    Raises:
        InputError: see `check_folder`.
        Interrupted: SIGTERM or SIGINT came.
    """
    check_folder(folder, search, resume, overwrite)
    with locked(folder), Interruption() as interruption:
        # Another process may have been faster.
        check_folder(folder, search, resume, overwrite)
        if overwrite:
            _remove(folder)
        remove_temporary(folder)
        write_text(folder / "search.yaml", search.to_yaml())
        run_trials(folder, search)
        interruption.check()
        trials = read_trials(folder, search)
        write_results(folder, search, trials)
    return trials


def run_trials(folder: pathlib.Path, search: Search) -> None:
    """Runs trials until there are no more; as the chief, has them run.

    Raises:
        InputError: the folder is of another search, or no trial can be run.
        RunError: one failed after the other.
    """
    tuner = make_tuner(folder, search)
    # A worker waits here for the chief, who writes down what is searched.
    tuner.oracle.get_space()
    _check_same(folder, search)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            tuner.search(verbose=0)
    except keras_tuner.errors.FatalError as error:
        raise InputError(str(error)) from None
    # KerasTuner gives up after some failures in a row.
    except RuntimeError as error:
        reason = str(error).strip().splitlines()
        raise RunError(f"the search gave up: {reason[-1]}") from None


def run_processes(
    folder: pathlib.Path, command: Sequence[str], workers: int
) -> None:
    """Runs a search as KerasTuner's chief and its workers on this machine.

    Workers that die are started again under their own names.

    Args:
        folder: the search's.
        command: starts one of them; the chief's calls `run`, the workers'
            `run_trials`.
        workers: how many run trials; the cores are shared out between them.

    Raises:
        RunError: the chief died, or a worker ended again and again.
        Interrupted: SIGTERM or SIGINT came.
    """
    with Interruption() as interruption:
        _watch(_Processes(command, workers), interruption, folder)


def part_in_search() -> str | None:
    """What KerasTuner's variables make of this process.

    Returns:
        "chief" or "worker"; None where they are not set.

    Raises:
        InputError: one is missing or wrong, or the chief's port is in use.
    """
    if "KERASTUNER_ORACLE_IP" not in os.environ:
        return None
    names = ("TUNER_ID", "ORACLE_IP", "ORACLE_PORT")
    values = {name: os.environ.get(f"KERASTUNER_{name}") for name in names}
    missing = [
        f"KERASTUNER_{name}" for name, value in values.items() if not value
    ]
    if missing:
        raise InputError(
            f"{', '.join(missing)} must be set beside KERASTUNER_ORACLE_IP. "
            "Received: nothing"
        )
    port = str(values["ORACLE_PORT"])
    if not port.isdecimal() or not 0 < int(port) < 2**16:
        raise InputError(
            "KERASTUNER_ORACLE_PORT must be a port's number. Received: "
            f"KERASTUNER_ORACLE_PORT={port}"
        )
    if "chief" not in str(values["TUNER_ID"]):
        return "worker"
    with socket.socket() as tried:
        # As the chief's own: one that was killed leaves the port waiting.
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((str(values["ORACLE_IP"]), int(port)))
        except OSError as error:
            raise InputError(
                "KERASTUNER_ORACLE_PORT must be free for the chief. Received: "
                f"KERASTUNER_ORACLE_PORT={port} ({error.strerror})"
            ) from None
    return "chief"


class _Processes:
    """KerasTuner's chief and its workers, on this machine."""

    def __init__(self, command: Sequence[str], workers: int) -> None:
        self._command = list(command)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        threads = max(1, (os.cpu_count() or 1) // workers)
        self._threads = {
            name: str(threads)
            for name in (
                *("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"),
                "TF_NUM_INTEROP_THREADS",
            )
        }
        self.chief = self._start("chief")
        self.workers = {
            name: self._start(name)
            for name in (f"tuner{index}" for index in range(workers))
        }
        self._starts = dict.fromkeys(self.workers, 1)

    def _start(self, name: str) -> subprocess.Popen[bytes]:
        environment = os.environ | {
            "KERASTUNER_TUNER_ID": name,
            "KERASTUNER_ORACLE_IP": "127.0.0.1",
            "KERASTUNER_ORACLE_PORT": str(self._port),
        }
        if name != "chief":
            environment |= self._threads
        # Set where this process held TensorFlow's messages back; they do it
        # themselves.
        environment.pop("TF_CPP_MIN_LOG_LEVEL", None)
        # The chief prints the result.
        return subprocess.Popen(self._command, env=environment)

    def forget_deaths(self) -> None:
        """A trial is done: workers that died had not all the same reason."""
        self._starts = dict.fromkeys(self.workers, 1)

    def start_again(self, name: str) -> None:
        """A worker that died, under its own name: its trial waits for it.

        Raises:
            RunError: it has ended too often.
        """
        code = self.workers[name].returncode
        if self._starts[name] >= _MAX_STARTS:
            raise RunError(
                f"{name} has ended {_MAX_STARTS} times, the last time with "
                f"exit code {code}; its last lines say why"
            )
        say(f"{name} has died (exit code {code}); starting it again")
        self._starts[name] += 1
        self.workers[name] = self._start(name)

    def end(self) -> None:
        """Ends what still runs."""
        processes = [self.chief, *self.workers.values()]
        for process in processes:
            process.terminate()
        for process in processes:
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _watch(
    processes: _Processes, interruption: Interruption, folder: pathlib.Path
) -> None:
    """Waits for the chief's end; starts workers that die again."""
    done = 0
    try:
        while (code := processes.chief.poll()) is None:
            interruption.check()
            before = done
            done = len(list(folder.glob("trials/*/report.json")))
            if done > before:
                processes.forget_deaths()
            for name, worker in processes.workers.items():
                if worker.poll():
                    processes.start_again(name)
            time.sleep(0.2)
        if code:
            raise RunError(
                f"the chief of the search has died (exit code {code}); go on "
                "with --resume"
            )
    finally:
        processes.end()


def read_trials(folder: pathlib.Path, search: Search) -> list[Trial]:
    """All trials of a search, best first, those not done at the end."""
    trials = []
    for path in sorted((folder / _PROJECT).glob("trial_*/trial.json")):
        state = _read_state(path)
        chosen = state["hyperparameters"]["values"]
        values = {name: chosen[name] for name in search.hypermodel.search}
        config = search.hypermodel.config
        trials.append(
            Trial(
                state["trial_id"],
                values,
                state["score"],
                saved_report(folder / "trials" / state["trial_id"]),
                config.replace(type(config.task), **values),
            )
        )
    return sorted(trials, key=lambda trial: _order(trial, search))


def _order(trial: Trial, search: Search) -> tuple[float, ...]:
    """Sorts trials; of those that cost the same, the smallest first."""
    if trial.score is None or trial.report is None:
        return (1, float(trial.score is None))
    size = trial.metrics["num_parameters"]
    return (0, *rank(trial.report, search.hypermodel.objective), size)


def write_results(
    folder: pathlib.Path, search: Search, trials: Sequence[Trial]
) -> None:
    """Writes `trials.csv`, `best.yaml`, and TensorBoard's HParams."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = search.hypermodel.search
    writer.writerow(["trial", *names, "score", *_COLUMNS])
    for trial in trials:
        metrics = [trial.metrics.get(name, "") for name in _COLUMNS]
        values = [trial.values[name] for name in names]
        score = "" if trial.score is None else trial.score
        writer.writerow([trial.name, *values, score, *metrics])
    write_text(folder / "trials.csv", text.getvalue())
    if trials and trials[0].score is not None:
        write_text(folder / "best.yaml", trials[0].config.to_yaml())
    for name, trial in _events(folder, trials):
        with tf.summary.create_file_writer(name).as_default():
            hparams.hparams(trial.values, trial_id=trial.name)
            found = trial.metrics | {"score": trial.score}
            for metric, value in found.items():
                tf.summary.scalar(metric, value, step=0)


def _events(
    folder: pathlib.Path, trials: Sequence[Trial]
) -> Iterator[tuple[str, Trial]]:
    """A folder for each trial that is done, without what was there."""
    for trial in trials:
        path = folder / "hparams" / trial.name
        for old in path.glob("events.*"):
            old.unlink()
        if trial.score is not None:
            yield str(path), trial


def table(search: Search, trials: Sequence[Trial]) -> str:
    """The trials as people read them, best first."""
    names = search.hypermodel.search
    columns = ("wrong", "examples", "parameters", "seconds")
    rows = [["trial", *names, "result", *columns]]
    for trial in trials:
        result = "not done"
        if trial.score is not None:
            objective = search.hypermodel.objective
            result = outcome_text(trial.report, objective)
        rows.append(
            [
                trial.name,
                *(f"{trial.values[name]:g}" for name in names),
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
