"""Bounds on the results of float32 operations, from bounds on their inputs.

This module is part of the trusted base of a proof: see `certificate.py`.

Each function takes bounds on its inputs and returns bounds on every result of
the float32 operation for inputs inside them: on a CPU, for any order of its
sums, with or without fused multiply-add, and whether or not subnormal numbers
are flushed to zero. It computes in float64 and widens the result by an
allowance for float32 rounding:

- The error of a float32 operation is at most `u = 2^-24` times its exact
  result (IEEE 754). The error of a sum of n terms, each rounded at most n
  times, is at most `n u / (1 - n u)` times the sum of their magnitudes, in any
  order (Higham, "Accuracy and Stability of Numerical Algorithms", 2nd ed.,
  sections 3.1 and 4.2); a fused multiply-add only omits roundings.
- Each operation may lose a value whose magnitude is below `2^-126`.
- The errors of tanh and sigmoid are those that
  `scripts/benchmarks/measure_activations.py` measured over all finite float32
  numbers, rounded up.

Every allowance is 1% larger than that, which covers `1 / (1 - n u)` up to
n = 2^16 and the float64 rounding in this module, which is 2^-29 of float32's.
NumPy's `tanh` is assumed to be accurate to 2^-40.

Existing interval libraries neither add float32 rounding nor provide tanh and
sigmoid for arrays.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

# Absolute errors allowed for; docs/proof.md lists the measured errors.
TANH_ERROR = 2.0**-21
SIGMOID_ERROR = 2.0**-22

# Unit roundoff of float32, and the smallest normal number.
UNIT = 1.01 * 2.0**-24
SMALLEST = 1.01 * 2.0**-126
MAX_TERMS = 2**16

Array = npt.NDArray[np.float64]


class Interval(NamedTuple):
    """Bounds on the elements of an array, both included, in float64."""

    low: Array
    high: Array

    @property
    def size(self) -> Array:
        """Largest absolute value of each element."""
        return np.maximum(np.abs(self.low), np.abs(self.high))

    def widened(self, by: Array | float) -> "Interval":
        """Return these bounds, each moved outwards by `by`."""
        return Interval(self.low - by, self.high + by)


def exactly(values: npt.ArrayLike) -> Interval:
    """Return the interval of values known exactly, such as weights."""
    array = np.asarray(values, np.float64)
    return Interval(array, array)


def weighted_sum(inputs: list[tuple[Interval, Array]], bias: Array) -> Interval:
    """Return bounds on `x @ kernel + y @ other_kernel + ... + bias`.

    The float32 sum may be added in any order.

    Args:
        inputs: pairs of an interval, `(rows, n)`, and its kernel, `(n, m)`.
        bias: the bias, `(m,)`.

    Returns:
        Bounds on the sum, `(rows, m)`.
    """
    middle, reach = bias, np.zeros_like(bias)
    for x, kernel in inputs:
        middle = middle + (x.low + x.high) / 2 @ kernel
        reach = reach + (x.high - x.low) / 2 @ np.abs(kernel)
    bounds = Interval(middle - reach, middle + reach)
    return bounds.widened(rounding(inputs, bias))


def rounding(inputs: list[tuple[Interval, Array]], bias: Array) -> Array:
    """Return a bound on the float32 rounding error of a weighted sum.

    Args:
        inputs: as for `weighted_sum`.
        bias: as for `weighted_sum`.

    Returns:
        Bound on the absolute error, `(rows, m)`.

    Raises:
        ValueError: if the sum has more than `MAX_TERMS` terms.
    """
    size, lost, terms = np.abs(bias), 0.0, 1
    for x, kernel in inputs:
        size = size + x.size @ np.abs(kernel)
        largest = np.max(x.size, initial=0) + np.max(np.abs(kernel), initial=0)
        lost += len(kernel) * (largest + 4)
        terms += len(kernel)
    if terms > MAX_TERMS:
        raise ValueError(
            f"`inputs` must have at most {MAX_TERMS} terms. Received: {terms}"
        )
    return terms * UNIT * size + lost * SMALLEST


def product(x: Interval, y: Interval) -> Interval:
    """Return bounds on `x * y`, element by element."""
    corners = [a * b for a in x for b in y]
    bounds = Interval(np.minimum.reduce(corners), np.maximum.reduce(corners))
    lost = SMALLEST * (x.size + y.size + 2)
    return bounds.widened(UNIT * bounds.size + lost)


def total(x: Interval, y: Interval) -> Interval:
    """Return bounds on `x + y`; `x` and `y` may be unrounded products."""
    bounds = Interval(x.low + y.low, x.high + y.high)
    return bounds.widened(UNIT * (x.size + y.size) + 3 * SMALLEST)


def tanh(x: Interval) -> Interval:
    """Return bounds on `tf.tanh(x)`, which stays between -1 and 1."""
    bounds = Interval(np.tanh(x.low), np.tanh(x.high)).widened(TANH_ERROR)
    return Interval(np.maximum(bounds.low, -1.0), np.minimum(bounds.high, 1.0))


def sigmoid(x: Interval) -> Interval:
    """Return bounds on `tf.sigmoid(x)`, which stays between 0 and 1."""
    low, high = (0.5 + 0.5 * np.tanh(0.5 * bound) for bound in x)
    bounds = Interval(low, high).widened(SIGMOID_ERROR)
    return Interval(np.maximum(bounds.low, 0.0), np.minimum(bounds.high, 1.0))
