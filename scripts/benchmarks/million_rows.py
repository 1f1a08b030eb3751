"""Time and memory of a million rows of CSV: reading, batches, and steps.

Command: python scripts/benchmarks/million_rows.py [--rows N]

The rows are made: 3 to 15 words of a skewed vocabulary, and whether a certain
word is among them. Batches are timed alone, and steps with their batches.
"""

import argparse
import csv
import pathlib
import resource
import statistics
import tempfile
import time

import numpy as np
import tensorflow as tf

from keras_lstm.presets import get_preset
from keras_lstm.tasks.datasets import make_dataset
from keras_lstm.tasks.token_sequences import TokenSequences
from keras_lstm.training.compile import compiled_model

_STEPS = 300
_ROUNDS = 5


def write_rows(path: pathlib.Path, count: int) -> None:
    """Write random rows."""
    rng = np.random.default_rng(0)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        for _ in range(count):
            words = rng.pareto(0.6, rng.integers(3, 16)).astype(np.int64)
            texts = [f"w{word}" for word in words]
            writer.writerow([" ".join(texts), "w1" in texts])


def mebibytes() -> float:
    """Return the largest memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Measure, and print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "rows.csv")
        write_rows(path, rows)
        before = mebibytes()
        began = time.perf_counter()
        task = TokenSequences(data=str(path))
        splits = task.splits(seed=0)
        print(
            f"{rows:,} rows, {path.stat().st_size / 2**20:.0f} MiB: read in "
            f"{time.perf_counter() - began:.1f} s, {before:.0f} to "
            f"{mebibytes():.0f} MiB"
        )
        values = task.to_mapping() | task.recommended()
        config = get_preset("sequences", TokenSequences).replace(**values)
        model = compiled_model(config, splits)
        size = config.training.batch_size
        batches = make_dataset(splits.train, size, training=True)
        model.fit(batches.take(20), verbose=0)
        alone, together = [], []
        for index in range(_ROUNDS):
            part = make_dataset(
                *(splits.train, size), training=True, start_step=index * _STEPS
            ).take(_STEPS)
            alone.append(seconds(part))
            began = time.perf_counter()
            model.fit(part, verbose=0)
            together.append(time.perf_counter() - began)
        batch = 1000 * statistics.median(alone) / _STEPS
        step = 1000 * statistics.median(together) / _STEPS
        print(
            f"a batch of {size}: {batch:.2f} ms; a step with its batch: "
            f"{step:.2f} ms; {mebibytes():.0f} MiB at most"
        )


def seconds(dataset: tf.data.Dataset) -> float:
    """Return the time that batches take alone."""
    began = time.perf_counter()
    for _ in dataset:
        pass
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
