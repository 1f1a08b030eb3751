"""A run: from a configuration to a checked model in a run folder."""

import contextlib
import dataclasses
import json
import pathlib
import platform
import shlex
import tempfile
import textwrap
import time
from collections.abc import Iterator, Sequence
from typing import Any, cast

import keras
import numpy as np
import tensorflow as tf

import keras_lstm
from keras_lstm.callbacks.counterexamples import Counterexamples
from keras_lstm.callbacks.exact_resume import ExactResume
from keras_lstm.callbacks.history_writer import HistoryWriter
from keras_lstm.callbacks.progress_logger import ProgressLogger
from keras_lstm.callbacks.stop_at_full_accuracy import StopAtFullAccuracy
from keras_lstm.callbacks.stop_at_non_finite import (
    NonFiniteError,
    StopAtNonFinite,
)
from keras_lstm.callbacks.stop_at_proof import StopAtProof
from keras_lstm.callbacks.tensorboard import TensorBoard
from keras_lstm.cluster import read_cluster
from keras_lstm.config import Config, TrainingConfig
from keras_lstm.console import ProgressBar, say
from keras_lstm.datasets import check_fills_a_batch, make_dataset
from keras_lstm.evaluation import Evaluation, evaluate
from keras_lstm.files import locked, remove_temporary, replacing, write_text
from keras_lstm.interruption import Interrupted, Interruption
from keras_lstm.models import build_model
from keras_lstm.optimization import (
    compiled_model,
    count_steps_per_epoch,
    trained_model,
)
from keras_lstm.options import InputError, RunError
from keras_lstm.pictures import draw_curves, draw_proof
from keras_lstm.presets import get_preset
from keras_lstm.probes import make_probe
from keras_lstm.proof import Proof, ProofError, ProofSearch, check_proof
from keras_lstm.reporting import (
    check_report,
    failures_csv,
    outcome_text,
    proof_report,
)
from keras_lstm.run_folder import (
    ALL_EPOCHS,
    check_checkpoints,
    check_goes_on,
    check_run_dir,
    default_run_dir,
    options_text,
    remove_results,
)
from keras_lstm.runs import load_run
from keras_lstm.strategies import (
    check_agreement,
    check_batch_size,
    get_strategy,
    trains_with_others,
)
from keras_lstm.tasks import task_name
from keras_lstm.tasks.task import Split, Splits
from keras_lstm.tasks.transducer import TransducerTask
from keras_lstm.verification import Verification, verify

# What TensorFlow raises when another worker has died.
_GONE = (
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.UnavailableError,
)
# Beyond this, counting the distinct inputs would cost more than it tells.
_MAX_COUNTED_EXAMPLES = 2**22


@dataclasses.dataclass(frozen=True)
class TrainResult:
    """What a run came to.

    Args:
        run_dir: where its files are.
        model: the trained model, uncompiled, as it was saved.
        history: what `fit` returned, by metric: a value per epoch.
        check: what was checked and what was wrong.
        proof: the last search for a proof, where one was asked for.
        report: what `report.json` holds.
    """

    run_dir: pathlib.Path
    model: keras.Model
    history: dict[str, list[float]]
    check: Verification | Evaluation
    proof: ProofSearch | None
    report: dict[str, Any]


@contextlib.contextmanager
def _failures_in_one_line() -> Iterator[None]:
    """What TensorFlow says where a disk is full or another worker has died."""
    try:
        yield
    except tf.errors.OpError as error:
        if "tfevents" in error.message:
            reason = error.message.splitlines()[0]
            raise OSError(f"TensorBoard's file: {reason}") from None
        if not (trains_with_others() and isinstance(error, _GONE)):
            raise
        raise RunError(
            f"another worker is gone ({type(error).__name__}): look at its "
            "last lines, and start all of them again, with --resume"
        ) from None


