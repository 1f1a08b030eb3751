"""A run folder: the names of its files, its lock, and its checks.

This module needs no TensorFlow: a folder is refused before that is loaded.
"""

import contextlib
import datetime
import json
import os
import pathlib
from collections.abc import Iterator, Set
from typing import Any

from keras_lstm.checkpoint.checkpoints import newest_options
from keras_lstm.config import Config
from keras_lstm.config_file import read_config, translate_options
from keras_lstm.config_rules import Execution
from keras_lstm.core.errors import InputError, shown
from keras_lstm.core.files import (
    check_writable,
    locked,
    read_small_text,
    remove_temporary,
)
from keras_lstm.core.version import check_version
from keras_lstm.core.yaml_text import MAX_TEXT
from keras_lstm.presets import get_preset
from keras_lstm.runs.report import Report, StopReason, stop_text
from keras_lstm.tasks.increment import Increment
from keras_lstm.tasks.registry import task_name

# What `is_run` asks for; other programs have files of these names as well.
_SIGNS = frozenset(
    (
        *("config.yaml", "model.keras", "report.json", "history.csv"),
        "checkpoints",
    )
)
# The checkpoint that is written before the configuration.
_FIRST = "step-000000000.ckpt"
# A report with the counts of 4,096 lengths has 400 KB.
_MAX_REPORT = 2**24
# A search folder's settings, and its folder of trials, each a run.
SEARCH_SETTINGS = "search.yaml"
TRIALS = "trials"
# Where TensorBoard's logs lie.
_LOG_FOLDERS = ("train", "validation", "projector")
# Options that do not affect a run's result.
_FREE = (
    *("checkpoint_every_steps", "checkpoint_every_seconds"),
    *("track", "worker_timeout"),
)
# Options that may change when a run is resumed.
_MAY_CHANGE = (*_FREE, "strategy")


