"""Margins by TensorFlow and by NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from keras_lstm.models.logits import margins_of, numpy_margins


@pytest.mark.parametrize("num_classes", [2, 3])
@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_targets_that_are_no_class_have_no_margin(num_classes, dtype):
    logits = np.array([[0.0, 5.0, 1.0]] * 4, np.float32)[:, :num_classes]
    targets = np.array([-1, 0, 1, num_classes], dtype)
    expected = [-np.inf, -5.0, 5.0 if num_classes == 2 else 4.0, -np.inf]
    found = margins_of(tf.constant(logits), tf.constant(targets))
    np.testing.assert_array_equal(found, expected)
    found = numpy_margins(np.ascontiguousarray(logits.T), targets)
    np.testing.assert_array_equal(found, expected)
