"""Proofs for networks that were trained without one."""

import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from keras_lstm.callbacks.stop_at_proof import StopAtProof
from keras_lstm.core.console import ProgressBar, print_status, quantity
from keras_lstm.core.errors import InputError
from keras_lstm.models.build import copy_weights
from keras_lstm.models.metrics import SequenceAccuracy
from keras_lstm.models.weights import supported_layers
from keras_lstm.pages.run_page import write_page_of_result
from keras_lstm.proof.certificate import check_proof
from keras_lstm.proof.regularization import ProofRegularization
from keras_lstm.proof.search import ProofSearch, find_proof
from keras_lstm.runs.folder import RunFolder
from keras_lstm.runs.report import Seconds, StopReason
from keras_lstm.runs.results import TrainResult, versions, write_results
from keras_lstm.runs.run import Run
from keras_lstm.tasks.datasets import make_dataset
from keras_lstm.tasks.registry import task_name
from keras_lstm.tasks.transducer import TransducerTask
from keras_lstm.verification.final_check import check_model
from keras_lstm.verification.proof_reporting import proof_report
from keras_lstm.verification.verify import Verification, verify

_BATCH_SIZE = 128
# A proof is searched for after each of these.
_STEPS_PER_EPOCH = 25
# A proof covers every length, so long inputs need not be trained on.
_MAX_BITS = 32


@dataclasses.dataclass(frozen=True)
class Schedule:
    """A way of fine-tuning a network for a proof.

    Args:
        learning_rate: Adam's learning rate.
        warmup_steps: see `ProofRegularization`.
        ramp_steps: see `ProofRegularization`.
        epochs: maximum number of epochs, of 25 steps each.
    """

    learning_rate: float
    warmup_steps: int
    ramp_steps: int
    epochs: int


# From the gentlest, which suits a network that is right already.
SCHEDULES = (
    Schedule(0.01, 10, 50, 8),
    Schedule(0.01, 20, 100, 16),
    Schedule(0.02, 100, 100, 20),
)


@dataclasses.dataclass(frozen=True)
class Repair:
    """Result of `make_provable`.

    Args:
        model: the proved copy; None if no proof was found.
        search: the last search for a proof. `search.proof` is about `model`.
        schedule: number of the schedule that ended with the proof, from 1; 0 if
            the model was proved as it was, or no proof was found.
        num_steps: training steps, over all schedules.
        seconds: duration, in seconds.
        history: history of the last `fit`: by metric, a value per epoch.
    """

    model: keras.Model | None
    search: ProofSearch
    schedule: int
    num_steps: int
    seconds: float
    history: dict[str, list[float]]


def make_provable(
    model: keras.Model,
    task: TransducerTask,
    *,
    seed: int = 0,
    max_seconds: float = 120.0,
    schedules: Sequence[Schedule] = SCHEDULES,
    on_search: Callable[[int, int, ProofSearch], None] | None = None,
) -> Repair:
    """Fine-tune a copy of a model until it is proved right for every length.

    The copy is trained on the task's examples with `ProofRegularization`, by
    one schedule after the other, each from the model's own weights, until
    `find_proof` finds a proof. Layers that are idle at inference, such as
    noise, are left out during the training. The model is not changed.

    Args:
        model: trained model with the per_step head, from symbols,
            `(batch_size, timesteps)`, to logits,
            `(batch_size, timesteps, num_classes)`.
        task: the machine.
        seed: seed of the training examples. Defaults to 0.
        max_seconds: limit on the time for each schedule, in seconds. Defaults
            to 120.
        schedules: the schedules. Defaults to three, from the gentlest.
        on_search: function called after each search, with the number of the
            schedule, from 1, the number of its steps, and the `ProofSearch`.
            Defaults to None.

    Returns:
        The proved copy and its proof, or why none was found.

    Raises:
        InputError: if `provable_weights` refuses the model or TensorFlow, or
            `max_seconds` is not above 0.

    Example:

    ```python
    repair = make_provable(model, task)
    if repair.model is not None:
        check_proof(repair.model, task, repair.search.proof)
    ```
    """
    if not max_seconds > 0:
        raise InputError(
            "`max_seconds` must be above 0. Received: "
            f"max_seconds={max_seconds}"
        )
    start = time.perf_counter()
    search = find_proof(model, task)
    if search.proof is not None:
        copy = keras.models.clone_model(model)
        copy_weights(model, copy)
        return Repair(copy, search, 0, 0, time.perf_counter() - start, {})
    steps, tuned, history = 0, None, dict[str, list[float]]()
    for number, schedule in enumerate(schedules, 1):
        stop = _StopAtProof(task, schedule, max_seconds, number, on_search)
        tuned = _without_idle_layers(model, task)
        history = _tune(tuned, task, schedule, seed, stop)
        steps += stop.num_steps
        search = stop.search or search
        if search.proof is not None:
            copy = keras.models.clone_model(model)
            copy_weights(tuned, copy)
            check_proof(copy, task, search.proof)
            seconds = time.perf_counter() - start
            return Repair(copy, search, number, steps, seconds, history)
    seconds = time.perf_counter() - start
    return Repair(None, search, 0, steps, seconds, history)


