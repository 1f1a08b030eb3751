"""Exact accuracies: 1.0 means that nothing is wrong."""

import abc
from typing import Any

import keras
import numpy as np
from keras import ops

_BELOW_ONE = float(np.nextafter(np.float32(1), np.float32(0)))


class _ExactAccuracy(keras.metrics.Metric, abc.ABC):
    """Right predictions out of all that count, both counted as integers."""

    def __init__(
        self, name: str, dtype: Any = None, threshold: float | None = None
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self.threshold = threshold
        self._right = self._add_counter("right")
        self._counted = self._add_counter("counted")

    def _add_counter(self, name: str) -> keras.Variable:
        # `add_weight` has no `aggregation`, by which replicas are summed.
        return self.add_variable(
            shape=(),
            initializer="zeros",
            dtype="int64",
            aggregation="sum",
            name=name,
        )

    def update_state(
        self, y_true: Any, y_pred: Any, sample_weight: Any = None
    ) -> None:
        """Count the predictions of a batch.

        Args:
            y_true: class numbers, `(batch_size, ...)`, or with a last axis
                of size 1.
            y_pred: logits or probabilities, `(batch_size, ..., num_classes)`;
                with a `threshold`, those of class 1 alone, `(batch_size, ...,
                1)`. Positions where its Keras mask is False do not count.
            sample_weight: weights, `(batch_size,)` or any shape that the shape
                of `y_true` starts with, or such a shape and an axis of size 1.
                Positions of weight zero do not count;
                all other weights count the same. Defaults to None.

        Raises:
            ValueError: if `y_true` does not have the shape of `y_pred` without
                its last axis, or the last axis has size 1 and there is no
                `threshold`, or another size and there is one; or if weights
                have other axes than `y_true` begins with.
        """
        mask = getattr(y_pred, "_keras_mask", None)
        y_pred = ops.convert_to_tensor(y_pred)
        y_true = ops.convert_to_tensor(y_true)
        if len(y_true.shape) == len(y_pred.shape) and y_true.shape[-1] == 1:
            y_true = ops.squeeze(y_true, -1)
        if not _may_be_same(y_true.shape, y_pred.shape[:-1]):
            raise ValueError(
                "`y_true` must have the shape of `y_pred` without its last "
                f"axis. Received: y_true.shape={y_true.shape}, "
                f"y_pred.shape={y_pred.shape}"
            )
        if (y_pred.shape[-1] == 1) != (self.threshold is not None):
            raise ValueError(
                "`threshold` must be set if, and only if, the last axis of "
                "`y_pred` has size 1: 0.5 for a sigmoid, 0.0 for a logit. "
                f"Received: threshold={self.threshold}, "
                f"y_pred.shape={y_pred.shape}"
            )
        predicted = (
            ops.argmax(y_pred, -1)
            if self.threshold is None
            else y_pred[..., 0] > self.threshold
        )
        right = ops.equal(
            ops.cast(predicted, "int64"), ops.cast(y_true, "int64")
        )
        if "float" in keras.backend.standardize_dtype(y_true.dtype):
            # Soft targets are no class.
            whole = ops.equal(y_true, ops.floor(y_true))
            right = ops.logical_and(right, whole)
        # NaN is no answer, though `argmax` makes class 0 of it.
        known = ops.logical_not(ops.any(ops.isnan(y_pred), -1))
        right = ops.logical_and(right, known)
        counts = ops.ones_like(right)
        for weight in (mask, sample_weight):
            if weight is not None:
                weight = _of_shape(right.shape, ops.cast(weight, "bool"))
                counts = ops.logical_and(counts, weight)
        right, counts = self._reduce(right, counts)
        right = ops.logical_and(right, counts)
        self._right.assign_add(ops.sum(ops.cast(right, "int64")))
        self._counted.assign_add(ops.sum(ops.cast(counts, "int64")))

    @abc.abstractmethod
    def _reduce(self, right: Any, counts: Any) -> tuple[Any, Any]:
        """Reduce `right` and `counts` from positions to the units counted."""

    def result(self) -> Any:
        """Return the fraction that is right.

        Returns:
            A float32 scalar; 0 if nothing counts. It is exactly 1 if and only
            if everything that counts is right: a smaller fraction that would
            round up to 1 becomes the largest float32 below 1.
        """
        right, counted = self._right.value, self._counted.value
        fraction = ops.divide(
            ops.cast(right, "float64"),
            ops.cast(ops.maximum(counted, 1), "float64"),
        )
        fraction = ops.minimum(ops.cast(fraction, "float32"), _BELOW_ONE)
        whole = ops.logical_and(ops.equal(right, counted), counted > 0)
        return ops.where(whole, ops.ones_like(fraction), fraction)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            "name": self.name,
            "dtype": self.dtype,
            "threshold": self.threshold,
        }


