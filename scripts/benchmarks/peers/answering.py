"""The protocol between `benchmark.py` and the programs that it compares.

Each program is a process, some in their own environments, that waits for its
turn: a line of JSON requests some steps, a line of JSON replies with the
seconds. Models: "increment" (the tutorial's: 20 bits, 2 × 32 units, all outputs
from the last state; for the jobs "feed" and "call", one output after each bit)
and "image-rows" (28 rows of 28 pixels, 128 units).
"""

import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping

import numpy as np

# Does the given number of steps, and returns when they are done.
Run = Callable[[int], object]
# Returns the logits of any number of inputs.
Ask = Callable[[np.ndarray], np.ndarray]
# Makes a `Run` from the model's name and the batch size.
Prepare = Callable[[str, int], Run]


def steps_together(batch_size: int) -> int:
    """Return the number of first steps; later requests are multiples of it."""
    return 16 if batch_size <= 512 else 4


def answer(jobs: Mapping[str, Prepare]) -> None:
    """Reply to requests until standard input ends.

    Args:
        jobs: the jobs that this program supports, by name.
    """
    answers = os.fdopen(os.dup(1), "w")
    # Libraries print to standard output: only replies may go there.
    os.dup2(2, 1)
    prepared: dict[tuple[str, str, int], Run] = {}
    for line in sys.stdin:
        request = json.loads(line)
        key = (request["job"], request["model"], request["batch_size"])
        reply = {}
        if key not in prepared:
            start = time.perf_counter()
            prepared[key] = jobs[key[0]](*key[1:])
            prepared[key](steps_together(request["batch_size"]))
            reply["first_seconds"] = time.perf_counter() - start
        start = time.perf_counter()
        prepared[key](request["steps"])
        reply["seconds"] = time.perf_counter() - start
        print(json.dumps(reply), file=answers, flush=True)


def checking(model: str, batch_size: int, ask: Ask) -> Run:
    """Return a run that compares the predictions for inputs of increment."""
    numbers = np.arange(2**20)
    inputs, targets = _bits(numbers), _bits(numbers + 1)

    def run(steps: int) -> None:
        end = steps * batch_size
        logits = ask(inputs[:end])
        wrong = (logits.argmax(-1) != targets[:end]).any(-1)
        print(model, wrong.sum(), "wrong", file=sys.stderr)

    return run


def symbols(count: int) -> np.ndarray:
    """Return random bits, to be read one after the other."""
    return np.random.default_rng(0).integers(2, size=count)


def taking(dataset: Iterable[object]) -> Run:
    """Return a run that takes batches of an endless dataset, without use."""

    def run(steps: int) -> None:
        for _ in itertools.islice(dataset, steps):
            pass

    return run


def examples(model: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return random inputs and targets for a model."""
    rng = np.random.default_rng(0)
    if model == "increment":
        numbers = rng.integers(2**20 - 1, size=count)
        return _bits(numbers), _bits(numbers + 1)
    labels = rng.integers(10, size=count, dtype=np.int32)
    return rng.random((count, 28, 28), np.float32), labels


def _bits(numbers: np.ndarray) -> np.ndarray:
    """Return the lowest 20 bits, least significant first."""
    return (numbers[:, np.newaxis] // 2 ** np.arange(20) % 2).astype(np.int32)
