"""Measure `keras-lstm runs` on a folder of many runs, which are made up.

    python scripts/benchmarks/list_runs.py --runs 1000

Their configurations and reports are what a run writes; each has a seed and a
learning rate of its own. Prints the seconds of whole commands, from start to
end, the processor's and the clock's, and of `keras-lstm list` for comparison.
"""

import argparse
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time

from keras_lstm.config import Config
from keras_lstm.core.version import __version__
from keras_lstm.presets import get_preset
from keras_lstm.runs.folder import RunFolder
from keras_lstm.runs.report import Report, Seconds, StopReason

PRESETS = ("increment", "increment-noise", "machine", "digits")


def main() -> None:
    """Make the runs, and list them several times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        make_runs(pathlib.Path(name), arguments.runs)
        for words in (
            ["list"],
            ["runs", name],
            ["runs", name, "--filter", "units>=32", "--sort", "seconds"],
            ["runs", name, "--json"],
            ["runs", name, "--html"],
        ):
            taken = [measure(words) for _ in range(arguments.rounds)]
            wall, processor = (min(each) for each in zip(*taken, strict=True))
            shown = " ".join(word for word in words if word != name)
            print(f"{shown:40} {wall:.2f} s, {processor:.2f} s of processor")


def make_runs(root: pathlib.Path, count: int) -> None:
    """Write run folders, of which every tenth was stopped.

    Args:
        root: folder to make them in.
        count: their number.
    """
    rng = random.Random(0)  # noqa: S311
    for seed in range(count):
        preset = get_preset(PRESETS[seed % len(PRESETS)])
        config = preset.replace(
            seed=seed,
            units=rng.choice((8, 16, 32, 64, 128)),
            learning_rate=rng.uniform(0.001, 0.1),
        )
        folder = RunFolder(root / config.preset / f"seed{seed}")
        folder.checkpoints.mkdir(parents=True)
        for name in ("train", "validation"):
            (folder.path / name).mkdir()
        for step in (50 * seed, 50 * seed + 50):
            (folder.checkpoints / f"step-{step:09}.ckpt").write_bytes(b"")
        (folder.path / ".lock").write_text("1 on nowhere\n")
        folder.config.write_text(config.to_yaml())
        folder.history.write_text("epoch,loss\n1,0.5\n")
        if seed % 10:
            folder.model.write_bytes(b"")
            folder.report.write_text(report(config).to_json())


def report(config: Config) -> Report:
    """Return a report as the run of a configuration would write it."""
    return Report(
        task=config.task.name,
        preset=config.preset,
        seed=config.seed,
        checked="all inputs",
        num_examples=1_048_575,
        num_wrong=config.seed % 7,
        sequence_accuracy=1 - config.seed % 7 / 1_048_575,
        token_accuracy=1 - config.seed % 7 / 20_971_500,
        min_margin=0.5,
        test_num_examples=None,
        test_num_wrong=None,
        training_examples=19_200,
        distinct_training_examples=19_039,
        optimizer_steps=150,
        epochs=config.training.epochs,
        validation_accuracy=1.0,
        stopped_because=StopReason.ALL_EPOCHS,
        resumed_from_step=None,
        proved=config.seed % 7 == 0,
        num_parameters=10_000,
        seconds=Seconds(3.1, 1.2, 4.5 + config.seed, 0.4),
        versions={
            "python": "3.11.7",
            "tensorflow": "2.21.0",
            "keras": "3.15.1",
            "keras_lstm": __version__,
        },
        min_margin_input="0" * 20,
        by_hold_length=[
            {"hold_length": i, "num_wrong": 0, "num_examples": 2 ** (19 - i)}
            for i in range(20)
        ],
        model_sha256="0" * 64,
    )


def measure(words: list[str]) -> tuple[float, float]:
    """Run the command; return its seconds, the clock's and the processor's."""
    before, start = os.times(), time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "keras_lstm", *words],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    wall, after = time.perf_counter() - start, os.times()
    processor = after.children_user - before.children_user
    return wall, processor + after.children_system - before.children_system


if __name__ == "__main__":
    main()
