"""Run small programs stock and with the pieces of this package; compare.

Command: python scripts/benchmarks/programs.py [--only NAME ...]
    [--modes MODE ...] [--output FILE]

tests/programs/ holds the programs. Each is trained by stock Keras, and by the
same `fit` with one piece at a time: all callbacks, microbatches, two workers,
`ExactResume` after two kills by SIGKILL; then it is exported. Prints a table in
Markdown. Exit code: 1 if it has a ✗.

= equal bit for bit; ≈ equal within rounding; R refused with the reason, which
is listed below the table; ✗ anything else.
"""

import argparse
import importlib
import json
import multiprocessing
import os
import pathlib
import signal
import socket
import sys
import tempfile
import traceback
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
TESTS = pathlib.Path(__file__).parents[2] / "tests"
PROGRAMS = sorted(path.stem for path in (TESTS / "programs").glob("[a-z]*.py"))
MODES = ("callbacks", "resumed", "workers", "microbatches", "exported")
KILLS = (3, 4)
_SECONDS = 900.0


def run(name: str, mode: str, folder: str, kill_after: int | None) -> None:
    """Run a program in this process; write what it learned to a file."""
    import keras
    import numpy as np
    import tensorflow as tf

    from keras_lstm.core.errors import InputError, RunError

    sys.path.insert(0, str(TESTS))
    path = pathlib.Path(folder)
    keras.utils.set_random_seed(0)
    tf.config.experimental.enable_op_determinism()
    found: dict[str, Any] = {}
    weights: list[Any] = []
    try:
        program = importlib.import_module(f"programs.{name}")
        if mode == "exported":
            found["difference"] = _export(program, path)
        else:
            model, history = _fit(program, mode, path, kill_after)
            weights = model.get_weights()
            found["history"] = {
                key: [float(np.mean(value)) for value in values]
                for key, values in history.items()
            }
            found["tolerance"] = getattr(program, "TOLERANCE", 1e-4)
    except (InputError, RunError) as error:
        found["refused"] = str(error)
    # Programs may fail in any way.
    except Exception as error:
        traceback.print_exc()
        found["failed"] = f"{type(error).__name__}: {error}"[:500]
    index = os.environ.get("PROGRAMS_INDEX", "0")
    arrays = {f"weight_{i}": w for i, w in enumerate(weights)}
    np.savez(path / f"{mode}.{index}.npz", found=json.dumps(found), **arrays)


def _fit(
    program: Any, mode: str, path: pathlib.Path, kill_after: int | None
) -> Any:
    import keras

    from keras_lstm import callbacks as ours
    from keras_lstm.distribute import (
        enable_microbatches,
        enable_multi_worker,
        get_strategy,
    )

    said = {"scalar_losses": getattr(program, "SCALAR_LOSSES", None)}
    if mode == "workers":
        with get_strategy("multi_worker").scope():
            model = program.build()
            enable_multi_worker(model, **said)
    else:
        model = program.build()
    if mode == "microbatches":
        enable_microbatches(model, 2, **said)
    arguments = program.arguments()
    callbacks = list(arguments.pop("callbacks", []))
    if mode in ("callbacks", "resumed"):
        resume = ours.ExactResume(path / mode, every_steps=2, verbose=0)
        if hasattr(arguments["x"], "element_spec"):
            arguments["x"] = resume.dataset(arguments["x"])
        callbacks.append(resume)
    if mode == "callbacks":
        callbacks += [
            ours.RaiseOnNonFinite(),
            ours.HistoryWriter(path / "history.csv"),
            ours.ProgressLogger(),
            ours.TensorBoard(path / "logs"),
        ]
    if kill_after is not None:

        class Kill(keras.callbacks.Callback):
            seen = 0

            def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
                self.seen += 1
                if self.seen == kill_after:
                    os.kill(os.getpid(), signal.SIGKILL)

        callbacks.append(Kill())
    history = model.fit(**arguments, callbacks=callbacks, verbose=0).history
    return model, history


def _export(program: Any, path: pathlib.Path) -> float:
    from keras_lstm.inference.export import export_model

    model = program.build()
    examples = getattr(program, "EXAMPLES", lambda: None)()
    if examples is not None and not model.built:
        model(examples[:1].astype("float32"))
    return export_model(
        model, None, "saved_model", path / "model", example_inputs=examples
    ).largest_difference


