"""The folder of a search: what it may hold before one begins there."""

import json
import pathlib
import shutil
from typing import Any

import yaml

from keras_lstm.config_file import translate_options
from keras_lstm.core.errors import InputError
from keras_lstm.runs.folder import RunFolder
from keras_lstm.tuning.settings import Search

# KerasTuner's own folder, and what its files must hold, by name.
PROJECT = "keras_tuner"
_STATE_KEYS = {
    "oracle.json": {"ongoing_trials", "hyperparameters", "start_order"},
    "trial.json": {"trial_id", "hyperparameters", "score", "status"},
}
_SETTINGS = "search.yaml"


def settings_path(folder: pathlib.Path) -> pathlib.Path:
    """Return where a search's settings are written."""
    return folder / _SETTINGS


def trial_dir(folder: pathlib.Path, trial_id: str) -> pathlib.Path:
    """Return the run folder of a trial."""
    return folder / "trials" / trial_id


def check_folder(
    folder: pathlib.Path, search: Search, resume: bool, overwrite: bool
) -> None:
    """Refuse a folder in which a search may not begin or be resumed.

    Args:
        folder: where the search's files go.
        search: what is to be searched there.
        resume: whether a search in the folder may be resumed.
        overwrite: whether a search in the folder may be removed.

    Raises:
        InputError: if the path is not a folder's, or the folder holds a
            search and neither is allowed, or another search, or damaged
            files, or something else.
        PermissionError: if the folder cannot be written to.
    """
    # A run in it is something else, see below.
    RunFolder(folder).check(resume=True)
    if not settings_path(folder).exists():
        # A worker may be there before the chief.
        names = {path.name for path in folder.glob("*")} - {".lock", PROJECT}
        if names or (folder / PROJECT / "oracle.json").exists():
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
    if not overwrite:
        check_same_search(folder, search)
        _check_states(folder)


def check_same_search(folder: pathlib.Path, search: Search) -> None:
    """Refuse a folder that holds another search.

    Raises:
        InputError: if it does.
    """
    held = settings_path(folder)
    if _settings_of(held.read_text("utf-8")) != _settings_of(search.to_yaml()):
        raise InputError(
            "a search is gone on with, or worked for, with the same task, "
            f"options and search space. Received: others than in {held}"
        )


def _settings_of(text: str) -> Any:
    """Return what the settings of a search mean, in today's names.

    None where they are no settings, which no search's are.
    """
    try:
        settings = yaml.safe_load(text)
        parts = settings["config"]
        settings["config"] = {
            name: translate_options(part) for name, part in parts.items()
        }
    except (yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError):
        return None
    return settings


def _check_states(folder: pathlib.Path) -> None:
    """Refuse a folder in which KerasTuner could not read its own files."""
    damaged, whole = [], []
    for path in sorted((folder / PROJECT).glob("**/*.json")):
        try:
            read_state(path)
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


def read_state(path: pathlib.Path) -> dict[str, Any]:
    """Read a file of KerasTuner's.

    Raises:
        ValueError: if the file is damaged.
        OSError: if it cannot be read.
    """
    state = json.loads(path.read_text("utf-8"))
    keys = _STATE_KEYS.get(path.name, set())
    if not isinstance(state, dict) or not keys <= set(state):
        raise ValueError(path)
    return state


def remove_search(folder: pathlib.Path) -> None:
    """Remove a search's files, but not the folder's lock."""
    for name in (_SETTINGS, "trials.csv", "best.yaml"):
        (folder / name).unlink(missing_ok=True)
    for name in (PROJECT, "trials", "hparams"):
        shutil.rmtree(folder / name, ignore_errors=True)