@_failures_in_one_line()
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
    """Trains, checks and reports.

    The same configuration gives the same weights, bit for bit, on the same
    machine, thread count and versions, however often the run was stopped and
    resumed: TensorFlow is told to use deterministic operations, for the rest
    of the process.

    Args:
        config: what to do.
        run_dir: where the run's files go; by default
            `logs/<task>/<preset>-seed<seed>-<time>`.
        model: what to train; by default, and otherwise too, one that
            `compiled_model(config)` has made.
        resume: go on with the run in `run_dir` from its last checkpoint; or
            begin, where there is none yet.
        init_from: a run folder whose weights to start from.
        callbacks: given to `fit` beside the run's own. What `ExactResume`
            can keep of their state is kept.
        log_every_steps: see `ProgressLogger`.
        profile_steps: the first and the last step to profile for TensorBoard,
            counted from 1 where this process begins.
        quiet: show no progress.
        import_seconds: what importing took, for the report.

    Raises:
        InputError: the configuration cannot be run, before any training.
        RunError: the loss or a weight stopped being finite.
        OSError: a file cannot be written.
        Interrupted: SIGTERM or SIGINT came.
    """
    started = time.perf_counter()
    tf.config.experimental.enable_op_determinism()
    if run_dir is None:
        run_dir = default_run_dir(config)
    cluster = read_cluster(config.training.strategy)
    chief = cluster is None or cluster.is_chief
    quiet = quiet or not chief
    if chief:
        check_run_dir(run_dir, resume)
    begun = (run_dir / "config.yaml").exists()
    if resume and (why_not := check_goes_on(run_dir, config)):
        raise InputError(why_not)
    # TensorFlow must not have done anything before this.
    strategy = get_strategy(config.training.strategy)
    check_agreement(strategy, options_text(config))
    check_batch_size(config.training.batch_size, strategy)
    splits = config.task.splits(config.seed)
    if splits.test is None and not isinstance(config.task, TransducerTask):
        raise InputError(
            "`task` must have a test split, or be a sequence task. Received: "
            f"task={config.task.name}"
        )
    check_fills_a_batch(splits.train, config.training.batch_size)
    steps_per_epoch = count_steps_per_epoch(config.training, splits)
    fitted = compiled_model(config, splits) if model is None else model
    trained = trained_model(fitted)
    if init_from is not None and not begun:
        _copy_weights(init_from, trained)
    stop = _make_stop(config.training, splits)
    feedback = _make_feedback(config, quiet)
    prover = _make_prover(config, quiet)
    logger = ProgressLogger(log_every_steps, quiet)
    averaging = (
        keras.callbacks.SwapEMAWeights() if config.training.ema_share else None
    )

    board = TensorBoard(
        run_dir,
        make_probe(config.task, splits.validation, config.seed),
        _hparams(config),
        profile_batch=profile_steps or 0,
    )

    def from_step(step: int) -> tf.data.Dataset:
        dataset = make_dataset(
            splits.train,
            config.training.batch_size,
            training=True,
            seed=config.seed,
            start_step=step,
        )
        return dataset if feedback is None else feedback.mix(dataset, step)

    checkpoints = run_dir / "checkpoints"
    with contextlib.ExitStack() as stack:
        stack.enter_context(_how_to_go_on(run_dir, config))
        if not chief:
            # What others than the chief write is in nobody's way, and goes.
            name = stack.enter_context(tempfile.TemporaryDirectory())
            run_dir = pathlib.Path(name)
            board.log_dir = name
        interruption = stack.enter_context(_run_folder(run_dir, resume))
        # What looks at validation sees the averaged weights: they come first.
        own = [averaging, stop, feedback, prover]
        remembered = [
            *(callback for callback in own if callback is not None),
            HistoryWriter(run_dir / "history.csv"),
            logger,
            board,
            *callbacks,
        ]
        resuming = ExactResume(
            checkpoints,
            remembered,
            config.training.checkpoint_steps,
            config.training.checkpoint_seconds,
            interruption=interruption,
            verbose=not quiet,
        )
        if chief:
            check_checkpoints(run_dir)
        dataset = resuming.dataset(from_step)
        if strategy.num_replicas_in_sync == 1:
            dataset = board.watch(dataset)
        check_agreement(strategy, f"checkpoint {resuming.last_checkpoint}")
        built = time.perf_counter()
        try:
            fitted.fit(
                dataset,
                epochs=config.training.epochs,
                steps_per_epoch=steps_per_epoch,
                validation_data=(
                    None
                    if splits.validation is None
                    else make_dataset(
                        splits.validation, max(1024, config.training.batch_size)
                    )
                ),
                shuffle=False,
                verbose=0,
                callbacks=[
                    StopAtNonFinite(),
                    resuming,
                    _config_writer(run_dir, config),
                    *remembered,
                ],
            )
        except NonFiniteError as error:
            raise NonFiniteError(
                f"{error}; last good checkpoint: {resuming.last_checkpoint}"
            ) from None
        finally:
            logger.close()
        interruption.check()
        fit = time.perf_counter()

        # Uncompiled, on one device, and without what was added for training.
        result = build_model(config.task, config.model)
        result.set_weights(trained.get_weights())
        proof = prover.search if prover is not None else None
        if proof is not None and proof.proof is not None:
            proof = _kept_proof(result, config, proof, proof.proof)
        check = _check(result, config, splits, quiet, interruption)
        interruption.check()
        checked = time.perf_counter()

        history = fitted.history.history
        steps = len(history["loss"]) * steps_per_epoch
        report = {
            "task": task_name(type(config.task)),
            "preset": config.preset,
            "seed": config.seed,
            **check_report(check),
            **_test_report(check, config),
            "training_examples": steps * config.training.batch_size,
            "distinct_training_examples": (
                _count_distinct(config, splits, steps)
                if feedback is None
                else feedback.num_distinct()
            ),
            "optimizer_steps": steps,
            "epochs": len(history["loss"]),
            "validation_accuracy": history.get("val_sequence_accuracy", [None])[
                -1
            ],
            "stopped_because": _reason(
                stop,
                feedback,
                prover,
                len(history["loss"]) == config.training.epochs,
            ),
            "resumed_from_step": resuming.resumed_step,
            "proved": proof is not None and proof.proof is not None,
            **({} if proof is None else proof_report(proof)),
            "num_parameters": result.count_params(),
            "seconds": _seconds(
                {
                    "import": import_seconds,
                    "build": built - started,
                    # What was trained before a resume counts as well.
                    "train": resuming.seconds,
                    "check": checked - fit,
                }
            ),
            "versions": {
                "python": platform.python_version(),
                "tensorflow": tf.__version__,
                "keras": keras.__version__,
                "keras_lstm": keras_lstm.__version__,
            },
        }
        _write_results(run_dir, config, result, check, proof, report, history)
        _show_results(board, config, result, check, proof, report)
        return TrainResult(run_dir, result, history, check, proof, report)