def start(
    name: str, mode: str, folder: pathlib.Path, kill_after: int | None = None
) -> Any:
    """Start a program in a process that has imported TensorFlow already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["keras", "keras_lstm.callbacks.exact_resume", "tensorflow"]
    )
    process = context.Process(
        target=_run_with,
        args=(_environment(), name, mode, str(folder), kill_after),
    )
    process.start()
    return process


def _environment() -> dict[str, str]:
    names = ("TF_CONFIG", "PROGRAMS_INDEX")
    return {name: os.environ[name] for name in names if name in os.environ}


def _run_with(environment: dict[str, str], *arguments: Any) -> None:
    # The server that forks keeps the environment that it started with.
    os.environ.update(environment)
    run(*arguments)


def run_mode(name: str, mode: str, folder: pathlib.Path) -> None:
    """Run a program in a mode, as often and in as many processes as it asks."""
    processes = []
    if mode == "resumed":
        for kill_after in KILLS:
            process = start(name, mode, folder, kill_after)
            process.join(_SECONDS)
    if mode == "workers":
        with socket.socket() as one, socket.socket() as two:
            one.bind(("127.0.0.1", 0))
            two.bind(("127.0.0.1", 0))
            workers = [f"127.0.0.1:{x.getsockname()[1]}" for x in (one, two)]
        for index in range(2):
            task = {"type": "worker", "index": index}
            os.environ["TF_CONFIG"] = json.dumps(
                {"cluster": {"worker": workers}, "task": task}
            )
            os.environ["PROGRAMS_INDEX"] = str(index)
            processes.append(start(name, mode, folder))
        del os.environ["TF_CONFIG"], os.environ["PROGRAMS_INDEX"]
    else:
        processes.append(start(name, mode, folder))
    for process in processes:
        process.join(_SECONDS)
        if process.is_alive():
            process.kill()


def read(path: pathlib.Path) -> tuple[dict[str, Any], list[Any]]:
    """Read what a program learned."""
    import numpy as np

    if not path.exists():
        return {"failed": "the process ended or waited without a result"}, []
    with np.load(path) as file:
        count = len(file.files) - 1
        weights = [file[f"weight_{i}"] for i in range(count)]
        return json.loads(str(file["found"])), weights


def judge(mode: str, folder: pathlib.Path) -> tuple[str, str]:
    """Return the symbol for a mode, and the reason if it is R or ✗."""
    import numpy as np

    symbols = []
    stock, expected = read(folder / "stock.0.npz")
    for index in range(2 if mode == "workers" else 1):
        found, weights = read(folder / f"{mode}.{index}.npz")
        for key, symbol in (("refused", "R"), ("failed", "✗")):
            if key in found:
                return symbol, found[key]
        if mode == "exported":
            return "≈" if found["difference"] else "=", ""
        if "failed" in stock:
            return "✗", f"stock: {stock['failed']}"
        limit = stock["tolerance"]
        if any(
            not np.allclose(one, other, rtol=limit, atol=limit)
            for one, other in zip(expected, weights, strict=True)
        ):
            most = max(
                float(np.abs(one - other).max())
                for one, other in zip(expected, weights, strict=True)
            )
            return "✗", f"weights differ by up to {most:.1e}"
        for key, values in stock["history"].items():
            other = found["history"].get(key)
            if other is None or not np.allclose(
                values, other, rtol=10 * limit, atol=limit
            ):
                return "✗", f"{key} is {other}, not {values}"
        same = stock["history"] == found["history"] and all(
            np.array_equal(one, other)
            for one, other in zip(expected, weights, strict=True)
        )
        symbols.append("=" if same else "≈")
    return max(symbols), ""


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=PROGRAMS, default=PROGRAMS)
    parser.add_argument("--modes", nargs="+", choices=MODES, default=MODES)
    parser.add_argument("--output", type=pathlib.Path)
    options = parser.parse_args()
    import keras
    import tensorflow as tf

    lines = [
        f"Keras {keras.version()}, TensorFlow {tf.version.VERSION}",
        "",
        f"| program | {' | '.join(options.modes)} |",
        f"| --- |{' --- |' * len(options.modes)}",
    ]
    reasons: dict[str, list[str]] = {}
    for name in options.only:
        symbols = []
        with tempfile.TemporaryDirectory() as folder_name:
            folder = pathlib.Path(folder_name)
            run_mode(name, "stock", folder)
            for mode in options.modes:
                run_mode(name, mode, folder)
                symbol, reason = judge(mode, folder)
                symbols.append(symbol)
                if reason:
                    key = f"{symbol} {' '.join(reason.split())}"
                    reasons.setdefault(key, []).append(f"{name}, {mode}")
                print(name, mode, symbol, reason, file=sys.stderr, flush=True)
        lines.append(f"| `{name}` | {' | '.join(symbols)} |")
    lines.append("")
    lines += [f"- {'; '.join(x)}: {key}" for key, x in reasons.items()]
    text = "\n".join(lines)
    print(text)
    if options.output is not None:
        options.output.write_text(f"{text}\n")
    return int("✗" in text)


if __name__ == "__main__":
    sys.exit(main())
