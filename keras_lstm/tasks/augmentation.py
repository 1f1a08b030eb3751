"""Images turned, scaled, sheared and moved a little, a batch at a time."""

from typing import Any


def random_affine(
    images: Any,
    key: Any,
    *,
    rotation: float,
    scale: float,
    shear: float,
    shift: float,
) -> Any:
    """Each image through an affine map of its own, about its middle.

    Bilinear; what comes from outside an image is 0. A TensorFlow function of
    its arguments: the same key gives the same images.

    Args:
        images: `(batch_size, rows, columns)`, float32.
        key: seed of the maps, int64 of shape `(2,)`.
        rotation: largest angle, in radians, either way.
        scale: largest natural logarithm of the factor, either way.
        shear: how far at most a row moves, per row away from the middle.
        shift: how far at most an image moves, in pixels, along each axis.
    """
    import tensorflow as tf

    rows, columns = images.shape[1:]
    limits = tf.constant([rotation, scale, shear, shift, shift])[:, tf.newaxis]
    drawn = tf.random.stateless_uniform(
        tf.stack([5, tf.shape(images)[0]]), key, -1.0, 1.0
    )
    angle, stretch, slope, down, right = tf.unstack(drawn * limits)
    # Where each pixel of the result comes from.
    cosine = tf.cos(angle) * tf.exp(-stretch)
    sine = tf.sin(angle) * tf.exp(-stretch)
    by_row = cosine * slope - sine
    down_by_row = cosine + sine * slope
    y, x = (rows - 1) / 2, (columns - 1) / 2
    maps = tf.stack(
        [
            cosine,
            by_row,
            x - cosine * x - by_row * y + right,
            sine,
            down_by_row,
            y - sine * x - down_by_row * y + down,
            tf.zeros_like(angle),
            tf.zeros_like(angle),
        ],
        1,
    )
    changed = tf.raw_ops.ImageProjectiveTransformV3(
        images=images[..., tf.newaxis],
        transforms=maps,
        output_shape=[rows, columns],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )
    return tf.ensure_shape(changed[..., 0], (None, rows, columns))
