"""Bounds on a network's next states and margins, from bounds on its states.

This module is part of the trusted base of a proof: see `certificate.py`.
"""

import numpy as np
import numpy.typing as npt

from keras_lstm.models.weights import LSTMWeights
from keras_lstm.proof.intervals import (
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


def read_symbol(
    network: LSTMWeights, states: Interval, symbols: npt.NDArray[np.int64]
) -> Interval:
    """Return bounds on the state after a symbol, from bounds before it.

    Args:
        network: the weights.
        states: bounds on the h and c of each layer in turn,
            `(rows, 2 * units of all layers)`.
        symbols: the symbol read in each row, `(rows,)`.

    Returns:
        Bounds on the state after the symbol, of the shape of `states`.
    """
    x = exactly(network.embedding[symbols])
    after: list[Interval] = []
    first = 0
    for lstm in network.lstms:
        units = lstm.units
        h, c = (
            Interval(*(bound[:, i : i + units] for bound in states))
            for i in (first, first + units)
        )
        first += 2 * units
        kernel, recurrent_kernel, bias = (w.astype(np.float64) for w in lstm)
        z = weighted_sum([(x, kernel), (h, recurrent_kernel)], bias)
        z_i, z_f, z_g, z_o = (
            Interval(*bounds)
            for bounds in zip(
                *(np.split(bound, 4, axis=1) for bound in z), strict=True
            )
        )
        c = total(product(sigmoid(z_f), c), product(sigmoid(z_i), tanh(z_g)))
        x = product(sigmoid(z_o), tanh(c))
        after += [x, c]
    low, high = zip(*after, strict=True)
    return Interval(np.concatenate(low, 1), np.concatenate(high, 1))


def smallest_margins(
    network: LSTMWeights, states: Interval, targets: npt.NDArray[np.int64]
) -> Array:
    """Return lower bounds on the right logit minus the largest other.

    Args:
        network: the weights.
        states: bounds on the state after the symbol,
            `(rows, 2 * units of all layers)`.
        targets: the right class in each row, `(rows,)`.

    Returns:
        Lower bounds on the margin, `(rows,)`.
    """
    units = network.lstms[-1].units
    h = Interval(*(bound[:, -2 * units : -units] for bound in states))
    kernel = network.kernel.astype(np.float64)
    bias = network.bias.astype(np.float64)
    # The difference of two exact logits is one sum over the same h: bounding
    # it directly is tighter than bounding each logit.
    difference = kernel[:, targets].T[:, np.newaxis] - kernel.T
    margins = (
        np.einsum("rn,ron->ro", (h.low + h.high) / 2, difference)
        - np.einsum("rn,ron->ro", (h.high - h.low) / 2, np.abs(difference))
        + (bias[targets][:, np.newaxis] - bias)
    )
    # The two logits are rounded separately.
    rounded = rounding([(h, kernel)], bias)
    rows = np.arange(len(targets))
    margins -= rounded + rounded[rows, targets][:, np.newaxis]
    margins[rows, targets] = np.inf
    return margins.min(1)
