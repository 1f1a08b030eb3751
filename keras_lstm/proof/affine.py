"""Bounds on the results of float32 operations that keep what ties values.

This module is part of the trusted base of a proof: see `ellipsoids.py`.

A form bounds an array by `middle + generators @ noise`, up to `error`, where
`noise` is a vector of length at most 1 that all elements share: it is one and
the same in a gate and in the h that the gate was computed from. Intervals lose
this, and with it that deviations cancel. Each function returns a form that
holds every result of the float32 operation, and adds the allowances for
rounding that `intervals.py` explains. Affine forms are due to Comba and Stolfi
("Affine arithmetic and its applications to computer graphics", 1993); with
noise from a ball instead of a cube, a form bounds an ellipsoid.
"""

import dataclasses
import functools
from typing import NamedTuple

import numpy as np

from keras_lstm.models.weights import LSTMWeights
from keras_lstm.proof.intervals import (
    SIGMOID_ERROR,
    SMALLEST,
    TANH_ERROR,
    UNIT,
    Array,
    Interval,
    rounding,
)


@dataclasses.dataclass(frozen=True)
class Form:
    """Bounds on the elements of an array, as functions of a shared noise.

    Args:
        middle: values without noise, `(rows, n)`.
        generators: effect of each noise on each element, `(rows, n, noises)`.
            The noises of a row are a vector of length at most 1.
        error: bound on the distance from `middle + generators @ noise`,
            `(rows, n)`.
    """

    middle: Array
    generators: Array
    error: Array

    @functools.cached_property
    def reach(self) -> Array:
        """Largest distance of each element from `middle`."""
        squares = np.einsum("rnk,rnk->rn", self.generators, self.generators)
        return np.sqrt(squares) * (1 + 1e-9) + self.error

    @functools.cached_property
    def bounds(self) -> Interval:
        """Bounds on each element."""
        reach = self.reach
        return Interval(self.middle - reach, self.middle + reach)

    def part(self, first: int, last: int) -> "Form":
        """Return the form of the elements from `first` up to `last`."""
        return Form(
            self.middle[:, first:last],
            self.generators[:, first:last],
            self.error[:, first:last],
        )


class Reading(NamedTuple):
    """Bounds on what reading a symbol does.

    Args:
        h: the h of each layer in turn after the symbol,
            `(rows, units of all layers)`.
        c: the c of each layer in turn after the symbol, of the same shape.
        forget: bounds on the factor of each c in its update.
        added: bounds on what is added to the product with that factor.
    """

    h: Form
    c: Form
    forget: Interval
    added: Interval


def weighted_sum(inputs: list[tuple[Form, Array]], bias: Array) -> Form:
    """Return bounds on `x @ kernel + y @ other_kernel + ... + bias`.

    The float32 sum may be added in any order.
    """
    middle, generators = bias, np.zeros(())
    error = rounding([(x.bounds, kernel) for x, kernel in inputs], bias)
    for x, kernel in inputs:
        middle = middle + x.middle @ kernel
        generators = generators + kernel.T @ x.generators
        error = error + x.error @ np.abs(kernel)
    return Form(middle, generators, error)


def product(x: Form, y: Form) -> Form:
    """Return bounds on `x * y`, element by element."""
    x_reach, y_reach = x.reach, y.reach
    x_size = np.abs(x.middle) + x_reach
    y_size = np.abs(y.middle) + y_reach
    return Form(
        x.middle * y.middle,
        x.middle[..., np.newaxis] * y.generators
        + y.middle[..., np.newaxis] * x.generators,
        np.abs(x.middle) * y.error
        + np.abs(y.middle) * x.error
        + x_reach * y_reach
        + UNIT * x_size * y_size
        + SMALLEST * (x_size + y_size + 2),
    )


def total(x: Form, y: Form) -> Form:
    """Return bounds on `x + y`; `x` and `y` may be unrounded products."""
    size = np.abs(x.middle) + x.reach + np.abs(y.middle) + y.reach
    error = x.error + y.error + UNIT * size + 3 * SMALLEST
    return Form(x.middle + y.middle, x.generators + y.generators, error)


def tanh(x: Form) -> Form:
    """Return bounds on `tf.tanh(x)`."""
    slope, offset, error = _linearize_tanh(x.bounds)
    return Form(
        slope * x.middle + offset,
        slope[..., np.newaxis] * x.generators,
        slope * x.error + error + TANH_ERROR,
    )


def sigmoid(x: Form) -> Form:
    """Return bounds on `tf.sigmoid(x)`, which is `0.5 + 0.5 * tanh(x / 2)`."""
    low, high = x.bounds
    slope, offset, error = _linearize_tanh(Interval(low / 2, high / 2))
    return Form(
        0.5 + 0.5 * (slope * x.middle / 2 + offset),
        slope[..., np.newaxis] / 4 * x.generators,
        slope / 4 * x.error + error / 2 + SIGMOID_ERROR,
    )


