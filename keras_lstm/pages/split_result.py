"""Results on a test split, for a page."""

import base64
import dataclasses
import functools
import io
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image

from keras_lstm.core.console import percent
from keras_lstm.pages.drawings import draw
from keras_lstm.pages.line_chart import plot_lines
from keras_lstm.pages.render import shortened
from keras_lstm.runs.run import Run
from keras_lstm.tasks.task import Split, Task
from keras_lstm.verification.evaluation import Evaluation
from keras_lstm.verification.evaluation_details import (
    evaluation_details,
    share_text,
)
from keras_lstm.verification.mistakes import mistakes

MAX_PICTURES = 100
_MAX_PICTURE_BYTES = 400_000
_MAX_NAME = 40
# Of more classes, a table would have too many columns to read.
_MAX_MATRIX = 20
_MAX_CLASSES = 100
_MAX_STEPS = 100


@dataclasses.dataclass(frozen=True)
class SplitResult:
    """A run's test split, and the model's predictions for it.

    Args:
        result: the predictions.
        split: the examples.
        by_step: the fraction of them that is right if the model stops after
            each time step, `(timesteps,)`; None if the model does not.
    """

    result: Evaluation
    split: Split
    by_step: npt.NDArray[np.float64] | None = None


def describe_split_result(run: Run, tested: SplitResult) -> dict[str, Any]:
    """Return the confusion matrix and the mistakes, for the template.

    Args:
        run: the run.
        tested: the predictions.

    Returns:
        The values, by name.
    """
    task = run.config.task
    details = evaluation_details(tested.result, None, task, tested.split)
    names = [
        shortened(str(row["class"]), _MAX_NAME) for row in details["by_class"]
    ]
    matrix = np.array(details["confusion"])
    wrong = matrix * ~np.eye(len(matrix), dtype=bool)
    low, high = details["interval_95"]
    found: dict[str, Any] = {
        "interval": f"{percent(low)} to {percent(high)}",
        "class_names": names,
        "by_class": [
            row
            | {
                "class": name,
                "precision": share_text(row["precision"]),
                "recall": share_text(row["recall"]),
            }
            for name, row in list(zip(names, details["by_class"], strict=True))[
                :_MAX_CLASSES
            ]
        ],
        "matrix": None,
        "confusions": _largest(matrix, wrong, names),
        "pictures": [],
        "by_step": None,
    }
    if tested.by_step is not None:
        found["by_step"] = _by_step(tested.by_step, task)
    if len(names) <= _MAX_MATRIX:
        most = max(1, int(wrong.max()))
        found["matrix"] = [
            [
                (int(count), round(int(wrong[row, column]) / most, 2))
                for column, count in enumerate(counts)
            ]
            for row, counts in enumerate(matrix)
        ]
    if task.inputs_are_images:
        found["pictures"] = _pictures(run, tested)
    return found


def _by_step(accuracies: npt.NDArray[np.float64], task: Task) -> dict[str, Any]:
    """Return the accuracy by steps read, drawn and as a table."""
    label, count = f"{task.step_label}s read", len(accuracies)
    rows = [
        {"name": str(step), "right": percent(share), "share": round(share, 4)}
        for step, share in enumerate(accuracies.tolist(), 1)
    ]
    chosen = sorted({max(1, round(count * k / 4)) for k in range(5)})
    said = ", ".join(f"{k}: {rows[k - 1]['right']}" for k in chosen)
    plot = functools.partial(
        plot_lines,
        range(1, count + 1),
        {"right": (100 * accuracies).tolist()},
        label,
        f"% of the test {task.example_label}s right",
    )
    alt = f"Curve of the accuracy by {label}. After {said}"
    return {
        "label": label,
        "drawn": draw(plot, "by-step", alt),
        "rows": rows[:_MAX_STEPS],
        "num_left": max(0, count - _MAX_STEPS),
    }


def _largest(
    matrix: npt.NDArray[np.int64],
    wrong: npt.NDArray[np.int64],
    names: list[str],
) -> list[tuple[str, str, int]]:
    """Return the most frequent confusions: right class, prediction, count."""
    order = np.argsort(-wrong, axis=None, kind="stable")[:_MAX_MATRIX]
    places = [np.unravel_index(place, matrix.shape) for place in order]
    return [
        (names[right], names[said], int(wrong[right, said]))
        for right, said in places
        if wrong[right, said]
    ]


def _pictures(run: Run, tested: SplitResult) -> list[dict[str, str]]:
    """Return the most confident mistakes as pictures with a caption."""
    task = run.config.task
    found = mistakes(task, None, tested.result, MAX_PICTURES)
    if not found:
        return []
    indices = np.array([each["index"] for each in found], np.int64)
    images, _ = tested.split.batch(indices)
    pictures: list[dict[str, str]] = []
    size = 0
    for each, image in zip(found, np.asarray(images), strict=True):
        pixels = np.clip(np.rint(image * 255), 0, 255).astype(np.uint8)
        file = io.BytesIO()
        PIL.Image.fromarray(pixels).save(file, "PNG", optimize=True)
        data = base64.b64encode(file.getvalue()).decode()
        size += len(data)
        if size > _MAX_PICTURE_BYTES:
            break
        confidence = percent(round(each["confidence"], 3))
        pictures.append(
            {
                "source": f"data:image/png;base64,{data}",
                "text": f"test image {each['index']:,}, a {each['class']}, "
                f"taken for a {each['prediction']}",
                "right": str(each["class"]),
                "prediction": str(each["prediction"]),
                "confidence": confidence,
            }
        )
    return pictures
