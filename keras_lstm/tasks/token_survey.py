"""What a file of token sequences holds: read once, before anything else."""

import array
import collections
import dataclasses
import functools
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from keras_lstm.core.errors import InputError, shown
from keras_lstm.core.files import joined_sha256, sha256_of
from keras_lstm.tasks.labels import names_to_text
from keras_lstm.tasks.partition import (
    TEST,
    TRAIN,
    VALIDATION,
    Defects,
    divide,
    find_defects,
    hash_key,
    is_among,
    part_named,
)
from keras_lstm.tasks.records import RecordFile
from keras_lstm.tasks.token_rows import (
    Example,
    TokenSource,
    read_examples,
    skip_row,
    with_columns,
    with_kinds,
)
from keras_lstm.tasks.tokens import RESERVED_NAMES

# Characters of a vocabulary in `config.yaml`, which has at most 500,000.
_MAX_NAMES = 400_000


# Compared by identity, as results that are kept.
@dataclasses.dataclass(frozen=True, eq=False)
class Survey:
    """What a source holds.

    Args:
        source: the source, with nothing left to find.
        parts: the part of each row that can be read, `(num_rows,)`.
        defects: what may be wrong with them.
        num_cut: number of sequences that `max_length` cuts.
        lengths: number of tokens of each row, before any is cut.
        class_counts: number of targets of each class.
        sha256: SHA-256 of `data`.
    """

    source: TokenSource
    parts: npt.NDArray[np.uint8]
    defects: Defects
    num_cut: int
    lengths: npt.NDArray[np.int64]
    class_counts: collections.Counter[str]
    sha256: str

    def examples(self) -> Iterator[tuple[int, Example]]:
        """Yield the part and the row of each row that can be read."""
        rows = read_examples(self.source, skip_row)
        return zip(self.parts.tolist(), rows, strict=True)


@dataclasses.dataclass(frozen=True)
class Names:
    """The tokens and the classes of a training part.

    Args:
        tokens: the most frequent tokens, those first.
        classes: the classes, in alphabetical order.
        num_tokens: number of different tokens.
        unknown_fraction: fraction of the other parts' tokens that are not
            among `tokens`.
    """

    tokens: tuple[str, ...]
    classes: tuple[str, ...]
    num_tokens: int
    unknown_fraction: float


def survey(source: TokenSource) -> Survey:
    """Read a source once.

    Args:
        source: the source.

    Returns:
        What it holds.

    Raises:
        InputError: if a file cannot be read, a column is missing, or a row is
            not as the others (unless such rows are skipped).
    """
    file = RecordFile(pathlib.Path(source.data))
    source = with_kinds(with_columns(source, file), file)
    return _survey(source, _stamp(source))


@functools.lru_cache(maxsize=4)
def survey_names(found: Survey, max_vocabulary: int) -> Names:
    """Return the tokens and classes of the training part.

    Args:
        found: the survey.
        max_vocabulary: the largest number of tokens to keep.

    Returns:
        The tokens and classes.

    Raises:
        InputError: if there is one class only, or a class is in another part
            only.
    """
    source = found.source
    tokens: collections.Counter[str] = collections.Counter()
    other_tokens: collections.Counter[str] = collections.Counter()
    classes: set[str] = set()
    others: dict[str, Example] = {}
    for part, each in found.examples():
        targets = each.targets[: source.max_length]
        if part == TRAIN:
            tokens.update(each.tokens[: source.max_length])
            classes.update(targets)
        else:
            other_tokens.update(each.tokens[: source.max_length])
            for name in targets:
                others.setdefault(name, each)
    for name, each in others.items():
        check_class(name, classes, each)
    if len(classes) < 2:
        raise InputError(
            "`target` must have at least two classes in the training part. "
            f"Received: {shown(sorted(classes))} in column {source.target}"
        )
    for name in RESERVED_NAMES:
        del tokens[name]
    most = sorted(tokens.items(), key=lambda item: (-item[1], item[0]))
    kept = _that_fit([name for name, _ in most[:max_vocabulary]])
    known = sum(other_tokens[name] for name in kept)
    unknown = 1 - known / (sum(other_tokens.values()) or 1)
    if not other_tokens:
        unknown = 0.0
    return Names(kept, tuple(sorted(classes)), len(tokens), unknown)


def _stamp(source: TokenSource) -> tuple[Any, ...]:
    """Return what changes when a file does."""
    stamps: list[tuple[int, int, int] | None] = []
    for path in (source.data, source.validation_data, source.test_data):
        try:
            status = os.stat(path or "")
        except (OSError, ValueError):
            stamps.append(None)
        else:
            stamps.append((status.st_ino, status.st_size, status.st_mtime_ns))
    return tuple(stamps)


