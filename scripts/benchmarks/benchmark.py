"""Time contenders side by side: interleaved, medians of several rounds.

Command: python scripts/benchmarks/benchmark.py [CASE] [--rounds N] [--json]

Without a case: this project beside stock Keras, and with `--peers
torch,jax,onnx` beside PyTorch, JAX and ONNX Runtime, in environments that are
created on first use (`comparison.py`); with `--only stream,check`, parts of it.

A case is a function that prepares the contenders and returns them by name.
Whatever happens once (building, tracing) happens before the clock starts, in a
first call of each. A contender may return the seconds that it has measured
itself; one that starts a process has no first call.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import comparison
import limits
import rows

Contender = Callable[[], object]
BENCHMARKS = pathlib.Path(__file__).parent
SCRIPTS = BENCHMARKS.parent
CASES: dict[str, Callable[[], dict[str, Contender]]] = {}
# Cases whose contenders start processes: there is nothing to warm up.
PROCESSES = ("predict", "search", "strategies")


class Seconds(float):
    """Time that a contender has measured itself, in seconds."""


def case(
    function: Callable[[], dict[str, Contender]],
) -> Callable[[], dict[str, Contender]]:
    """Register a case under its function's name."""
    CASES[function.__name__.replace("_", "-")] = function
    return function


@case
def fit_increment_tutorial() -> dict[str, Contender]:
    """Time `fit` of the tutorial's increment, 128 steps of 512."""
    import keras

    from keras_lstm.config import ModelConfig
    from keras_lstm.models.build import build_model
    from keras_lstm.models.metrics import SequenceAccuracy
    from keras_lstm.presets import get_preset
    from keras_lstm.tasks.datasets import make_dataset

    steps, batch_size = 128, 512
    config = get_preset("increment-tutorial")
    task = config.task
    train = task.splits(seed=0).train
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    ours = build_model(task, config.model)
    ours.compile(
        keras.optimizers.Adagrad(0.1),
        loss,
        metrics=[SequenceAccuracy()],
        jit_compile=False,
    )
    dataset = make_dataset(train, batch_size, training=True)

    # Common usage: arrays, a Sequential model, default settings.
    arrays = next(iter(make_dataset(train, steps * batch_size, training=True)))
    inputs, targets = (array.numpy() for array in arrays)
    size = ModelConfig()
    stock = keras.Sequential(
        [
            keras.Input((20,)),
            keras.layers.Embedding(2, size.embedding_dim),
            keras.layers.LSTM(size.units, return_sequences=True),
            keras.layers.LSTM(size.units),
            keras.layers.Dense(40),
            keras.layers.Reshape((20, 2)),
        ]
    )
    stock.compile(keras.optimizers.Adagrad(0.1), loss, metrics=["accuracy"])
    return {
        "keras_lstm": lambda: ours.fit(
            dataset, steps_per_epoch=steps, shuffle=False, verbose=0
        ),
        "stock Keras": lambda: stock.fit(
            inputs, targets, batch_size=batch_size, verbose=0
        ),
    }