def _linearize_tanh(x: Interval) -> tuple[Array, Array, Array]:
    """Return a line and the largest distance of tanh from it between bounds.

    Returns:
        `slope`, `offset` and `error`: between the bounds,
        `abs(tanh(x) - slope * x - offset) <= error`.
    """
    low, high = np.tanh(x.low), np.tanh(x.high)
    width = x.high - x.low
    tangent = 1 - np.tanh((x.low + x.high) / 2) ** 2
    # Any slope gives a bound; that of the secant gives the smallest error.
    secant = (high - low) / np.maximum(width, 1e-9)
    slope = np.clip(np.where(width > 1e-6, secant, tangent), 0, 1)
    # The distance is extreme at the bounds, and where the slopes are equal.
    # There it is flat, so an error in the place is of no consequence.
    place = np.arctanh(np.minimum(np.sqrt(1 - slope), 1 - 1e-16))
    distances = [low - slope * x.low, high - slope * x.high]
    for sign in (-1, 1):
        inside = np.clip(sign * place, x.low, x.high)
        distances.append(np.tanh(inside) - slope * inside)
    least, most = np.minimum.reduce(distances), np.maximum.reduce(distances)
    return slope, (least + most) / 2, (most - least) / 2


def read_symbol(
    network: LSTMWeights, h: Form, c: Interval, symbol: int
) -> Reading:
    """Return bounds on the state after a symbol, from bounds before it.

    Args:
        network: the weights.
        h: bounds on the h of each layer in turn,
            `(rows, units of all layers)`.
        c: bounds on the c of each layer in turn, of the same shape.
        symbol: the symbol read.

    Returns:
        Bounds on the state after the symbol, and on how each c changed.
    """
    rows, _, noises = h.generators.shape
    x = _exactly(network.embedding[symbol].astype(np.float64), rows, noises)
    after: list[tuple[Form, Form, Form, Form]] = []
    first = 0
    for lstm in network.lstms:
        last = first + lstm.units
        kernel, recurrent_kernel, bias = (w.astype(np.float64) for w in lstm)
        z = weighted_sum(
            [(x, kernel), (h.part(first, last), recurrent_kernel)], bias
        )
        z_i, z_f, z_g, z_o = (
            z.part(i * lstm.units, (i + 1) * lstm.units) for i in range(4)
        )
        old = Form(
            (c.low[:, first:last] + c.high[:, first:last]) / 2,
            np.zeros((rows, lstm.units, noises)),
            (c.high[:, first:last] - c.low[:, first:last]) / 2 * (1 + 1e-9),
        )
        forget, added = sigmoid(z_f), product(sigmoid(z_i), tanh(z_g))
        new = total(product(forget, old), added)
        x = product(sigmoid(z_o), tanh(new))
        after.append((x, new, forget, added))
        first = last
    all_h, all_c, forget, added = (
        _join(forms) for forms in zip(*after, strict=True)
    )
    return Reading(all_h, all_c, forget.bounds, added.bounds)


def _exactly(values: Array, rows: int, noises: int) -> Form:
    middle = np.tile(values, (rows, 1))
    return Form(
        middle, np.zeros((*middle.shape, noises)), np.zeros_like(middle)
    )


def _join(forms: tuple[Form, ...]) -> Form:
    return Form(
        np.concatenate([form.middle for form in forms], 1),
        np.concatenate([form.generators for form in forms], 1),
        np.concatenate([form.error for form in forms], 1),
    )


def distances(h: Form, centers: Array, to_noise: Array) -> Array:
    """Return upper bounds on the distance of h from the centers of nodes.

    Args:
        h: the bounds on h, in `rows` rows.
        centers: the centers, `(rows, units)`.
        to_noise: inverse of each node's basis, `(rows, units, units)`.

    Returns:
        Bounds on the distance in multiples of the basis, `(rows,)`.
    """
    offset = np.einsum("rij,rj->ri", to_noise, h.middle - centers)
    return (
        np.linalg.norm(offset, axis=1)
        + _spectral_norms(to_noise @ h.generators)
        + np.sqrt(
            np.einsum(
                "ri,rij,rj->r",
                h.error,
                np.abs(np.swapaxes(to_noise, 1, 2) @ to_noise),
                h.error,
            )
        )
    )


def _spectral_norms(matrices: Array) -> Array:
    """Return upper bounds on the spectral norm of each matrix.

    The eigenvalues of `A A^T` are not negative, so the largest is at most the
    k-th root of the sum of their k-th powers, which is a trace.
    """
    powers = matrices @ np.swapaxes(matrices, 1, 2)
    scale = np.trace(powers, axis1=1, axis2=2) + 1e-300
    powers /= scale[:, np.newaxis, np.newaxis]
    for _ in range(4):
        powers = powers @ powers
    traces = np.trace(powers, axis1=1, axis2=2)
    return np.sqrt(scale * traces ** (1 / 16))
