"""Bounds on how far `predict` is from a walk over prefixes.

Two float32 computations of a network round differently, and each step of time
may enlarge the difference. The bounds here hold for any two computations to
which `intervals.py` applies: sums in any order, tanh and sigmoid within their
measured errors. They are carried along the walk: from a bound on the difference
of the states before a symbol follows one on the difference after it, by the
greatest slope of each gate.

Slopes differ between nodes, but little between nodes that have read the same
symbols last. So a bound is computed once for a group of adjacent nodes, from
the ranges of their h and c. Adjacent groups are merged while these ranges stay
narrow.
"""

import functools
import os
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from keras_lstm.core.errors import InputError
from keras_lstm.models.cells import Cells
from keras_lstm.models.weights import LSTMWeights
from keras_lstm.proof.intervals import (
    MAX_TERMS,
    SIGMOID_ERROR,
    SMALLEST,
    TANH_ERROR,
    UNIT,
    Array,
    Interval,
    exactly,
    product,
    rounding,
    sigmoid,
    tanh,
    total,
    weighted_sum,
)
from keras_lstm.proof.subject import check_activations, check_precision

# Widths up to which groups are merged: of h, and of c relative to 1 + |c|.
# They decide how tight the bounds are, not whether they hold.
_WIDTH_OF_H = 0.05
_WIDTH_OF_C = 0.2
# Groups that are never merged, and groups to which a block is merged.
_FEW_GROUPS = 32
_MANY_GROUPS = 512
# Sums of products of numbers below this stay far from float32's maximum.
_LARGEST = 2.0**100
# Covers the float64 rounding of the bounds themselves.
_UP = 1 + 2.0**-30
# Sizes of what is tried out: matrices, and numbers of each kind.
_MATMUL_SIZE = 64
_SAMPLE = 2**17


class Groups(NamedTuple):
    """Groups of nodes, with a bound on the difference in each.

    What is grouped are sets of nodes in order, see `Cells.ranges`.

    Args:
        starts: first set of each group, in order, `(groups,)`.
        errors: bounds on the difference of each h and c,
            `(groups, 2 * units of all layers)`.
        ranges: bounds on each h and c of the walk, of the same shape.
    """

    starts: npt.NDArray[np.int64]
    errors: Array
    ranges: Interval

    def part(self, sets: npt.NDArray[np.int64]) -> "Groups":
        """Return the groups of some sets, which are in order."""
        group = np.searchsorted(self.starts, sets, "right") - 1
        starts = np.flatnonzero(np.diff(group, prepend=-1))
        chosen = group[starts]
        ranges = Interval(*(bound[chosen] for bound in self.ranges))
        return Groups(starts, self.errors[chosen], ranges)

    def measured(self, cells: Cells, span: int) -> "Groups":
        """Return the groups with the exact ranges of the nodes' h and c."""
        low, high = cells.ranges(span)
        ranges = Interval(
            np.minimum.reduceat(low, self.starts, axis=0),
            np.maximum.reduceat(high, self.starts, axis=0),
        )
        return self._replace(ranges=ranges)


def joined_groups(parts: list[Groups], num_sets: int) -> Groups:
    """Return the groups of several nodes together.

    Args:
        parts: groups of the same number of sets each.
        num_sets: this number.

    Returns:
        All groups, those of the first part first.
    """
    starts = [part.starts + at * num_sets for at, part in enumerate(parts)]
    low, high = (
        np.concatenate([part.ranges[at] for part in parts]) for at in range(2)
    )
    return Groups(
        np.concatenate(starts),
        np.concatenate([part.errors for part in parts]),
        Interval(low, high),
    )


