"""The callbacks of a run, made from its configuration."""

import contextlib
import dataclasses
import pathlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

import keras

from keras_lstm.callbacks.area_under_margin import AreaUnderMargin
from keras_lstm.callbacks.counterexamples import Counterexamples
from keras_lstm.callbacks.exact_resume import ExactResume
from keras_lstm.callbacks.feedback import Feedback
from keras_lstm.callbacks.history_writer import HistoryWriter
from keras_lstm.callbacks.mlflow_tracker import MLflowTracker
from keras_lstm.callbacks.progress_logger import ProgressLogger
from keras_lstm.callbacks.raise_on_non_finite import RaiseOnNonFinite
from keras_lstm.callbacks.repeat_mistakes import RepeatMistakes
from keras_lstm.callbacks.stop_at_full_accuracy import StopAtFullAccuracy
from keras_lstm.callbacks.stop_at_proof import StopAtProof
from keras_lstm.callbacks.tensorboard import TensorBoard
from keras_lstm.callbacks.tracker import Tracker
from keras_lstm.callbacks.trackio_tracker import TrackioTracker
from keras_lstm.callbacks.wandb_tracker import WandbTracker
from keras_lstm.checkpoint.preemption import PreemptionHandler
from keras_lstm.config import Config
from keras_lstm.config_rules import Execution
from keras_lstm.core.errors import InputError
from keras_lstm.core.files import write_text
from keras_lstm.core.yaml_text import MAX_TEXT
from keras_lstm.distribute.cluster import leads_cluster
from keras_lstm.monitoring.diagnostics import make_diagnostics
from keras_lstm.presets import get_preset
from keras_lstm.proof.search import ProofSearch
from keras_lstm.runs.folder import RunFolder
from keras_lstm.runs.public_config import (
    public_options,
    public_report,
    public_text,
    public_yaml,
)
from keras_lstm.runs.report import Report, StopReason
from keras_lstm.tasks.datasets import make_dataset
from keras_lstm.tasks.task import Splits
from keras_lstm.tasks.transducer import get_machine
from keras_lstm.verification.reporting import numbered_text
from keras_lstm.verification.verify import Verification

# Longer values, such as a vocabulary, are no columns of a table.
_MAX_HPARAM = 200
# Training examples of which to measure the margins at once.
_MEASURED = 1024
_TRACKERS: dict[str, type[Tracker]] = {
    "mlflow": MLflowTracker,
    "trackio": TrackioTracker,
    "wandb": WandbTracker,
}


@dataclasses.dataclass(frozen=True)
class ProgressOptions:
    """Options of a run's progress display.

    Args:
        log_every_steps: see `ProgressLogger`.
        profile_steps: the first and the last step to profile for TensorBoard;
            None for no profile.
        quiet: whether to show no progress.
    """

    log_every_steps: int | None = None
    profile_steps: tuple[int, int] | None = None
    quiet: bool = False


@dataclasses.dataclass(frozen=True)
class RunCallbacks:
    """The callbacks of a run.

    Args:
        resume: writes checkpoints, and resumes from the newest.
        board: writes TensorBoard's event files.
        logger: shows progress.
        stop: stops at full accuracy; None if not configured.
        best: stops at no improvement, or keeps the best weights; None if
            neither is configured.
        margins: measures the margins of training examples; None if not
            configured.
        feedback: feeds back what is wrong; None if not configured.
        prover: stops at a proof; None if not configured.
        tracker: sends the run to a tracker; None if not configured.
        in_order: all callbacks, in the order in which `fit` gets them.
        has_custom: whether some of them are the user's.
    """

    resume: ExactResume
    board: TensorBoard
    logger: ProgressLogger
    stop: StopAtFullAccuracy | None
    best: keras.callbacks.EarlyStopping | None
    margins: AreaUnderMargin | None
    feedback: Feedback | None
    prover: StopAtProof | None
    tracker: Tracker | None
    in_order: list[keras.callbacks.Callback]
    has_custom: bool

    @contextlib.contextmanager
    def recording(self) -> Iterator[None]:
        """Write all figures at the end of a block, and end the tracked run."""
        with self.tracker or contextlib.nullcontext():
            try:
                yield
            except BaseException:
                # The failure of the block counts, not that of a picture.
                with contextlib.suppress(Exception):
                    self.board.finish_figures()
                raise
            self.board.finish_figures()

    def stop_reason(self, all_epochs: bool, proved: bool) -> StopReason:
        """Return the reason why training stopped.

        Args:
            all_epochs: whether all epochs were run.
            proved: whether the trained weights are proved. Another callback
                may have changed them after a proof was found.
        """
        prover = self.prover
        if proved and prover is not None and prover.stopped_epoch is not None:
            return StopReason.PROVED
        for callback, reason in (
            (self.feedback, StopReason.NOTHING_WRONG),
            (self.stop, StopReason.FULL_ACCURACY),
        ):
            if callback is not None and callback.stopped_epoch is not None:
                return reason
        if self.best is not None and self.best.stopped_epoch:
            return StopReason.NO_IMPROVEMENT
        return StopReason.ALL_EPOCHS if all_epochs else StopReason.CALLBACK


