"""Results on a test split, for a page."""

import base64
import dataclasses
import io
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image

from keras_lstm.core.console import percent
from keras_lstm.pages.sections import shortened
from keras_lstm.runs.run import Run
from keras_lstm.tasks.task import Split
from keras_lstm.verification.evaluation import Evaluation
from keras_lstm.verification.evaluation_details import evaluation_details
from keras_lstm.verification.mistakes import mistakes

MAX_PICTURES = 100
_MAX_PICTURE_BYTES = 400_000
_MAX_NAME = 40
# Of more classes, a table would have too many columns to read.
_MAX_MATRIX = 20
_MAX_CLASSES = 100


@dataclasses.dataclass(frozen=True)
class SplitResult:
    """A run's test split, and the model's predictions for it.

    Args:
        result: the predictions.
        split: the examples.
    """

    result: Evaluation
    split: Split


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
                "precision": percent(row["precision"]),
                "recall": percent(row["recall"]),
            }
            for name, row in list(zip(names, details["by_class"], strict=True))[
                :_MAX_CLASSES
            ]
        ],
        "matrix": None,
        "confusions": _largest(matrix, wrong, names),
        "pictures": [],
    }
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