@functools.lru_cache(maxsize=4)
def _survey(source: TokenSource, stamp: Any) -> Survey:
    num_bad = 0

    def on_bad_row(error: InputError) -> None:
        nonlocal num_bad
        num_bad += 1
        if not source.skips_bad_rows:
            raise error

    groups, inputs = array.array("Q"), array.array("Q")
    targets = array.array("Q")
    lengths = array.array("q")
    classes = array.array("i")
    forced = array.array("b")
    numbers: dict[str, int] = {}
    first_rows: dict[str, int] = {}
    class_counts: collections.Counter[str] = collections.Counter()
    for each in read_examples(source, on_bad_row):
        # Rows that differ only after the cut are the same to the model.
        text = "\0".join(each.tokens[: source.max_length])
        inputs.append(hash_key(text, source.split_seed))
        group = inputs[-1]
        # Another file's rows need not have the column.
        if source.group in each.record.values:
            name = str(each.record.values[source.group]).strip()
            group = hash_key(name, source.split_seed)
        groups.append(group)
        lengths.append(len(each.tokens))
        number = 0
        if isinstance(each.target, str):
            number = numbers.setdefault(each.target, len(numbers))
        classes.append(number)
        kept = each.targets[: source.max_length]
        targets.append(hash_key("\0".join(kept), source.split_seed))
        class_counts.update(each.targets)
        for name in kept:
            first_rows.setdefault(name, len(lengths) - 1)
        forced.append(_forced_part(source, each))
    if not lengths:
        raise InputError(
            "`data` must have a row that can be read. Received: "
            f"{num_bad} bad rows in {source.data}"
        )
    parts = _parts(
        source,
        np.array(groups),
        np.array(classes),
        np.array(forced),
        list(first_rows.values()),
    )
    if source.group is not None and source.part is not None:
        _check_groups(source, np.array(groups), parts)
    counts = np.array(lengths, np.int64)
    most = source.max_length
    return Survey(
        source,
        parts,
        find_defects(np.array(inputs), np.array(targets), parts, num_bad),
        num_cut=0 if most is None else int((counts > most).sum()),
        lengths=counts,
        class_counts=class_counts,
        sha256=_sha256(source),
    )


def _check_groups(
    source: TokenSource,
    groups: npt.NDArray[np.uint64],
    parts: npt.NDArray[np.uint8],
) -> None:
    """Refuse a column of parts that divides the rows of a group."""
    order = np.lexsort((parts, groups))
    ordered, part = groups[order], parts[order]
    divided = (ordered[1:] == ordered[:-1]) & (part[1:] != part[:-1])
    if divided.any():
        raise InputError(
            "`group` must have the rows of each value in one part. Received: "
            f"{len(np.unique(ordered[1:][divided])):,} values of column "
            f"{source.group} in several parts, by column {source.part}"
        )


def _sha256(source: TokenSource) -> str:
    """Return the SHA-256 of `data`, or of those of all files if several."""
    paths = (source.data, source.validation_data, source.test_data)
    return joined_sha256(
        [sha256_of(pathlib.Path(path)) if path else "" for path in paths]
    )


def _that_fit(names: list[str]) -> tuple[str, ...]:
    """Return the first names whose text fits into a configuration."""
    # The brackets of each take as much as a comma and a space.
    sizes = np.cumsum([len(names_to_text([name]).encode()) for name in names])
    return tuple(names[: int(np.searchsorted(sizes, _MAX_NAMES, "right"))])


def check_class(name: str, classes: Any, example: Example) -> None:
    """Refuse a class that the training part lacks.

    Args:
        name: the class.
        classes: the classes of the training part.
        example: the row that has it.

    Raises:
        InputError: if `name` is not among `classes`.
    """
    if name not in classes:
        raise example.file.error(
            example.line,
            "each class must be in the training part as well",
            shown(name),
        )


def _parts(
    source: TokenSource,
    groups: npt.NDArray[np.uint64],
    classes: npt.NDArray[np.int32],
    forced: npt.NDArray[np.int8],
    first_rows: list[int],
) -> npt.NDArray[np.uint8]:
    """Return the part of each row; each class is in the training part."""
    parts = forced.astype(np.uint8)
    free = forced < 0
    if free.any():
        has_file = (
            source.validation_data is not None,
            source.test_data is not None,
        )
        fractions = (source.validation_fraction, source.test_fraction)
        parts[free] = divide(
            groups[free],
            classes[free],
            *(
                0.0 if has else x
                for has, x in zip(has_file, fractions, strict=True)
            ),
        )
        # A class of targets per token may be in few rows.
        if sum(fractions) < 1.0:
            needed = is_among(groups, groups[np.array(first_rows)])
            parts[free & needed] = TRAIN
    return parts


def _forced_part(source: TokenSource, each: Example) -> int:
    """Return the part that a column or the file determines, or -1."""
    if each.file.argument != "data":
        return TEST if each.file.argument == "test_data" else VALIDATION
    if source.part is None:
        return -1
    return part_named(each.record.values[source.part])
