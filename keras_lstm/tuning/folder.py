"""The folder of a search: the names of its files, and its checks."""

import dataclasses
import json
import os
import pathlib
import shutil
from typing import Any

import yaml

from keras_lstm.config import Config
from keras_lstm.config_file import read_config
from keras_lstm.config_rules import Execution
from keras_lstm.core.errors import InputError, described
from keras_lstm.core.files import read_small_text
from keras_lstm.core.json_types import check_type
from keras_lstm.core.yaml_text import MAX_TEXT, parse_yaml
from keras_lstm.presets import get_preset
from keras_lstm.runs.folder import SEARCH_SETTINGS, TRIALS, RunFolder
from keras_lstm.tasks.increment import Increment
from keras_lstm.tuning.settings import SPACE, Search

PROJECT = "keras_tuner"
# What KerasTuner's own files must hold, by name.
_STATE_TYPES: dict[str, dict[str, Any]] = {
    "oracle.json": {
        "ongoing_trials": dict[str, str],
        "hyperparameters": dict[str, Any],
        "start_order": list[str],
        "end_order": list[str],
        "run_times": dict[str, int],
        "retry_queue": list[str],
        "seed": int,
        "seed_state": int,
        "tried_so_far": list[str],
        "id_to_hash": dict[str, str | None],
        "display": dict[str, Any],
    },
    "trial.json": {
        "trial_id": str,
        "hyperparameters": dict[str, Any],
        "metrics": dict[str, Any],
        "score": float | None,
        "best_step": int | None,
        "status": str,
        "message": str | None,
    },
}
_MAX_STATE = 2**26


def settings_path(folder: pathlib.Path) -> pathlib.Path:
    """Return the path of a search's settings."""
    return folder / SEARCH_SETTINGS


def trial_dir(folder: pathlib.Path, trial_id: str) -> pathlib.Path:
    """Return the run folder of a trial."""
    return folder / TRIALS / trial_id


def check_folder(
    folder: pathlib.Path, search: Search, resume: bool, overwrite: bool
) -> None:
    """Refuse a folder in which a search may not be started or resumed.

    Args:
        folder: the search folder.
        search: the search to run there.
        resume: whether a search in the folder may be resumed.
        overwrite: whether a search in the folder may be removed.

    Raises:
        InputError: if the path is not a folder's; if the folder holds a
            search and neither `resume` nor `overwrite` is true; or if it
            holds another search, damaged files or anything else.
        PermissionError: if the folder cannot be written to.
    """
    # With `resume`, this checks the path alone; the contents follow below.
    RunFolder(folder).check(resume=True)
    if not settings_path(folder).exists():
        # A worker may have started before the chief.
        names = {path.name for path in folder.glob("*")} - {".lock", PROJECT}
        if names or (folder / PROJECT / "oracle.json").exists():
            raise InputError(
                "`run_dir` must be empty, or hold a search. Received: "
                f"run_dir={folder}"
            )
        return
    if not (resume or overwrite):
        raise InputError(
            "`run_dir` must not hold a search yet, unless `resume` or "
            f"`overwrite` is given. Received: run_dir={folder}"
        )
    if not overwrite:
        check_same_search(folder, search)
        _check_states(folder, search)


def read_search(folder: pathlib.Path) -> Search:
    """Read the settings of a search.

    Args:
        folder: the search folder.

    Returns:
        The search.

    Raises:
        InputError: if the settings cannot be read, or name a task whose module
            is neither installed nor imported.
    """
    path = settings_path(folder)
    try:
        settings = parse_yaml(read_small_text(path, MAX_TEXT), "search")
        check_type("search", settings, dict[str, Any])
        check_type("search", settings["search"], list[str])
        for name in ("objective", "algorithm"):
            check_type(name, settings[name], str)
        check_type("seed", settings["seed"], int)
        # Older versions did not keep it.
        max_trials = settings.get("max_trials")
        check_type("max_trials", max_trials, int | None)
        text = yaml.safe_dump(settings["config"])
        file = read_config(text, Increment, folder)
        if file.preset is None or file.task is None:
            raise InputError("`config` must name a preset and a task")
        preset = get_preset(file.preset, file.task)
        return Search(
            preset.replace(file.task, **file.all_values()),
            tuple(settings["search"]),
            settings["objective"],
            settings["algorithm"],
            max_trials,
            settings["seed"],
        )
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: {described(error)}") from None


def find_search(folder: pathlib.Path) -> Search | None:
    """Read the settings of a search that may not have begun.

    Args:
        folder: the search folder.

    Returns:
        As for `read_search`; None if the folder holds no settings.

    Raises:
        InputError: as for `read_search`.
    """
    # A path that cannot be is refused by `check_folder`.
    return (
        read_search(folder) if os.path.exists(settings_path(folder)) else None
    )


def find_search_config(folder: pathlib.Path) -> Config | None:
    """Read the configuration of a search that may not have begun.

    Args:
        folder: the search folder.

    Returns:
        The configuration; None if the folder holds no settings.

    Raises:
        InputError: as for `read_search`.
    """
    search = find_search(folder)
    return None if search is None else search.config


def check_same_search(folder: pathlib.Path, search: Search) -> None:
    """Refuse a folder that holds another search.

    Args:
        folder: the search folder, which holds settings.
        search: the search to run there.

    Raises:
        InputError: if the settings in the folder are not those of `search`.
    """
    try:
        # Options that an older version did not have count as the defaults.
        held = read_search(folder)
        same = _settings_of(held) == _settings_of(search)
    except InputError:
        same = False
    if not same:
        raise InputError(
            "`run_dir` must hold a search with the same task, options and "
            "search space; `resume` without them takes those of the search. "
            f"Received: other settings in {settings_path(folder)}"
        )