class RunFolder:
    """The files of a run, by name.

    Args:
        path: the folder; it need not exist yet.
    """

    def __init__(self, path: pathlib.Path) -> None:
        self.path = pathlib.Path(path)
        self.config = self.path / "config.yaml"
        self.model = self.path / "model.keras"
        self.report = self.path / "report.json"
        self.history = self.path / "history.csv"
        self.failures = self.path / "failures.csv"
        self.suspicious = self.path / "suspicious.csv"
        self.proof = self.path / "proof.json"
        self.repair = self.path / "repair.json"
        self.curves = self.path / "curves.png"
        self.page = self.path / "report.html"
        self.card = self.path / "README.md"
        self.checkpoints = self.path / "checkpoints"

    def verification(self, num_bits: int) -> pathlib.Path:
        """Return the path of a later check's result."""
        return self.path / f"verify-{num_bits}.json"

    def failures_at(self, num_bits: int) -> pathlib.Path:
        """Return the path of the failures at a length not trained on."""
        return self.path / f"failures-{num_bits}.csv"

    @property
    def is_begun(self) -> bool:
        """True if a run was started in the folder."""
        return self.config.exists()

    def check(self, resume: bool) -> None:
        """Refuse a path that is not a folder's, or whose run is not resumed.

        Args:
            resume: whether a run in the folder is to be resumed.

        Raises:
            InputError: if the path is not a folder's, or the folder holds a
                run and `resume` is false, or something else in the place of
                a run's file.
            PermissionError: if the folder cannot be written to.
        """
        try:
            files = (self.config, self.model, self.report)
            held = [path.name for path in files if path.exists()]
            nearest = self.path
            # A link to nowhere exists as well: no folder can be made there.
            while not os.path.lexists(nearest):
                nearest = nearest.parent
            is_folder = nearest.is_dir()
        except PermissionError:
            raise
        except OSError as error:
            raise InputError(
                f"`run_dir` must be the path of a folder. Received: {error}"
            ) from None
        if held and not resume:
            raise InputError(
                "`run_dir` must not hold a run yet, unless `resume` is given. "
                f"Received: run_dir={self.path}, with {', '.join(held)}"
            )
        if not is_folder:
            raise InputError(
                f"`run_dir` must be a folder. Received: run_dir={self.path}"
            )
        check_writable(nearest, "run_dir")
        self._check_kinds()

    def _check_kinds(self) -> None:
        """Refuse folders in the place of a run's files, and the other way.

        They would be found when the training is over and its results are
        written.

        Raises:
            InputError: if there is one.
        """
        logs = [self.path / name for name in _LOG_FOLDERS]
        folders = [self.checkpoints, *logs]
        files = [
            *(self.config, self.model, self.report, self.history),
            *(self.failures, self.suspicious, self.proof, self.repair),
            *(self.curves, self.page, self.card),
        ]
        for path in (*folders, *files):
            is_right = path.is_dir() if path in folders else path.is_file()
            if not is_right and os.path.lexists(path):
                kind = "folder" if path in folders else "file"
                raise InputError(
                    f"`run_dir` must have a {kind} at {path.name}, or nothing. "
                    f"Received: run_dir={self.path}, where it is something else"
                )

    def check_init_from(self, init_from: pathlib.Path | None) -> None:
        """Refuse other weights for a run that has begun.

        Args:
            init_from: the run folder whose weights to start from; None for
                none.

        Raises:
            InputError: if there is such a folder, but a run was started here.
        """
        if init_from is not None and self.is_begun:
            raise InputError(
                "`init_from` must not be given to resume a run that has "
                "begun, whose checkpoint holds its weights. Received: "
                f"init_from={init_from}, run_dir={self.path}"
            )

    @contextlib.contextmanager
    def opened(self, resume: bool) -> Iterator[None]:
        """Lock the run folder; create it if it is missing.

        Args:
            resume: whether a run in the folder is to be resumed.

        Raises:
            InputError: if `check` refuses the folder, or another process has
                locked it.
            PermissionError: if the folder cannot be written to.
        """
        self.check(resume)
        with locked(self.path):
            # Another process may have started a run before the lock.
            self.check(resume)
            for folder in (self.path, self.checkpoints):
                remove_temporary(folder)
            yield

    def read_config(self, argument: str = "run_dir") -> Config | None:
        """Read the configuration that a run was started with.

        Args:
            argument: the name of the folder in error messages.

        Returns:
            The configuration; None if there is none.

        Raises:
            InputError: if `config.yaml` is damaged or incomplete, or names a
                task whose module is neither installed nor imported.
        """
        try:
            text = read_small_text(self.config, MAX_TEXT)
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(
                f"`{argument}` must hold a readable config.yaml. "
                f"Received: {argument}={self.path} ({error})"
            ) from None
        try:
            file = read_config(text, Increment, self.path)
        except InputError as error:
            raise InputError(f"{self.config}: {error}") from None
        if file.preset is None or file.task is None:
            raise InputError(
                f"`{argument}` must hold a complete config.yaml. Received: "
                f"{argument}={self.path}"
            )
        preset = get_preset(file.preset, file.task)
        config = preset.replace(file.task, **file.all_values())
        # Earlier versions had no other way.
        return config.with_execution(Execution())

    def read_report(self, argument: str = "run_dir") -> Report | None:
        """Read the report of a finished run.

        Args:
            argument: the name of the folder in error messages.

        Returns:
            The report; None if the run is not finished.

        Raises:
            InputError: if `report.json` is damaged, or was written by a newer
                version.
        """
        try:
            text = read_small_text(self.report, _MAX_REPORT)
            mapping: dict[str, Any] = json.loads(text)
            version = mapping["versions"]["keras_lstm"]
            check_version(version, argument, self.path)
            return Report.from_mapping(mapping)
        except FileNotFoundError:
            return None
        except InputError:
            raise
        except (
            *(OSError, ValueError, KeyError, AttributeError),
            *(TypeError, RecursionError, OverflowError),
        ) as error:
            reason = " ".join(str(error).split())
            raise InputError(
                f"`{argument}` must hold a readable report.json. "
                f"Received: {argument}={self.path} "
                f"({type(error).__name__}: {reason})"
            ) from None

    def settle(self, config: Config) -> Config:
        """Return a configuration with what was chosen when its run started.

        Args:
            config: the run's configuration.

        Returns:
            The configuration, in which options that are `AUTO` have the
            values of the run in the folder; `config` itself if there is none.

        Raises:
            InputError: as for `read_config`.
        """
        saved = self.read_config() if config.left_to_choose else None
        if saved is None:
            return config
        return config.with_execution(saved.training.execution)

    def finished_reason(self, config: Config) -> str | None:
        """Return why nothing is left to train, if the run is finished.

        Args:
            config: the run's own configuration, or one with more epochs.

        Returns:
            The reason; None if the run can be started or resumed.

        Raises:
            InputError: if the run was started with other options, as
                `config.yaml` or the newest checkpoint states them.
        """
        saved = self.read_config()
        if saved is None:
            return None
        now = config.with_execution(saved.training.execution).to_flat()
        # Someone may have edited `config.yaml`: the checkpoint states what was
        # trained. It lacks the options that later versions have added.
        stated = translate_options(newest_options(self.checkpoints))
        trained = now | {k: v for k, v in stated.items() if k in now}
        changed = {
            **_changes(saved.to_flat(), now),
            **_changes(trained, now),
        }
        if changed:
            raise InputError(
                "`resume` must keep the run's own options; only `epochs` "
                f"may grow. Received: {', '.join(changed.values())}"
            )
        report = self.read_report()
        if report is None or not self.model.exists():
            return None
        reason = report.stopped_because
        may_grow = reason is StopReason.ALL_EPOCHS
        if may_grow and config.training.epochs > report.epochs:
            return None
        why = stop_text(reason, saved.training.monitor)
        return f"{self.path} is finished: {why}. Nothing is left to do."

    def check_checkpoints(self) -> None:
        """Refuse a folder whose checkpoints and configuration do not agree.

        If a run was killed before its configuration was written, its first
        checkpoint is removed.

        Raises:
            InputError: if there is a configuration without a checkpoint, or a
                later checkpoint without a configuration.
        """
        found = list(self.checkpoints.glob("*.ckpt"))
        if self.is_begun and not found:
            raise InputError(
                "`run_dir` must hold a checkpoint to resume from. Received: "
                f"run_dir={self.path}"
            )
        if self.is_begun:
            return
        if any(path.name != _FIRST for path in found):
            raise InputError(
                "`run_dir` must hold the config.yaml of its checkpoints. "
                f"Received: run_dir={self.path}"
            )
        for path in found:
            path.unlink()

    def remove_results(self) -> None:
        """Remove the reports on weights that are about to be replaced."""
        for path in (self.report, self.page, self.proof, *self.checks()):
            path.unlink(missing_ok=True)

    def checks(self) -> list[pathlib.Path]:
        """Return the files of checks of the model that are there."""
        found = self.path.glob("verify-*.json")
        return [*found, *self.path.glob("failures*.csv")]


