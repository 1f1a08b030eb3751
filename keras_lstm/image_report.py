"""What a test split of images says about a model, as people read it."""

import shutil
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from keras_lstm.console import percent
from keras_lstm.evaluation import Evaluation, accuracy_by_step, evaluate
from keras_lstm.options import InputError
from keras_lstm.runs import Run
from keras_lstm.tasks.image_rows import ImageRows
from keras_lstm.tasks.task import Split

_NUM_PICTURES = 6
_NUM_MISTAKES = 20
# From black to white. Two rows of an image share a line of text.
_SHADES = " .:-=+*#%@"
_SHOWN_STEPS = 8


def evaluate_run(
    run: Run, dataset: str | None = None, data_dir: str | None = None
) -> tuple[dict[str, Any], npt.NDArray[np.float32]]:
    """Measures a run of image rows on test images, each asked once.

    Args:
        run: the run.
        dataset: whose test images; by default those it was trained for.
        data_dir: where the files are; by default where they were.

    Returns:
        See `image_report`, with the name of the dataset; and the images of
        its mistakes, `(mistakes, rows, columns)`.

    Raises:
        InputError: a run of another task, images of another size, or no files.
    """
    task = run.config.task
    if not isinstance(task, ImageRows):
        raise InputError(
            "`run_dir` must hold a run of image-rows; `keras-lstm verify` is "
            f"for sequence tasks. Received: a run of {task.name}, "
            f"run_dir={run.run_dir}"
        )
    given = {"dataset": dataset, "data_dir": data_dir}
    other = ImageRows(
        **task.to_mapping()
        | {name: value for name, value in given.items() if value is not None}
    )
    if other.input_shape != task.input_shape:
        raise InputError(
            f"`dataset` must have images of {task.input_shape}, as the model "
            f"reads them. Received: dataset={other.dataset}, with "
            f"{other.input_shape}"
        )
    test = cast(Split, other.splits(run.config.seed).test)
    result = evaluate(run.model, test)
    by_step = accuracy_by_step(run.model, test)
    report = {
        "dataset": other.dataset,
        **image_report(result, by_step, other.num_classes),
    }
    images, _ = test.batch(result.confident_mistakes()[:_NUM_MISTAKES])
    return report, images.numpy()


def image_report(
    result: Evaluation, by_step: npt.NDArray[np.float64], num_classes: int
) -> dict[str, Any]:
    """An evaluation as JSON can hold it.

    Args:
        result: the model's answers.
        by_step: the share that is right after each row, `(rows,)`.
        num_classes: how many classes there are.

    Returns:
        Counts, the accuracy with its 95% interval (Wilson, 1927), precision,
        recall and count by class, the confusion matrix (rows are the right
        classes), the most confident mistakes, the accuracy by rows read.
    """
    right = result.num_examples - result.num_wrong
    interval = binomtest(right, result.num_examples).proportion_ci(
        confidence_level=0.95, method="wilson"
    )
    classes = list(range(num_classes))
    precision, recall, _, counts = precision_recall_fscore_support(
        result.targets, result.predictions, labels=classes, zero_division=0.0
    )
    return {
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
            result.targets, result.predictions, labels=classes
        ).tolist(),
        "mistakes": [
            {
                "index": int(index),
                "class": int(result.targets[index]),
                "prediction": int(result.predictions[index]),
                "confidence": float(result.confidences[index]),
            }
            for index in result.confident_mistakes()[:_NUM_MISTAKES]
        ],
        "accuracy_by_rows": [float(share) for share in by_step],
    }


def image_report_text(
    report: dict[str, Any], images: npt.NDArray[np.float32]
) -> str:
    """A report for a terminal, the mistakes first.

    Args:
        report: what `image_report` gave.
        images: those of the report's mistakes, `(mistakes, rows, columns)`,
            from 0 to 1.
    """
    low, high = report["interval_95"]
    lines = _pictures(report["mistakes"], images)
    lines += [
        f"{percent(report['sequence_accuracy'])} of "
        f"{report['num_examples']:,} images are right: "
        f"{report['num_wrong']:,} are wrong. "
        f"95% interval: {percent(low)} to {percent(high)}.",
        "",
        "rows read   right",
    ]
    shares = report["accuracy_by_rows"]
    shown = np.linspace(1, len(shares), min(_SHOWN_STEPS, len(shares)))
    lines += [
        f"{rows:>9}   {percent(shares[rows - 1])}"
        for rows in shown.astype(int).tolist()
    ]
    lines += ["", "class   images  precision   recall"]
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


def _pictures(
    mistakes: list[dict[str, Any]], images: npt.NDArray[np.float32]
) -> list[str]:
    """The first mistakes, as many side by side as the terminal is wide."""
    blocks = []
    for mistake, image in zip(
        mistakes[:_NUM_PICTURES], images[:_NUM_PICTURES], strict=True
    ):
        rows = image[: len(image) // 2 * 2]
        halved = rows.reshape(-1, 2, rows.shape[1]).mean(1)
        shades = np.minimum(halved * len(_SHADES), len(_SHADES) - 1)
        picture = ["".join(_SHADES[int(s)] for s in row) for row in shades]
        said = f"{mistake['class']}, said {mistake['prediction']}"
        caption = f"{said} ({percent(round(mistake['confidence'], 4))})"
        width = max(len(caption), image.shape[1]) + 3
        blocks.append([line.ljust(width) for line in [*picture, caption]])
    if not blocks:
        return []
    lines = ["The most confident mistakes:"]
    across = max(1, shutil.get_terminal_size().columns // len(blocks[0][0]))
    for first in range(0, len(blocks), across):
        band = zip(*blocks[first : first + across], strict=True)
        lines += ["".join(parts).rstrip() for parts in band]
        lines.append("")
    return lines
