"""Results on a test split by class and by time step, for people to read."""

import shutil
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from keras_lstm.core.console import percent
from keras_lstm.tasks.task import Task
from keras_lstm.verification.evaluation import Evaluation

_NUM_SKETCHES = 6
NUM_MISTAKES = 20
_SHOWN_STEPS = 8


def evaluation_details(
    result: Evaluation, by_step: npt.NDArray[np.float64] | None, task: Task
) -> dict[str, Any]:
    """Return the details of an evaluation as a mapping for JSON.

    Args:
        result: the model's predictions.
        by_step: the fraction of examples predicted right after each time
            step, `(timesteps,)`; None if the model has an output at every
            step anyway.
        task: the model's task.

    Returns:
        The counts; the accuracy with its 95% confidence interval (Wilson,
        1927); precision, recall and count by class; the confusion matrix
        (rows are targets); the most confident mistakes; and the accuracy by
        number of steps read.
    """
    right = result.num_examples - result.num_wrong
    interval = binomtest(right, result.num_examples).proportion_ci(
        confidence_level=0.95, method="wilson"
    )
    classes = list(range(task.num_classes))
    targets, predictions = (
        labels.reshape(-1) for labels in (result.targets, result.predictions)
    )
    precision, recall, _, counts = precision_recall_fscore_support(
        targets, predictions, labels=classes, zero_division=0.0
    )
    details = {
        "num_examples": result.num_examples,
        "num_wrong": result.num_wrong,
        "sequence_accuracy": right / result.num_examples,
        "interval_95": [float(interval.low), float(interval.high)],
        "by_class": [
            {
                "class": label,
                "num_examples": int(counts[label]),
                "precision": float(precision[label]),
                "recall": float(recall[label]),
            }
            for label in classes
        ],
        "confusion": confusion_matrix(
            targets, predictions, labels=classes
        ).tolist(),
        "mistakes": [
            {
                "index": int(index),
                "class": result.targets[index].tolist(),
                "prediction": result.predictions[index].tolist(),
                "confidence": float(result.confidences[index].max()),
            }
            for index in result.confident_mistakes()[:NUM_MISTAKES]
        ],
    }
    if by_step is not None:
        details[_by_step_name(task)] = [float(x) for x in by_step]
    return details


def _by_step_name(task: Task) -> str:
    return f"accuracy_by_{task.step_label}s"


def evaluation_details_text(
    report: dict[str, Any], sketches: list[list[str]], task: Task
) -> str:
    """Return the details of an evaluation as text, mistakes first.

    Args:
        report: the mapping that `evaluation_details` returned.
        sketches: a sketch of each mistake's input; see `Task.sketch`.
        task: the model's task.

    Returns:
        Lines, with as many sketches side by side as fit the terminal.
    """
    low, high = report["interval_95"]
    lines = _mistakes(report["mistakes"], sketches)
    examples = f"{task.example_label}s"
    lines += [
        f"{percent(report['sequence_accuracy'])} of "
        f"{report['num_examples']:,} {examples} are right: "
        f"{report['num_wrong']:,} are wrong. "
        f"95% interval: {percent(low)} to {percent(high)}.",
    ]
    if fractions := report.get(_by_step_name(task)):
        heading = f"{task.step_label}s read"
        lines += ["", f"{heading}   right"]
        shown = np.linspace(
            1, len(fractions), min(_SHOWN_STEPS, len(fractions))
        )
        lines += [
            f"{steps:>{len(heading)}}   {percent(fractions[steps - 1])}"
            for steps in shown.astype(int).tolist()
        ]
    lines += ["", f"class {examples:>8}  precision   recall"]
    lines += [
        f"{row['class']:>5} {row['num_examples']:>8,}   "
        f"{percent(row['precision']):>8} {percent(row['recall']):>8}"
        for row in report["by_class"]
    ]
    matrix = np.array(report["confusion"])
    width = len(str(matrix.max())) + 2
    header = "".join(f"{label:>{width}}" for label in range(len(matrix)))
    lines += ["", "Right class down, prediction across:", f"   {header}"]
    lines += [
        f"{label:>3}" + "".join(f"{count or '.':>{width}}" for count in row)
        for label, row in enumerate(matrix.tolist())
    ]
    return "\n".join(lines)


def _mistakes(
    mistakes: list[dict[str, Any]], sketches: list[list[str]]
) -> list[str]:
    """Return lines with the first mistakes, side by side if they fit."""
    blocks = []
    for mistake, sketch in zip(
        mistakes[:_NUM_SKETCHES], sketches[:_NUM_SKETCHES], strict=True
    ):
        classes = f"{mistake['class']}, said {mistake['prediction']}"
        caption = f"{classes} ({percent(round(mistake['confidence'], 4))})"
        lines = [*sketch, caption]
        width = max(map(len, lines)) + 3
        blocks.append([line.ljust(width) for line in lines])
    if not blocks:
        return []
    lines = ["The most confident mistakes:"]
    across = max(1, shutil.get_terminal_size().columns // len(blocks[0][0]))
    for first in range(0, len(blocks), across):
        band = zip(*blocks[first : first + across], strict=True)
        lines += ["".join(parts).rstrip() for parts in band]
        lines.append("")
    return lines