@case
def verify() -> dict[str, Contender]:
    """Time the check of all 1,048,575 inputs of a trained increment."""
    import keras
    import numpy as np

    from keras_lstm.models.build import build_model
    from keras_lstm.presets import get_preset
    from keras_lstm.tasks.datasets import make_dataset
    from keras_lstm.tasks.increment import Increment
    from keras_lstm.verification.verify import verify

    config = get_preset("increment-noise")
    task = Increment()
    model = build_model(task, config.model)
    model.compile(
        keras.optimizers.Adam(0.03, global_clipnorm=1.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    train = make_dataset(task.splits(seed=0).train, 128, training=True)
    model.fit(train, steps_per_epoch=120, shuffle=False, verbose=0)
    inputs = task.symbols_of(np.arange(2**20 - 1))
    targets = task.targets(inputs)

    def brute_force() -> int:
        logits = model.predict(inputs, batch_size=4096, verbose=0)
        return int((logits.argmax(-1) != targets).any(-1).sum())

    return {
        "keras_lstm": lambda: verify(model, task).num_wrong,
        "model.predict": brute_force,
    }


@case
def fit_augmented() -> dict[str, Contender]:
    """Time `fit` of image-rows, 60 steps, with and without augmentation."""
    import dataclasses

    import keras

    from keras_lstm.models.build import build_model
    from keras_lstm.presets import get_preset
    from keras_lstm.tasks.datasets import make_dataset

    config = get_preset("image-rows")
    model = build_model(config.task, config.model)
    model.compile(
        keras.optimizers.AdamW(0.001, global_clipnorm=1.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,
    )
    augmented = config.task.splits(seed=0).train
    plain = dataclasses.replace(augmented, augment=None)

    def fit(split: object) -> Contender:
        dataset = make_dataset(split, config.training.batch_size, training=True)
        return lambda: model.fit(
            dataset, steps_per_epoch=60, shuffle=False, verbose=0
        )

    return {"augmented": fit(augmented), "not augmented": fit(plain)}


@case
def fit_checkpointed() -> dict[str, Contender]:
    """Time `fit` of image-rows, 60 steps, with and without checkpoints."""
    # Two checkpoints are written, at the beginning and some seconds later at
    # the end: more often than every 30 s, the default.
    import tempfile

    import keras

    from keras_lstm.callbacks.exact_resume import ExactResume
    from keras_lstm.models.build import build_model
    from keras_lstm.presets import get_preset
    from keras_lstm.tasks.datasets import make_dataset

    config = get_preset("image-rows")
    model = build_model(config.task, config.model)
    model.compile(
        keras.optimizers.AdamW(0.001, global_clipnorm=1.0, use_ema=True),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,
    )
    split = config.task.splits(seed=0).train
    dataset = make_dataset(split, config.training.batch_size, training=True)

    def fit(callbacks: list[keras.callbacks.Callback]) -> None:
        model.fit(
            dataset,
            steps_per_epoch=60,
            shuffle=False,
            verbose=0,
            callbacks=callbacks,
        )

    def checkpointed() -> None:
        with tempfile.TemporaryDirectory() as folder:
            fit([ExactResume(folder)])

    return {"checkpointed": checkpointed, "not": lambda: fit([])}


@case
def tensorboard() -> dict[str, Contender]:
    """Time 15 epochs with TensorBoard's pictures, and with scalars alone."""
    import tempfile

    import keras

    from keras_lstm.callbacks.tensorboard import TensorBoard
    from keras_lstm.models.build import build_model
    from keras_lstm.models.metrics import SequenceAccuracy
    from keras_lstm.monitoring.diagnostics import SequenceDiagnostics
    from keras_lstm.presets import get_preset
    from keras_lstm.tasks.datasets import make_dataset

    config = get_preset("increment-last-state")
    train = config.task.splits(seed=0).train
    dataset = make_dataset(train, config.training.batch_size, training=True)

    def fit(with_pictures: bool) -> Contender:
        # Each needs its own model: a trace records gradients or does not.
        model = build_model(config.task, config.model)
        model.compile(
            keras.optimizers.Adam(0.01),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=[SequenceAccuracy()],
            jit_compile=False,
        )

        def run() -> None:
            with tempfile.TemporaryDirectory() as folder:
                board = keras.callbacks.TensorBoard(folder, write_graph=False)
                data = dataset
                if with_pictures:
                    board = TensorBoard(
                        folder, SequenceDiagnostics(config.task)
                    )
                    data = board.watch(dataset)
                model.fit(
                    data,
                    epochs=15,
                    steps_per_epoch=config.training.steps_per_epoch,
                    shuffle=False,
                    verbose=0,
                    callbacks=[board],
                )

        return run

    return {"with pictures": fit(True), "scalars alone": fit(False)}


@case
def strategies() -> dict[str, Contender]:
    """Time 60 steps of 512: one process, two replicas, two workers."""
    # On two cores nothing can be gained: this shows the overhead.

    def fit(name: str) -> Contender:
        script = str(BENCHMARKS / "measure_strategy.py")
        command = [sys.executable, script, name]
        if name == "multi_worker":
            cluster = str(SCRIPTS / "local_cluster.py")
            command = [sys.executable, cluster, "--workers", "2", *command]

        def run() -> Seconds:
            done = subprocess.run(
                command,
                check=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            line = next(x for x in done.stdout.splitlines() if "seconds" in x)
            return Seconds(line.split()[-1])

        return run

    return {
        "two workers": fit("multi_worker"),
        "two replicas": fit("mirrored"),
        "one process": fit("default"),
    }


@case
def search() -> dict[str, Contender]:
    """Time two equal trials of a minute, by one worker and by two."""
    # From the start of the first trial to the end of the last one; KerasTuner's
    # waits before and after are printed to standard error.
    import tempfile

    def tune(workers: int) -> Contender:
        command = [sys.executable, "-m", "keras_lstm", "tune", "increment"]
        command += ["--preset", "increment-tutorial", "--epochs", "5"]
        command += ["--algorithm", "random", "--search", "learning_rate"]
        command += ["--max-trials", "2", "--workers", str(workers)]

        def run() -> Seconds:
            with tempfile.TemporaryDirectory() as name:
                folder = pathlib.Path(name, "search")
                start = time.time()
                subprocess.run(
                    [*command, "--run-dir", str(folder)],
                    check=True,
                    capture_output=True,
                )
                end = time.time()
                first = min(
                    path.stat().st_mtime
                    for path in folder.glob("trials/*/.lock")
                )
                reports = list(folder.glob("trials/*/report.json"))
                last = max(path.stat().st_mtime for path in reports)
                trials = [
                    json.loads(path.read_text())["seconds"]["total"]
                    for path in reports
                ]
            print(
                f"{workers} workers: {first - start:.1f} s before the first "
                f"trial, {end - last:.1f} s after the last; trials of "
                f"{', '.join(f'{each:.0f}' for each in sorted(trials))} s",
                file=sys.stderr,
            )
            return Seconds(last - first)

        return run

    return {"two workers": tune(2), "one worker": tune(1)}


@case
def predict() -> dict[str, Contender]:
    """Time `keras-lstm predict RUN @FILE` on a million lines and a tenth."""
    # The peak memory is printed to standard error.
    import tempfile

    folder = tempfile.TemporaryDirectory()
    run_dir = str(pathlib.Path(folder.name, "run"))
    ours = [sys.executable, "-m", "keras_lstm"]
    subprocess.run(
        [*ours, "train", "increment", "--quiet", "--run-dir", run_dir],
        check=True,
        capture_output=True,
    )

    def answer(count: int) -> Contender:
        lines = pathlib.Path(folder.name, str(count))
        lines.write_text("".join(f"{number}\n" for number in range(count)))

        def run() -> Seconds:
            start = time.perf_counter()
            process = subprocess.Popen(
                [*ours, "predict", run_dir, f"@{lines}"],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - start
            if status:
                raise RuntimeError(f"predict failed with status {status}")
            print(
                f"{count:,} lines: {usage.ru_maxrss / 1024:,.0f} MiB",
                file=sys.stderr,
            )
            # This reference keeps the temporary folder from being removed.
            return Seconds(seconds if folder else 0)

        return run

    return {
        "1,000,000 lines": answer(1_000_000),
        "100,000 lines": answer(100_000),
    }


def measure(
    contenders: dict[str, Contender], rounds: int, warm_up: bool = True
) -> dict[str, list[float]]:
    """Return each contender's seconds in each round, after a warm-up round."""
    # Rounds alternate in order, so that neither position is favored.
    for run in contenders.values() if warm_up else ():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
        order = list(contenders.items())[:: -1 if number % 2 else 1]
        for name, run in order:
            start = time.perf_counter()
            measured = run()
            elapsed = time.perf_counter() - start
            own = isinstance(measured, Seconds)
            seconds[name].append(float(measured) if own else elapsed)
    return seconds


def main() -> None:
    """Measure a case and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("case", nargs="?", choices=sorted(CASES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", default="", help="any of torch,jax,onnx")
    parser.add_argument("--only", default="", help="parts of the comparison")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.rounds < 1:
        parser.error(
            f"--rounds must be at least 1. Received: {arguments.rounds}"
        )
    chosen: dict[str, list[str]] = {}
    for name, known in (
        ("peers", comparison.PACKAGES),
        ("only", comparison.PARTS),
    ):
        given = getattr(arguments, name)
        chosen[name] = [each for each in given.split(",") if each]
        if not set(chosen[name]) <= set(known):
            parser.error(
                f"--{name} must be among {', '.join(known)}. Received: {given}"
            )
    peers = chosen["peers"]
    if arguments.case is None:
        found = comparison.compare(
            peers, arguments.rounds, chosen["only"] or comparison.PARTS
        )
        if arguments.json:
            print(json.dumps([row.to_mapping() for row in found]))
        else:
            peak = limits.multiplications_per_second()
            print(rows.table(found, peak))
            print(f"\n{2e-9 * peak:.0f} GFLOP/s at most, measured here.")
            if not peers:
                print(
                    "\nPyTorch and JAX were not measured (--peers torch,jax)."
                )
        return
    seconds = measure(
        CASES[arguments.case](),
        arguments.rounds,
        warm_up=arguments.case not in PROCESSES,
    )
    if arguments.json:
        print(json.dumps({"case": arguments.case, "seconds": seconds}))
        return
    medians = {name: statistics.median(each) for name, each in seconds.items()}
    baseline = list(medians.values())[-1]
    print("| | median seconds | from | to | times as fast as the last |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, median in medians.items():
        low, high = min(seconds[name]), max(seconds[name])
        print(
            f"| {name} | {median:.2f} | {low:.2f} | {high:.2f} | "
            f"{baseline / median:.2f} |"
        )


if __name__ == "__main__":
    main()