def _config_writer(
    run_dir: pathlib.Path, config: Config
) -> keras.callbacks.Callback:
    """Writes `config.yaml` after the first checkpoint, which it stands for."""
    path, text = run_dir / "config.yaml", config.to_yaml()

    def write(epoch: int, logs: dict[str, float] | None) -> None:
        if not path.exists() or path.read_text("utf-8") != text:
            write_text(path, text)

    return keras.callbacks.LambdaCallback(on_epoch_begin=write)


def _write_results(
    run_dir: pathlib.Path,
    config: Config,
    model: keras.Model,
    check: Verification | Evaluation,
    proof: ProofSearch | None,
    report: dict[str, Any],
    history: dict[str, list[float]],
) -> None:
    """Puts all files of a result in their places, or none."""
    with contextlib.ExitStack() as stack:

        def place(name: str) -> pathlib.Path:
            return stack.enter_context(replacing(run_dir / name))

        # The last to be made is the first to be moved: a report is about
        # files that are there.
        text = json.dumps(report, indent=2, allow_nan=False) + "\n"
        place("report.json").write_text(text, encoding="utf-8")
        if isinstance(check, Verification):
            task = cast(TransducerTask, config.task)
            text = failures_csv(task, check.failures)
            place("failures.csv").write_text(text, encoding="utf-8")
        draw_curves(history).savefig(place("curves.png"), format="png")
        model.save(place("model.keras"))
        if proof is not None and proof.proof is not None:
            text = proof.proof.to_json()
            place("proof.json").write_text(text, encoding="utf-8")
        remove_results(run_dir)


