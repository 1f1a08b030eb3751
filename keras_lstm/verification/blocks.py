"""Prefixes of the same length that a walk extends together.

`prefix_tree.py` walks them, `merging.py` leaves out those whose future is that
of another.
"""

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from keras_lstm.models.cells import WIDTH, Array, Cells, joined, packed_order
from keras_lstm.models.stepper import LSTMStepper
from keras_lstm.verification.rounding_bounds import (
    DifferenceBounds,
    Groups,
    joined_groups,
)

# Nodes of a block that is cut by state, and put in chunks. It is far above
# `WIDTH`, so that chunks need few copies to be full.
_NODES_TO_PACK = 2**12
_MAX_STATES_TO_CUT_BY = 32
# Share of copies in chunks from which on sets are made smaller.
_MAX_COPIES = 0.04
# A part is small below this share of an equal part.
_SMALL_PART = 8


@dataclasses.dataclass(frozen=True)
class Block:
    """Prefixes of the same length, with the network's and machine's states.

    A node is a prefix, or stands for several with the same states. All arrays
    are in the order of the nodes of `cells`.
    """

    length: int
    by_state: bool
    """Whether the nodes descend from many nodes of one state of the machine."""
    cells: Cells | None
    groups: Groups | None
    """Bounds on the difference of `predict`; None if nothing can be said."""
    span: int
    """Number of chunks in a set of nodes of `groups`."""
    states: npt.NDArray[np.int32]
    counts: npt.NDArray[np.int64]
    """Number of prefixes; 0 for a copy of another node that fills a chunk."""
    numbers: npt.NDArray[np.int64]
    """The prefix as a number, the smallest of several."""
    hold_lengths: npt.NDArray[np.int16]
    """Of one prefix; like `wrong_tokens` and `close`, of no use for several."""
    wrong_tokens: npt.NDArray[np.int16]
    margins: npt.NDArray[np.float32]
    """Smallest margin so far, of any of the prefixes."""
    worst: npt.NDArray[np.int64]
    """The smallest prefix that has this margin."""
    close: npt.NDArray[np.bool_]

    @property
    def num_sets(self) -> int:
        """Number of sets of nodes that may be grouped."""
        return len(self.numbers) // self.span

    @property
    def sets(self) -> npt.NDArray[np.int64]:
        """The set of each node."""
        width = WIDTH if self.span > 1 else len(self.numbers)
        by_column = np.arange(self.num_sets).reshape(-1, 1, width)
        return np.repeat(by_column, self.span, 1).reshape(-1)

    @property
    def is_doubtful(self) -> npt.NDArray[np.bool_]:
        """Whether an answer so far is wrong, or so close that it may be."""
        return self.close | (self.wrong_tokens > 0)

    def chosen(self, nodes: npt.NDArray[np.int64]) -> "Block":
        """Return a block with the arrays of some nodes."""
        arrays: Any = {k: each[nodes] for k, each in self.arrays().items()}
        return dataclasses.replace(self, **arrays)

    def arrays(self) -> dict[str, Any]:
        """Return the arrays that have an item for each node."""
        names = [field.name for field in dataclasses.fields(self)]
        values = {name: getattr(self, name) for name in names}
        return {k: v for k, v in values.items() if isinstance(v, np.ndarray)}


def root(network: LSTMStepper, bounds: DifferenceBounds) -> Block:
    """Return a block with the empty prefix only."""
    return Block(
        length=0,
        by_state=False,
        cells=network.start(),
        groups=bounds.start(),
        span=1,
        states=np.zeros(1, np.int32),
        counts=np.ones(1, np.int64),
        numbers=np.zeros(1, np.int64),
        hold_lengths=np.zeros(1, np.int16),
        wrong_tokens=np.zeros(1, np.int16),
        margins=np.full(1, np.inf, np.float32),
        worst=np.zeros(1, np.int64),
        close=np.zeros(1, np.bool_),
    )


