"""This project beside stock Keras, PyTorch and JAX: `benchmark.py` alone.

Each runs in its own process (`peers/`); they take turns, in the opposite order
every other round, and the table holds medians. Tracing and compiling happen
before the clock starts, and have their own row.
"""

import functools
import json
import os
import pathlib
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator, Sequence

import asking
from limits import (
    OURS,
    ahead_of,
    at_most,
    multiplications,
    times,
)
from peers.answering import steps_together
from rows import ENVIRONMENT, ROOT, Row, in_turns, print_status
from shell import from_the_shell

from keras_lstm.core.errors import InputError
from keras_lstm.presets import get_preset

BENCHMARKS = pathlib.Path(__file__).parent
# The packages that a peer needs, in an environment of its own.
PACKAGES = {
    "torch": ["torch", "numpy"],
    "jax": ["jax", "optax", "numpy"],
    "onnx": ["onnxruntime", "onnx", "numpy"],
}
# PyTorch also compiled, in the same environment, where it makes a difference.
COMPILED = "torch_compiled"
# Peers that do not train.
ONLY_ANSWERING = ("onnx",)
# Bits that are read one by one, and in one call.
STREAMED = {"feed": 2_000, "call": 20_000}
BATCHES = (128, 512, 2048, 8192)
NUM_BITS = (16, 64, 256, 1024)
# Where PyTorch was ahead in training.
_BEHIND = ("image-rows", 128)
# Examples per measurement: about a second of training.
EXAMPLES = {"increment": 2**16, "image-rows": 2**13}
PARTS = (
    *("shell", "train", "infer", "check", "stream", "input", "memory"),
    *("ask", "lengths"),
)


class Peer:
    """A program of `peers/`, waiting for its turn."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.first_seconds = 0.0
        python, options = sys.executable, []
        if name == COMPILED:
            name, options = "torch", ["--compiled"]
        if name in PACKAGES:
            python = str(environment_of(name))
        program = str(BENCHMARKS / "peers" / f"use_{name}.py")
        self._process = subprocess.Popen(
            [python, program, *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=ENVIRONMENT,
        )

    def step_ms(
        self, job: str, model: str, batch_size: int, steps: int
    ) -> float:
        """Return the milliseconds of a step; see `peers/answering.py`."""
        request = {
            "job": job,
            "model": model,
            "batch_size": batch_size,
            "steps": steps,
        }
        print(json.dumps(request), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} has ended, after {request}")
        reply = json.loads(line)
        self.first_seconds = reply.get("first_seconds", self.first_seconds)
        return 1000 * reply["seconds"] / steps

    def peak_mib(self) -> float:
        """Return the peak memory of the process, in MiB."""
        status = pathlib.Path(f"/proc/{self._process.pid}/status").read_text()
        (line,) = (x for x in status.splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) / 1024

    def end(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


def environment_of(name: str) -> pathlib.Path:
    """Return the Python of a peer's environment; create it on first use."""
    folder = ROOT / ".peers" / name
    python = folder / "bin" / "python"
    done = folder / ".installed"
    if not done.exists():
        print_status(f"creating an environment for {name}")
        venv.create(folder, clear=True, with_pip=True)
        subprocess.run(
            [str(python), "-m", "pip", "install", "--quiet", *PACKAGES[name]],
            check=True,
            stdout=sys.stderr,
        )
        done.touch()
    return python