class _StopAtProof(StopAtProof):
    """Stop at a proof, or when the time is up."""

    def __init__(
        self,
        task: TransducerTask,
        schedule: Schedule,
        max_seconds: float,
        number: int,
        on_search: Callable[[int, int, ProofSearch], None] | None,
    ) -> None:
        def report(epoch: int, search: ProofSearch) -> None:
            if on_search is not None:
                on_search(number, self.num_steps, search)

        first = schedule.warmup_steps // _STEPS_PER_EPOCH
        super().__init__(task, first, report)
        self.num_steps = 0
        self._max_seconds = max_seconds
        self._began: float | None = None

    def on_train_batch_end(
        self, batch: int, logs: dict[str, float] | None = None
    ) -> None:
        self.num_steps += 1
        # The first step includes compilation.
        if self._began is None:
            self._began = time.perf_counter()
        elif time.perf_counter() - self._began > self._max_seconds:
            self.model.stop_training = True


def _without_idle_layers(
    model: keras.Model, task: TransducerTask
) -> keras.Model:
    """Return a copy of a model without the layers that only training needs."""
    inputs = keras.Input(model.input_shape[1:], dtype=model.inputs[0].dtype)
    x = inputs
    for layer in supported_layers(model, task.num_symbols):
        x = type(layer).from_config(layer.get_config())(x)
    lean = keras.Model(inputs, x)
    for layer in lean.layers[1:]:
        layer.set_weights(model.get_layer(layer.name).get_weights())
    return lean