def in_chunks(
    block: Block,
    most: int,
    is_left: npt.NDArray[np.bool_] | None = None,
    rows: Array | None = None,
) -> list[Block]:
    """Return the blocks to continue with, large ones in chunks.

    When a block becomes large, it is cut by the machine's state: adjacent nodes
    then have nearly the same states of the network as well, and bounds for them
    together say more. A small part grows, and is cut again.

    Args:
        block: the block.
        most: nodes from which on a block is cut into several.
        is_left: which nodes to continue with, `(nodes,)`, no copies; None for
            all of them, in a block that is not in chunks yet.
        rows: what `block.cells.rows()` returned; None for that.

    Returns:
        The blocks.
    """
    cells, groups, count = block.cells, block.groups, len(block.numbers)
    if cells is None or groups is None:
        return [block]
    if is_left is None:
        if len(cells.arrays[0]) > 1 or count < _NODES_TO_PACK:
            return [block]
        is_left = np.ones(count, np.bool_)
    # Sets one after the other: as nodes were before they were put in chunks.
    by_set = np.arange(count).reshape(-1, block.span, cells.width)
    order = by_set.transpose(0, 2, 1).reshape(-1)
    places = np.flatnonzero(is_left[order])
    nodes = order[places]
    groups = groups._replace(starts=groups.starts * block.span).part(places)
    parts = [np.arange(len(nodes))]
    if not block.by_state and len(nodes) >= _NODES_TO_PACK:
        states = block.states[nodes]
        present = np.unique(states)
        if len(present) <= _MAX_STATES_TO_CUT_BY:
            parts = [np.flatnonzero(states == x) for x in present]
    small = len(nodes) // (_SMALL_PART * len(parts))
    rows = cells.rows() if rows is None else rows
    return [
        dataclasses.replace(
            _packed(block, cells, rows, nodes[piece], groups.part(piece)),
            by_state=block.by_state or len(part) > small,
        )
        for part in parts
        for piece in np.array_split(part, -(-len(part) // most))
    ]


def _packed(
    block: Block,
    cells: Cells,
    rows: Array,
    nodes: npt.NDArray[np.int64],
    groups: Groups,
) -> Block:
    """Return some nodes of a block, in chunks if they are many."""
    if len(nodes) < _NODES_TO_PACK:
        found = block.chosen(nodes)
        kept = cells.of_rows(rows[nodes], len(nodes))
        return dataclasses.replace(found, cells=kept, groups=groups, span=1)
    sizes = np.diff(groups.starts, append=len(nodes))
    span = _span_for(sizes)
    # Each group fills sets of its own, with copies if need be.
    sets = -(-sizes // span)
    sets[-1] += -sets.sum() % WIDTH
    ends = np.cumsum(sets) * span
    places = packed_order(int(ends[-1]), span)
    group = np.searchsorted(ends, places, "right")
    inside = places - (ends - sets * span)[group]
    last = sizes[group] - 1
    nodes = nodes[groups.starts[group] + np.minimum(inside, last)]
    found = block.chosen(nodes)
    found.counts[inside > last] = 0
    return dataclasses.replace(
        found,
        cells=cells.of_rows(rows[nodes], WIDTH),
        groups=groups._replace(starts=np.cumsum(sets) - sets),
        span=span,
    )


def _span_for(sizes: npt.NDArray[np.int64]) -> int:
    """Return the number of chunks in a set of nodes.

    Large sets are few, which takes less time; small ones need fewer copies.

    Args:
        sizes: number of nodes of each group, `(groups,)`.
    """
    count = int(sizes.sum())
    for span in range(count // WIDTH, 1, -1):
        sets = int((-(-sizes // span)).sum())
        if -(-sets // WIDTH) * WIDTH * span <= (1 + _MAX_COPIES) * count:
            return span
    return 1


def join(parts: list[Block]) -> Block:
    """Return the nodes of blocks that descend from the same nodes.

    Args:
        parts: the blocks; either all of them have bounds, or none.

    Returns:
        The nodes, those of the first block first.
    """
    first, cells, groups = parts[0], None, None
    if first.groups is not None:
        cells = joined(_known(x.cells for x in parts))
        groups = joined_groups(_known(x.groups for x in parts), first.num_sets)
    arrays: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in first.arrays()
    }
    return dataclasses.replace(first, cells=cells, groups=groups, **arrays)


def _known(values: Iterable[Any]) -> list[Any]:
    return [each for each in values if each is not None]