def is_run(names: Set[str]) -> bool:
    """Return whether a folder seems to hold a run.

    Args:
        names: the names of what is in the folder.

    Returns:
        True if at least two of them are of a run's files.
    """
    return len(_SIGNS & names) > 1


def _changes(before: dict[str, Any], now: dict[str, Any]) -> dict[str, str]:
    """Return the options that a resumed run may not change, each as text."""
    changes = {}
    for name in before | now:
        old, new = before.get(name), now.get(name)
        # A damaged checkpoint may hold anything.
        same = type(old) is type(new) and old == new
        grows = name == "epochs" and type(old) is int and old < now[name]
        if not same and not grows and name not in _MAY_CHANGE:
            changes[name] = f"{name}={shown(new)} (the run has {shown(old)})"
    return changes


def default_run_dir(config: Config, kind: str = "") -> pathlib.Path:
    """Return a folder named after the preset, the seed and the time."""
    now = datetime.datetime.now().astimezone()
    name = f"{config.preset}-seed{config.seed}-{now:%Y%m%d-%H%M%S-%f}"
    name = f"{kind}-{name}" if kind else name
    task = task_name(type(config.task)).replace(":", ".")
    return pathlib.Path("logs", task, name)


def config_fingerprint(config: Config) -> str:
    """Return the options that affect a run's result, as text."""
    options = config.to_flat() | config.training.execution._asdict()
    return ", ".join(f"{k}={v}" for k, v in options.items() if k not in _FREE)
