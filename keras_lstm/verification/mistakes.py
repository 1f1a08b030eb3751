"""Wrong predictions on a test split, decoded, and how many by length."""

import csv
import io
import shutil
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from keras_lstm.core.console import percent
from keras_lstm.core.errors import escaped
from keras_lstm.tasks.task import Split, Task
from keras_lstm.verification.evaluation import Evaluation, without_padding

NUM_MISTAKES = 20
_NUM_SKETCHES = 6
_MAX_LISTED = 100_000
_BATCH = 1024
_NUM_LENGTHS = 8


def class_labels(task: Task) -> list[Any]:
    """Return the names of a task's classes, or else their numbers."""
    return list(task.class_names or range(task.num_classes))


def mistakes(
    task: Task, split: Split | None, result: Evaluation, most: int
) -> list[dict[str, Any]]:
    """Return the most confident mistakes as mappings for JSON.

    Args:
        task: the model's task.
        split: the examples; None if they are from no lines of a file.
        result: the model's predictions.
        most: the largest number of mistakes.

    Returns:
        For each its index, its line in the file if it is from one, the right
        class, the predicted one, and the confidence; for several outputs,
        lists of classes and the largest confidence.
    """
    names = class_labels(task)
    lines = None if split is None else split.lines
    return [
        {
            "index": int(index),
            **({} if lines is None else {"line": int(lines[index])}),
            "class": _named(result.targets[index], index, result, names),
            "prediction": _named(
                result.predictions[index], index, result, names
            ),
            "confidence": _confidence(result, index),
        }
        for index in result.confident_mistakes()[:most]
    ]


def _confidence(result: Evaluation, index: np.int64) -> float:
    """Return the largest confidence of an example's wrong outputs."""
    is_wrong = result.predictions[index] != result.targets[index]
    return float(np.where(is_wrong, result.confidences[index], 0.0).max())


