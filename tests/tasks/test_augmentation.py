import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_lstm.tasks.augmentation import random_warp

NONE = {"rotation": 0.0, "scale": 0.0, "shear": 0.0, "shift": 0.0}
LARGE = {"rotation": 0.5, "scale": 0.3, "shear": 0.4, "shift": 3.0}
KEY = tf.constant([1, 2], tf.int64)


def blob(row, column, size=28):
    """Return an image of a bright spot, wide enough to track subpixel moves."""
    rows, columns = np.mgrid[:size, :size]
    square = (rows - row) ** 2 + (columns - column) ** 2
    return np.exp(-square / 4).astype(np.float32)


def middle_of(image):
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
    return np.array([(image * rows).sum(), (image * columns).sum()]) / (
        image.sum()
    )


def changed(images, key=KEY, **limits):
    return random_warp(tf.constant(images), key, **(NONE | limits)).numpy()


def test_nothing_changes_without_limits():
    images = np.random.default_rng(0).random((3, 9, 7), np.float32)
    np.testing.assert_allclose(changed(images), images, atol=1e-6)


def test_shifts_stay_within_their_limit_and_differ():
    images = np.stack([blob(13.5, 13.5)] * 200)
    moved = [middle_of(each) - 13.5 for each in changed(images, shift=3.0)]
    assert np.abs(moved).max() <= 3.01
    assert (np.ptp(moved, axis=0) > 5).all()


def test_a_turn_keeps_the_distance_to_the_middle():
    images = np.stack([blob(13.5, 20.5)] * 200)
    turned = [middle_of(x) - 13.5 for x in changed(images, rotation=0.5)]
    np.testing.assert_allclose(np.hypot(*np.transpose(turned)), 7, atol=0.05)
    angles = np.arctan2(*np.transpose(turned))
    assert 0.45 < angles.max() <= 0.51
    assert -0.51 <= angles.min() < -0.45


def test_scaling_moves_away_from_the_middle_or_towards_it():
    images = np.stack([blob(13.5, 19.5)] * 200)
    found = [middle_of(each) - 13.5 for each in changed(images, scale=0.3)]
    rows, columns = np.transpose(found)
    np.testing.assert_allclose(rows, 0, atol=0.05)
    assert 6 * np.exp(-0.31) < columns.min() < 6 * np.exp(-0.25)
    assert 6 * np.exp(0.25) < columns.max() < 6 * np.exp(0.31)


def test_a_shear_moves_rows_by_their_distance_from_the_middle():
    images = np.stack([blob(19.5, 13.5)] * 200)
    found = [middle_of(each) - 13.5 for each in changed(images, shear=0.4)]
    rows, columns = np.transpose(found)
    np.testing.assert_allclose(rows, 6, atol=0.05)
    assert 2 < np.abs(columns).max() <= 6 * 0.4 + 0.05


def test_affine_maps_are_those_of_tensorflows_operation():
    images = np.random.default_rng(0).random((50, 28, 20), np.float32)
    found = changed(images, **LARGE)
    limits = np.reshape([*LARGE.values(), LARGE["shift"]], (5, 1))
    drawn = tf.random.stateless_uniform([5, 50], KEY, -1.0, 1.0).numpy()
    angle, stretch, slope, down, right = drawn * limits
    turn = np.exp(-stretch) * np.array(
        [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    )
    zero, one = np.zeros(50), np.ones(50)
    shears = np.array([[one, slope], [zero, one]])
    by_x, by_y = np.einsum("ijn,jkn->ikn", turn, shears)
    x, y = 9.5, 13.5
    maps = [
        *(*by_x, x - by_x[0] * x - by_x[1] * y + right),
        *(*by_y, y - by_y[0] * x - by_y[1] * y + down),
        *(zero, zero),
    ]
    expected = tf.raw_ops.ImageProjectiveTransformV3(
        images=images[..., np.newaxis],
        transforms=np.stack(maps, 1).astype(np.float32),
        output_shape=[28, 20],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )
    np.testing.assert_allclose(found, expected[..., 0], atol=1e-4)


def ramps(count, rows=28, columns=28):
    """Return images whose values are their row's number, or their column's."""
    grid = np.mgrid[:rows, :columns].astype(np.float32)
    return [np.stack([each] * count) for each in grid]


@pytest.mark.parametrize("axis", [0, 1])
def test_elastic_displacements_have_their_deviation_everywhere(axis):
    images = ramps(2000)[axis]
    moves = (changed(images, elastic=0.7) - images)[:, 4:-4, 4:-4]
    np.testing.assert_allclose(moves.std(0), 0.7, atol=0.06)
    np.testing.assert_allclose(moves.mean(0), 0, atol=0.08)


def test_elastic_displacements_are_smooth_but_not_one_shift():
    images = ramps(500)[1]
    moves = (changed(images, elastic=0.7) - images)[:, 4:-4, 4:-4]
    assert np.abs(np.diff(moves, axis=2)).max() < 0.7
    middle = moves[:, 10, 10]
    near, far = moves[:, 10, 12], moves[:, 10, 0]
    assert np.corrcoef(middle, near)[0, 1] > 0.9
    assert abs(np.corrcoef(middle, far)[0, 1]) < 0.5


def test_axes_and_images_are_displaced_apart():
    rows, columns = (
        (changed(images, elastic=0.7) - images)[:, 14, 14]
        for images in ramps(2000)
    )
    assert abs(np.corrcoef(rows, columns)[0, 1]) < 0.1
    assert len(np.unique(rows)) > 1990


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**62), st.integers(0, 2**62))
def test_the_key_alone_decides(first, second):
    images = np.stack([blob(13.5, 13.5)] * 4)
    keys = [tf.constant([first, second], tf.int64)] * 2
    keys.append(tf.constant([first, second + 1], tf.int64))
    one, same, other = (
        changed(images, key, shift=2.0, elastic=0.5) for key in keys
    )
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


@pytest.mark.parametrize("shape", [(2, 28, 28), (2, 8, 8), (1, 5, 12)])
def test_the_shape_stays(shape):
    images = np.ones(shape, np.float32)
    limits = {"rotation": 0.2, "scale": 0.1, "shear": 0.1, "shift": 1.0}
    found = changed(images, elastic=0.5, **limits)
    assert found.shape == shape
    assert ((found >= 0) & (found <= 1.0001)).all()
