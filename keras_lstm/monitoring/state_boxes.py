"""Boxes of a proof, as pictures show them."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from keras_lstm.proof.certificate import Proof


class StateBoxes(NamedTuple):
    """Bounds on h of the last LSTM layer, by machine state.

    Args:
        states: the machine state that each box is paired with, `(boxes,)`.
        last_symbols: the last symbols read on the way to each box.
        low: lower bounds, `(boxes, units)`.
        high: upper bounds, of the same shape.
    """

    states: npt.NDArray[np.int64]
    last_symbols: list[list[int]]
    low: npt.NDArray[np.float64]
    high: npt.NDArray[np.float64]

    @classmethod
    def of(cls, proof: "Proof", units: int) -> "StateBoxes":
        """Return the boxes of a proof.

        Args:
            proof: the proof.
            units: units of the last LSTM layer.

        Returns:
            The boxes.
        """
        # The last h comes before the last c.
        low, high = (bound[:, -2 * units : -units] for bound in proof.boxes)
        return cls(proof.states, proof.last_symbols, low, high)
