"""How `benchmark.py` talks to the programs that it compares.

Each is a process of its own, some in environments of their own, that waits for
its turn: a line of JSON asks for some steps, a line of JSON says what they
took. Models: "increment" (the tutorial's: 20 bits, 2 × 32 units, all answers
from the last state) and "image-rows" (28 rows of 28 pixels, 128 units).
"""

import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping

import numpy as np

# Does so many steps, and returns when they are done.
Run = Callable[[int], object]
# From inputs to logits, however many.
Ask = Callable[[np.ndarray], np.ndarray]
# Builds what runs: from the model's name and the batch size.
Prepare = Callable[[str, int], Run]


def steps_together(batch_size: int) -> int:
    """As many steps are asked for first, and then only multiples of it."""
    return 16 if batch_size <= 512 else 4


def answer(jobs: Mapping[str, Prepare]) -> None:
    """Answers until standard input ends.

    Args:
        jobs: by name, what this program can be asked to do.
    """
    answers = os.fdopen(os.dup(1), "w")
    # What libraries print is no answer.
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
    """Asks all inputs of increment, so many batches of them, and compares."""
    numbers = np.arange(2**20)
    inputs, targets = _bits(numbers), _bits(numbers + 1)

    def run(steps: int) -> None:
        end = steps * batch_size
        logits = ask(inputs[:end])
        wrong = (logits.argmax(-1) != targets[:end]).any(-1)
        print(model, wrong.sum(), "wrong", file=sys.stderr)

    return run


def taking(dataset: Iterable[object]) -> Run:
    """Takes so many batches of an endless dataset, and does nothing more."""

    def run(steps: int) -> None:
        for _ in itertools.islice(dataset, steps):
            pass

    return run


def examples(model: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Random ones, of the kinds that the models read."""
    rng = np.random.default_rng(0)
    if model == "increment":
        numbers = rng.integers(2**20 - 1, size=count)
        return _bits(numbers), _bits(numbers + 1)
    labels = rng.integers(10, size=count, dtype=np.int32)
    return rng.random((count, 28, 28), np.float32), labels


def _bits(numbers: np.ndarray) -> np.ndarray:
    """The lowest 20, least significant first."""
    return (numbers[:, np.newaxis] // 2 ** np.arange(20) % 2).astype(np.int32)