def _settings_of(search: Search) -> str:
    """Return what identifies a search: a resumed one may run more trials."""
    # What is left to be chosen counts as it was before.
    config = search.config.with_execution(Execution())
    alike = dataclasses.replace(search, config=config, max_trials=None)
    return alike.to_yaml()


def _check_states(folder: pathlib.Path, search: Search) -> None:
    """Refuse a folder in which KerasTuner's own files are damaged."""
    damaged, whole = [], []
    # The trials come first: the oracle refers to them.
    paths = (folder / PROJECT).glob("**/*.json")
    for path in sorted(
        paths, key=lambda path: (path.name != "trial.json", path)
    ):
        try:
            state = read_state(path)
            if path.name == "trial.json":
                trial_config(search, state)
                whole.append(state["trial_id"])
            elif path.name == "oracle.json":
                _check_known_trials(state, whole)
        except (OSError, ValueError):
            damaged.append(str(path))
    if damaged:
        raise InputError(
            f"KerasTuner's {', '.join(damaged)} cannot be read. Readable "
            f"trials: {', '.join(whole) or 'none'}; their runs are in "
            f"{folder / 'trials'}. Use `overwrite` to start again"
        )


def _check_known_trials(oracle: dict[str, Any], known: list[str]) -> None:
    """Refuse an oracle that refers to trials of which there is no file.

    Raises:
        ValueError: if it does.
    """
    for name in ("start_order", "end_order", "retry_queue"):
        if not set(oracle[name]) <= set(known):
            raise ValueError(f"{name} has unknown trials")
    if not set(oracle["ongoing_trials"].values()) <= set(known):
        raise ValueError("ongoing_trials has unknown trials")


def trial_config(search: Search, state: dict[str, Any]) -> Config:
    """Return the configuration of a trial.

    Args:
        search: the search.
        state: the parsed `trial.json`, from `read_state`.

    Returns:
        The search's configuration with the trial's values.

    Raises:
        ValueError: if a value is missing. As `InputError`, if one is not
            allowed.
    """
    chosen = state["hyperparameters"]["values"]
    missing = [name for name in search.names if name not in chosen]
    if missing:
        raise ValueError(f"no value of {missing[0]}")
    values = {name: chosen[name] for name in search.names}
    # Hyperband trains the same values for more and more epochs.
    if "tuner/epochs" in chosen:
        values["epochs"] = chosen["tuner/epochs"]
    return search.config.replace(**values)


def read_state(path: pathlib.Path) -> dict[str, Any]:
    """Read one of KerasTuner's files.

    Args:
        path: the file.

    Returns:
        The parsed file.

    Raises:
        ValueError: if the file is damaged.
        OSError: if the file cannot be read.
    """
    text = read_small_text(path, _MAX_STATE)
    try:
        state = json.loads(text)
        check_type("state", state, dict[str, Any])
        for name, hint in _STATE_TYPES.get(path.name, {}).items():
            check_type(name, state[name], hint)
        if path.name in _STATE_TYPES:
            _check_hyperparameters(state["hyperparameters"])
        if path.name == "trial.json":
            _check_trial(state, path)
    except (KeyError, TypeError, RecursionError, OverflowError) as error:
        raise ValueError(f"{path}: {error}") from None
    return state


def _check_hyperparameters(held: dict[str, Any]) -> None:
    """Refuse hyperparameters that are not among those of `SPACE`.

    KerasTuner makes an object of whatever class is named.

    Raises:
        ValueError: if there are others.
    """
    check_type("space", held["space"], list[dict[str, Any]])
    check_type("values", held["values"], dict[str, Any])
    for name, value in held["values"].items():
        # Hyperband adds values of its own, one of them the name of a trial.
        hint = str | None if name == "tuner/trial_id" else float | None
        check_type(f"values, {name}", value, hint)
    for each in held["space"]:
        kind, options = each["class_name"], each["config"]
        check_type("options", options, dict[str, Any])
        plain = (str, int, float, bool, type(None))
        values = [
            value
            for option in options.values()
            for value in (option if isinstance(option, list) else [option])
        ]
        if (
            kind not in ("Choice", "Float")
            or options["name"] not in SPACE
            or not all(isinstance(value, plain) for value in values)
        ):
            raise ValueError("no hyperparameter of a search")


def _check_trial(state: dict[str, Any], path: pathlib.Path) -> None:
    """Refuse a trial of another name, or with other values than are searched.

    Raises:
        ValueError: if it is such a trial.
    """
    if path.parent.name != f"trial_{state['trial_id']}":
        raise ValueError("another trial")
    metrics = state["metrics"]["metrics"]
    check_type("metrics", metrics, dict[str, dict[str, Any]])
    for each in metrics.values():
        if each["direction"] not in ("min", "max", None):
            raise ValueError("no direction of a metric")
        check_type("observations", each["observations"], list[dict[str, Any]])
        for observed in each["observations"]:
            if observed.keys() != {"value", "step"}:
                raise ValueError("no observation of a metric")
            check_type("value", observed["value"], list[float])
            check_type("step", observed["step"], int)


def remove_search(folder: pathlib.Path) -> None:
    """Remove a search's files, except the folder's lock."""
    for name in (SEARCH_SETTINGS, "trials.csv", "best.yaml"):
        (folder / name).unlink(missing_ok=True)
    RunFolder(folder).page.unlink(missing_ok=True)
    for name in (PROJECT, TRIALS, "hparams"):
        shutil.rmtree(folder / name, ignore_errors=True)
