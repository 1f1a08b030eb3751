"""What the benchmark's rows are held to: the limit of the cores, and bars.

The limit is the time of a row's multiplications alone, at the highest rate that
the run itself measures, on all cores.
"""

import dataclasses
import threading
import time
from collections.abc import Callable, Mapping

import numpy as np

from keras_lstm.core.cores import num_cores

OURS = "keras_lstm"
# Sizes of the matrices whose product is timed, and how often.
_PEAK = (128, 64, 64)
_CHUNKS = 64
_PEAK_REPEATS = 200


@dataclasses.dataclass(frozen=True)
class Bar:
    """What a figure must reach.

    Args:
        text: the rule.
        most: the largest ratio of our figure to another that keeps it.
        other: returns that other figure, given the row's figures by peer; None
            where it was not measured.
    """

    text: str
    most: float
    other: Callable[[Mapping[str, float]], float | None]

    def verdict(self, figures: Mapping[str, float]) -> str:
        """Return the rule, and whether it is kept."""
        other = self.other(figures)
        if other is None:
            return f"{self.text}: not measured"
        kept = figures[OURS] <= self.most * other
        return f"{self.text}: {'met' if kept else 'missed'}"


def at_most(limit: float, unit: str) -> Bar:
    """Return the bar of a figure of at most so many units."""
    return Bar(f"at most {limit:g} {unit}", 1, lambda figures: limit)


def at_most_times(most: float, what: str, other: float) -> Bar:
    """Return the bar of a figure of at most so many times another."""
    return Bar(f"at most {most:g} x {what}", most, lambda figures: other)


def times(most: float, peer: str) -> Bar:
    """Return the bar of a figure of at most so many times a peer's."""
    return Bar(
        f"at most {most:g} x {peer}", most, lambda figures: figures.get(peer)
    )


def ahead_of(*peers: str) -> Bar:
    """Return the bar of a figure below those of all peers."""

    def best(figures: Mapping[str, float]) -> float | None:
        found = [figures[peer] for peer in peers if peer in figures]
        return min(found) if len(found) == len(peers) else None

    return Bar(f"ahead of {' and '.join(peers)}", 1, best)


def multiplications_per_second() -> float:
    """Measure the rate of multiplications on all cores.

    Every core multiplies small matrices of its own, which stay in its cache.

    Returns:
        The multiplications in a second, each with its addition.
    """
    rng = np.random.default_rng(0)
    rows, terms, columns = _PEAK

    def multiply(seconds: list[float]) -> None:
        a = rng.random((rows, terms), np.float32)
        b = rng.random((_CHUNKS, terms, columns), np.float32)
        c = np.empty((_CHUNKS, rows, columns), np.float32)
        np.matmul(a, b, c)
        ready.wait()
        start = time.perf_counter()
        for _ in range(_PEAK_REPEATS):
            np.matmul(a, b, c)
        seconds.append(time.perf_counter() - start)

    best = np.inf
    for _ in range(5):
        ready = threading.Barrier(num_cores())
        seconds: list[float] = []
        threads = [
            threading.Thread(target=multiply, args=(seconds,))
            for _ in range(num_cores())
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        best = min(best, max(seconds))
    of_core = rows * terms * columns * _CHUNKS * _PEAK_REPEATS
    return of_core * num_cores() / best


def multiplications(model: str, batch_size: int, training: bool) -> int:
    """Return the multiplications of a step of a model of `peers/answering.py`.

    Args:
        model: "increment" or "image-rows".
        batch_size: examples in a batch.
        training: whether gradients are computed, too: of the weights, and of
            the inputs of each LSTM but those that are images.
    """
    steps, layers, outputs = {
        "increment": (20, ((10, 32), (32, 32)), 40),
        "image-rows": (28, ((28, 128),), 10),
    }[model]
    forward = sum(4 * units * (size + units) for size, units in layers)
    head = layers[-1][1] * outputs
    if not training:
        return batch_size * (steps * forward + head)
    images = 4 * 28 * 128 if model == "image-rows" else 0
    return batch_size * (steps * (3 * forward - images) + 3 * head)