def throughput(
    peers: Sequence[Peer],
    job: str,
    models: Sequence[str],
    batches: Sequence[int],
    rounds: int,
) -> Iterator[Row]:
    """Yield the times of steps, and of the first few, by model and batch."""
    for model in models:
        total = EXAMPLES[model]
        for batch_size in batches:
            label = f"{job} {model}, batch {batch_size:,}"
            print_status(label)
            steps = max(steps_together(batch_size), total // batch_size)
            request = (job, model, batch_size, steps)
            measures = {
                peer.name: functools.partial(peer.step_ms, *request)
                for peer in peers
            }
            found = in_turns(measures, rounds)
            products = multiplications(model, batch_size, job == "train")
            is_bar = job == "infer" or (model, batch_size) == _BEHIND
            bar = ahead_of("torch", COMPILED) if is_bar else None
            yield Row(label, "ms a step", found, products, bar)
            if job == "train":
                first = {peer.name: peer.first_seconds for peer in peers}
                start = f"building, first {steps_together(batch_size)} steps"
                bar = times(1, "stock_keras")
                yield Row(f"{label}: {start}", "s", first, bar=bar)


def checks(peers: Sequence[Peer], rounds: int) -> Iterator[Row]:
    """Yield the time of a check of all inputs of increment."""
    print_status("checking all inputs")
    batch_size = 4096
    steps = 2**20 // batch_size
    measures = {
        peer.name: functools.partial(
            peer.step_ms, "check", "increment", batch_size, steps
        )
        for peer in peers
    }
    found = in_turns(measures, rounds)
    seconds = {name: ms * steps / 1000 for name, ms in found.items()}
    yield Row("check all 1,048,575 inputs of increment", "s", seconds)


def streams(peers: Sequence[Peer], rounds: int) -> Iterator[Row]:
    """Yield the times of one bit, read by itself or with many others."""
    labels = {
        "feed": "one bit after the other",
        "call": f"one of {STREAMED['call']:,} bits in one call",
    }
    for job, label in labels.items():
        print_status(label)
        request = (job, "increment", 1, STREAMED[job])
        measures = {
            peer.name: functools.partial(peer.step_ms, *request)
            for peer in peers
        }
        found = in_turns(measures, rounds)
        microseconds = {name: 1000 * ms for name, ms in found.items()}
        label = f"{label}, 2 x 32 units"
        bar = at_most(10, "us")
        if job == "feed":
            bar = ahead_of("torch", "onnx")
            yield Row(label, "us", microseconds, bar=at_most(20, "us"))
        yield Row(label, "us", microseconds, bar=bar)


def pipelines(
    peers: Sequence[Peer], models: Sequence[str], rounds: int
) -> Iterator[Row]:
    """Yield the times of the input pipelines alone."""
    for model in models:
        total = EXAMPLES[model]
        print_status(f"input {model}")
        measures = {
            peer.name: functools.partial(
                peer.step_ms, "input", model, 512, total // 512
            )
            for peer in peers
            if peer.name in (OURS, "stock_keras")
        }
        label = f"input alone {model}, batch 512"
        yield Row(label, "ms a batch", in_turns(measures, rounds))


def memory(names: Sequence[str], models: Sequence[str]) -> Iterator[Row]:
    """Yield the peak memory of fresh processes that train a few steps."""
    for model in models:
        print_status(f"memory {model}")
        found = {}
        for name in names:
            peer = Peer(name)
            peer.step_ms("train", model, 2048, 4)
            found[name] = peer.peak_mib()
            peer.end()
        label = f"memory, train {model}, batch 2,048"
        yield Row(label, "MiB", found, bar=times(1.1, "stock_keras"))


def lengths(rounds: int) -> Iterator[Row]:
    """Yield the costs of longer sequences, in a fresh process each."""
    for num_bits in NUM_BITS:
        print_status(f"{num_bits} bits")
        peer = Peer(OURS)
        model = f"increment-{num_bits}"
        steps = max(steps_together(64), 2**13 // num_bits)
        for job in ("train", "infer"):
            measure = functools.partial(peer.step_ms, job, model, 64, steps)
            found = in_turns({OURS: measure}, rounds)
            yield Row(f"{job}, {num_bits:,} bits, batch 64", "ms a step", found)
        found = {OURS: peer.peak_mib()}
        yield Row(f"memory, {num_bits:,} bits", "MiB", found)
        peer.end()


def what_is_there(
    peers: Sequence[str], only: Sequence[str]
) -> tuple[list[str], list[str]]:
    """Return the peers and models that can be measured; say what cannot.

    Args:
        peers: any of `PACKAGES`.
        only: the parts of the table.

    Returns:
        The peers whose environments there are, or can be made; and the models
        whose data are on this machine, or can be downloaded.
    """
    found = []
    for name in peers:
        try:
            environment_of(name)
        except (subprocess.CalledProcessError, OSError) as error:
            packages = ", ".join(PACKAGES[name])
            print_status(f"{name} is left out: no {packages} ({error})")
        else:
            found.append(name)
    models = [*EXAMPLES]
    if {*only} & {"train", "infer", "input", "memory"}:
        try:
            get_preset("image-rows-tutorial").task.splits(seed=0)
        except InputError as error:
            print_status(f"image-rows is left out: {error}")
            models.remove("image-rows")
    return found, models


def _can_compile() -> bool:
    """Return whether `torch.compile` finds a compiler; say if not."""
    compiler = os.environ.get("CXX", "g++")
    found = shutil.which(compiler) is not None
    if not found:
        print_status(f"{COMPILED} is left out: no {compiler}")
    return found


def compare(
    peers: Sequence[str], rounds: int, only: Sequence[str]
) -> list[Row]:
    """Measure everything, or parts of it.

    Args:
        peers: any of `PACKAGES`; those that cannot be run are left out.
        rounds: the number of rounds whose median is taken.
        only: parts of the table, of `PARTS`.

    Returns:
        The rows of the table.
    """
    peers, models = what_is_there(peers, only)
    training = [OURS, "stock_keras"]
    for name in peers:
        if name not in ONLY_ANSWERING:
            training.append(name)
        if name == "torch" and _can_compile():
            training.append(COMPILED)
    names = [*training, *(x for x in peers if x in ONLY_ANSWERING)]
    rows: list[Row] = []
    if "shell" in only:
        rows += from_the_shell(rounds)
    running = {name: Peer(name) for name in names}
    try:
        trained = [running[name] for name in training]
        if "train" in only:
            rows += throughput(trained, "train", models, BATCHES, rounds)
        if "infer" in only:
            rows += throughput(trained, "infer", models, (2048,), rounds)
        others = [x for x in running.values() if x.name != COMPILED]
        if "check" in only:
            rows += checks([x for x in others if x in trained], rounds)
        if "stream" in only:
            rows += streams(others, rounds)
        if "input" in only:
            rows += pipelines(trained, models, rounds)
    finally:
        for peer in running.values():
            peer.end()
    if "memory" in only:
        rows += memory(training, models)
    if "ask" in only:
        rows += asking.rows(rounds)
    if "lengths" in only:
        rows += lengths(rounds)
    return rows
