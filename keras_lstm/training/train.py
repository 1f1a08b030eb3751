"""A run: from a configuration to a checked model in a run folder."""

import contextlib
import pathlib
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence

import keras
import tensorflow as tf

from keras_lstm.callbacks.raise_on_non_finite import NonFiniteError
from keras_lstm.checkpoint.preemption import (
    PreemptionHandler,
    TrainingInterrupted,
)
from keras_lstm.config import Config
from keras_lstm.core.console import ProgressBar, print_status
from keras_lstm.core.errors import InputError, RunError
from keras_lstm.core.shell import folder_word, shell_text
from keras_lstm.distribute.cluster import leads_cluster
from keras_lstm.distribute.strategies import (
    assert_same_on_all_workers,
    check_batch_size,
    get_strategy,
    in_multi_worker_cluster,
)
from keras_lstm.models.build import build_model, copy_weights
from keras_lstm.pages.run_page import write_page_of_result
from keras_lstm.proof.search import ProofSearch
from keras_lstm.runs.folder import (
    RunFolder,
    config_fingerprint,
    default_run_dir,
)
from keras_lstm.runs.report import Report, Seconds
from keras_lstm.runs.results import (
    TrainResult,
    curves_drawing,
    show_outcome,
    show_proof,
    versions,
    write_results,
)
from keras_lstm.runs.run import load_run
from keras_lstm.tasks.datasets import check_fills_a_batch, make_dataset
from keras_lstm.tasks.make import make_splits
from keras_lstm.tasks.registry import task_name
from keras_lstm.tasks.task import Splits
from keras_lstm.training.class_weights import class_weights
from keras_lstm.training.compile import (
    compiled_model,
    count_steps_per_epoch,
    settle_execution,
)
from keras_lstm.training.distinct import count_distinct
from keras_lstm.training.proving import settle_proof
from keras_lstm.training.run_callbacks import (
    ProgressOptions,
    RunCallbacks,
    make_callbacks,
    track_result,
)
from keras_lstm.verification.final_check import (
    FinalCheck,
    check_model,
    require_checkable,
)
from keras_lstm.verification.mistakes import suspicious_csv
from keras_lstm.verification.proof_reporting import proof_report

# Errors that TensorFlow raises when another worker has died.
_GONE = (
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.UnavailableError,
)


def train(
    config: Config,
    run_dir: pathlib.Path | None = None,
    *,
    model: keras.Model | None = None,
    resume: bool = False,
    init_from: pathlib.Path | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    log_every_steps: int | None = None,
    profile_steps: tuple[int, int] | None = None,
    quiet: bool = False,
    import_seconds: float = 0.0,
) -> TrainResult:
    """Train a model, check it and write a report.

    The same configuration gives the same weights, bit for bit, on the same
    machine, thread count and versions, however often the run was resumed:
    TensorFlow uses deterministic operations for the rest of the process.

    Args:
        config: the run's configuration.
        run_dir: the run folder; None for `default_run_dir`.
        model: a compiled model with the layers of `build_model`, by name;
            None for `compiled_model(config)`.
        resume: whether to resume the run in `run_dir`, if it holds one.
        init_from: a run folder whose weights to start from.
        callbacks: custom callbacks, which `fit` gets after the run's own.
        log_every_steps: see `ProgressLogger`.
        profile_steps: see `ProgressOptions`.
        quiet: whether to show no progress.
        import_seconds: the time taken by imports, in seconds, for the report.

    Returns:
        The result: the trained model, its final check and the report.

    Raises:
        InputError: if the configuration cannot be run, before any training.
        RunError: if a loss or weight is not finite, or a worker has died.
        OSError: if a file cannot be written.
        TrainingInterrupted: if SIGTERM or SIGINT comes before the results.
    """
    began = time.perf_counter()
    tf.config.experimental.enable_op_determinism()
    shared = RunFolder(run_dir or default_run_dir(config))
    is_chief = leads_cluster(config.training.strategy)
    with _opened(shared, resume, is_chief) as (folder, stack):
        strategy = _get_strategy(shared, config, resume)
        splits = _get_splits(config)
        shown = (log_every_steps, profile_steps, quiet or not is_chief)
        progress = ProgressOptions(*shown)
        config = settle_execution(config, splits, model, shared, progress)
        fitted = _model_to_fit(config, splits, model, init_from, shared)
        with _handle_preemption(shared, config, callbacks) as preemption:
            rest = (shared.checkpoints, callbacks, preemption, progress)
            parts = make_callbacks(config, splits, folder, *rest)
            dataset = _make_dataset(config, splits, parts, strategy)
            stack.enter_context(parts.recording())
            built = time.perf_counter()
            history = _fit(fitted, dataset, config, splits, parts, preemption)
            trained = time.perf_counter()
            result = _without_training_layers(fitted, config)
            # Drawn while the model is checked.
            curves = curves_drawing(history)
            given = (result, config, splits, parts, history, folder)
            taught_by, proof, final = _check(*given, preemption, progress.quiet)
            seconds = Seconds(
                *(import_seconds, built - began, parts.resume.seconds),
                check=time.perf_counter() - trained,
            )
            found = _make_result(
                *(config, splits, parts, folder, result),
                *(history, final, proof, taught_by, seconds),
            )
            others = _suspicious(config, splits, parts, folder, result)
            found = write_results(folder, found, config.task, others, curves)
            if is_chief:
                write_page_of_result(config, found, splits.test)
            show_outcome(parts.board, config, found)
            track_result(parts.tracker, config, folder, found.report)
        return found


