"""Accuracies that simple methods reach, so that a figure means something."""

from typing import Any

import numpy as np
import numpy.typing as npt

from keras_lstm.tasks.datasets import make_dataset
from keras_lstm.tasks.task import Split, Splits, Task

_BATCH = 1024
# Training examples of the bag of tokens, which is held in memory.
_MAX_BAGS = 100_000
_MAX_ITERATIONS = 200
# Classes times the larger of examples and symbols, of which the regression
# holds several arrays: about 600 MB.
_MAX_REGRESSION = 2**23


def baselines(task: Task, splits: Splits) -> dict[str, float]:
    """Return the accuracy of simple methods on the test split.

    Args:
        task: a task with one label per example, or one per symbol.
        splits: its examples, with a test split.

    Returns:
        For one label per example, the accuracy of `majority_class`, which
        always predicts the most frequent training class, and of
        `bag_of_tokens` or `mean_of_steps`: logistic regression on how often
        each symbol occurs, or on the features' means over time, fitted to at
        most 100,000 training examples, unless that takes too much memory. For
        one label per symbol, the token accuracy of `majority_class`, and of
        `majority_of_token`, which predicts the most frequent class of each
        symbol.
    """
    if splits.test is None:
        return {}
    if task.output_shape:
        return _per_token(task, splits.train, splits.test)
    train, labels = _bags(task, splits.train, _MAX_BAGS)
    test, targets = _bags(task, splits.test, None)
    majority = np.bincount(labels).argmax()
    found = {"majority_class": float((targets == majority).mean())}
    if max(train.shape) * task.num_classes > _MAX_REGRESSION:
        return found
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MaxAbsScaler, StandardScaler

    # Counts are sparse, which centered ones would not be.
    name, scaler = "bag_of_tokens", MaxAbsScaler()
    if task.num_symbols is None:
        name, scaler = "mean_of_steps", StandardScaler()
    model = make_pipeline(scaler, LogisticRegression(max_iter=_MAX_ITERATIONS))
    model.fit(train, labels)
    found[name] = float((model.predict(test) == targets).mean())
    return found


def _bags(
    task: Task, split: Split, most: int | None
) -> tuple[Any, npt.NDArray[np.int32]]:
    """Return each example's counts of symbols, or means, and its label."""
    from scipy.sparse import csr_matrix, vstack

    rows, labels = [], []
    shuffled = np.random.default_rng(0).permutation(split.num_examples or 0)
    for first in range(0, len(shuffled[:most]), _BATCH):
        chosen = np.sort(shuffled[:most][first : first + _BATCH])
        inputs, targets = (np.asarray(x) for x in split.batch(chosen))
        labels.append(targets)
        if task.num_symbols is None:
            ends = inputs.shape[1] * np.ones(len(inputs), np.int64)
            if split.lengths is not None:
                ends = split.lengths[chosen]
            is_step = np.arange(inputs.shape[1]) < ends[:, np.newaxis]
            total = np.where(is_step[..., np.newaxis], inputs, 0.0).sum(1)
            rows.append(total / ends[:, np.newaxis])
            continue
        places = np.nonzero(inputs)
        rows.append(
            csr_matrix(
                (
                    np.ones(len(places[0]), np.float32),
                    (places[0], inputs[places]),
                ),
                shape=(len(inputs), task.num_symbols),
            )
        )
    joined = np.concatenate(rows) if task.num_symbols is None else vstack(rows)
    return joined, np.concatenate(labels)


def _per_token(task: Task, train: Split, test: Split) -> dict[str, float]:
    counts = _counts(task, train)
    checked = _counts(task, test)
    total = checked.sum()
    majority = counts.sum(0).argmax()
    by_token = counts.argmax(1)
    right = checked[np.arange(len(checked)), by_token].sum()
    return {
        "majority_class": float(checked[:, majority].sum() / total),
        "majority_of_token": float(right / total),
    }


def _counts(task: Task, split: Split) -> npt.NDArray[np.int64]:
    """Return how often each symbol has each class."""
    shape = (task.num_symbols or 0, task.num_classes)
    counts = np.zeros(shape, np.int64)
    for inputs, targets in make_dataset(split, _BATCH).as_numpy_iterator():
        places = np.nonzero(inputs)
        np.add.at(counts, (inputs[places], targets[places]), 1)
    return counts