def make_callbacks(
    config: Config,
    splits: Splits,
    folder: RunFolder,
    checkpoints: pathlib.Path,
    callbacks: Sequence[keras.callbacks.Callback],
    preemption: PreemptionHandler,
    progress: ProgressOptions,
) -> RunCallbacks:
    """Make the callbacks of a run.

    Args:
        config: the run's configuration.
        splits: the task's examples.
        folder: the run folder to write to.
        checkpoints: the folder of the checkpoints, which all workers read.
        callbacks: the user's callbacks, which come last.
        preemption: tells after each step whether a signal has come.
        progress: options of the progress display.

    Returns:
        The callbacks.

    Raises:
        InputError: if the data lacks a split that an option needs, or the
            configuration is too long to be read again.
    """
    training = config.training
    stop = _make_stop(config, splits)
    best = _make_best(config, splits)
    margins = None
    if training.suspicious:
        margins = AreaUnderMargin(make_dataset(splits.train, _MEASURED))
    validation = splits.validation
    logger = ProgressLogger(
        progress.log_every_steps,
        progress.quiet,
        None if validation is None else validation.num_examples,
    )
    feedback = _make_feedback(config, splits, logger)
    prover = _make_prover(config, logger, best)
    board = TensorBoard(
        folder.path,
        make_diagnostics(config.task, splits.validation, config.seed),
        _hparams(config),
        profile_batch=progress.profile_steps or 0,
    )
    averaging = (
        keras.callbacks.SwapEMAWeights() if training.ema_fraction else None
    )
    # Averaging comes first: callbacks that check see the averaged weights.
    core_callbacks = [
        callback
        for callback in (averaging, stop, best, margins, feedback, prover)
        if callback is not None
    ]
    history = HistoryWriter(folder.history)
    tracker = _make_tracker(config, folder, progress.quiet)
    tracked = [] if tracker is None else [tracker]
    stateful = [*core_callbacks, history, logger, board, *tracked, *callbacks]
    resume = ExactResume(
        checkpoints,
        stateful,
        training.checkpoint_every_steps,
        training.checkpoint_every_seconds,
        preemption=preemption,
        options=config.to_flat(),
        verbose=not progress.quiet,
    )
    writer = _config_writer(folder, config)
    in_order = [RaiseOnNonFinite(), resume, writer, *stateful]
    return RunCallbacks(
        *(resume, board, logger, stop, best, margins, feedback, prover),
        *(tracker, in_order, bool(callbacks)),
    )


def _config_writer(
    folder: RunFolder, config: Config
) -> keras.callbacks.Callback:
    """Return a callback that writes `config.yaml`.

    It writes after the first checkpoint: a configuration in a run folder says
    that there is something to resume.

    Raises:
        InputError: if it would be too long to be read again.
    """
    path, text = folder.config, config.to_yaml()
    size = len(text.encode())
    if size > MAX_TEXT:
        options = config.to_flat()
        largest = max(options, key=lambda name: len(str(options[name])))
        raise InputError(
            f"`{largest}` must be shorter: a configuration must have at most "
            f"{MAX_TEXT:,} bytes to be read again. Received: {size:,} bytes, "
            f"{len(str(options[largest]).encode()):,} of them {largest}"
        )

    def write(epoch: int, logs: dict[str, float] | None) -> None:
        if not path.exists() or path.read_text("utf-8") != text:
            write_text(path, text)

    return keras.callbacks.LambdaCallback(on_epoch_begin=write)


def _hparams(config: Config) -> dict[str, Any]:
    """Return the options that tell runs apart in TensorBoard's table.

    These are a few main options, and all that differ from the preset, but for
    how steps are computed.
    """
    always = ("preset", "units", "num_layers", "learning_rate", "seed")
    preset = get_preset(config.preset, type(config.task)).to_flat()
    return {
        name: value
        for name, value in config.to_flat().items()
        if name in always
        or (
            value != preset.get(name)
            and name not in Execution._fields
            and len(str(value)) <= _MAX_HPARAM
        )
    }


def _make_stop(config: Config, splits: Splits) -> StopAtFullAccuracy | None:
    training = config.training
    if training.monitor is None:
        return None
    if training.monitor.startswith("val_"):
        _require_validation(splits, f"monitor={training.monitor}")
    return StopAtFullAccuracy(
        training.monitor, training.start_from_epoch, verbose=0
    )


