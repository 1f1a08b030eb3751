"""Margins and predictions from logits."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from keras_lstm.core.errors import InputError


def check_classes(logits: Any) -> None:
    """Check that the largest logit says something.

    Args:
        logits: logits, `(..., num_classes)`.

    Raises:
        InputError: if there is one class, as of a model with a sigmoid.
    """
    if logits.shape[-1] == 1:
        raise InputError(
            "`model` must output logits of two classes or more: of one, the "
            f"largest says nothing. Received: logits of shape {logits.shape}"
        )


def margins_of(logits: Any, targets: Any) -> Any:
    """Return the target's logit minus the largest other logit.

    Args:
        logits: logits, `(..., num_classes)`.
        targets: class numbers, `(...)`.

    Returns:
        The margins, `(...)`; -inf where a logit or the difference is NaN, or
        the target is not among the logits.

    Raises:
        InputError: if there is one class.
    """
    check_classes(logits)
    if logits.shape[-1] == 2:
        # The same numbers as below, by fewer operations.
        difference = logits[..., 1] - logits[..., 0]
        margins = tf.where(tf.equal(targets, 1), difference, -difference)
        unknown = tf.math.is_nan(margins) | tf.not_equal(targets // 2, 0)
        return tf.where(unknown, -np.inf, margins)
    logits = tf.convert_to_tensor(logits)
    chosen = tf.one_hot(targets, logits.shape[-1], True, False)
    least = tf.constant(-np.inf, logits.dtype)
    right = tf.reduce_max(tf.where(chosen, logits, least), -1)
    margins = right - tf.reduce_max(tf.where(chosen, least, logits), -1)
    unknown = tf.reduce_any(tf.math.is_nan(logits), -1)
    return tf.where(unknown | tf.math.is_nan(margins), least, margins)


def numpy_margins(
    logits: npt.NDArray[np.float32], targets: npt.NDArray[np.integer[Any]]
) -> npt.NDArray[np.float32]:
    """Return the same as `margins_of`, by NumPy and with the classes first.

    Args:
        logits: logits, `(num_classes, ...)`.
        targets: class numbers, `(...)`.

    Returns:
        The margins, `(...)`.
    """
    with np.errstate(invalid="ignore"):
        if len(logits) == 2:
            difference = logits[1] - logits[0]
            margins = difference * (2 * targets - 1).astype(np.float32)
            # Negative ones are large without their sign.
            unsigned = targets.view(f"u{targets.itemsize}")
            unknown = np.isnan(margins) | (unsigned > 1)
        else:
            classes = np.arange(len(logits)).reshape(-1, *[1] * targets.ndim)
            chosen = targets == classes
            right = np.where(chosen, logits, np.float32(-np.inf)).max(0)
            others = np.where(chosen, np.float32(-np.inf), logits).max(0)
            margins = right - others
            unknown = np.isnan(margins) | np.isnan(logits).any(0)
    margins[unknown] = -np.inf
    return margins


def make_margin_function(
    model: keras.Model,
) -> Callable[[tf.data.Dataset], npt.NDArray[np.float32]]:
    """Return a compiled function from a dataset to its examples' margins.

    Args:
        model: a model that outputs logits, `(batch_size, ..., num_classes)`.

    Returns:
        A function of batches of inputs and targets, class numbers which may
        have a last axis of 1, and of weights, which do not count. It returns
        the lowest margin of each example's outputs, padding apart,
        `(num_examples,)`, and raises an `InputError` for other targets, a
        model of one class, or no batches.
    """

    def measure(inputs: Any, targets: Any) -> Any:
        logits = model(inputs, training=False)
        if targets is None:
            raise InputError(
                "`dataset` must have batches of inputs and targets. Received: "
                "inputs alone"
            )
        targets = tf.convert_to_tensor(targets)
        if targets.dtype.is_floating:
            # Soft targets are no class.
            is_whole = tf.equal(targets, tf.floor(targets))
            targets = tf.cast(tf.where(is_whole, targets, -1.0), tf.int64)
        rank = len(logits.shape)
        if len(targets.shape) == rank and targets.shape[-1] == 1:
            targets = tf.squeeze(targets, -1)
        if len(targets.shape) != rank - 1 or logits.shape[-1] == 1:
            raise InputError(
                "targets must be class numbers, of the shape of logits without "
                "the axis of two classes or more. Received: "
                f"{targets.shape} for logits of {logits.shape}"
            )
        margins = margins_of(tf.cast(logits, tf.float32), targets)
        mask = getattr(logits, "_keras_mask", None)
        if len(margins.shape) == 1:
            return margins
        if mask is not None:
            margins = tf.where(mask, margins, np.inf)
        return tf.reduce_min(margins, list(range(1, len(margins.shape))))

    compiled = tf.function(measure, reduce_retracing=True, autograph=False)

    def of_dataset(dataset: tf.data.Dataset) -> npt.NDArray[np.float32]:
        margins = [
            compiled(*keras.utils.unpack_x_y_sample_weight(batch)[:2]).numpy()
            for batch in dataset
        ]
        if not margins:
            raise InputError("`dataset` must have examples. Received: none")
        return np.concatenate(margins)

    return of_dataset


def predictions_of(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.int32]:
    """Return the class with the largest logit.

    Args:
        logits: logits, `(..., num_classes)`.

    Returns:
        Class numbers, `(...)`; -1, which is not a class, where a logit is NaN.

    Raises:
        InputError: if there is one class.
    """
    check_classes(logits)
    unknown = np.isnan(logits).any(-1)
    return np.where(unknown, -1, logits.argmax(-1)).astype(np.int32)


def sample_logits(
    model: keras.Model, symbols: npt.NDArray[np.integer[Any]]
) -> npt.NDArray[np.float32]:
    """Return the logits for some inputs, as `predict` computes them.

    A model that has predicted before still does what was compiled then,
    whatever was changed since. Any other one is called, which is faster.

    Args:
        model: any model from symbols to logits.
        symbols: inputs, `(num_examples, timesteps)`.

    Returns:
        The logits.
    """
    if model.predict_function is not None:
        return model.predict(symbols, batch_size=len(symbols), verbose=0)
    symbols = symbols.astype(model.inputs[0].dtype)
    return np.asarray(model(symbols, training=False))
