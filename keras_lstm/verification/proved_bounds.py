"""Stand-in for the bounds of a walk, for models that are proved."""

import numpy as np
import numpy.typing as npt

from keras_lstm.models.cells import Cells
from keras_lstm.proof.intervals import Interval
from keras_lstm.verification.rounding_bounds import DifferenceBounds, Groups


class ProvedBounds(DifferenceBounds):
    """Stand-in for the bounds where a proof says what `predict` answers.

    The walk then computes every margin, whatever its rounding.
    """

    def start(self) -> Groups:
        """Return one group for everything, in which nothing differs."""
        zeros = np.zeros((1, len(self._is_h)))
        return Groups(np.zeros(1, np.int64), zeros, Interval(zeros, zeros))

    def extend(
        self, groups: Groups, cells: Cells, span: int, measure: bool
    ) -> list[Groups | None]:
        """Return the same groups after each symbol."""
        return [self.start()] * len(self._embedding)

    def tolerances(
        self, groups: Groups, num_sets: int
    ) -> npt.NDArray[np.float32]:
        """Return zeros, `(num_sets,)`."""
        return np.zeros(num_sets, np.float32)
