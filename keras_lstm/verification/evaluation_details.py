"""Results on a test split by class and by time step, for people to read."""

from typing import Any

import numpy as np
import numpy.typing as npt

from keras_lstm.core.console import percent, share_of
from keras_lstm.core.errors import escaped
from keras_lstm.tasks.task import Split, Task
from keras_lstm.verification.evaluation import Evaluation
from keras_lstm.verification.mistakes import (
    NUM_MISTAKES,
    class_labels,
    count_by_length,
    mistake_lines,
    mistakes,
)

_SHOWN_STEPS = 8
# Of more classes, the most frequent confusions are shown, not all of them.
_MAX_MATRIX = 20


def evaluation_details(
    result: Evaluation,
    by_step: npt.NDArray[np.float64] | None,
    task: Task,
    split: Split | None = None,
) -> dict[str, Any]:
    """Return the details of an evaluation as a mapping for JSON.

    Args:
        result: the model's predictions.
        by_step: the fraction of examples predicted right after each time
            step, `(timesteps,)`; None if the model has an output at every
            step anyway.
        task: the model's task.
        split: the examples; None if they have one length and are from no
            lines of a file. Defaults to None.

    Returns:
        The counts; the accuracy with its 95% confidence interval (Wilson,
        1927); precision, recall and count by class; the confusion matrix
        (rows are targets); the most confident mistakes; and the accuracy by
        number of steps read, or by length if lengths differ.
    """
    # scikit-learn and `scipy.stats` take a second to import.
    from scipy.stats import binomtest
    from sklearn.metrics import (
        confusion_matrix,
        precision_recall_fscore_support,
    )

    right = result.num_examples - result.num_wrong
    interval = binomtest(right, result.num_examples).proportion_ci(
        confidence_level=0.95, method="wilson"
    )
    classes = list(range(task.num_classes))
    is_output = result.targets >= 0
    targets, predictions = (
        labels[is_output] for labels in (result.targets, result.predictions)
    )
    names = class_labels(task)
    precision, recall, _, counts = precision_recall_fscore_support(
        targets, predictions, labels=classes, zero_division=np.nan
    )
    details = {
        "num_examples": result.num_examples,
        "num_wrong": result.num_wrong,
        "sequence_accuracy": share_of(right, result.num_examples),
        "interval_95": [float(interval.low), float(interval.high)],
        "by_class": [
            {
                "class": names[label],
                "num_examples": int(counts[label]),
                "precision": _share(precision[label]),
                "recall": _share(recall[label]),
            }
            for label in classes
        ],
        "confusion": confusion_matrix(
            targets, predictions, labels=classes
        ).tolist(),
        "mistakes": mistakes(task, split, result, NUM_MISTAKES),
    }
    if by_step is not None:
        details[_by_step_name(task)] = [float(x) for x in by_step]
    if split is not None and split.lengths is not None:
        details["by_length"] = count_by_length(result, split.lengths)
    return details


def _share(value: float) -> float | None:
    """Return a share; None if it is one of nothing."""
    return None if np.isnan(value) else float(value)


def share_text(share: float | None) -> str:
    """Return the text of a class's precision or recall.

    Args:
        share: the number, None if there is none.
    """
    return "-" if share is None else percent(share)


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
    lines = mistake_lines(report["mistakes"], sketches)
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
    if groups := report.get("by_length"):
        lines += ["", *_length_lines(groups, task)]
    labels = [escaped(str(row["class"])) for row in report["by_class"]]
    width = max(5, *map(len, labels))
    lines += ["", f"{'class':>{width}} {'count':>8}  precision   recall"]
    lines += [
        f"{label:>{width}} {row['num_examples']:>8,}   "
        f"{share_text(row['precision']):>8} {share_text(row['recall']):>8}"
        for label, row in zip(labels, report["by_class"], strict=True)
    ]
    lines += ["", *_confusion_lines(np.array(report["confusion"]), labels)]
    return "\n".join(lines)


def _length_lines(groups: list[dict[str, int]], task: Task) -> list[str]:
    """Return the accuracy by length as a table."""
    heading = f"{task.step_label}s"
    lines = [f"{heading:>9} {'count':>8}    right"]
    for group in groups:
        low, high = group["min_length"], group["max_length"]
        lengths = f"{low}" if low == high else f"{low}-{high}"
        count = group["num_examples"]
        right = (count - group["num_wrong"]) / count
        lines.append(
            f"{lengths:>9} {group['num_examples']:>8,} {percent(right):>8}"
        )
    return lines


def _confusion_lines(
    matrix: npt.NDArray[np.int64], labels: list[str]
) -> list[str]:
    """Return the confusion matrix, or of many classes its largest entries."""
    if len(labels) > _MAX_MATRIX:
        wrong = matrix * ~np.eye(len(matrix), dtype=bool)
        order = np.argsort(-wrong, axis=None, kind="stable")[:_MAX_MATRIX]
        places = [np.unravel_index(place, matrix.shape) for place in order]
        return ["The most frequent confusions:"] + [
            f"{matrix[right, said]:>8,}  {labels[right]}, said {labels[said]}"
            for right, said in places
            if wrong[right, said]
        ]
    left = max(map(len, labels))
    width = max(len(str(matrix.max())), left) + 2
    header = "".join(f"{label:>{width}}" for label in labels)
    return ["Right class down, prediction across:", " " * left + header] + [
        f"{label:>{left}}"
        + "".join(f"{count or '.':>{width}}" for count in row)
        for label, row in zip(labels, matrix.tolist(), strict=True)
    ]
