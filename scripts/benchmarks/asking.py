"""Rows about asking a trained model, and about checking it, from the shell."""

import functools
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from limits import (
    OURS,
    Bar,
    at_most,
    multiplications_per_second,
)
from rows import Row, seconds_of

from keras_lstm.core.errors import InputError
from keras_lstm.presets import get_preset

LINES = 1_000_000
IMAGES = 10_000
FORMATS = ("saved_model", "onnx", "litert")
# Inputs of one call of an exported model, which LiteRT reads one by one.
BATCH = {"saved_model": 2048, "onnx": 2048, "litert": 1}
NUM_BITS = (20, 24, 30)


def multiplications_of_walk(num_bits: int) -> int:
    """Return the multiplications of a walk over every prefix of so many bits.

    A walk over each state once takes fewer. A node of the tree multiplies h of
    both layers once for its two children, and each child multiplies what the
    first layer gives to the second.
    """
    units = 32
    of_layer = units * 4 * units
    nodes = 2**num_bits
    return nodes * (2 * of_layer) + 2 * nodes * (of_layer + units * 2)


def rows(rounds: int) -> Iterator[Row]:
    """Yield the rows.

    Args:
        rounds: the number of rounds whose median is taken.

    Yields:
        The rows.
    """
    ours = [sys.executable, "-m", "keras_lstm"]

    def median(command: list[str]) -> float:
        found = [seconds_of([*ours, *command]) for _ in range(rounds)]
        return float(np.median(found))

    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        run = str(folder / "run")
        train = ["train", "increment", "--quiet", "--run-dir", run]
        seconds_of([*ours, *train, "--preset", "increment-noise"])
        lines = folder / "lines"
        rng = np.random.default_rng(0)
        numbers = rng.integers(2**20 - 1, size=LINES)
        lines.write_text("\n".join(map(str, numbers)) + "\n")
        what = f"keras-lstm predict RUN @FILE, {LINES:,} random lines"
        seconds = median(["predict", run, f"@{lines}"])
        yield _row(what, seconds, bar=at_most(20, "s"))
        yield from _of_images(folder, median)
        peak = multiplications_per_second()
        for num_bits in NUM_BITS:
            walk = ["verify", run, "--num-bits", str(num_bits), "--walk"]
            what = f"check all numbers of {num_bits} bits"
            found = [_walk_seconds(run, num_bits) for _ in range(rounds)]
            seconds, mib = (
                float(np.median(each)) for each in zip(*found, strict=True)
            )
            yield _row(f"{what}, from the shell", median(walk))
            products = multiplications_of_walk(num_bits)
            bar = Bar(
                "at most 2.5 x limit", 2.5, lambda _, n=products: n / peak
            )
            yield _row(what, seconds, products, bar)
        yield Row(
            f"{what}: memory", "MiB", {OURS: mib}, bar=at_most(2048, "MiB")
        )


def _row(
    what: str,
    seconds: float,
    products: int | None = None,
    bar: Bar | None = None,
) -> Row:
    return Row(what, "s", {OURS: seconds}, products, bar)


def _walk_seconds(run: str, num_bits: int) -> tuple[float, float]:
    """Return the seconds of a walk in a process of its own, once warm.

    And the most MiB that the process took.
    """
    script = (
        "import dataclasses, pathlib, resource, sys\n"
        "from keras_lstm.runs.run import load_run\n"
        "from keras_lstm.verification.verify import verify\n"
        "run = load_run(pathlib.Path(sys.argv[1]))\n"
        "task = dataclasses.replace(run.config.task, num_bits=16)\n"
        "verify(run.model, task)\n"
        "task = dataclasses.replace(task, num_bits=int(sys.argv[2]))\n"
        "found = verify(run.model, task, max_walked_inputs=2**30)\n"
        "assert found.checked == 'all inputs'\n"
        "usage = resource.getrusage(resource.RUSAGE_SELF)\n"
        "print(found.seconds, usage.ru_maxrss / 1024)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, run, str(num_bits)],
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    seconds, mib = map(float, done.stdout.split())
    return seconds, mib


def _of_images(
    folder: pathlib.Path, median: Callable[[list[str]], float]
) -> Iterator[Row]:
    """Yield the rows about images, if there are any on this machine."""
    try:
        get_preset("image-rows-tutorial").task.splits(seed=0)
    except InputError as error:
        print(f"images are left out: {error}", file=sys.stderr)
        return
    run, images = str(folder / "images"), folder / "images.npy"
    few = ["--epochs", "1", "--steps-per-epoch", "1"]
    train = ["train", "image-rows", "--quiet", "--run-dir", run, *few]
    ours = [sys.executable, "-m", "keras_lstm"]
    seconds_of([*ours, *train, "--preset", "image-rows-tutorial"])
    rng = np.random.default_rng(0)
    pixels = rng.integers(256, size=(IMAGES, 28, 28), dtype=np.uint8)
    np.save(images, pixels)
    what = f"keras-lstm predict RUN FILE, {IMAGES:,} images"
    yield _row(what, median(["predict", run, str(images)]))
    inputs = (pixels / 255).astype(np.float32)
    for each, ask in _askers(run, folder).items():
        ask(inputs[:2048])
        found = []
        for _ in range(3):
            start = time.perf_counter()
            ask(inputs)
            found.append(time.perf_counter() - start)
        what = f"{IMAGES:,} images in one process, {each}"
        yield _row(what, float(np.median(found)))


def _askers(run: str, folder: pathlib.Path) -> dict[str, Any]:
    """Return functions from inputs to logits: ours, and exported models."""
    from keras_lstm.inference import export_formats
    from keras_lstm.inference.export import export_model
    from keras_lstm.inference.quick_batches import make_quick_batches
    from keras_lstm.runs.run import load_run

    loaded = load_run(pathlib.Path(run))
    batches = make_quick_batches(loaded.model)
    found: dict[str, Any] = {
        "as `predict` asks them": batches.logits,
        "`model.predict`": functools.partial(
            loaded.model.predict, batch_size=2048, verbose=0
        ),
    }
    for name in FORMATS:
        path = folder / export_formats.FORMATS[name].file_name
        export_model(loaded.model, loaded.config.task, name, path)
        infer = export_formats.FORMATS[name].load(path, "rows")
        size = BATCH[name]

        def ask(inputs: Any, infer: Any = infer, size: int = size) -> None:
            for first in range(0, len(inputs), size):
                infer(inputs[first : first + size])

        found[f"exported to {name}"] = ask
    return found
