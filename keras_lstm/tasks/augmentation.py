"""Random affine augmentation of batches of images."""

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
    """Apply a random affine map about the center to each image.

    Interpolation is bilinear; pixels from outside an image are 0. The result
    depends on the arguments alone: the same key gives the same images.

    Args:
        images: `(batch_size, rows, columns)`, float32.
        key: seed of the maps, int64 of shape `(2,)`.
        rotation: largest angle in radians, in either direction.
        scale: largest absolute natural logarithm of the scaling factor.
        shear: largest shift of a row in pixels, per row of distance from the
            center, in either direction.
        shift: largest shift of an image in pixels, along each axis, in either
            direction.

    Returns:
        The changed images, of the same shape and type.
    """
    import tensorflow as tf

    rows, columns = images.shape[1:]
    limits = tf.constant([rotation, scale, shear, shift, shift])[:, tf.newaxis]
    drawn = tf.random.stateless_uniform(
        tf.stack([5, tf.shape(images)[0]]), key, -1.0, 1.0
    )
    angle, stretch, slope, down, right = tf.unstack(drawn * limits)
    # These maps lead from a pixel of the result to its source.
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
