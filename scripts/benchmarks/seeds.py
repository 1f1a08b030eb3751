"""Run a preset for several seeds, each in its own process, as one table.

Command: python scripts/benchmarks/seeds.py PRESET --seeds 0-9 [--task TASK]
    [--lengths 64,256] [--compiled] [--out DIR] [FLAG VALUE ...]

All other flags are passed to `keras-lstm train`. `--lengths` also checks each
model at other lengths, with `keras-lstm verify`; with `--compiled`, XLA
compiles the models for these checks, which takes half the time at 4,096 bits.
The table is Markdown, for the docs; `--out` keeps the run folders.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

from tables import cell, numbers, print_table

from keras_lstm.core.console import percent
from keras_lstm.presets import get_preset
from keras_lstm.tasks.registry import task_name

COLUMNS = {
    "seed": "seed",
    "wrong": "num_wrong",
    "of": "num_examples",
    "validation": "validation",
    "held-out wrong": "test_num_wrong",
    "accuracy": "accuracy",
    "smallest margin": "min_margin",
    "examples": "training_examples",
    "distinct": "distinct_training_examples",
    "epochs": "epochs",
    "taught by": "taught_by",
    "boxes": "proof_boxes",
    "proved margin": "proof_margin",
    "seconds": "shell_seconds",
}


def run(
    task: str, preset: str, seed: int, folder: pathlib.Path, flags: list[str]
) -> dict[str, Any]:
    """Train once; return the report, with the seconds of the process."""
    run_dir = folder / f"seed{seed}"
    command = [sys.executable, "-m", "keras_lstm", "train", task]
    command += ["--preset", preset, "--seed", str(seed)]
    command += ["--run-dir", str(run_dir), "--quiet", *flags]
    start = time.perf_counter()
    done = subprocess.run(command, check=False, stdout=subprocess.DEVNULL)
    if done.returncode:
        raise SystemExit(done.returncode)
    seconds = time.perf_counter() - start
    report = json.loads((run_dir / "report.json").read_text())
    report["accuracy"] = percent(report["sequence_accuracy"])
    if report["validation_accuracy"] is not None:
        report["validation"] = percent(round(report["validation_accuracy"], 6))
    return report | {"shell_seconds": seconds}


def check(run_dir: pathlib.Path, num_bits: str, compiled: bool) -> str:
    """Return how many inputs of another length are wrong, of how many."""
    if compiled:
        found = verify_compiled(run_dir, int(num_bits))
        return f"{found.num_wrong:,} of {found.num_examples:,}"
    command = [sys.executable, "-m", "keras_lstm", "verify", str(run_dir)]
    command += ["--num-bits", num_bits, "--walk", "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    # Exit code 1 means that something is wrong, which is a result.
    if done.returncode not in (0, 1):
        raise SystemExit(done.returncode)
    result = json.loads(done.stdout)
    return f"{result['num_wrong']:,} of {result['num_examples']:,}"


def verify_compiled(run_dir: pathlib.Path, num_bits: int) -> Any:
    """Check a run's model at another length, compiled by XLA."""
    # Only these checks need TensorFlow in this process.
    from keras_lstm.runs.run import load_run
    from keras_lstm.verification.verify import verify

    run = load_run(run_dir)
    run.model.compile(jit_compile=True)
    return verify(run.model, run.machine.of_length(num_bits))


def main() -> None:
    """Run the seeds and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0], allow_abbrev=False
    )
    parser.add_argument("preset")
    parser.add_argument("--task", help="a task other than the preset's own")
    parser.add_argument("--seeds", default="0-9", help="for example 0-9 or 3")
    parser.add_argument("--lengths", default="", help="for example 64,256")
    parser.add_argument("--compiled", action="store_true")
    parser.add_argument(
        "--out", type=pathlib.Path, help="keep the run folders here"
    )
    arguments, flags = parser.parse_known_args()
    seeds = numbers(arguments.seeds)
    if not seeds:
        parser.error(f"--seeds must not be empty. Received: {arguments.seeds}")
    preset = get_preset(arguments.preset)
    task = arguments.task or task_name(type(preset.task))
    reports: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.out or pathlib.Path(temporary)
        for seed in seeds:
            report = run(task, arguments.preset, seed, folder, flags)
            for num_bits in filter(None, arguments.lengths.split(",")):
                column = f"wrong at {num_bits} bits"
                report[column] = check(
                    folder / f"seed{seed}", num_bits, arguments.compiled
                )
            reports.append(report)
            print(
                f"seed {seed}: {report['num_wrong']:,} wrong, "
                f"{report['shell_seconds']:.1f} s",
                file=sys.stderr,
                flush=True,
            )
    lengths = [key for key in reports[0] if key.startswith("wrong at ")]
    columns = COLUMNS | {key: key for key in lengths}
    shown = {
        title: key
        for title, key in columns.items()
        if any(report.get(key) is not None for report in reports)
    }
    print_table(
        [
            {title: cell(report.get(key)) for title, key in shown.items()}
            for report in reports
        ]
    )
    accuracies = [report["sequence_accuracy"] for report in reports]
    seconds = [report["shell_seconds"] for report in reports]
    print(
        f"\nMean accuracy {percent(statistics.mean(accuracies))}, lowest "
        f"{percent(min(accuracies))}; median "
        f"{statistics.median(seconds):.1f} s, longest {max(seconds):.1f} s."
    )


if __name__ == "__main__":
    main()
