"""What a float32 network can compute from inputs that lie between bounds.

Each function takes bounds on its inputs and gives bounds on everything that
the float32 operation may return for inputs inside them, on a CPU, whatever
the order of its sums, with or without fused multiply-add, and whether or not
subnormal numbers are flushed to zero. It computes in float64 and widens the
result by an allowance for float32's rounding:

- A float32 operation errs by at most `u = 2^-24` of its exact result (IEEE
  754). A sum of n terms, each rounded at most n times on its way, errs by at
  most `n u / (1 - n u)` of the sum of their sizes, in any order (Higham,
  "Accuracy and Stability of Numerical Algorithms", 2nd ed., sections 3.1 and
  4.2); a fused multiply-add only leaves roundings out.
- What is below `2^-126` in size may be lost, at each operation.
- tanh and sigmoid err by what `scripts/benchmarks/measure_activations.py`
  measured over all finite float32 numbers, rounded up.

Every allowance is 1% larger than that, which covers `1 / (1 - n u)` up to
n = 2^16 and the rounding of float64 in this module, which is 2^-29 of
float32's; NumPy's `tanh` is taken to be right to 2^-40.

Libraries of intervals there are; none has float32's rounding on top, or
tanh and sigmoid for arrays.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

# Of tf.tanh and tf.sigmoid, absolute: docs/proof.md has what was measured.
TANH_ERROR = 2.0**-21
SIGMOID_ERROR = 2.0**-22

_UNIT = 1.01 * 2.0**-24
_SMALLEST = 1.01 * 2.0**-126
MAX_TERMS = 2**16

Array = npt.NDArray[np.float64]


class Interval(NamedTuple):
    """Bounds on the elements of an array, both included, in float64."""

    low: Array
    high: Array

    @property
    def size(self) -> Array:
        """The largest absolute value of each element."""
        return np.maximum(np.abs(self.low), np.abs(self.high))

    def widened(self, by: Array | float) -> "Interval":
        """These bounds, moved apart."""
        return Interval(self.low - by, self.high + by)


def exactly(values: npt.ArrayLike) -> Interval:
    """Values that are known, such as weights."""
    array = np.asarray(values, np.float64)
    return Interval(array, array)


def weighted_sum(inputs: list[tuple[Interval, Array]], bias: Array) -> Interval:
    """`x @ kernel + y @ other_kernel + ... + bias`, added in any order.

    Args:
        inputs: pairs of an interval, `(rows, n)`, and its kernel, `(n, m)`.
        bias: `(m,)`.
    """
    middle, reach = bias, np.zeros_like(bias)
    for x, kernel in inputs:
        middle = middle + (x.low + x.high) / 2 @ kernel
        reach = reach + (x.high - x.low) / 2 @ np.abs(kernel)
    bounds = Interval(middle - reach, middle + reach)
    return bounds.widened(rounding(inputs, bias))


def rounding(inputs: list[tuple[Interval, Array]], bias: Array) -> Array:
    """How far `weighted_sum` in float32 may be from the exact sum."""
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
    return terms * _UNIT * size + lost * _SMALLEST


def product(x: Interval, y: Interval) -> Interval:
    """`x * y`, element by element."""
    corners = [a * b for a in x for b in y]
    bounds = Interval(np.minimum.reduce(corners), np.maximum.reduce(corners))
    lost = _SMALLEST * (x.size + y.size + 2)
    return bounds.widened(_UNIT * bounds.size + lost)


def total(x: Interval, y: Interval) -> Interval:
    """`x + y`; `x` and `y` may be products that are not rounded before."""
    bounds = Interval(x.low + y.low, x.high + y.high)
    return bounds.widened(_UNIT * (x.size + y.size) + 3 * _SMALLEST)


def tanh(x: Interval) -> Interval:
    """`tf.tanh(x)`, which stays within -1 and 1."""
    bounds = Interval(np.tanh(x.low), np.tanh(x.high)).widened(TANH_ERROR)
    return Interval(np.maximum(bounds.low, -1.0), np.minimum(bounds.high, 1.0))


def sigmoid(x: Interval) -> Interval:
    """`tf.sigmoid(x)`, which stays within 0 and 1."""
    low, high = (0.5 + 0.5 * np.tanh(0.5 * bound) for bound in x)
    bounds = Interval(low, high).widened(SIGMOID_ERROR)
    return Interval(np.maximum(bounds.low, 0.0), np.minimum(bounds.high, 1.0))