def _tune(
    model: keras.Model,
    task: TransducerTask,
    schedule: Schedule,
    seed: int,
    stop: StopAtProof,
) -> dict[str, list[float]]:
    """Train a model until `stop` stops it; return the history."""
    regularization = ProofRegularization(
        model,
        task,
        warmup_steps=schedule.warmup_steps,
        ramp_steps=schedule.ramp_steps,
    )
    training_model = keras.Model(model.input, regularization(model.output))
    training_model.compile(
        keras.optimizers.Adam(schedule.learning_rate, global_clipnorm=1.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[SequenceAccuracy()],
        jit_compile=False,
    )
    split = _shortened(task).splits(seed).train
    fitted = training_model.fit(
        make_dataset(split, _BATCH_SIZE, training=True, seed=seed),
        epochs=schedule.epochs,
        steps_per_epoch=_STEPS_PER_EPOCH,
        shuffle=False,
        verbose=0,
        callbacks=[stop],
    )
    history: dict[str, list[float]] = fitted.history
    return history


def _shortened(task: TransducerTask) -> TransducerTask:
    """Return the task at a length that is quick to train on."""
    if task.num_bits <= _MAX_BITS:
        return task
    try:
        return task.of_length(_MAX_BITS)
    # Some domains have too few inputs of such a length.
    except InputError:
        return task


def repair_run(
    run: Run, folder: RunFolder
) -> tuple[Repair, TrainResult | None, dict[str, Any]]:
    """Make a run's model provable, and write it into a new run folder.

    The new folder is a run of the same configuration, with a proof.
    `repair.json` says how it differs from the run. Without a proof, nothing is
    written.

    Args:
        run: the run.
        folder: the new run folder.

    Returns:
        The repair; the new run, None without a proof; and the contents of
        `repair.json`.

    Raises:
        InputError: if `provable_weights` refuses the model or TensorFlow, or
            the new folder holds a run.
    """
    machine = run.machine_to_prove()

    def on_search(number: int, steps: int, search: ProofSearch) -> None:
        found = "proved" if search.proof is not None else search.reason
        print_status(f"schedule {number}, step {steps}: {found}")

    with folder.opened(resume=False):
        repair = make_provable(
            run.model, machine, seed=run.config.seed, on_search=on_search
        )
        report: dict[str, Any] = {
            "task": task_name(type(machine)),
            "repaired_from": str(run.run_dir.resolve()),
            "proved": repair.search.proof is not None,
            **proof_report(repair.search),
            "reason": repair.search.reason or None,
            "schedule": repair.schedule or None,
            "optimizer_steps": repair.num_steps,
            "seconds": round(repair.seconds, 3),
        }
        if repair.model is None:
            return repair, None, report
        with ProgressBar("checking") as bar:
            before = verify(run.model, machine, progress=bar.update)
        result = _as_run(run, folder, repair)
        report |= _difference(run.model, repair.model, before, result.check)
        texts = {
            folder.config: run.config.to_yaml(),
            folder.repair: json.dumps(report, indent=2, allow_nan=False) + "\n",
        }
        result = write_results(folder, result, run.config.task, texts)
        write_page_of_result(run.config, result, None)
    return repair, result, report


def _as_run(run: Run, folder: RunFolder, repair: Repair) -> TrainResult:
    """Check the proved copy; return it as the result of a run."""
    began = time.perf_counter()
    config, old = run.config, run.report
    final = check_model(
        repair.model,
        config.task,
        config.task.splits(config.seed),
        config.seed,
        failures_name=folder.failures.name,
        is_proved=True,
    )
    checking = time.perf_counter() - began
    report = dataclasses.replace(
        old,
        training_examples=old.training_examples
        + repair.num_steps * _BATCH_SIZE,
        distinct_training_examples=None,
        optimizer_steps=old.optimizer_steps + repair.num_steps,
        validation_accuracy=None,
        stopped_because=StopReason.PROVED,
        resumed_from_step=None,
        proved=True,
        seconds=Seconds(0.0, 0.0, repair.seconds, checking),
        versions=versions(),
        repaired_from=str(run.run_dir.resolve()),
        **final.fields,
        **proof_report(repair.search),
    )
    return TrainResult(
        folder.path, repair.model, repair.history, final, repair.search, report
    )


def _difference(
    old: keras.Model, new: keras.Model, before: Verification, after: Any
) -> dict[str, Any]:
    """Return how a proved copy differs from its model."""
    pairs = zip(old.get_weights(), new.get_weights(), strict=True)
    moved = np.concatenate([np.ravel(b - a) for a, b in pairs])
    size = np.concatenate([np.ravel(a) for a in old.get_weights()])
    return {
        "weights_moved": float(np.linalg.norm(moved) / np.linalg.norm(size)),
        "largest_weight_change": float(np.abs(moved).max()),
        # The copy answers everything right, so the answers that it changed are
        # those that were wrong.
        "answers_changed": before.num_wrong,
        "num_examples": before.num_examples,
        "checked": before.checked,
        "min_margin_before": before.min_margin,
        "min_margin_after": after.min_margin,
    }


def repair_text(report: dict[str, Any]) -> str:
    """Return the contents of `repair.json` as text for people."""
    if not report["optimizer_steps"]:
        return "Nothing was changed: the model was proved as it is."
    return (
        f"Repaired in {quantity(report['optimizer_steps'], 'step')}, by "
        f"schedule {report['schedule']}, in {report['seconds']:.1f} s: the "
        f"weights moved by {report['weights_moved']:.1%} of their norm, none "
        f"by more than {report['largest_weight_change']:.3g}; "
        f"{report['answers_changed']:,} of {report['num_examples']:,} answers "
        f"changed ({report['checked']}).\n"
        f"Smallest margin: {report['min_margin_before']:.4g} before, "
        f"{report['min_margin_after']:.4g} after."
    )