class DifferenceBounds:
    """Bounds on the difference between `predict` and a walk.

    Args:
        network: the weights.
    """

    def __init__(self, network: LSTMWeights) -> None:
        self._network = network
        self._lstms = [
            tuple(w.astype(np.float64) for w in lstm) for lstm in network.lstms
        ]
        self._embedding = network.embedding.astype(np.float64)
        self._size_of_head = np.abs(network.kernel.astype(np.float64))
        h = exactly(np.ones((1, len(network.kernel))))
        bias = network.bias.astype(np.float64)
        self._head_rounding = rounding([(h, self._size_of_head)], bias)
        # No margin exceeds it.
        self._largest_margin = 2 * np.max(
            np.abs(bias) + self._size_of_head.sum(0)
        )
        self._is_h = np.concatenate(
            [np.repeat([True, False], lstm.units) for lstm in network.lstms]
        )

    def start(self) -> Groups | None:
        """Return the group of the empty prefix, where nothing differs.

        None for weights that are not finite or so large that a sum may exceed
        float32's maximum, or sums of very many terms: then nothing can be said.
        """
        terms = max(1 + len(k) + len(r) for k, r, _ in self._lstms)
        if terms > MAX_TERMS or not np.all(self._sums() < _LARGEST):
            return None
        zeros = np.zeros((1, len(self._is_h)))
        return Groups(np.zeros(1, np.int64), zeros, Interval(zeros, zeros))

    def extend(
        self, groups: Groups, cells: Cells, span: int, measure: bool
    ) -> list[Groups | None]:
        """Return the groups after each symbol.

        Args:
            groups: groups of the nodes.
            cells: the nodes.
            span: number of chunks in a set, see `Cells.ranges`.
            measure: whether to measure the ranges of h and c, which takes
                longer than to rely on those in `groups`, and is tighter.

        Returns:
            For each symbol the groups of the children, which are in the order
            of the nodes; None if nothing can be said about any of them.
        """
        if measure:
            groups = groups.measured(cells, span)
        groups = self._merged(groups)
        num_symbols, count = len(self._embedding), len(groups.starts)
        low, high, errors = self._after(groups.ranges, groups.errors)
        found: list[Groups | None] = []
        for symbol in range(num_symbols):
            rows = slice(symbol * count, (symbol + 1) * count)
            ranges = Interval(low[rows], high[rows])
            after = Groups(groups.starts, errors[rows], ranges)
            known = np.any(
                self._tolerance(after.errors) <= self._largest_margin
            )
            found.append(after if known else None)
        return found

    def tolerances(
        self, groups: Groups, num_sets: int
    ) -> npt.NDArray[np.float32]:
        """Return how close to zero a margin may have the other sign.

        Args:
            groups: groups of nodes.
            num_sets: number of sets that are grouped.

        Returns:
            The tolerance of each set, `(num_sets,)`: a margin of greater
            magnitude has the same sign in `predict`.
        """
        sizes = np.diff(groups.starts, append=num_sets)
        tolerance = self._tolerance(groups.errors).astype(np.float32)
        return np.repeat(tolerance, sizes)

    def _sums(self) -> Array:
        """Return bounds on the magnitudes of all sums; NaN if one is NaN."""
        x = np.abs(self._embedding).max(0)
        sums = [np.atleast_1d(self._largest_margin)]
        for kernel, recurrent_kernel, bias in self._lstms:
            sizes = x @ np.abs(kernel) + np.abs(recurrent_kernel).sum(0)
            sums.append(sizes + np.abs(bias))
            x = np.ones(len(recurrent_kernel))
        return np.concatenate(sums)

    def _tolerance(self, errors: Array) -> Array:
        last = self._network.lstms[-1].units
        of_logits = errors[:, -2 * last : -last] @ self._size_of_head
        # Both computations round the logits, and the margin is a difference.
        worst = 2 * np.max(of_logits + 2 * self._head_rounding, 1)
        # One float32 step up, since float32 holds the tolerance.
        return worst * (1 + 2.0**-20) * _UP

    def _merged(self, groups: Groups) -> Groups:
        """Merge adjacent groups with nearly the same states."""
        starts, errors, (low, high) = groups
        low, high, errors = low.copy(), high.copy(), errors.copy()
        for first in (0, 1, 0, 1):
            count = len(starts)
            if count <= _FEW_GROUPS:
                break
            left = np.arange(first, count - 1, 2)
            both = Interval(
                np.minimum(low[left], low[left + 1]),
                np.maximum(high[left], high[left + 1]),
            )
            allowed = np.where(
                self._is_h, _WIDTH_OF_H, _WIDTH_OF_C * (1 + both.size)
            )
            width = np.max((both.high - both.low) / allowed, 1)
            excess = count - _MANY_GROUPS
            limit = 1.0
            if excess > 0:
                narrowest = np.sort(width)
                limit = max(1.0, narrowest[min(excess, len(left)) - 1])
            chosen = width <= limit
            left = left[chosen]
            low[left], high[left] = both.low[chosen], both.high[chosen]
            errors[left] = np.maximum(errors[left], errors[left + 1])
            kept = np.delete(np.arange(count), left + 1)
            low, high, errors = low[kept], high[kept], errors[kept]
            starts = starts[kept]
        return Groups(starts, errors, Interval(low, high))

    def _after(
        self, ranges: Interval, errors: Array
    ) -> tuple[Array, Array, Array]:
        """Return bounds on the states and the difference after each symbol.

        Args:
            ranges: ranges of the h and c of the walk in each group.
            errors: bounds on their difference.

        Returns:
            Lower and upper bounds on the h and c of the walk, and bounds on
            their difference, `(num_symbols * groups, 2 * units of all layers)`,
            ordered by symbol.
        """
        num_symbols, rows = len(self._embedding), len(errors)
        x = exactly(np.repeat(self._embedding, rows, 0))
        x_error = np.zeros_like(x.low)
        ranges = Interval(*(np.tile(b, (num_symbols, 1)) for b in ranges))
        errors = np.tile(errors, (num_symbols, 1))
        after: list[tuple[Array, Array, Array]] = []
        first = 0
        for kernel, recurrent_kernel, bias in self._lstms:
            units = len(recurrent_kernel)
            h, c = (
                Interval(*(bound[:, i : i + units] for bound in ranges))
                for i in (first, first + units)
            )
            h_error, c_error = (
                errors[:, i : i + units] for i in (first, first + units)
            )
            first += 2 * units
            z = weighted_sum([(x, kernel), (h, recurrent_kernel)], bias)
            # Both round: one at states of the walk, one near them.
            rounded = rounding(
                [
                    (x.widened(x_error), kernel),
                    (h.widened(h_error), recurrent_kernel),
                ],
                bias,
            )
            z_error = (
                x_error @ np.abs(kernel)
                + h_error @ np.abs(recurrent_kernel)
                + 2 * rounded
            )
            x, x_error, c, c_error = _gate_errors(z, z_error, c, c_error)
            after += [(*x, x_error), (*c, c_error)]
        low, high, error = (
            np.concatenate(each, 1) for each in zip(*after, strict=True)
        )
        return low, high, error * _UP


