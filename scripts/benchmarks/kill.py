"""Kill a training run again and again by SIGKILL; compare its result.

Command: python scripts/benchmarks/kill.py [--kills 100] [--seed 0]
    [FLAG VALUE ...]

One training run is left alone. Another, with the same options, is killed at
random moments and resumed: while it starts, while it trains, and while it
writes a checkpoint. Its result must equal the first one's, bit for bit. All
other flags are passed to `keras-lstm train`. Exit code: 1 if anything differs.
"""

import argparse
import collections
import json
import pathlib
import subprocess
import sys
import tempfile
import time
import zipfile
from typing import Any

import numpy as np

from keras_lstm.checkpoint.checkpoints import CheckpointFolder

# Everything with a state: noise, dropout, a learning-rate schedule, Adam,
# counterexamples, metrics within an epoch.
FLAGS = [
    *("increment", "--preset", "increment-last-state", "--num-bits", "10"),
    *("--units", "16", "--batch-size", "64", "--epochs", "20"),
    *("--steps-per-epoch", "40", "--input-noise", "0.2", "--dropout", "0.05"),
    *("--global-clipnorm", "1", "--schedule", "cosine"),
    *("--counterexamples-from-epoch", "2", "--checkpoint-every-steps", "9"),
]
MOMENTS = ("starting", "training", "training", "writing", "writing")
# The fields of a report that may differ: the file of a model holds the date.
TIMES = ("seconds", "resumed_from_step", "proof_seconds", "model_sha256")


def start(run_dir: pathlib.Path, flags: list[str]) -> subprocess.Popen[bytes]:
    """Start or resume the training."""
    command = [sys.executable, "-m", "keras_lstm", "train", *flags]
    command += ["--run-dir", str(run_dir), "--resume", "--quiet"]
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def kill(
    process: subprocess.Popen[bytes],
    run_dir: pathlib.Path,
    moment: str,
    rng: np.random.Generator,
) -> bool:
    """Kill the process at a moment; return False if it ended before."""
    whole = run_dir / "checkpoints"
    left = half_written(run_dir)
    before = {path.name for path in whole.glob("step-*.ckpt")}
    delay = rng.uniform(0.0, 3.0)
    writes = int(rng.integers(1, 31))
    began = time.monotonic()
    while process.poll() is None:
        # No sleep: the kill may come at any moment.
        if moment == "writing":
            if half_written(run_dir) - left:
                writes -= 1
                if not writes:
                    break
        elif time.monotonic() - began >= delay:
            break
        elif moment == "training":
            now = {path.name for path in whole.glob("step-*.ckpt")}
            if not now - before:
                began = time.monotonic()
    process.kill()
    process.communicate()
    return process.returncode == -9


def half_written(run_dir: pathlib.Path) -> set[str]:
    """Return the names of incomplete checkpoints."""
    return {path.name for path in run_dir.glob("checkpoints/.*.part*")}


def same(one: Any, other: Any) -> bool:
    """Return whether two states are the same, bit for bit."""
    if isinstance(one, np.ndarray):
        return (one.dtype, one.shape, one.tobytes()) == (
            *(other.dtype, other.shape, other.tobytes()),
        )
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(
            same(one[key], other[key]) for key in one
        )
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def outcome(run_dir: pathlib.Path) -> dict[str, Any]:
    """Return all results of a run, without times."""
    report = json.loads((run_dir / "report.json").read_text())
    for key in TIMES:
        report.pop(key, None)
    last = CheckpointFolder(run_dir / "checkpoints").newest()
    if last is None:
        raise SystemExit(f"{run_dir} holds no checkpoint")
    last.state.pop("seconds")
    # TensorBoard evaluates the model as often as its time budget allows.
    last.state["callbacks"] = [
        each for each in last.state["callbacks"] if each[0] != "TensorBoard"
    ]
    with zipfile.ZipFile(run_dir / "model.keras") as archive:
        weights = archive.read("model.weights.h5")
    return {
        "weights": weights,
        "history.csv": (run_dir / "history.csv").read_text(),
        "failures.csv": (run_dir / "failures.csv").read_text()
        if (run_dir / "failures.csv").exists()
        else "",
        "report.json": report,
        "last checkpoint": {"step": last.step} | last.state,
    }


def finish(run_dir: pathlib.Path, flags: list[str]) -> dict[str, Any]:
    """Run the training to its end, and return its results."""
    process = start(run_dir, flags)
    _, stderr = process.communicate()
    if process.returncode:
        sys.stderr.write(stderr.decode())
        raise SystemExit(1)
    return outcome(run_dir)


def main() -> None:
    """Kill, resume and compare."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0], allow_abbrev=False
    )
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    arguments, flags = parser.parse_known_args()
    flags = flags or FLAGS
    rng = np.random.default_rng(arguments.seed)
    counts: collections.Counter[str] = collections.Counter()
    differing: collections.Counter[str] = collections.Counter()
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        expected = finish(folder / "whole", flags)
        runs = kills = 0
        while kills < arguments.kills:
            runs += 1
            run_dir = folder / str(runs)
            while kills < arguments.kills:
                moment = str(rng.choice(MOMENTS))
                left = half_written(run_dir)
                process = start(run_dir, flags)
                if not kill(process, run_dir, moment, rng):
                    break
                kills += 1
                half = bool(half_written(run_dir) - left)
                counts[moment] += 1
                counts["half-written file left"] += half
                print(
                    f"kill {kills}: {moment}{', half-written file' * half}",
                    file=sys.stderr,
                    flush=True,
                )
            found = finish(run_dir, flags)
            for name in expected:
                differing[name] += not same(expected[name], found[name])
    print(f"{kills} kills, {runs} runs to their end ({dict(counts)}).")
    for name, count in differing.items():
        print(f"{name}: {count} of {runs} runs differ")
    raise SystemExit(1 if any(differing.values()) else 0)


if __name__ == "__main__":
    main()
