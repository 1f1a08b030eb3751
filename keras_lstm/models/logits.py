"""Margins and predictions from logits."""

from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf


def margins_of(logits: Any, targets: Any) -> Any:
    """The target's logit minus the largest other; -inf where one is NaN.

    Args:
        logits: `(..., num_classes)`.
        targets: class numbers, `(...)`.
    """
    chosen = tf.one_hot(targets, logits.shape[-1], True, False)
    right = tf.reduce_max(tf.where(chosen, logits, -np.inf), -1)
    margins = right - tf.reduce_max(tf.where(chosen, -np.inf, logits), -1)
    unknown = tf.reduce_any(tf.math.is_nan(logits), -1)
    return tf.where(unknown | tf.math.is_nan(margins), -np.inf, margins)


def predictions_of(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.int32]:
    """The class with the largest logit; -1, which is none, where one is NaN.

    Args:
        logits: `(..., num_classes)`.
    """
    unknown = np.isnan(logits).any(-1)
    return np.where(unknown, -1, logits.argmax(-1)).astype(np.int32)
