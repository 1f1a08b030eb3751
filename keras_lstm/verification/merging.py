"""Prefixes whose future is that of another, and need not be walked twice.

A network that forgets what it read long ago is in the same state after many
prefixes, bit for bit. If the machine is in the same state after them, too, then
all that follows is the same, and one of them stands for all.
"""

import dataclasses

import numpy as np
import numpy.typing as npt

from keras_lstm.models.cells import Cells
from keras_lstm.verification.blocks import Block, in_chunks
from keras_lstm.verification.rounding_bounds import Groups

# Blocks of fewer nodes take little time, merged or not.
_LEAST_NODES = 2**10
# Unless one node of so many can be spared, all stay.
_WORTHWHILE = 16

_Nodes = npt.NDArray[np.int64]


def merged(block: Block, most: int) -> list[Block] | None:
    """Return blocks in which one node stands for all with the same states.

    Args:
        block: a block; nodes that are doubtful stay.
        most: see `in_chunks`.

    Returns:
        The blocks; None if too few nodes could be spared.
    """
    cells, groups, count = block.cells, block.groups, len(block.states)
    if cells is None or groups is None or count < _LEAST_NODES:
        return None
    single = np.flatnonzero((block.counts > 0) & ~block.is_doubtful)
    keys = _keys(block.states, cells)[single]
    spared, kept = (single[places] for places in _alike(keys))
    if len(spared) * _WORTHWHILE < count:
        return None
    rows = cells.rows()
    bits = rows.view(np.uint32)
    same = block.states[spared] == block.states[kept]
    same &= np.all(bits[spared] == bits[kept], axis=1)
    spared, kept = spared[same], kept[same]
    sets = block.sets
    groups = _with_errors(groups, sets[spared], sets[kept])
    block = dataclasses.replace(
        _standing_for(block, spared, kept), groups=groups
    )
    is_left = block.counts > 0
    is_left[spared] = False
    return in_chunks(block, most, is_left, rows)


def _keys(
    states: npt.NDArray[np.int32], cells: Cells
) -> npt.NDArray[np.uint32]:
    """Return a number for each node, the same for nodes with the same states.

    By chance, it is the same for a few others, too.
    """
    rng = np.random.default_rng(0)
    keys = states.astype(np.uint32)
    for array in cells.arrays:
        # Odd factors lose nothing.
        factors = rng.integers(2**32, size=array.shape[1], dtype=np.uint32) | 1
        bits = array.view(np.uint32)
        keys += np.einsum("nuw,u->nw", bits, factors).reshape(-1)
    return keys


def _alike(keys: npt.NDArray[np.uint32]) -> tuple[_Nodes, _Nodes]:
    """Return places of keys that come again, and for each the first place."""
    order = np.argsort(keys, kind="stable")
    is_first = np.diff(keys[order], prepend=~keys[order[:1]]) != 0
    first = order[np.flatnonzero(is_first)][np.cumsum(is_first) - 1]
    return order[~is_first], first[~is_first]


def _standing_for(block: Block, spared: _Nodes, kept: _Nodes) -> Block:
    """Return a block whose kept nodes stand for those to spare as well."""
    counts, numbers = block.counts.copy(), block.numbers.copy()
    margins, worst = block.margins.copy(), block.worst.copy()
    np.add.at(counts, kept, counts[spared])
    np.minimum.at(numbers, kept, numbers[spared])
    np.minimum.at(margins, kept, margins[spared])
    # Only prefixes that have the smallest margin count for `worst`.
    worst[margins < block.margins] = np.iinfo(np.int64).max
    has_least = block.margins[spared] == margins[kept]
    spared, kept = spared[has_least], kept[has_least]
    np.minimum.at(worst, kept, block.worst[spared])
    return dataclasses.replace(
        block, counts=counts, numbers=numbers, margins=margins, worst=worst
    )


def _with_errors(groups: Groups, spared: _Nodes, kept: _Nodes) -> Groups:
    """Return bounds that hold for nodes that stand for others, too."""
    count = len(groups.starts)
    of_spared, of_kept = (
        np.searchsorted(groups.starts, sets, "right") - 1
        for sets in (spared, kept)
    )
    of_kept, of_spared = np.divmod(
        np.unique(of_kept * count + of_spared), count
    )
    errors = groups.errors.copy()
    np.maximum.at(errors, of_kept, groups.errors[of_spared])
    return groups._replace(errors=errors)
