"""The model card of a run, `README.md`, with the metadata of model hubs."""

import pathlib
from typing import Any

import keras
import yaml

from keras_lstm.core.console import percent, print_status
from keras_lstm.core.files import read_small_text, write_text
from keras_lstm.core.markdown import markdown_text
from keras_lstm.core.shell import shell_text, typed_words
from keras_lstm.models.text_input import with_text_input
from keras_lstm.pages.live_network import example_inputs
from keras_lstm.pages.render import render_text, shortened
from keras_lstm.pages.result_sentences import headline, sentences
from keras_lstm.pages.sections import Search
from keras_lstm.runs.public_config import public_options
from keras_lstm.runs.report import Report
from keras_lstm.runs.results import trained_text
from keras_lstm.runs.run import Run
from keras_lstm.tasks.registry import task_name
from keras_lstm.tasks.task import Task
from keras_lstm.tasks.transducer import get_machine
from keras_lstm.verification.proof_reporting import proved_text, states_text

# Tells a card from a README that somebody else wrote into the folder.
_MARKER = "<!-- Made by keras-lstm from this folder's config.yaml. -->"
_MAX_CARD = 2**20
_MAX_NAMES = 500


def write_card(run: Run, search: Search | None) -> None:
    """Write the model card of a run into its folder.

    Args:
        run: the run, whose other files are there.
        search: the proof, which holds for the run's model; None without one.

    Raises:
        OSError: if the card cannot be written.
    """
    path = run.folder.card
    if path.exists() and not is_card(path):
        print_status(f"{path.name} is no model card made here, and was kept")
        return
    write_text(path, make_card(run, search))


def is_card(path: pathlib.Path) -> bool:
    """Return whether a file is a model card that was made here."""
    try:
        return _MARKER in read_small_text(path, _MAX_CARD)
    except (OSError, ValueError):
        return False


def make_card(run: Run, search: Search | None) -> str:
    """Return the model card of a run as Markdown.

    It names no path, only names of files.

    Args:
        run: see `write_card`.
        search: likewise.

    Returns:
        The text, with metadata in YAML that model hubs read.
    """
    task, report = run.config.task, run.report
    machine = get_machine(task)
    is_proved = search is not None and search.proof is not None
    proof = (
        "There is none: nothing is claimed about inputs that were not checked."
    )
    if machine is None:
        proof = "None is possible: the task is defined by examples."
    elif search is not None and is_proved:
        proof = (
            f"{proved_text(machine)} {states_text(search)} proof.json holds "
            "the proof; `keras-lstm prove .` checks it."
        )
    name = task_name(type(task))
    # The file reads texts if people write them.
    model = with_text_input(run.model, task)
    return render_text(
        "card.md.jinja",
        {"md": markdown_text},
        metadata=_metadata(run),
        marker=_MARKER,
        name=markdown_text(run.run_dir.resolve().name),
        headline=headline(run, search),
        sentences=sentences(run, search),
        task_text=_task_text(task, name),
        facts=_facts(run, model),
        results=_results(report),
        baselines=", ".join(
            f"{each.replace('_', ' ')} {percent(value)}"
            for each, value in (report.baselines or {}).items()
        ),
        proof=proof,
        limits=_limits(run, is_proved),
        example=_example(run, model),
        library=(
            "tensorflow as tf"
            if model.inputs[0].dtype == "string"
            else "numpy as np"
        ),
        typed=shell_text(typed_words(example_inputs(run))),
        check="evaluate" if machine is None else "verify",
        model_sha256=run.model_sha256,
        trained=trained_text(run.config, report),
        versions=report.versions,
    )


def _metadata(run: Run) -> str:
    """Return the metadata of model hubs, as YAML.

    Source: https://huggingface.co/docs/hub/model-cards#model-card-metadata
    """
    task, report = run.config.task, run.report
    name = task_name(type(task))
    kind = _hub_task(task)
    metrics = [
        {"type": "accuracy", "name": label, "value": value}
        for label, value in (
            ("sequence accuracy", report.sequence_accuracy),
            ("token accuracy", report.token_accuracy),
        )
    ]
    result = {
        "task": {"type": kind or "other"},
        "dataset": {"type": name, "name": f"{name}: {report.checked}"},
        "metrics": metrics,
    }
    content: dict[str, Any] = {
        "library_name": "keras",
        "tags": ["keras", "lstm", "keras-lstm"],
    }
    if kind is not None:
        content["pipeline_tag"] = kind
    content["metrics"] = ["accuracy"]
    content["model-index"] = [
        {"name": run.run_dir.resolve().name, "results": [result]}
    ]
    text: str = yaml.safe_dump(content, sort_keys=False, allow_unicode=False)
    return text


