"""Results of a finished run, as files and as text."""

import contextlib
import dataclasses
import functools
import pathlib
import platform
import textwrap
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from keras_lstm.config import Config
from keras_lstm.core.console import quantity
from keras_lstm.core.drawing import Drawing, png_of
from keras_lstm.core.files import replacing
from keras_lstm.core.version import __version__
from keras_lstm.monitoring.pictures import plot_curves
from keras_lstm.monitoring.plots import machine_plot, proof_plot
from keras_lstm.proof.search import ProofSearch
from keras_lstm.runs.folder import RunFolder
from keras_lstm.runs.model_file import save_model
from keras_lstm.runs.report import Report, stop_text
from keras_lstm.tasks.task import Task
from keras_lstm.tasks.transducer import get_machine
from keras_lstm.verification.final_check import FinalCheck
from keras_lstm.verification.proof_reporting import proof_text


@dataclasses.dataclass(frozen=True)
class TrainResult:
    """Result of a run.

    Args:
        run_dir: the run folder.
        model: the trained model, uncompiled, as it was saved.
        history: the history of `fit`: by metric, a value per epoch.
        final: the final check.
        proof: the last search for a proof; None if there was none.
        report: the contents of `report.json`.
    """

    run_dir: pathlib.Path
    model: keras.Model
    history: dict[str, list[float]]
    final: FinalCheck
    proof: ProofSearch | None
    report: Report

    @property
    def check(self) -> Any:
        """Result of the final check, a `Verification` or an `Evaluation`."""
        return self.final.result


def versions() -> dict[str, str]:
    """Return the versions of Python and the packages, by name."""
    return {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "keras_lstm": __version__,
    }


def write_results(
    folder: RunFolder,
    result: TrainResult,
    task: Task,
    texts: Mapping[pathlib.Path, str] | None = None,
    curves: Drawing[bytes] | None = None,
) -> TrainResult:
    """Write all files of a result, or none.

    Args:
        folder: the run folder.
        result: the result to write.
        task: the task, for the texts that `model.keras` reads.
        texts: the contents of other files to write with them, by path.
        curves: what `curves_drawing` returned, if it began earlier.

    Returns:
        The result, with the SHA-256 of `model.keras` in its report.

    Raises:
        OSError: if a file cannot be written.
        RunError: if `model.keras` does not hold the model's weights.
    """
    with contextlib.ExitStack() as stack:

        def place(path: pathlib.Path) -> pathlib.Path:
            return stack.enter_context(replacing(path))

        def write(path: pathlib.Path, text: str) -> None:
            place(path).write_text(text, encoding="utf-8")

        # Files are moved into place in reverse order, so the report comes
        # last: the files that it describes exist.
        path_of_report = place(folder.report)
        for path, text in (texts or {}).items():
            write(path, text)
        write(folder.failures, result.final.failures)
        curves = curves or curves_drawing(result.history)
        place(folder.curves).write_bytes(curves.result)
        digest = save_model(result.model, place(folder.model), task)
        if result.proof is not None and result.proof.proof is not None:
            write(folder.proof, result.proof.proof.to_json())
        report = dataclasses.replace(result.report, model_sha256=digest)
        path_of_report.write_text(report.to_json(), encoding="utf-8")
        folder.remove_results()
    return dataclasses.replace(result, report=report)


def curves_drawing(history: Mapping[str, list[float]]) -> Drawing[bytes]:
    """Draw the losses and accuracies of a training, by epoch.

    Args:
        history: the history of `fit`.

    Returns:
        The contents of `curves.png`.
    """
    plot = functools.partial(plot_curves, dict(history))
    return Drawing(plot, png_of)


def show_proof(
    board: Any,
    config: Config,
    model: keras.Model,
    search: ProofSearch | None,
    history: Mapping[str, list[float]],
) -> None:
    """Add pictures of a proof, if there is one, to TensorBoard.

    Args:
        board: the run's `TensorBoard` callback.
        config: the run's configuration.
        model: the model.
        search: the last search for a proof; None if there was none.
        history: the history of `fit`.
    """
    machine = get_machine(config.task)
    if machine is None or search is None or search.proof is None:
        return
    proof, epoch = search.proof, len(history["loss"]) - 1
    board.write_figure("proof", proof_plot(model, machine, proof), epoch)
    board.write_figure("machine", machine_plot(model, machine, proof), epoch)


def show_outcome(board: Any, config: Config, result: TrainResult) -> None:
    """Add the outcome of a run to TensorBoard, as text.

    Args:
        board: the run's `TensorBoard` callback.
        config: the run's configuration.
        result: the run's result.
    """
    text = outcome_text(config, result)
    # Four spaces make it a code block in Markdown.
    text = textwrap.indent(text, "    ")
    board.write_text("result", text, result.report.epochs - 1)


def outcome_text(config: Config, result: TrainResult) -> str:
    """Return the outcome of the proof search, if any, and of the check."""
    machine = get_machine(config.task)
    if machine is None or result.proof is None:
        return result.final.text
    proved = proof_text(machine, result.proof, str(result.report.model_sha256))
    text = f"{proved}\n{result.final.text}"
    if result.report.taught_by == "construction":
        return (
            "Examples led to no proof: the weights were set from the machine.\n"
            f"{text}"
        )
    return text


def result_text(config: Config, result: TrainResult) -> str:
    """Return a finished run's result as text for standard output."""
    seconds = result.report.seconds
    return "\n".join(
        [
            outcome_text(config, result),
            trained_text(config, result.report),
            f"Seconds: {seconds.import_:.1f} importing, {seconds.build:.1f} "
            f"building, {seconds.train:.1f} training, {seconds.check:.1f} "
            "checking.",
            f"Run folder: {result.run_dir}",
        ]
    )


def trained_text(config: Config, report: Report) -> str:
    """Return what a run trained on and why it stopped, as a sentence."""
    distinct = report.distinct_training_examples
    reason = stop_text(report.stopped_because, config.training.monitor)
    return (
        f"Trained on {quantity(report.training_examples, 'example')}"
        + (f", {distinct:,} of them distinct" if distinct else "")
        + f", in {quantity(report.optimizer_steps, 'step')}; "
        f"stopped because {reason}."
    )
