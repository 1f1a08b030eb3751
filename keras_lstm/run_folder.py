"""What a run folder holds before a training, and whether it may go on there."""

import datetime
import json
import os
import pathlib
from typing import Any

from keras_lstm.config import Config, read_config
from keras_lstm.files import check_version
from keras_lstm.options import InputError
from keras_lstm.presets import get_preset
from keras_lstm.tasks import task_name
from keras_lstm.tasks.increment import Increment

# Written before the configuration is.
_FIRST = "step-000000000.ckpt"
ALL_EPOCHS = "all epochs were run"
# What shows that a folder holds a run.
_RUN_FILES = ("config.yaml", "model.keras", "report.json")
# What is about the weights of a finished run.
_RESULTS = ("report.json", "proof.json", "verify-*.json", "failures*.csv")
# Options that make no difference to what a run comes to.
_FREE = ("checkpoint_steps", "checkpoint_seconds")


def default_run_dir(config: Config, kind: str = "") -> pathlib.Path:
    """A folder named from the preset, the seed and the time."""
    now = datetime.datetime.now().astimezone()
    name = f"{config.preset}-seed{config.seed}-{now:%Y%m%d-%H%M%S-%f}"
    name = f"{kind}-{name}" if kind else name
    task = task_name(type(config.task)).replace(":", ".")
    return pathlib.Path("logs", task, name)


def check_run_dir(run_dir: pathlib.Path, resume: bool) -> None:
    """Refuses what is no folder, and what holds a run if that is not wanted.

    Raises:
        InputError: so it is.
        PermissionError: the folder cannot be written to.
    """
    try:
        held = [name for name in _RUN_FILES if (run_dir / name).exists()]
        nearest = run_dir
        while not nearest.exists():
            nearest = nearest.parent
        is_folder = nearest.is_dir()
        writable = os.access(nearest, os.W_OK | os.X_OK)
    except PermissionError:
        raise
    except OSError as error:
        raise InputError(
            f"`run_dir` must be a path of a folder. Received: {error}"
        ) from None
    if held and not resume:
        raise InputError(
            "`run_dir` must not hold a run yet, without `resume`. Received: "
            f"run_dir={run_dir}, with {', '.join(held)}"
        )
    if not is_folder:
        raise InputError(
            f"`run_dir` must be a folder. Received: run_dir={run_dir}"
        )
    if not writable:
        raise PermissionError(f"`run_dir` cannot be written to: {run_dir}")


def saved_config(
    run_dir: pathlib.Path, argument: str = "run_dir"
) -> Config | None:
    """The configuration that a run was started with; None if there is none.

    Args:
        run_dir: the run's folder.
        argument: what error messages call it.

    Raises:
        InputError: `config.yaml` is damaged.
    """
    try:
        text = (run_dir / "config.yaml").read_text("utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"`{argument}` must hold a config.yaml that can be read. "
            f"Received: {argument}={run_dir} ({error})"
        ) from None
    try:
        file = read_config(text, Increment)
    except InputError as error:
        raise InputError(f"{run_dir / 'config.yaml'}: {error}") from None
    if file.preset is None or file.task is None:
        raise InputError(
            f"`{argument}` must hold a whole config.yaml. Received: "
            f"{argument}={run_dir}"
        )
    return get_preset(file.preset, file.task).replace(file.task, **file.values)


def saved_report(
    run_dir: pathlib.Path, argument: str = "run_dir"
) -> dict[str, Any] | None:
    """What a finished run has reported; None for a run that is not finished.

    Args:
        run_dir: the run's folder.
        argument: what error messages call it.

    Raises:
        InputError: `report.json` is damaged, or of a newer version.
    """
    try:
        report = json.loads((run_dir / "report.json").read_text("utf-8"))
        version = report["versions"]["keras_lstm"]
    except FileNotFoundError:
        return None
    except (
        *(OSError, ValueError, KeyError),
        *(TypeError, RecursionError),
    ) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"`{argument}` must hold a report.json that can be read. Received: "
            f"{argument}={run_dir} ({type(error).__name__}: {reason})"
        ) from None
    check_version(version, argument, run_dir)
    return dict(report)


def check_goes_on(run_dir: pathlib.Path, config: Config) -> str | None:
    """Checks that a run may go on with a configuration.

    Args:
        run_dir: the run's folder; it may hold none yet.
        config: the run's own, or one with more epochs.

    Returns:
        None if there is something to do; else why there is not.

    Raises:
        InputError: the run was started with another configuration.
    """
    saved = saved_config(run_dir)
    if saved is None:
        return None
    before, now = saved.to_flat(), config.to_flat()
    changed = [
        f"{name}={now.get(name)} (the run has {before.get(name)})"
        for name in before | now
        if before.get(name) != now.get(name) and name not in _FREE
        if name != "epochs" or now[name] < before[name]
    ]
    if changed:
        raise InputError(
            "`resume` goes on with the run's own options; only `epochs` may "
            f"grow. Received: {', '.join(changed)}"
        )
    report = saved_report(run_dir)
    if report is None or not (run_dir / "model.keras").exists():
        return None
    why = str(report.get("stopped_because"))
    if why == ALL_EPOCHS and now["epochs"] > report.get("epochs", 0):
        return None
    return f"{run_dir} is finished: {why}. Nothing is left to do."


def check_checkpoints(run_dir: pathlib.Path) -> None:
    """Refuses a folder whose checkpoints and configuration do not agree.

    What a run was killed over before it had a configuration is removed.

    Raises:
        InputError: there is one without the other.
    """
    begun = (run_dir / "config.yaml").exists()
    found = list((run_dir / "checkpoints").glob("*.ckpt"))
    if begun and not found:
        raise InputError(
            "`run_dir` must hold a checkpoint to go on from. Received: "
            f"run_dir={run_dir}"
        )
    if not begun and any(path.name != _FIRST for path in found):
        raise InputError(
            "`run_dir` must hold the config.yaml that its checkpoints are of. "
            f"Received: run_dir={run_dir}"
        )
    if not begun:
        for path in found:
            path.unlink()


def remove_results(run_dir: pathlib.Path) -> None:
    """Removes what was said about weights that are to be replaced."""
    for pattern in _RESULTS:
        for path in run_dir.glob(pattern):
            path.unlink()


def options_text(config: Config) -> str:
    """All options that make a difference to what a run comes to."""
    options = config.to_flat().items()
    return ", ".join(f"{k}={v}" for k, v in options if k not in _FREE)
