"""Whole commands from the shell, for the benchmark's table."""

import itertools
import json
import pathlib
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence

from limits import OURS, at_most_times
from rows import Row, in_turns, print_status, seconds_of


def from_the_shell(rounds: int) -> Iterator[Row]:
    """Yield the times of start-up, and of whole trainings."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        count = itertools.count()
        ours = [sys.executable, "-m", "keras_lstm"]

        def training(*words: str) -> float:
            run_dir = str(folder / str(next(count)))
            command = [*ours, "train", *words, "--quiet", "--run-dir", run_dir]
            return seconds_of(command)

        noise = ("increment", "--preset", "increment-noise")
        one = ("--num-bits", "4", "--epochs", "1", "--steps-per-epoch", "1")
        run = folder / "run"
        seconds_of([*ours, "train", *noise, "--run-dir", str(run)])
        imported = "import tensorflow, keras"
        tasks: dict[str, Callable[[], float]] = {
            imported: lambda: seconds_of([sys.executable, "-c", imported]),
            "keras-lstm --help": lambda: seconds_of([*ours, "--help"]),
            "keras-lstm predict RUN 7": lambda: seconds_of(
                [*ours, "predict", str(run), "7"]
            ),
            "train, one step of 4 bits": lambda: training(*noise, *one),
            "train increment, until proved": lambda: training("increment"),
            "train increment-noise, until verified exact": lambda: training(
                *noise
            ),
        }
        print_status("from the shell")
        found = in_turns(tasks, rounds)
        bars = {"train, one step of 4 bits": 1.15}
        bars["train increment, until proved"] = 1.8
        for what, seconds in found.items():
            bar = None
            if what in bars:
                limit = (bars[what], "the import", found[imported])
                bar = at_most_times(*limit)
            yield Row(what, "s", {OURS: seconds}, bar=bar)
        yield tutorial(folder, [*ours, "train"])


def tutorial(folder: pathlib.Path, train: Sequence[str]) -> Row:
    """Return the time of the tutorial's recipe, from a part of it."""
    print_status("the tutorial's recipe")
    run_dir = folder / "tutorial"
    preset = ("increment", "--preset", "increment-tutorial")
    command = [*train, *preset, "--epochs", "2", "--run-dir", str(run_dir)]
    seconds_of(command)
    spent = json.loads((run_dir / "report.json").read_text())["seconds"]
    rest = spent["total"] - spent["train"]
    what = "the tutorial's recipe, 100 epochs, from 2 of them"
    return Row(what, "s", {OURS: rest + 50 * spent["train"]})
