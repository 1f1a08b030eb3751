"""Runs in brief: their options, state and result, without TensorFlow."""

import dataclasses
import enum
import os
import pathlib
from collections.abc import Set

from keras_lstm.checkpoint.checkpoints import newest_step
from keras_lstm.core.errors import InputError
from keras_lstm.core.files import is_locked
from keras_lstm.runs.folder import RunFolder, is_run
from keras_lstm.runs.report import Report, StopReason
from keras_lstm.runs.stated_config import StatedConfig, read_stated_config


class RunState(enum.StrEnum):
    """State of a run."""

    RUNNING = "running"
    FINISHED = "finished"
    STOPPED = "stopped"
    DAMAGED = "damaged"


@dataclasses.dataclass(frozen=True)
class RunSummary:
    """A run in brief.

    Args:
        run_dir: the run folder.
        name: its path within the folder that was searched.
        state: whether the run is running, finished, stopped or damaged.
        step: the step of the newest checkpoint, by its name; None without
            one.
        config: the options; None if they cannot be read.
        report: the report; None if there is none, or it cannot be read. That
            of a run that goes on after its last epoch is of the model so far.
        problem: what is damaged; None for nothing.
    """

    run_dir: pathlib.Path
    name: str
    state: RunState
    step: int | None
    config: StatedConfig | None
    report: Report | None
    problem: str | None

    @property
    def state_text(self) -> str:
        """The state in words, with the step of a run that can go on."""
        if self.state is RunState.STOPPED:
            return f"stopped at step {self.step:,}"
        return self.state.value


def summarize_run(run_dir: pathlib.Path, name: str | None = None) -> RunSummary:
    """Summarize the run in a folder.

    Args:
        run_dir: the run folder.
        name: its name in a table; None for its path.

    Returns:
        The summary; what cannot be read is its `problem`.
    """
    folder = RunFolder(run_dir)
    config, report, step, problems = None, None, None, []
    # The lock first: a run that ends in between has a report by then.
    is_running = is_locked(run_dir)
    try:
        config = read_stated_config(folder)
        if config is None and not is_running:
            problems.append(f"there is no {folder.config.name}")
    except InputError as error:
        problems.append(f"{folder.config.name}: {error}")
    try:
        report = folder.read_report()
    except InputError as error:
        problems.append(str(error))
    try:
        step = newest_step(folder.checkpoints)
        if report is not None and not folder.model.is_file():
            problems.append(f"there is no {folder.model.name}")
    except OSError as error:
        problems.append(str(error))
    if problems:
        state = RunState.DAMAGED
    elif report is not None and not _goes_on(config, report):
        state = RunState.FINISHED
    elif step is not None:
        state = RunState.STOPPED
    elif is_running:
        state = RunState.RUNNING
    else:
        state = RunState.DAMAGED
        problems.append("there is no checkpoint to resume from")
    if is_running:
        state = RunState.RUNNING
    name = str(run_dir) if name is None else name
    problem = "; ".join(problems) or None
    return RunSummary(run_dir, name, state, step, config, report, problem)


def _goes_on(config: StatedConfig | None, report: Report) -> bool:
    """Return whether a finished run was resumed with more epochs."""
    epochs = 0 if config is None else config.values["epochs"]
    reason = report.stopped_because
    return reason is StopReason.ALL_EPOCHS and epochs > report.epochs


def find_runs(root: pathlib.Path) -> tuple[list[RunSummary], list[str]]:
    """Summarize all runs in a folder and the folders within.

    Links to folders are not followed, and below `root` no folders in runs.

    Args:
        root: the folder.

    Returns:
        The summaries, sorted by name; and why folders could not be read, a
        line each.

    Raises:
        InputError: if `root` is not a folder.
    """
    if not root.is_dir():
        raise InputError(
            f"`dir` must be a folder that holds runs. Received: dir={root}"
        )
    start = str(root)
    runs, unread, waiting = [], [], [start]
    while waiting:
        path = waiting.pop()
        try:
            names, folders = _entries(path)
        except OSError as error:
            unread.append(str(error))
            continue
        if is_run(names):
            name = path[len(start) :].lstrip("/") or "."
            runs.append(summarize_run(pathlib.Path(path), name))
            # What a run folder holds, such as a packed copy, is no other run.
            if path != start:
                continue
        waiting += folders
    return sorted(runs, key=lambda run: run.name), unread


def _entries(path: str) -> tuple[Set[str], list[str]]:
    """Return the names of what a folder holds, and the paths of folders."""
    names, folders = set(), []
    with os.scandir(path) as entries:
        for entry in entries:
            names.add(entry.name)
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.path)
    return names, folders