def mistakes_csv(task: Task, split: Split, result: Evaluation) -> str:
    """Return the wrong examples as CSV, the most confident first.

    Args:
        task: the model's task.
        split: the examples.
        result: the model's predictions.

    Returns:
        A header, and for each mistake, up to 100,000, a line with the line in
        the file, the input, the target, the prediction and the confidence. Of
        examples from no lines of a file, the input is their place in the
        split, such as "image 7", and there are no lines.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = ["line", "input", "target", "prediction", "confidence"]
    writer.writerow(columns[split.lines is None :])
    found = mistakes(task, split, result, _MAX_LISTED)
    for first in range(0, len(found), _BATCH):
        part = found[first : first + _BATCH]
        for mistake, cells in zip(
            part, _inputs(task, split, part), strict=True
        ):
            writer.writerow(
                [
                    *cells,
                    *map(_text, (mistake["class"], mistake["prediction"])),
                    f"{mistake['confidence']:.6g}",
                ]
            )
    return text.getvalue()


def suspicious_csv(
    task: Task,
    split: Split,
    model: keras.Model,
    margins: npt.NDArray[np.float64],
) -> str:
    """Return the training examples of the lowest margins as CSV, those first.

    Args:
        task: the model's task.
        split: the training examples.
        model: the trained model.
        margins: the mean margin of each example, in the order of
            `split.in_order`.

    Returns:
        A header, and for each of at most a tenth of the examples a line with
        its index, its line in the file if it is from one, the input, the
        target, the model's prediction and the mean margin.
    """
    places = split.in_order
    lowest = np.argsort(margins, kind="stable")[: -(-len(margins) // 10)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = ("index", "line", "input", "target", "prediction", "margin")
    writer.writerow(columns)
    names = class_labels(task)
    for first in range(0, len(lowest), _BATCH):
        part = lowest[first : first + _BATCH]
        indices = places[part]
        inputs, targets = (np.asarray(x) for x in split.batch(indices))
        if split.lengths is not None:
            targets = without_padding(targets, split.lengths[indices])
        logits = np.asarray(model(inputs, training=False))
        result = Evaluation.of(targets, logits)
        for row, index in enumerate(indices):
            described = (
                _named(classes[row], np.int64(row), result, names)
                for classes in (result.targets, result.predictions)
            )
            writer.writerow(
                [
                    int(index),
                    "" if split.lines is None else int(split.lines[index]),
                    "\n".join(task.sketch(inputs[row])),
                    *map(_text, described),
                    f"{margins[part[row]]:.6g}",
                ]
            )
    return text.getvalue()


def mistakes_text(task: Task, split: Split, result: Evaluation) -> list[str]:
    """Return the most confident mistakes as lines of text.

    Args:
        task: the model's task.
        split: the examples.
        result: the model's predictions.

    Returns:
        The lines; none without mistakes.
    """
    found = mistakes(task, split, result, _NUM_SKETCHES)
    if not found:
        return []
    return mistake_lines(found, _sketches(task, split, found))[:-1]


def _inputs(
    task: Task, split: Split, found: list[dict[str, Any]]
) -> list[list[Any]]:
    """Return the line and the input of each mistake, or else its place."""
    if split.lines is None:
        return [[f"{task.example_label} {each['index']}"] for each in found]
    sketches = _sketches(task, split, found)
    return [
        [each["line"], "\n".join(sketch)]
        for each, sketch in zip(found, sketches, strict=True)
    ]


def _sketches(
    task: Task, split: Split, found: list[dict[str, Any]]
) -> list[list[str]]:
    """Return a sketch of the input of each mistake."""
    indices = np.array([each["index"] for each in found], np.int64)
    inputs, _ = split.batch(indices)
    return [task.sketch(one) for one in np.asarray(inputs)]


def _named(
    classes: npt.NDArray[np.int32],
    index: np.int64,
    result: Evaluation,
    names: list[Any],
) -> Any:
    """Return names for the classes of an example, one or one for each step."""
    ends = np.atleast_1d(result.targets[index]) >= 0
    found = [
        # -1 where a logit is NaN.
        names[each] if each >= 0 else None
        for each in np.atleast_1d(classes)[ends].tolist()
    ]
    return found if np.ndim(classes) else found[0]


def count_by_length(
    result: Evaluation, lengths: npt.NDArray[np.int64]
) -> list[dict[str, int]]:
    """Count wrong examples by length.

    Args:
        result: the model's predictions.
        lengths: number of steps of each example.

    Returns:
        Counts for ranges of lengths with about as many examples each.
    """
    order = np.argsort(lengths, kind="stable")
    edges = np.unique(
        lengths[
            order[np.linspace(0, len(order) - 1, _NUM_LENGTHS + 1).astype(int)]
        ]
    )
    wrong = (result.predictions != result.targets).reshape(len(lengths), -1)
    groups = np.searchsorted(edges[1:-1], lengths, "left")
    return [
        {
            "min_length": int(lengths[chosen].min()),
            "max_length": int(lengths[chosen].max()),
            "num_examples": int(chosen.sum()),
            "num_wrong": int(wrong[chosen].any(1).sum()),
        }
        for chosen in (groups == group for group in np.unique(groups))
    ]


def _text(classes: Any) -> str:
    """Return one class, or those of all steps, as text."""
    several = isinstance(classes, list)
    return " ".join(map(str, classes)) if several else str(classes)


def mistake_lines(
    mistakes: list[dict[str, Any]], sketches: list[list[str]]
) -> list[str]:
    """Return the first mistakes as lines of text.

    Args:
        mistakes: what `mistakes` returned.
        sketches: a sketch of each mistake's input; see `Task.sketch`.

    Returns:
        Lines, with the mistakes side by side if they fit the terminal; none
        without mistakes.
    """
    blocks = []
    for mistake, sketch in zip(
        mistakes[:_NUM_SKETCHES], sketches[:_NUM_SKETCHES], strict=True
    ):
        classes = (
            f"{_text(mistake['class'])}, said {_text(mistake['prediction'])}"
        )
        caption = f"{classes} ({percent(round(mistake['confidence'], 4))})"
        # Escaped first: what is escaped is wider.
        lines = [escaped(line) for line in (*sketch, caption)]
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
