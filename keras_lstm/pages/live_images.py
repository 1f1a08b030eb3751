"""What a page needs to try a network on images: examples, and how to draw."""

import base64
from typing import Any

import numpy as np
import numpy.typing as npt

from keras_lstm.pages.split_result import SplitResult

_NUM_OF_EACH_CLASS, _MAX_EXAMPLES = 2, 24
_MAX_MISTAKES = 4
_MAX_BYTES = 100_000
# Of so many images the usual size and the background are found.
_NUM_SEEN = 500
_INK = 0.2
_DEFAULT_BOX = 0.75


def describe_images(tested: SplitResult | None, white: float) -> dict[str, Any]:
    """Return test images as examples, and how people should draw.

    Args:
        tested: the test images; None if they are not there.
        white: value of a white pixel in the bytes of an example.

    Returns:
        A mapping for JSON: `images`, each with its `name`, its `target` and
        its `pixels`, bytes in base64; `box`, the usual length of the longer
        side of what is drawn, as a fraction of the image's shorter side; and
        `is_light`, whether the background is white.
    """
    if tested is None:
        return {"images": [], "box": _DEFAULT_BOX, "is_light": False}
    count = min(_NUM_SEEN, tested.result.num_examples)
    seen = np.asarray(tested.split.batch(np.arange(count))[0])
    is_light = bool(np.median(_border(seen)) > 1 / 2)
    most = _MAX_BYTES // seen[0].size
    chosen = _choose(tested)[: min(most, _MAX_EXAMPLES)]
    images = np.asarray(tested.split.batch(chosen)[0])
    pixels = np.clip(np.rint(images * white), 0, white).astype(np.uint8)
    return {
        "images": [
            {
                "name": f"test image {index:,}",
                "target": int(tested.result.targets[index]),
                "pixels": base64.b64encode(each.tobytes()).decode(),
            }
            for index, each in zip(chosen.tolist(), pixels, strict=True)
        ],
        "box": _box(1 - seen if is_light else seen),
        "is_light": is_light,
    }


def _choose(tested: SplitResult) -> npt.NDArray[np.int64]:
    """Return the indices of the worst mistakes and of some of each class."""
    mistakes = tested.result.confident_mistakes()[:_MAX_MISTAKES]
    targets = tested.result.targets
    others = [
        np.flatnonzero(targets == label)[:_NUM_OF_EACH_CLASS]
        for label in np.unique(targets)
    ]
    # The first of each class before the second of any.
    rounds = [
        each[k]
        for k in range(_NUM_OF_EACH_CLASS)
        for each in others
        if k < len(each)
    ]
    both = dict.fromkeys([*mistakes.tolist(), *map(int, rounds)])
    return np.array(list(both), np.int64)


def _border(images: npt.NDArray[Any]) -> npt.NDArray[Any]:
    sides = (images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1])
    return np.concatenate([side.ravel() for side in sides])


def _box(images: npt.NDArray[Any]) -> float:
    """Return the usual size of what is drawn on a black background."""
    sizes = []
    for image in images:
        rows, columns = np.nonzero(image > _INK)
        if len(rows):
            sizes.append(max(np.ptp(rows), np.ptp(columns)) + 1)
    if not sizes:
        return _DEFAULT_BOX
    return round(min(1.0, float(np.median(sizes)) / min(image.shape)), 3)
