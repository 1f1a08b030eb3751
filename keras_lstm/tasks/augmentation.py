"""Random maps of batches of images."""

from typing import Any

import numpy as np
import numpy.typing as npt

# Pixels between the points whose displacements are drawn.
_KNOT_SPACING = 7


def random_warp(
    images: Any,
    key: Any,
    *,
    rotation: float,
    scale: float,
    shear: float,
    shift: float,
    elastic: float = 0.0,
) -> Any:
    """Apply a random map to each image: affine about the center, and elastic.

    Interpolation is bilinear; pixels from outside an image are 0. The result
    depends on the arguments alone: the same key gives the same images.

    Source: Simard et al., 2003, Best Practices for Convolutional Neural
    Networks Applied to Visual Document Analysis, for elastic maps; these are
    cubic B-splines.

    Args:
        images: `(batch_size, rows, columns)`, float32.
        key: seed of the maps, int64 of shape `(2,)`.
        rotation: largest angle in radians, in either direction.
        scale: largest absolute natural logarithm of the scaling factor.
        shear: largest shift of a row in pixels, per row of distance from the
            center, in either direction.
        shift: largest shift of an image in pixels, along each axis, in either
            direction.
        elastic: standard deviation in pixels, along each axis, of a
            displacement that varies smoothly over the image. Defaults to 0.

    Returns:
        The changed images, of the same shape and type.
    """
    import tensorflow as tf

    count = tf.shape(images)[0]
    limits = tf.constant([rotation, scale, shear, shift, shift])
    drawn = tf.random.stateless_uniform(tf.stack([5, count]), key, -1.0, 1.0)
    angle, stretch, slope, down, right = tf.unstack(
        (drawn * limits[:, tf.newaxis])[..., tf.newaxis, tf.newaxis]
    )
    # Pixels of the result, from the center, and then where they come from.
    rows, columns = images.shape[1:]
    middle, center = (rows - 1) / 2, (columns - 1) / 2
    y = tf.range(rows, dtype=tf.float32)[:, tf.newaxis] - middle
    x = tf.range(columns, dtype=tf.float32) - center
    if elastic:
        key = tf.random.experimental.stateless_fold_in(key, 1)
        by_row, by_column = _spline(rows), _spline(columns)
        knots = tf.stack([2, count, by_row.shape[1], by_column.shape[1]])
        drawn = tf.random.stateless_normal(knots, key, stddev=elastic)
        moves = tf.einsum("ri,kbij,cj->kbrc", by_row, drawn, by_column)
        y, x = y + moves[0], x + moves[1]
    cosine = tf.cos(angle) * tf.exp(-stretch)
    sine = tf.sin(angle) * tf.exp(-stretch)
    x += slope * y
    y, x = sine * x + cosine * y + down, cosine * x - sine * y + right
    return _sample(images, y + middle, x + center)


def _spline(size: int) -> npt.NDArray[np.float32]:
    """Return the weights of a cubic B-spline's knots, `(size, num_knots)`.

    The squares of a row's weights sum to 1, so that a sum of independent values
    has their standard deviation.
    """
    num_spans = max(1, round(size / _KNOT_SPACING))
    at = (np.arange(size) + 0.5) / size * num_spans
    distance = np.abs(at[:, np.newaxis] - np.arange(-1, num_spans + 2))
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = np.maximum(2 - distance, 0) ** 3 / 6
    weights = np.where(distance < 1, near, far)
    norm = np.sqrt((weights**2).sum(1, keepdims=True))
    return (weights / norm).astype(np.float32)


def _sample(images: Any, y: Any, x: Any) -> Any:
    """Return the images' values at fractional rows `y` and columns `x`."""
    import tensorflow as tf

    rows, columns = images.shape[1:]
    # Zeros around each image, which are what lies outside.
    height, width = rows + 3, columns + 3
    pixels = tf.reshape(tf.pad(images, ((0, 0), (1, 2), (1, 2))), [-1])
    y = tf.clip_by_value(y, -1.0, rows) + 1
    x = tf.clip_by_value(x, -1.0, columns) + 1
    top, left = tf.floor(y), tf.floor(x)
    firsts = tf.range(tf.shape(images)[0]) * (height * width)
    at = tf.cast(top * width + left, tf.int32)
    at += firsts[:, tf.newaxis, tf.newaxis]
    upper, lower = (
        _between(tf.gather(pixels, here), tf.gather(pixels, here + 1), x - left)
        for here in (at, at + width)
    )
    values = _between(upper, lower, y - top)
    return tf.ensure_shape(values, (None, rows, columns))


def _between(first: Any, second: Any, fraction: Any) -> Any:
    return first + fraction * (second - first)