@contextlib.contextmanager
def _failures_in_one_line() -> Iterator[None]:
    """Put TensorFlow's errors for a full disk or a dead worker in one line."""
    try:
        yield
    except tf.errors.OpError as error:
        if any(x in error.message for x in ("tfevents", "SummaryFileWriter")):
            reason = error.message.splitlines()[0]
            raise OSError(f"TensorBoard's event file: {reason}") from None
        if not (in_multi_worker_cluster() and isinstance(error, _GONE)):
            raise
        raise RunError(
            f"another worker is gone ({type(error).__name__}): see its "
            "last lines, and restart all workers with --resume"
        ) from None


@contextlib.contextmanager
def _opened(
    folder: RunFolder, resume: bool, is_chief: bool
) -> Iterator[tuple[RunFolder, contextlib.ExitStack]]:
    """Yield the folder to write to, and a stack that ends before it closes."""
    with (
        _failures_in_one_line(),
        _open(folder, resume, is_chief) as opened,
        contextlib.ExitStack() as stack,
    ):
        yield opened, stack


@contextlib.contextmanager
def _open(
    folder: RunFolder, resume: bool, is_chief: bool
) -> Iterator[RunFolder]:
    """Lock the run folder; workers but the chief get a temporary one."""
    if is_chief:
        with folder.opened(resume):
            folder.check_checkpoints()
            yield folder
    else:
        with tempfile.TemporaryDirectory() as name:
            yield RunFolder(pathlib.Path(name))


@contextlib.contextmanager
def _handle_preemption(
    folder: RunFolder,
    config: Config,
    callbacks: Sequence[keras.callbacks.Callback],
) -> Iterator[PreemptionHandler]:
    """Stop training after a signal, and print how to resume."""
    try:
        with PreemptionHandler() as preemption:
            yield preemption
    except TrainingInterrupted as stop:
        if preemption.is_within_another:
            raise
        command = ["keras-lstm", "train", task_name(type(config.task))]
        command += ["--run-dir", folder_word(folder.path), "--resume"]
        how = f"To go on: {shell_text(command)}"
        # The checkpoint holds a state of theirs that the command cannot make.
        if callbacks:
            how = f"To go on: train again with resume=True in {folder.path}"
        if not folder.is_begun:
            how = "It was before the first step: repeat the command"
        print_status(f"{stop.signal_name}: stopped. {how}")
        raise


def _get_strategy(
    folder: RunFolder, config: Config, resume: bool
) -> tf.distribute.Strategy:
    """Return the strategy, once all workers are present and agree."""
    if resume and (reason := folder.finished_reason(config)):
        raise InputError(reason)
    # No TensorFlow operation may run before the strategy exists.
    training = config.training
    strategy = get_strategy(training.strategy, training.worker_timeout)
    assert_same_on_all_workers(strategy, config_fingerprint(config))
    check_batch_size(training.batch_size, strategy)
    return strategy


def _get_splits(config: Config) -> Splits:
    splits = make_splits(config.task, config.seed)
    require_checkable(config.task, splits)
    check_fills_a_batch(splits.train, config.training.batch_size)
    return splits


def _model_to_fit(
    config: Config,
    splits: Splits,
    model: keras.Model | None,
    init_from: pathlib.Path | None,
    folder: RunFolder,
) -> keras.Model:
    """Return the given model, which must fit the result, or a new one."""
    if model is None:
        model = compiled_model(config, splits)
    else:
        _without_training_layers(model, config)
    folder.check_init_from(init_from)
    if init_from is not None:
        copy_weights(load_run(init_from, "init_from").model, model, "init_from")
    return model


def _make_dataset(
    config: Config,
    splits: Splits,
    parts: RunCallbacks,
    strategy: tf.distribute.Strategy,
) -> tf.data.Dataset:
    """Make the training dataset, beginning at the step where `fit` starts."""

    def from_step(step: int) -> tf.data.Dataset:
        size = config.training.batch_size
        if parts.feedback is not None:
            return parts.feedback.dataset(splits.train, size, config.seed, step)
        return make_dataset(
            *(splits.train, size),
            training=True,
            seed=config.seed,
            start_step=step,
        )

    dataset = parts.resume.dataset(from_step)
    assert_same_on_all_workers(
        strategy, f"checkpoint {parts.resume.last_checkpoint}"
    )
    if strategy.num_replicas_in_sync > 1:
        return dataset
    return parts.board.watch(dataset)


