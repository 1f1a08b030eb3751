"""Rows divided into training, validation and test parts."""

import dataclasses
import hashlib
import itertools
from collections.abc import Collection

import numpy as np
import numpy.typing as npt

from keras_lstm.core.errors import InputError, shown
from keras_lstm.tasks.records import RecordFile

PARTS = ("train", "validation", "test")
TRAIN, VALIDATION, TEST = range(3)
_PART_NAMES = {
    "train": TRAIN,
    "training": TRAIN,
    "validation": VALIDATION,
    "valid": VALIDATION,
    "val": VALIDATION,
    "dev": VALIDATION,
    "test": TEST,
}
# Rows that are looked at to find a column.
_NUM_FIRST = 1000


@dataclasses.dataclass(frozen=True)
class Defects:
    """What may be wrong with sequences of one's own.

    Args:
        num_bad: number of rows that were skipped.
        num_repeated: number of sequences that are there before.
        num_contradicted: number of sequences that are there with other
            targets as well.
        num_leaked: number of validation and test sequences that are in the
            training part as well.
    """

    num_bad: int
    num_repeated: int
    num_contradicted: int
    num_leaked: int


def find_defects(
    keys: npt.NDArray[np.uint64],
    targets: npt.NDArray[np.integer],
    parts: npt.NDArray[np.uint8],
    num_bad: int,
) -> Defects:
    """Count what may be wrong with sequences.

    Args:
        keys: a hash of each sequence, `(num_examples,)`.
        targets: a number or a hash of its targets, likewise.
        parts: the part that it is in, likewise.
        num_bad: number of rows that were skipped.

    Returns:
        The counts.
    """
    order = np.lexsort((targets, keys))
    sorted_keys, sorted_targets = keys[order], targets[order]
    differs = sorted_keys[1:] == sorted_keys[:-1]
    differs &= sorted_targets[1:] != sorted_targets[:-1]
    is_train = parts == TRAIN
    return Defects(
        num_bad,
        len(keys) - len(np.unique(keys)),
        int(is_among(keys, sorted_keys[1:][differs]).sum()),
        int(is_among(keys[~is_train], keys[is_train]).sum()),
    )


def is_among(
    keys: npt.NDArray[np.uint64],
    others: npt.NDArray[np.uint64],
) -> npt.NDArray[np.bool_]:
    """Return which keys are among others, `(num_examples,)`."""
    # NumPy 2.0 fails with a key from 2^63 if it may choose how.
    return np.isin(keys, others, kind="sort")


def part_named(name: object) -> int:
    """Return the part with a name.

    Args:
        name: train or training; validation, valid, val or dev; or test.

    Returns:
        The part's index in `PARTS`.

    Raises:
        InputError: if the name is another.
    """
    if not is_part_name(str(name)):
        raise InputError(
            f"a part must be one of {', '.join(_PART_NAMES)}. Received: "
            f"{shown(name)}"
        )
    return _PART_NAMES[str(name).strip().lower()]


def is_part_name(name: str) -> bool:
    """Return whether `part_named` knows a name.

    Args:
        name: any text.
    """
    return name.strip().lower() in _PART_NAMES


def find_part_column(
    file: RecordFile, taken: Collection[str | None]
) -> str | None:
    """Return a column that seems to name the part of each row.

    Args:
        file: the file.
        taken: columns that are used for something else.

    Returns:
        The first column that has names of parts alone, training among them, in
        the first rows; None if there is none.
    """
    rows = file.rows(lambda error: None)
    first = list(itertools.islice(rows, _NUM_FIRST))
    for column in file.columns:
        names = {str(record.values.get(column)) for record in first}
        if column in taken or not all(map(is_part_name, names)):
            continue
        if TRAIN in map(part_named, names):
            return column
    return None


def hash_key(text: str, seed: int) -> int:
    """Return a 64-bit hash of text, other for each seed.

    Args:
        text: any text.
        seed: the seed.
    """
    key = seed.to_bytes(8, "little")
    digest = hashlib.blake2b(
        text.encode("utf-8", "surrogatepass"), digest_size=8, key=key
    )
    return int.from_bytes(digest.digest(), "little")


def divide(
    keys: npt.NDArray[np.uint64],
    classes: npt.NDArray[np.int32],
    validation_fraction: float,
    test_fraction: float,
) -> npt.NDArray[np.uint8]:
    """Divide rows into parts at random, each class in the same proportions.

    Rows of the same key stay together, so that no part holds what another one
    holds. A class has at least one key in the training part.

    Args:
        keys: random hashes by which rows belong together, `(num_rows,)`.
        classes: the classes to keep in proportion, `(num_rows,)`; the class of
            a key is that of its first row.
        validation_fraction: fraction of the keys to validate on.
        test_fraction: fraction of the keys to test on.

    Returns:
        The part of each row, `(num_rows,)`, an index in `PARTS`.
    """
    _, first, unit = np.unique(keys, return_index=True, return_inverse=True)
    unit_classes = classes[first]
    # Keys are random, and `np.unique` sorted them.
    order = np.argsort(unit_classes, kind="stable")
    # Every so many keys one is taken, class after class.
    is_test = _every(np.ones(len(order), bool), test_fraction)
    share = validation_fraction / max(1.0 - test_fraction, 1e-9)
    is_validation = _every(~is_test, min(1.0, share))
    if test_fraction + validation_fraction < 1.0:
        is_first = np.diff(unit_classes[order], prepend=-1) != 0
        is_test, is_validation = (
            chosen & ~is_first for chosen in (is_test, is_validation)
        )
    parts = np.zeros(len(first), np.uint8)
    parts[order] = np.where(
        is_test, TEST, np.where(is_validation, VALIDATION, TRAIN)
    )
    return parts[unit]


def _every(
    among: npt.NDArray[np.bool_], fraction: float
) -> npt.NDArray[np.bool_]:
    """Return which to take for a fraction of `among`, at even distances."""
    counts = np.floor(np.cumsum(among) * fraction + 0.5)
    return among & (np.diff(counts, prepend=0) > 0)
