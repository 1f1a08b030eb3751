"""Weights of classes in the loss."""

import numpy as np

from keras_lstm.tasks.datasets import make_dataset
from keras_lstm.tasks.task import Split

_BATCH = 1024


def class_weights(split: Split) -> dict[int, float]:
    """Return weights of classes by which all count the same.

    Args:
        split: examples with one label each.

    Returns:
        By class number, the mean count of a class by the class's own count.
    """
    counts = np.bincount(
        np.concatenate(
            [
                targets
                for _, targets in make_dataset(
                    split, _BATCH
                ).as_numpy_iterator()
            ]
        )
    )
    present = np.flatnonzero(counts)
    mean = counts.sum() / len(present)
    return {int(each): float(mean / counts[each]) for each in present}
