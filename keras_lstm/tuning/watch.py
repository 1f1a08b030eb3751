"""The trials of a search while they run, read from its folder."""

import contextlib
import csv
import io
import math
import pathlib
import threading
import time
from collections.abc import Iterator
from typing import cast

from keras_lstm.core.console import duration, percent
from keras_lstm.core.display import Block, Display, open_display, sparkline
from keras_lstm.core.files import read_small_text
from keras_lstm.runs.folder import RunFolder
from keras_lstm.tuning.folder import PROJECT, read_state, trial_dir
from keras_lstm.tuning.results import (
    Trial,
    order_of,
    outcome_text,
    trial_from_state,
)
from keras_lstm.tuning.settings import SPACE, LogRange, Search

_SECONDS_BETWEEN_READS = 1.0
_MAX_HISTORY = 2**24
# KerasTuner's default, for an algorithm that draws trials.
_NUM_DRAWN = 10


@contextlib.contextmanager
def watching(folder: pathlib.Path, search: Search) -> Iterator[bool]:
    """Show the trials of a search while they run, where there is a place.

    What is shown is read from the search's folder, once a second: it does not
    matter which process runs the trials.

    Args:
        folder: the search folder.
        search: the search.

    Yields:
        True if the trials are shown, False in a log.
    """
    display = open_display()
    if display is None:
        yield False
        return
    ended = threading.Event()
    progress = SearchProgress(folder, search)
    thread = threading.Thread(
        target=_keep_showing, args=(display, progress, ended), daemon=True
    )
    thread.start()
    try:
        yield True
    finally:
        ended.set()
        thread.join()
        display.update(progress.block())
        display.close()


def _keep_showing(
    display: Display, progress: "SearchProgress", ended: threading.Event
) -> None:
    while not ended.wait(_SECONDS_BETWEEN_READS):
        display.update(progress.block())


class SearchProgress:
    """The state of a search, as its folder has it.

    Args:
        folder: the search folder.
        search: the search.
    """

    def __init__(self, folder: pathlib.Path, search: Search) -> None:
        self._folder = folder
        self._search = search
        self._total = expected_trials(search)
        self._done: dict[str, Trial] = {}
        self._running: list[Trial] = []
        self._started = time.monotonic()
        self._read()
        self._done_before = len(self._done)

    def block(self) -> Block:
        """Read what is new, and return what to show."""
        self._read()
        done, total = len(self._done), self._total
        count = f"{done:,} trials done"
        share = None
        if total is not None and total >= done:
            count = f"{done:,} of {total:,} trials"
            if done < total:
                count = f"{count}  {self._left()}"
            share = done / max(1, total)
        lines = [*self._best(), *map(self._line, self._running)]
        return Block("searching", share, count, lines)

    def _read(self) -> None:
        """Read the trials that were not done before."""
        running = []
        for path in sorted((self._folder / PROJECT).glob("trial_*/trial.json")):
            if path.parent.name in self._done:
                continue
            # A file may be about to be replaced; the next reading finds it.
            with contextlib.suppress(OSError, ValueError, KeyError):
                state = read_state(path)
                trial = trial_from_state(self._folder, self._search, state)
                if state["status"] == "RUNNING":
                    running.append(trial)
                else:
                    self._done[path.parent.name] = trial
        self._running = running

    def _left(self) -> str:
        """Return the time that the remaining trials take at most."""
        here = len(self._done) - self._done_before
        if not here or self._total is None:
            return "time left unknown"
        seconds = (time.monotonic() - self._started) / here
        left = seconds * (self._total - len(self._done))
        return f"about {duration(left)} left"

    def _best(self) -> list[list[str]]:
        """Return the best trial, and the curve of the best so far."""
        scored = [x for x in self._done.values() if x.score is not None]
        if not scored:
            return []
        best = min(scored, key=lambda x: order_of(x, self._search))
        outcome = outcome_text(best.report, self._search.objective)
        lines = [[f"best: trial {best.name}", _values(best), outcome]]
        lowest, curve = math.inf, []
        for trial in scored:
            # Those without a score were left out.
            lowest = min(lowest, cast(float, trial.score))
            curve.append(lowest)
        if len(curve) > 1:
            lines.append([f"best so far, by trial: {sparkline(curve)}"])
        return lines

    def _line(self, trial: Trial) -> list[str]:
        """Return what there is to say of a trial that is running."""
        run = RunFolder(trial_dir(self._folder, trial.name))
        facts = [f"trial {trial.name}", _values(trial)]
        rows: list[dict[str, str]] = []
        with contextlib.suppress(OSError, ValueError, csv.Error):
            text = read_small_text(run.history, _MAX_HISTORY)
            rows = list(csv.DictReader(io.StringIO(text)))
        if not rows:
            return [*facts, "starting"]
        epochs = trial.config.training.epochs
        facts.append(f"epoch {rows[-1].get('epoch')}/{epochs}")
        for name in ("loss", "val_sequence_accuracy"):
            with contextlib.suppress(KeyError, TypeError, ValueError):
                values = [float(row[name]) for row in rows]
                last = values[-1]
                text = percent(last) if "accuracy" in name else f"{last:.4g}"
                facts.append(f"{name} {text} {sparkline(values, 12)}")
        return facts


def expected_trials(search: Search) -> int | None:
    """Return the largest number of trials of a search; None if not known.

    Args:
        search: the search.
    """
    if search.algorithm in ("random", "bayesian"):
        return search.max_trials or _NUM_DRAWN
    if search.algorithm == "hyperband":
        return None
    combinations = 1
    for name in search.names:
        values = SPACE[name]
        if isinstance(values, LogRange):
            return search.max_trials
        combinations *= len(values)
    return min(combinations, search.max_trials or combinations)


def _values(trial: Trial) -> str:
    return ", ".join(f"{n}={value:.3g}" for n, value in trial.values.items())
