import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_lstm.proof import intervals
from keras_lstm.proof.intervals import Interval

SCALES = [0.0, 1e-42, 1e-38, 1e-20, 1e-3, 1.0, 30.0, 1e4, 1e12]
drawn = st.tuples(
    st.integers(0, 2**32 - 1), st.sampled_from(SCALES), st.sampled_from(SCALES)
)


def random_interval(rng, shape, scale, width):
    """Return bounds, and float32 numbers between them or at their ends."""
    ends = rng.normal(size=shape) * scale, rng.normal(size=shape) * width
    points = np.float32(ends[0] + np.abs(ends[1]) * rng.choice([0, 0.5, 1]))
    bounds = Interval(
        np.minimum(ends[0], points),
        np.maximum(ends[0] + np.abs(ends[1]), points),
    )
    return bounds, points


def assert_inside(values, bounds):
    values = np.asarray(values, np.float64)
    assert values.shape == bounds.low.shape
    assert np.all(bounds.low <= values)
    assert np.all(values <= bounds.high)


@settings(max_examples=200, deadline=None)
@given(drawn, drawn, st.integers(1, 40))
def test_weighted_sum_holds_what_tensorflow_adds_up(first, second, n):
    rng = np.random.default_rng(first[0])
    x, x_points = random_interval(rng, (3, n), *first[1:])
    y, y_points = random_interval(rng, (3, 5), *second[1:])
    kernel = np.float32(rng.normal(size=(n, 4)) * second[1])
    other = np.float32(rng.normal(size=(5, 4)) * first[2])
    bias = np.float32(rng.normal(size=4))
    bounds = intervals.weighted_sum(
        [(x, kernel.astype(float)), (y, other.astype(float))],
        bias.astype(float),
    )
    # As Keras's LSTM computes it, and as a single product.
    z = tf.matmul(x_points, kernel)
    assert_inside(z + tf.matmul(y_points, other) + bias, bounds)
    whole = np.concatenate([x_points, y_points], 1)
    kernels = np.concatenate([kernel, other])
    assert_inside(tf.matmul(whole, kernels) + bias, bounds)
    # Term by term in float32, in two orders.
    terms = whole[:, :, np.newaxis] * kernels
    terms = np.concatenate([terms, np.broadcast_to(bias, (3, 1, 4))], 1)
    for order in (np.arange(n + 6), rng.permutation(n + 6)):
        total = np.zeros((3, 4), np.float32)
        for term in order:
            total = np.float32(total + terms[:, term])
        assert_inside(total, bounds)


@pytest.mark.parametrize("name", ["product", "total"])
@settings(max_examples=200, deadline=None)
@given(first=drawn, second=drawn)
def test_products_and_totals_hold_what_tensorflow_computes(name, first, second):
    rng = np.random.default_rng(first[0])
    x, x_points = random_interval(rng, (50,), *first[1:])
    y, y_points = random_interval(rng, (50,), *second[1:])
    operation = {"product": tf.multiply, "total": tf.add}[name]
    bounds = getattr(intervals, name)(x, y)
    assert_inside(operation(x_points, y_points), bounds)


@pytest.mark.parametrize("name", ["tanh", "sigmoid"])
@settings(max_examples=300, deadline=None)
@given(first=drawn, size=st.integers(1, 70))
def test_activations_hold_what_tensorflow_computes(name, first, size):
    rng = np.random.default_rng(first[0])
    x, points = random_interval(rng, (size,), *first[1:])
    bounds = getattr(intervals, name)(x)
    assert_inside(getattr(tf, name)(points), bounds)


def test_a_fused_multiply_add_is_covered():
    # f * c + i * g, with both products rounded or only one of them.
    rng = np.random.default_rng(0)
    f, c, i, g = np.float32(rng.normal(size=(4, 10000)))
    points = [intervals.exactly(each) for each in (f, c, i, g)]
    bounds = intervals.total(
        intervals.product(*points[:2]), intervals.product(*points[2:])
    )
    wide = [each.astype(np.float64) for each in (f, c, i, g)]
    assert_inside(np.float32(wide[0] * wide[1] + i * g), bounds)
    assert_inside(np.float32(f * c + wide[2] * wide[3]), bounds)
    assert_inside(np.float32(f * c) + np.float32(i * g), bounds)


def test_sums_that_stagnate_are_covered():
    # Added to 1 one by one, each term is lost: it is half a unit in the last
    # place.
    n = 5000
    kernel = np.full((n, 1), 2.0**-24)
    x = intervals.exactly(np.ones((1, n)))
    bounds = intervals.weighted_sum([(x, kernel)], np.ones(1))
    total = np.float32(1)
    for term in kernel[:, 0]:
        total = np.float32(total + np.float32(term))
    assert total == 1.0
    assert bounds.low[0, 0] <= 1.0 < 1 + n * 2.0**-24 <= bounds.high[0, 0]


def test_the_allowances_are_above_what_was_measured():
    # docs/proof.md lists the errors measured over all finite float32 numbers.
    assert intervals.TANH_ERROR > 3.660e-7
    assert intervals.SIGMOID_ERROR > 1.562e-7


def test_bounds_are_close():
    kernel = np.full((100, 1), 0.5)
    x = intervals.exactly(np.full((1, 100), 0.25))
    bounds = intervals.weighted_sum([(x, kernel)], np.zeros(1))
    assert bounds.low[0, 0] < 12.5 < bounds.high[0, 0]
    assert bounds.high[0, 0] - bounds.low[0, 0] < 2e-4
    assert intervals.tanh(intervals.exactly([0.5])).high - np.tanh(0.5) < 1e-6


def test_too_many_terms_are_refused():
    x = intervals.exactly(np.zeros((1, 2**16)))
    with pytest.raises(ValueError, match="at most 65536 terms"):
        intervals.weighted_sum([(x, np.zeros((2**16, 1)))], np.zeros(1))
