"""The state of a network at many nodes, as NumPy multiplies it fastest.

OpenBLAS multiplies matrices of up to some 2^19 multiplications at its full rate
in the thread that asks, and larger ones by threads of its own, which wait for
each other. So nodes lie in chunks of `WIDTH`, a column each, and threads of
this project take different nodes.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

# Nodes in a chunk.
WIDTH = 64


class Cells(NamedTuple):
    """State of a network at several nodes.

    A node is a column of a chunk. There is one chunk of any width, or there are
    several of `WIDTH`. Node `i` is column `i % width` of chunk `i // width`.

    Args:
        arrays: for each LSTM layer, first to last, 2 h and c, each
            `(num_chunks, units, width)`. Doubled, h costs a step one
            multiplication less, and is as exact.
    """

    arrays: tuple[Array, ...]

    @property
    def width(self) -> int:
        """Number of nodes in a chunk."""
        return self.arrays[0].shape[-1]

    def values(self) -> list[Array]:
        """Return h and c of each layer, each `(nodes, units)`."""
        factors = [0.5, 1] * (len(self.arrays) // 2)
        return [
            array.transpose(0, 2, 1).reshape(-1, array.shape[1])
            * np.float32(factor)
            for array, factor in zip(self.arrays, factors, strict=True)
        ]

    def chosen(self, nodes: npt.NDArray[np.int64]) -> "Cells":
        """Return some nodes of the only chunk, as one chunk again.

        Args:
            nodes: the nodes, `(count,)`.

        Returns:
            The cells.
        """
        arrays = [array[..., nodes] for array in self.arrays]
        return Cells(tuple(map(np.ascontiguousarray, arrays)))

    def rows(self) -> Array:
        """Return a row for each node, in which its columns follow each other.

        Returns:
            The rows, `(nodes, 2 * units of all layers)`.
        """
        num_chunks, _, width = self.arrays[0].shape
        sizes = [array.shape[1] for array in self.arrays]
        rows = np.empty((num_chunks, width, sum(sizes)), np.float32)
        for part, array in zip(_split(rows, sizes), self.arrays, strict=True):
            part[...] = array.transpose(0, 2, 1)
        return rows.reshape(num_chunks * width, -1)

    def of_rows(self, rows: Array, width: int) -> "Cells":
        """Return cells of the same network.

        Args:
            rows: nodes, as the method `rows` returns them.
            width: number of nodes in a chunk.

        Returns:
            The cells, in chunks.
        """
        sizes = [array.shape[1] for array in self.arrays]
        by_chunk = rows.reshape(-1, width, rows.shape[1])
        arrays = [
            np.ascontiguousarray(part.transpose(0, 2, 1))
            for part in _split(by_chunk, sizes)
        ]
        return Cells(tuple(arrays))

    def ranges(
        self, span: int
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return the least and the largest h and c in each group of nodes.

        Args:
            span: number of adjacent chunks whose nodes in the same column are
                a group.

        Returns:
            Both `(num_chunks // span * width, 2 * units of all layers)`. Groups
            are ordered by their chunks, then by column.
        """
        bounds: list[npt.NDArray[np.float64]] = []
        for reduce in (np.min, np.max):
            found = []
            for number, array in enumerate(self.arrays):
                grouped = array.reshape(-1, span, *array.shape[1:])
                least: Any = reduce(grouped, axis=1).transpose(0, 2, 1)
                rows = least.reshape(-1, array.shape[1]).astype(np.float64)
                found.append(rows if number % 2 else rows / 2)
            bounds.append(np.concatenate(found, 1))
        return bounds[0], bounds[1]


def joined(parts: Sequence[Cells]) -> Cells:
    """Return the nodes of several cells, those of the first first.

    Args:
        parts: cells of one chunk each, or else of chunks of `WIDTH`.

    Returns:
        All nodes in one chunk, or in all chunks.
    """
    axis = 2 if len(parts[0].arrays[0]) == 1 else 0
    each_array = zip(*(part.arrays for part in parts), strict=True)
    return Cells(tuple(np.concatenate(each, axis) for each in each_array))


def _split(rows: Array, sizes: list[int]) -> list[Array]:
    """Return the part of the rows that each array holds."""
    return np.split(rows, np.cumsum(sizes)[:-1], axis=-1)


def packed_order(count: int, span: int) -> npt.NDArray[np.int64]:
    """Return an order of nodes to put them in chunks of `WIDTH`.

    Nodes that are adjacent before stay in one column, if they can: so the nodes
    of a column have the same last symbols.

    Args:
        count: number of nodes, a multiple of `span * WIDTH`.
        span: number of adjacent nodes that go to one column, in as many chunks.

    Returns:
        The nodes, `(count,)`.
    """
    by_column = np.arange(count).reshape(-1, WIDTH, span)
    return by_column.transpose(0, 2, 1).reshape(-1)
