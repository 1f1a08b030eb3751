"""The folder of a search: the names of its files, and its checks."""

import json
import pathlib
import shutil
from typing import Any

from keras_lstm.config_file import translate_options
from keras_lstm.core.errors import InputError
from keras_lstm.core.files import read_small_text
from keras_lstm.core.yaml_text import MAX_TEXT, parse_yaml
from keras_lstm.runs.folder import RunFolder
from keras_lstm.tuning.settings import Search

# KerasTuner's own folder, and the keys that its files must have, by name.
PROJECT = "keras_tuner"
_STATE_KEYS = {
    "oracle.json": {"ongoing_trials", "hyperparameters", "start_order"},
    "trial.json": {"trial_id", "hyperparameters", "score", "status"},
}
_SETTINGS = "search.yaml"


def settings_path(folder: pathlib.Path) -> pathlib.Path:
    """Return the path of a search's settings."""
    return folder / _SETTINGS


def trial_dir(folder: pathlib.Path, trial_id: str) -> pathlib.Path:
    """Return the run folder of a trial."""
    return folder / "trials" / trial_id


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
        _check_states(folder)


def check_same_search(folder: pathlib.Path, search: Search) -> None:
    """Refuse a folder that holds another search.

    Args:
        folder: the search folder, which holds settings.
        search: the search to run there.

    Raises:
        InputError: if the settings in the folder are not those of `search`.
    """
    held = settings_path(folder)
    try:
        text = read_small_text(held, MAX_TEXT)
    except (OSError, UnicodeDecodeError):
        text = ""
    if _settings_of(text) != _settings_of(search.to_yaml()):
        raise InputError(
            "`run_dir` must hold a search with the same task, options and "
            f"search space. Received: other settings in {held}"
        )


def _settings_of(text: str) -> Any:
    """Parse the settings of a search, and translate old names of options.

    Returns:
        The settings; None for text that holds none, so that it differs from
        the settings of every search.
    """
    try:
        settings = parse_yaml(text, "search")
        parts = settings["config"]
        settings["config"] = {
            name: translate_options(part) for name, part in parts.items()
        }
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    return settings


def _check_states(folder: pathlib.Path) -> None:
    """Refuse a folder in which KerasTuner's own files are damaged."""
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
            f"KerasTuner's {', '.join(damaged)} cannot be read. Readable "
            f"trials: {', '.join(whole) or 'none'}; their runs are in "
            f"{folder / 'trials'}. Use `overwrite` to start again"
        )


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
    state = json.loads(path.read_text("utf-8"))
    keys = _STATE_KEYS.get(path.name, set())
    if not isinstance(state, dict) or not keys <= set(state):
        raise ValueError(path)
    return state


def remove_search(folder: pathlib.Path) -> None:
    """Remove a search's files, except the folder's lock."""
    for name in (_SETTINGS, "trials.csv", "best.yaml"):
        (folder / name).unlink(missing_ok=True)
    for name in (PROJECT, "trials", "hparams"):
        shutil.rmtree(folder / name, ignore_errors=True)