def _fit(
    model: keras.Model,
    dataset: tf.data.Dataset,
    config: Config,
    splits: Splits,
    parts: RunCallbacks,
    preemption: PreemptionHandler,
) -> dict[str, list[float]]:
    """Train the model, and return the history of `fit`."""
    validation, training = None, config.training
    if splits.validation is not None:
        size = max(1024, training.batch_size)
        validation = make_dataset(splits.validation, size)
    try:
        model.fit(
            dataset,
            epochs=training.epochs,
            steps_per_epoch=count_steps_per_epoch(training, splits),
            validation_data=validation,
            shuffle=False,
            verbose=0,
            callbacks=parts.in_order,
            class_weight=(
                class_weights(splits.train) if training.balance else None
            ),
        )
    except NonFiniteError as error:
        raise NonFiniteError(
            f"{error}; last good checkpoint: {parts.resume.last_checkpoint}"
        ) from None
    finally:
        parts.logger.close()
    preemption.check()
    return model.history.history


def _without_training_layers(
    fitted: keras.Model, config: Config
) -> keras.Model:
    """Return the model uncompiled, on one device, without training layers."""
    result = build_model(config.task, config.model)
    copy_weights(fitted, result)
    return result


def _progress(
    bar: ProgressBar, preemption: PreemptionHandler
) -> Callable[[int, int], None]:
    """Return a function that shows progress, unless a signal was received."""

    def progress(done: int, total: int) -> None:
        preemption.check()
        bar.update(done, total)

    return progress


def _check(
    model: keras.Model,
    config: Config,
    splits: Splits,
    parts: RunCallbacks,
    history: dict[str, list[float]],
    folder: RunFolder,
    preemption: PreemptionHandler,
    quiet: bool,
) -> tuple[str | None, ProofSearch | None, FinalCheck]:
    """Settle the proof, show it and check the model."""
    search = None if parts.prover is None else parts.prover.search
    with ProgressBar("proving", quiet) as bar:
        progress = _progress(bar, preemption)
        resumed = parts.resume.resumed_step is not None
        recheck = resumed or parts.has_custom
        taught_by, search = settle_proof(
            model, config, search, progress, recheck
        )
    show_proof(parts.board, config, model, search, history)
    with ProgressBar("checking", quiet) as bar:
        final = check_model(
            model,
            config.task,
            splits,
            config.seed,
            failures_name=folder.failures.name,
            is_proved=search is not None and search.proof is not None,
            progress=_progress(bar, preemption),
            forecast=bar.forecast,
        )
    preemption.check()
    return taught_by, search, final


def _suspicious(
    config: Config,
    splits: Splits,
    parts: RunCallbacks,
    folder: RunFolder,
    model: keras.Model,
) -> dict[pathlib.Path, str]:
    """Return the text of `suspicious.csv`, by its path, if it is wanted."""
    if parts.margins is None:
        return {}
    means = parts.margins.means()
    text = suspicious_csv(config.task, splits.train, model, means)
    return {folder.suspicious: text}


def _make_result(
    config: Config,
    splits: Splits,
    parts: RunCallbacks,
    folder: RunFolder,
    model: keras.Model,
    history: dict[str, list[float]],
    final: FinalCheck,
    proof: ProofSearch | None,
    taught_by: str | None,
    seconds: Seconds,
) -> TrainResult:
    training, epochs = config.training, len(history["loss"])
    kept = parts.best.best_epoch if training.keep_best and parts.best else -1
    steps = epochs * count_steps_per_epoch(training, splits)
    feedback = parts.feedback
    proved = proof is not None and proof.proof is not None
    report = Report(
        task=task_name(type(config.task)),
        preset=config.preset,
        seed=config.seed,
        training_examples=steps * training.batch_size,
        distinct_training_examples=(
            count_distinct(config, splits, steps)
            if feedback is None
            else feedback.num_distinct()
        ),
        optimizer_steps=steps,
        epochs=epochs,
        validation_accuracy=history.get("val_sequence_accuracy", [None])[kept],
        best_epoch=kept + 1 if training.keep_best else None,
        stopped_because=parts.stop_reason(
            epochs == training.epochs, proved and taught_by != "construction"
        ),
        resumed_from_step=parts.resume.resumed_step,
        proved=proved,
        taught_by=taught_by,
        num_parameters=model.count_params(),
        seconds=seconds,
        versions=versions(),
        **final.fields,
        **({} if proof is None else proof_report(proof)),
    )
    return TrainResult(folder.path, model, history, final, proof, report)