def _hparams(config: Config) -> dict[str, Any]:
    """What tells runs apart in a table: what the preset does not say too."""
    always = ("preset", "units", "num_layers", "learning_rate", "seed")
    preset = get_preset(config.preset, type(config.task)).to_flat()
    return {
        name: value
        for name, value in config.to_flat().items()
        if name in always or value != preset.get(name)
    }


def _show_results(
    board: TensorBoard,
    config: Config,
    model: keras.Model,
    check: Verification | Evaluation,
    proof: ProofSearch | None,
    report: dict[str, Any],
) -> None:
    """What TensorBoard says of a run that is done."""
    last = report["epochs"] - 1
    if proof is not None and proof.proof is not None:
        task = cast(TransducerTask, config.task)
        board.write_figure("proof", draw_proof(model, task, proof.proof), last)
    text = outcome_text(config.task, check, proof, report)
    # Four spaces keep Markdown from reading it.
    board.write_text("result", textwrap.indent(text, "    "), last)


@contextlib.contextmanager
def _run_folder(run_dir: pathlib.Path, resume: bool) -> Iterator[Interruption]:
    """Keeps the folder for this process."""
    with locked(run_dir), Interruption() as interruption:
        # Another process may have been faster.
        check_run_dir(run_dir, resume)
        for folder in (run_dir, run_dir / "checkpoints"):
            remove_temporary(folder)
        yield interruption


@contextlib.contextmanager
def _how_to_go_on(run_dir: pathlib.Path, config: Config) -> Iterator[None]:
    """Says so where a signal ends the run."""
    try:
        yield
    except Interrupted as stop:
        command = ["keras-lstm", "train", task_name(type(config.task))]
        command += ["--run-dir", str(run_dir), "--resume"]
        say(f"{stop.signal_name}: stopped. To go on: {shlex.join(command)}")
        raise


def _seconds(parts: dict[str, float]) -> dict[str, float]:
    parts |= {"total": sum(parts.values())}
    return {name: round(seconds, 3) for name, seconds in parts.items()}


def _test_report(
    check: Verification | Evaluation, config: Config
) -> dict[str, Any]:
    if isinstance(check, Verification):
        return {
            "test_num_examples": check.test_num_examples,
            "test_num_wrong": check.test_num_wrong,
        }
    report = {
        "test_num_examples": check.num_examples,
        "test_num_wrong": check.num_wrong,
    }
    head = getattr(config.task, "test_head", None)
    if head is not None:
        report |= {
            "test_head_num_examples": min(head, check.num_examples),
            "test_head_num_wrong": check.num_wrong_of(head),
        }
    return report


def _make_stop(
    training: TrainingConfig, splits: Splits
) -> StopAtFullAccuracy | None:
    if training.monitor is None:
        return None
    if training.monitor.startswith("val_") and splits.validation is None:
        raise InputError(
            "`monitor` needs a validation part, which this task has not got. "
            f"Received: monitor={training.monitor}"
        )
    return StopAtFullAccuracy(
        training.monitor, training.start_from_epoch, verbose=0
    )