def _hub_task(task: Task) -> str | None:
    """Return the model hubs' name for a kind of task; None without one."""
    if get_machine(task) is not None:
        return None
    if task.inputs_are_images:
        return "image-classification"
    if task.token_kind is None:
        return None
    return (
        "token-classification" if task.output_shape else "text-classification"
    )


def _task_text(task: Task, name: str) -> str:
    machine = get_machine(task)
    if machine is not None:
        return (
            f"{name}: symbol by symbol, the model reads one "
            f"{machine.input_name} and answers {machine.target_name}."
        )
    return (
        f"{name}: the model reads {task.example_label}s {task.step_label} by "
        f"{task.step_label} and names one of {task.num_classes:,} classes."
    )


def _facts(run: Run, model: keras.Model) -> list[tuple[str, str]]:
    """Return facts about the data and the model, as labels and values."""
    task, report = run.config.task, run.report
    found = [
        ("inputs", _shape_text(model.input_shape)),
        ("logits", _shape_text(model.output_shape)),
        ("parameters", f"{report.num_parameters:,}"),
    ]
    options = public_options(task.to_mapping())
    found += [
        (option.replace("_", " "), str(options[option]))
        for option in task.data_options
        if options[option] is not None
    ]
    names = task.class_names
    if names is not None:
        found.append(("classes", shortened(", ".join(names), _MAX_NAMES)))
    digest = getattr(task, "data_sha256", None)
    if digest is not None:
        found.append(("SHA-256 of the data", digest))
    return found


def _results(report: Report) -> list[list[str]]:
    """Return rows of the table of results."""
    rows = [
        [
            report.checked,
            f"{report.num_examples:,}",
            f"{report.num_wrong:,}",
            percent(report.sequence_accuracy),
            percent(report.token_accuracy),
        ]
    ]
    is_part = report.test_num_examples != report.num_examples
    if report.test_num_examples and is_part:
        wrong, count = report.test_num_wrong or 0, report.test_num_examples
        right = percent((count - wrong) / count)
        rows.append(
            ["held out from training", f"{count:,}", f"{wrong:,}", right, ""]
        )
    return rows


def _limits(run: Run, is_proved: bool) -> list[str]:
    """Return what the result does not say."""
    report, machine = run.report, get_machine(run.config.task)
    found = []
    if machine is None:
        found.append(
            "The accuracy is that of the test split; it says nothing about "
            "data of another origin."
        )
    elif is_proved:
        found.append(
            "The proof is about this model in float32 on a CPU, not compiled "
            "by XLA: other hardware and exported formats may round differently."
        )
    else:
        found.append(
            f"Checked at {machine.num_bits:,} symbols ({report.checked}); "
            "other lengths were not."
        )
    if report.taught_by == "construction":
        found.append(
            "The weights were set from the machine, not learned from examples."
        )
    if report.num_wrong:
        found.append(
            f"{report.num_wrong:,} of {report.num_examples:,} answers are "
            "known to be wrong."
        )
    return found


def _example(run: Run, model: keras.Model) -> str:
    """Return Python code for one input of the model."""
    dtype, length = model.inputs[0].dtype, run.config.task.input_shape[0]
    shape = [size or length or 1 for size in model.input_shape[1:]]
    if dtype != "string":
        return f'np.zeros({(1, *shape)}, "{dtype}")'
    text = example_inputs(run)[0]
    value = [text.split()] if shape else [text]
    return f"tf.constant({value!r})"


def _shape_text(shape: tuple[int | None, ...]) -> str:
    sizes = ["any" if size is None else str(size) for size in shape[1:]]
    return f"({', '.join(['batch_size', *sizes])})"