def _make_best(
    config: Config, splits: Splits
) -> keras.callbacks.EarlyStopping | None:
    training = config.training
    if training.patience is None and not training.keep_best:
        return None
    watched = f"patience={training.patience}"
    if training.patience is None:
        watched = "keep_best=True"
    _require_validation(splits, watched)
    return keras.callbacks.EarlyStopping(
        "val_sequence_accuracy",
        patience=training.patience or training.epochs,
        mode="max",
        restore_best_weights=training.keep_best,
    )


def _require_validation(splits: Splits, received: str) -> None:
    """Refuse a task that declares a validation split and then gives none."""
    if splits.validation is None:
        raise InputError(
            f"`{received.split('=')[0]}` needs a validation part, which this "
            f"task lacks. Received: {received}"
        )


def _make_feedback(
    config: Config, splits: Splits, logger: ProgressLogger
) -> Feedback | None:
    training, machine = config.training, get_machine(config.task)
    if training.counterexamples_from_epoch is None:
        return None

    def show(
        epoch: int,
        num_wrong: int,
        num_examples: int,
        name: str,
        more: str = "",
    ) -> None:
        logger.note(
            "wrong",
            f"epoch {epoch + 1}: {num_wrong:,} of {num_examples:,}{name} "
            "are wrong",
            more,
        )

    def on_check(epoch: int, result: Verification) -> None:
        worst = ""
        if machine is not None and result.failures:
            worst = numbered_text(machine, result.failures[0].symbols)
            worst = f"the worst: {worst}"
        show(epoch, result.num_wrong, result.num_examples, "", worst)

    def on_mistakes(epoch: int, num_wrong: int) -> None:
        num_examples = splits.train.num_examples or 0
        show(epoch, num_wrong, num_examples, " training examples")

    options = (
        training.counterexample_fraction,
        training.counterexamples_from_epoch,
    )
    if machine is None:
        return RepeatMistakes(
            *(splits.train, *options), seed=config.seed, on_check=on_mistakes
        )
    return Counterexamples(
        machine, *options, seed=config.seed, on_check=on_check
    )


def _make_prover(
    config: Config,
    logger: ProgressLogger,
    best: keras.callbacks.EarlyStopping | None,
) -> StopAtProof | None:
    training, machine = config.training, get_machine(config.task)
    if training.prove_from_epoch is None or machine is None:
        return None

    def on_search(epoch: int, search: ProofSearch) -> None:
        proved = search.proof is not None
        found = "proved" if proved else f"no proof: {search.reason}"
        logger.note("proof", f"epoch {epoch + 1}: {found}")
        if proved and best is not None and best.restore_best_weights:
            # No epoch is better, whatever its accuracy.
            best.best_epoch = epoch
            best.best_weights = best.model.get_weights()

    return StopAtProof(machine, training.prove_from_epoch, on_search=on_search)


def _make_tracker(
    config: Config, folder: RunFolder, quiet: bool
) -> Tracker | None:
    """Make the tracker of the chief; other workers have none."""
    track = config.training.track
    if track is None or not leads_cluster(config.training.strategy):
        return None
    options = {
        name: value
        for name, value in config.to_flat().items()
        if len(str(value)) <= _MAX_HPARAM
    }
    return _TRACKERS[track](
        name=folder.path.resolve().name,
        options=public_options(options),
        verbose=0 if quiet else 1,
    )


def track_result(
    tracker: Tracker | None, config: Config, folder: RunFolder, report: Report
) -> None:
    """Send the result of a run and its files to its tracker.

    Of the files that the run reads, they have names without absolute paths.

    Args:
        tracker: the tracker; None if the run is not tracked.
        config: the run's configuration.
        folder: the run folder, with all files.
        report: the run's report.
    """
    if tracker is None:
        return
    values = {
        name: value
        for name, value in report.to_mapping().items()
        if isinstance(value, bool | int | float | str)
        and name not in ("task", "preset", "seed", "repaired_from")
    }
    with tempfile.TemporaryDirectory() as name:
        files = _public_copies(config, folder, report, pathlib.Path(name))
        tracker.add_result(values, files)


def _public_copies(
    config: Config, folder: RunFolder, report: Report, target: pathlib.Path
) -> Iterator[pathlib.Path]:
    """Make copies of a run's files for others, and yield their paths."""
    copies = RunFolder(target)
    shutil.copyfile(folder.model, copies.model)
    yield copies.model
    texts = {
        copies.report: public_report(report).to_json(),
        copies.config: public_yaml(config),
    }
    # A run is complete without its page.
    if folder.page.exists():
        page = folder.page.read_text("utf-8")
        texts[copies.page] = public_text(page, config, folder.path)
    for path, text in texts.items():
        write_text(path, text)
        yield path