def _may_be_same(one: Any, other: Any) -> bool:
    """Return whether shapes are the same, as far as they are known."""
    return len(one) == len(other) and all(
        None in sizes or sizes[0] == sizes[1]
        for sizes in zip(one, other, strict=True)
    )


def _of_shape(shape: Any, weight: Any) -> Any:
    """Return weights with as many axes as what they weight.

    Raises:
        ValueError: if their axes are not the first ones of it.
    """
    rank = len(shape)
    if len(weight.shape) > 1 and weight.shape[-1] == 1:
        weight = ops.squeeze(weight, -1)
    if not _may_be_same(weight.shape, shape[: len(weight.shape)]):
        raise ValueError(
            f"`sample_weight` must have the shape {tuple(shape)}, or its "
            "first axes, or an axis of size 1 more. Received: shape "
            f"{weight.shape}"
        )
    while len(weight.shape) < rank:
        weight = ops.expand_dims(weight, -1)
    return weight


@keras.saving.register_keras_serializable("keras_lstm")
class SequenceAccuracy(_ExactAccuracy):
    """Fraction of the examples that are right at *every* position.

    All axes but the first form one sequence. With one label per example, this
    is the usual accuracy. A sequence counts once, if any of its positions
    counts.

    Args:
        name: name of the metric.
        dtype: dtype of the metric, see `keras.metrics.Metric`. Results are
            float32 in any case.
        threshold: for models with one output unit, the value above which the
            prediction is class 1: 0.5 for a sigmoid, 0.0 for a logit. None for
            models with one unit for each class. Defaults to None.

    Example:

    >>> metric = SequenceAccuracy()
    >>> logits = [[[9.0, 0.0], [0.0, 9.0]], [[9.0, 0.0], [9.0, 0.0]]]
    >>> float(metric([[0, 1], [0, 1]], logits))
    0.5
    """

    def __init__(
        self,
        name: str = "sequence_accuracy",
        dtype: Any = None,
        threshold: float | None = None,
    ) -> None:
        super().__init__(name, dtype, threshold)

    def _reduce(self, right: Any, counts: Any) -> tuple[Any, Any]:
        axes = tuple(range(1, len(right.shape)))
        right = ops.logical_or(right, ops.logical_not(counts))
        return ops.all(right, axes), ops.any(counts, axes)


@keras.saving.register_keras_serializable("keras_lstm")
class TokenAccuracy(_ExactAccuracy):
    """Fraction of the positions that are right.

    Args:
        name: name of the metric.
        dtype: dtype of the metric, see `keras.metrics.Metric`. Results are
            float32 in any case.
        threshold: for models with one output unit, the value above which the
            prediction is class 1: 0.5 for a sigmoid, 0.0 for a logit. None for
            models with one unit for each class. Defaults to None.

    Example:

    >>> metric = TokenAccuracy()
    >>> logits = [[[9.0, 0.0], [0.0, 9.0]], [[9.0, 0.0], [9.0, 0.0]]]
    >>> float(metric([[0, 1], [0, 1]], logits))
    0.75
    """

    def __init__(
        self,
        name: str = "token_accuracy",
        dtype: Any = None,
        threshold: float | None = None,
    ) -> None:
        super().__init__(name, dtype, threshold)

    def _reduce(self, right: Any, counts: Any) -> tuple[Any, Any]:
        return right, counts
