"""A test that a training resumes exactly after it was killed."""

import json
import multiprocessing
import os
import pathlib
import signal
import tempfile
import threading
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import safetensors.numpy

from keras_lstm.callbacks.exact_resume import ExactResume
from keras_lstm.core.errors import InputError

# A kill comes up to this time after a step, in seconds, so that it may also
# hit the next step, a checkpoint that is being written, or an epoch's end.
_MAX_DELAY = 0.05
_STEPS, _ARRAYS, _TEXT = "steps", "arrays.safetensors", "history.json"


def assert_resumes_exactly(
    make_training: Callable[[pathlib.Path], keras.Model],
    kills: int = 3,
    *,
    seed: int = 0,
    timeout: float = 600.0,
) -> None:
    """Assert that a training ends the same whether or not it is killed.

    Runs the training to its end; then runs it in another folder, kills it with
    SIGKILL at random steps, as often as asked, and starts it again each time.
    Compares the weights, all variables of the optimizer, and the history. Each
    run is a process of its own.

    Args:
        make_training: function that trains: it gets an empty folder, or that
            of the run before; makes the model and everything else; calls `fit`
            with `ExactResume(folder)` or in `resumable(folder)`; and returns
            the model. It must be defined in a module, so that other processes
            can import it, and leave nothing outside the folder.
        kills: number of times to kill it, at least 1.
        seed: determines at which steps.
        timeout: the longest time for each run, in seconds.

    Raises:
        InputError: if `kills` is below 1.
        AssertionError: if the results differ, a run fails or takes too long,
            no step is trained with `ExactResume`, or no run was killed.

    Example:

    ```python
    def make_training(folder):
        keras.utils.set_random_seed(0)
        tf.config.experimental.enable_op_determinism()
        model = make_model()
        with resumable(folder, every_steps=10) as resume:
            dataset = resume.dataset(make_dataset())
            model.fit(dataset, epochs=3, callbacks=[resume])
        return model


    def test_training_resumes_exactly():
        assert_resumes_exactly(make_training, kills=5)
    ```
    """
    if kills < 1:
        raise InputError(f"`kills` must be at least 1. Received: kills={kills}")
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as name:
        root = pathlib.Path(name)
        _run(make_training, root / "whole", timeout)
        expected = _read(root / "whole")
        if not (root / "whole" / _STEPS).exists():
            raise AssertionError(
                "make_training must call fit with ExactResume(folder)"
            )
        total = int((root / "whole" / _STEPS).read_text())
        folder, killed = root / "killed", 0
        for _ in range(kills):
            # Early enough that most runs end by being killed.
            kill = (
                int(rng.integers(1, max(2, 2 * total // (kills + 1)))),
                float(rng.uniform(0, _MAX_DELAY)),
            )
            if not _run(make_training, folder, timeout, kill):
                break
            killed += 1
        if not killed:
            # It ended in the time between a step and the kill.
            folder = root / "killed at once"
            if not _run(make_training, folder, timeout, (1, 0.0)):
                raise AssertionError(
                    "the training must be killed to show anything, and was not"
                )
        _run(make_training, folder, timeout)
        _compare(_read(folder), expected)


def _run(
    make_training: Callable[[pathlib.Path], keras.Model],
    folder: pathlib.Path,
    timeout: float,
    kill: tuple[int, float] | None = None,
) -> bool:
    """Train in a process; return whether it was killed as asked."""
    folder.mkdir(exist_ok=True)
    process = multiprocessing.get_context("spawn").Process(
        target=_train, args=(make_training, folder, kill)
    )
    process.start()
    process.join(timeout)
    if process.is_alive():
        process.kill()
        process.join()
        raise AssertionError(f"a run took longer than {timeout} seconds")
    if process.exitcode == -signal.SIGKILL and kill is not None:
        return True
    if process.exitcode != 0:
        raise AssertionError(f"a run ended with exit code {process.exitcode}")
    return False


def _train(
    make_training: Callable[[pathlib.Path], keras.Model],
    folder: pathlib.Path,
    kill: tuple[int, float] | None,
) -> None:
    """Train, and write the results; the target of each process."""
    count = _count_steps(kill)
    training = folder / "training"
    training.mkdir(exist_ok=True)
    model = make_training(training)
    variables = {"weights": model.variables}
    if model.optimizer is not None:
        variables["optimizer"] = model.optimizer.variables
    arrays = {
        f"{part} {index}: {variable.path}": np.array(variable)
        for part, each in variables.items()
        for index, variable in enumerate(each)
    }
    safetensors.numpy.save_file(arrays, folder / _ARRAYS)
    history = {"epoch": model.history.epoch} | model.history.history
    (folder / _TEXT).write_text(json.dumps(history, default=float))
    if count:
        (folder / _STEPS).write_text(str(len(count)))


def _count_steps(kill: tuple[int, float] | None) -> list[int]:
    """Count the steps of this process, and end it at one of them."""
    count: list[int] = []
    original = ExactResume.on_train_batch_end

    def on_train_batch_end(
        self: ExactResume, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        before = self.step
        original(self, batch, logs)
        if self.step == before:
            # The step was skipped.
            return
        count.append(self.step)
        if kill is not None and len(count) == kill[0]:
            if not kill[1]:
                os.kill(os.getpid(), signal.SIGKILL)
            timer = threading.Timer(
                kill[1], os.kill, (os.getpid(), signal.SIGKILL)
            )
            timer.daemon = True
            timer.start()

    setattr(ExactResume, original.__name__, on_train_batch_end)
    return count


def _read(folder: pathlib.Path) -> dict[str, Any]:
    found: dict[str, Any] = {
        "history": json.loads((folder / _TEXT).read_text())
    }
    return found | safetensors.numpy.load_file(folder / _ARRAYS)


def _compare(found: dict[str, Any], expected: dict[str, Any]) -> None:
    if list(found) != list(expected):
        raise AssertionError(
            f"the variables differ: {list(found)} and {list(expected)}"
        )
    different = [
        name
        for name, value in expected.items()
        if not _is_same(found[name], value)
    ]
    if different:
        raise AssertionError(
            "after kills, the training ended with different values of "
            f"{', '.join(different)}"
        )


def _is_same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray):
        return (one.dtype, one.shape, one.tobytes()) == (
            other.dtype,
            other.shape,
            other.tobytes(),
        )
    return one == other