def _make_feedback(config: Config, quiet: bool) -> Counterexamples | None:
    training, task = config.training, config.task
    if training.counterexamples_from is None:
        return None
    if not isinstance(task, TransducerTask):
        raise InputError(
            "`counterexamples_from` needs a sequence task. Received: "
            f"task={task.name}"
        )

    def tell(epoch: int, result: Verification) -> None:
        if not quiet:
            say(
                f"epoch {epoch + 1}: {result.num_wrong:,} of "
                f"{result.num_examples:,} are wrong"
            )

    return Counterexamples(
        task,
        training.counterexample_share,
        training.counterexamples_from,
        seed=config.seed,
        on_check=tell,
    )


def _make_prover(config: Config, quiet: bool) -> StopAtProof | None:
    training, task = config.training, config.task
    if training.prove_from is None:
        return None

    def tell(epoch: int, search: ProofSearch) -> None:
        if not quiet:
            proved = search.proof is not None
            found = "proved" if proved else f"no proof: {search.reason}"
            say(f"epoch {epoch + 1}: {found}")

    return StopAtProof(
        cast(TransducerTask, task), training.prove_from, on_search=tell
    )


def _kept_proof(
    model: keras.Model,
    config: Config,
    search: ProofSearch,
    proof: Proof,
) -> ProofSearch:
    """The search, without its proof if that is not about this model.

    Callbacks of one's own may have changed the weights after it was found.
    """
    try:
        check_proof(model, cast(TransducerTask, config.task), proof)
    except ProofError as error:
        return dataclasses.replace(
            search, proof=None, margin=0.0, reason=str(error)
        )
    return search


def _reason(
    stop: StopAtFullAccuracy | None,
    feedback: Counterexamples | None,
    prover: StopAtProof | None,
    all_epochs: bool,
) -> str:
    if prover is not None and prover.stopped_epoch is not None:
        return "it is proved"
    if feedback is not None and feedback.stopped_epoch is not None:
        return "nothing was wrong"
    if stop is not None and stop.stopped_epoch is not None:
        return f"{stop.monitor} was exactly 1"
    return ALL_EPOCHS if all_epochs else "a callback stopped it"


def _copy_weights(run_dir: pathlib.Path, model: keras.Model) -> None:
    weights = load_run(run_dir, "init_from").model.get_weights()
    shapes = [w.shape for w in weights]
    expected = [tuple(w.shape) for w in model.weights]
    if shapes != expected:
        raise InputError(
            f"`init_from` must hold a model whose weights are of shapes "
            f"{expected}. Received: {shapes}"
        )
    model.set_weights(weights)


def _check(
    model: keras.Model,
    config: Config,
    splits: Splits,
    quiet: bool,
    interruption: Interruption,
) -> Verification | Evaluation:
    if not isinstance(config.task, TransducerTask):
        return evaluate(model, cast(Split, splits.test))
    held_out = None
    if config.task.sampling == "permutation":
        held_out = config.task.permutation(config.seed)[1]
    with ProgressBar("checking", quiet) as bar:

        def progress(done: int, total: int) -> None:
            interruption.check()
            bar.update(done, total)

        return verify(
            model,
            config.task,
            held_out=held_out,
            progress=progress,
            forecast=bar.forecast,
        )


def _count_distinct(config: Config, splits: Splits, steps: int) -> int | None:
    """How many different inputs were trained on; None if too many to count."""
    num_examples = steps * config.training.batch_size
    if splits.train.num_examples is not None:
        return min(num_examples, splits.train.num_examples)
    if num_examples * config.task.input_shape[0] > _MAX_COUNTED_EXAMPLES * 20:
        return None
    dataset = make_dataset(
        splits.train, config.training.batch_size, training=True
    ).take(steps)
    small = np.min_scalar_type(config.task.num_symbols or 0)
    rows = np.concatenate(
        [inputs.astype(small) for inputs, _ in dataset.as_numpy_iterator()]
    )
    whole = np.dtype((np.void, rows.shape[1] * rows.itemsize))
    return len(np.unique(rows.view(whole)))