def _gate_errors(
    z: Interval, z_error: Array, c: Interval, c_error: Array
) -> tuple[Interval, Array, Interval, Array]:
    """Bound h, c and their difference after a step.

    Args:
        z: ranges of the gates before their activation, `(rows, 4 * units)`.
        z_error: bounds on their difference.
        c: ranges of c before the step, `(rows, units)`.
        c_error: bounds on their difference.

    Returns:
        For h, then for c: ranges after the step and bounds on the difference,
        each `(rows, units)`.
    """
    z_i, z_f, z_g, z_o = (
        Interval(*bounds)
        for bounds in zip(*(np.split(b, 4, 1) for b in z), strict=True)
    )
    of_i, of_f, of_g, of_o = np.split(z_error, 4, 1)
    i, f, o = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o)
    i_error, f_error, o_error = (
        np.minimum(_slope(z, by, 0.5) / 4 * by + 2 * SIGMOID_ERROR, 1)
        for z, by in ((z_i, of_i), (z_f, of_f), (z_o, of_o))
    )
    g = tanh(z_g)
    g_error = np.minimum(_slope(z_g, of_g, 1.0) * of_g + 2 * TANH_ERROR, 2)
    # With a for one computation and A for the other, A * B - a * b is
    # A * (B - b) + (A - a) * b.
    other_f, other_i, other_o = (
        np.minimum(gate.high + by, 1)
        for gate, by in ((f, f_error), (i, i_error), (o, o_error))
    )
    size = np.minimum(c.size + c_error, np.finfo(np.float64).max)
    rounded = 4 * UNIT * (other_f * size + other_i) + 16 * SMALLEST * (1 + size)
    c_error = (
        other_f * c_error
        + f_error * c.size
        + other_i * g_error
        + i_error * g.size
        + rounded
    )
    c = total(product(f, c), product(i, g))
    squashed = tanh(c)
    of_squashed = _slope(c, c_error, 1.0) * c_error + 2 * TANH_ERROR
    h_error = (
        other_o * np.minimum(of_squashed, 2)
        + o_error * squashed.size
        + 2 * (UNIT + 4 * SMALLEST)
    )
    return product(o, squashed), np.minimum(h_error, 2), c, c_error


