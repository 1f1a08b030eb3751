"""Measure how the memory of a long training grows, and say what grew.

Command: python scripts/benchmarks/memory.py [--minutes 30]

A small model is trained with everything on that takes part in each step or
epoch: noise, dropout, clipping, a schedule, averaged weights, validation,
counterexamples, diagnostics, TensorBoard, and a checkpoint every few steps. It
is too small to become right, so it trains until the time is over.

Prints the resident memory after the first fifth of the time and at the end (the
medians of a tenth of the time), and the Python objects that became more. Exit
code: 1 if the memory has grown by more than 2%.
"""

import argparse
import collections
import gc
import pathlib
import resource
import statistics
import sys
import tempfile
import time

import keras

from keras_lstm import get_preset, train

MOST_GROWTH = 0.02
KINDS_SHOWN = 8


class Sample(keras.callbacks.Callback):
    """Record the resident memory after each epoch; stop when time is over."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds
        self.samples: list[tuple[float, int]] = []
        self.objects: collections.Counter[str] = collections.Counter()
        self.more: collections.Counter[str] = collections.Counter()
        self.epochs_before = 0

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Start the clock."""
        self.began = time.monotonic()

    def on_epoch_end(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Record the memory."""
        elapsed = time.monotonic() - self.began
        self.samples.append((elapsed / self.seconds, resident_bytes()))
        if elapsed > self.seconds / 5 and not self.objects:
            self.objects, self.epochs_before = count_objects(), epoch
        if elapsed > self.seconds:
            self.model.stop_training = True
            # The final check makes objects of its own.
            self.more = count_objects() - self.objects

    def median(self, start: float, end: float) -> float:
        """Return the median memory between two fractions of the time."""
        return statistics.median(
            size for at, size in self.samples if start <= at <= end
        )


def resident_bytes() -> int:
    """Return the resident memory of this process."""
    pages = pathlib.Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * resource.getpagesize()


def count_objects() -> collections.Counter[str]:
    """Return the number of Python objects by type."""
    gc.collect()
    return collections.Counter(
        f"{type(each).__module__}.{type(each).__qualname__}"
        for each in gc.get_objects()
    )


def main() -> int:
    """Train, and print what was measured; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    arguments = parser.parse_args()
    config = get_preset("increment-last-state").replace(
        num_bits=10,
        units=2,
        epochs=10**6,
        steps_per_epoch=10,
        batch_size=32,
        input_noise=0.3,
        layer_noise=0.2,
        dropout=0.1,
        global_clipnorm=1.0,
        ema_fraction=0.001,
        schedule="cosine",
        monitor=None,
        counterexamples_from_epoch=1,
        checkpoint_every_steps=7,
    )
    sample = Sample(arguments.minutes * 60)
    with tempfile.TemporaryDirectory() as folder:
        result = train(config, pathlib.Path(folder, "run"), callbacks=[sample])
    before, after = sample.median(0.2, 0.3), sample.median(0.9, 1.0)
    growth = after / before - 1
    print(
        f"{result.report.epochs:,} epochs, {arguments.minutes:g} minutes: "
        f"{before / 2**20:,.1f} MiB, then {after / 2**20:,.1f} MiB, "
        f"{growth:+.2%}"
    )
    epochs = result.report.epochs - sample.epochs_before
    for kind, count in sample.more.most_common(KINDS_SHOWN):
        print(f"{count:+,} {kind}, {count / epochs:.2f} per epoch")
    return int(growth > MOST_GROWTH)


if __name__ == "__main__":
    sys.exit(main())