def _slope(x: Interval, by: Array, scale: float) -> Array:
    """Return the greatest slope of `tanh(scale * x) / scale` near an interval.

    The slope is greatest at the point nearest to 0. The slope of the sigmoid is
    a quarter of the one with `scale` 0.5.
    """
    nearest = np.maximum(np.maximum(x.low - by, -x.high - by), 0)
    return 1 / np.cosh(np.minimum(scale * nearest, 300)) ** 2


def bounds_hold_here() -> bool:
    """Return whether `predict` and a walk compute as the bounds assume.

    They are about float32 on a CPU, not compiled by XLA, with tanh, sigmoid and
    matrix products of the usual accuracy, of TensorFlow and of NumPy.
    """
    # These can be turned on at any time.
    try:
        check_precision()
    except InputError:
        return False
    by_xla = "tf_xla_auto_jit" in os.environ.get("TF_XLA_FLAGS", "")
    by_xla = by_xla or bool(tf.config.optimizer.get_jit())
    return not by_xla and _is_accurate_here()


@functools.cache
def _is_accurate_here() -> bool:
    if tf.config.list_logical_devices("GPU"):
        return False
    try:
        check_activations()
    except InputError:
        return False
    return _numpy_is_accurate() and _products_are_accurate()


def _numpy_is_accurate() -> bool:
    """Return whether NumPy's tanh is, as `LSTMStepper` uses it."""
    patterns = np.random.default_rng(0).integers(2**32, size=_SAMPLE)
    x = patterns.astype(np.uint32).view(np.float32)
    near = np.linspace(-20, 20, _SAMPLE).astype(np.float32)
    x = np.concatenate([x[np.isfinite(x)], near])
    exact = np.tanh(x.astype(np.float64))
    half = 0.5 + 0.5 * np.tanh(0.5 * x.astype(np.float64))
    tanh_of_half = np.tanh(x * np.float32(0.5))
    found = (np.tanh(x) - exact, (1 + tanh_of_half) / 2 - half)
    return (
        bool(np.max(np.abs(found[0])) <= TANH_ERROR)
        and bool(np.max(np.abs(found[1])) <= SIGMOID_ERROR)
        and bool(np.all(np.abs(tanh_of_half) <= 1))
    )


def _products_are_accurate() -> bool:
    """Return whether TensorFlow's and NumPy's matrix products are."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, _MATMUL_SIZE, _MATMUL_SIZE)).astype(np.float32)
    exact = a.astype(np.float64) @ b
    allowed = rounding([(exactly(a), b.astype(np.float64))], np.zeros(1))
    return all(
        bool(np.all(np.abs(found - exact) <= allowed))
        for found in (tf.matmul(a, b).numpy(), a @ b)
    )
