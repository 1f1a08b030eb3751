"""Sequences of features from the arrays of a NumPy archive (`.npz`)."""

import math
import pathlib
import struct
import zipfile
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from keras_lstm.core.errors import InputError, described, shown
from keras_lstm.core.files import open_regular, sha256_of
from keras_lstm.tasks.feature_table import FeatureTable
from keras_lstm.tasks.labels import class_order, label_text
from keras_lstm.tasks.partition import (
    TEST,
    TRAIN,
    VALIDATION,
    is_part_name,
)

# Largest array that is held in memory, in bytes: one that is compressed, or
# in Fortran's order. Others are mapped.
_MAX_HELD = 2**31
_CHUNK = 2**20
_LOCAL_HEADER = struct.Struct("<4s22xHH")
_HEADERS: Any = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
# Suffixes of the names of arrays, and the part that they are.
_WHOLE = (("", -1),)
_PARTS = (("_train", TRAIN), ("_val", VALIDATION), ("_test", TEST))
# What arrays that are read, or meant to be, are named before their part.
_STEMS = ("x", "y", "len", "lens", "length", "lengths")


def read_arrays(path: pathlib.Path, argument: str = "data") -> FeatureTable:
    """Read sequences and classes from a NumPy archive.

    Args:
        path: a file with the arrays x_train, y_train, x_test and y_test, as
            Keras's `mnist.npz`, or x and y; x_val and y_val may be there for
            validation. x is `(num_examples, timesteps)` or `(num_examples,
            timesteps, features)`; y is `(num_examples,)`, integers or strings.
            The arrays lengths_train, ..., or lengths, `(num_examples,)`, say
            where sequences end. Arrays of other names, such as those of the
            features, are not read. Arrays that are not compressed are mapped,
            others are held in memory.
        argument: name of the option that gives the path. Defaults to "data".

    Returns:
        The sequences.

    Raises:
        InputError: if the file cannot be read, an array is missing or
            misnamed, or one has another type or shape.
    """
    archive = _Archive(path, argument)
    parts = _parts(archive)
    blocks: list[npt.NDArray[Any]] = []
    labels: list[npt.NDArray[Any]] = []
    lengths, starts, forced = [], [], []
    for suffix, part in parts:
        x, y, ends = _read_part(archive, suffix)
        if blocks and x.shape[2] != blocks[0].shape[1]:
            archive.refuse(
                f"x{suffix} must have {blocks[0].shape[1]} features, as "
                f"x{parts[0][0]}",
                f"shape {x.shape}",
            )
        num_examples, num_steps, num_features = x.shape
        blocks.append(x.reshape(-1, num_features))
        starts.append(np.arange(num_examples, dtype=np.int64) * num_steps)
        lengths.append(ends)
        labels.append(y)
        forced.append(np.full(num_examples, part, np.int8))
    counts = [len(each) for each in labels]
    names = class_order({x for y in labels for x in np.unique(y).tolist()})
    numbers = {name: number for number, name in enumerate(names)}
    joined = np.concatenate(labels)
    distinct, inverse = np.unique(joined, return_inverse=True)
    return FeatureTable(
        blocks=tuple(blocks),
        block=np.repeat(np.arange(len(counts), dtype=np.int8), counts),
        starts=np.concatenate(starts),
        lengths=np.concatenate(lengths),
        labels=np.array([numbers[x] for x in distinct.tolist()], np.int32)[
            inverse
        ],
        names=names,
        forced=np.concatenate(forced),
        place=_Place(path, [suffix for suffix, _ in parts], counts),
        sha256=sha256_of(path),
        # Bytes are pixels, or other values on one scale.
        has_one_unit=all(x.dtype == np.uint8 for x in blocks),
    )


class _Place:
    """Where an example is: the file, the array and the index."""

    def __init__(
        self, path: pathlib.Path, suffixes: list[str], counts: list[int]
    ) -> None:
        self._path, self._suffixes = path, suffixes
        self._ends = np.cumsum(counts)

    def __call__(self, index: int) -> str:
        number = int(np.searchsorted(self._ends, index, "right"))
        first = int(self._ends[number - 1]) if number else 0
        return f"{self._path}, x{self._suffixes[number]}[{index - first}]"


def _parts(archive: "_Archive") -> tuple[tuple[str, int], ...]:
    """Return the suffixes of the arrays' names, and the parts they are."""
    names = {x for x in archive.names if _is_read(x)}
    rule = "arrays must be x and y, or x_train, y_train, x_test and y_test"
    received = f"arrays {shown(sorted(archive.names))}"
    parts: tuple[tuple[str, int], ...]
    if names & {"x", "y"}:
        parts = _WHOLE
    else:
        # Only those for validation may be missing.
        parts = tuple(
            (suffix, part)
            for suffix, part in _PARTS
            if part != VALIDATION or {f"x{suffix}", f"y{suffix}"} & names
        )
    needed = {f"{x}{suffix}" for x in "xy" for suffix, _ in parts}
    if missing := sorted(needed - names):
        archive.refuse(f"{rule}: {', '.join(missing)} is missing", received)
    known = needed | {f"lengths{suffix}" for suffix, _ in parts}
    if others := sorted(names - known):
        archive.refuse(f"{rule}: {', '.join(others)} is not read", received)
    return parts


def _is_read(name: str) -> bool:
    """Return whether an array is read, or is named as if it should be."""
    stem, _, part = name.partition("_")
    return stem in _STEMS and (part == "" or is_part_name(part))


def _read_part(
    archive: "_Archive", suffix: str
) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[np.int64]]:
    """Return the features, the names of classes and the lengths of a part."""
    x = archive.read(f"x{suffix}")
    if x.ndim == 2:
        x = x[:, :, np.newaxis]
    if x.ndim != 3 or not x.size or x.dtype.kind not in "fiub":
        archive.refuse(
            f"x{suffix} must be numbers, (examples, steps) or (examples, "
            "steps, features), and not be empty",
            f"{x.dtype} of shape {x.shape}",
        )
    return (
        x,
        _read_labels(archive, suffix, len(x)),
        _read_lengths(archive, suffix, x.shape[:2]),
    )


def _read_labels(
    archive: "_Archive", suffix: str, num_examples: int
) -> npt.NDArray[Any]:
    """Return the name of each example's class."""
    y = archive.read(f"y{suffix}")
    # Keras's CIFAR has (num_examples, 1).
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1 or y.dtype.kind not in "iubUS":
        archive.refuse(
            f"y{suffix} must be integers or strings, (examples,)",
            f"{y.dtype} of shape {y.shape}",
        )
    if len(y) != num_examples:
        archive.refuse(
            f"y{suffix} must have one label for each of the {num_examples:,} "
            f"examples of x{suffix}",
            f"{len(y):,}",
        )
    distinct, inverse = np.unique(y, return_inverse=True)
    names = []
    for each in distinct.tolist():
        try:
            text = each.decode() if isinstance(each, bytes) else each
            names.append(label_text(text))
        except (InputError, UnicodeDecodeError):
            archive.refuse(f"y{suffix} must name classes", shown(each))
    return np.array(names)[inverse]


def _read_lengths(
    archive: "_Archive", suffix: str, shape: tuple[int, ...]
) -> npt.NDArray[np.int64]:
    """Return the length of each example."""
    num_examples, num_steps = shape
    name = f"lengths{suffix}"
    if name not in archive.names:
        return np.full(num_examples, num_steps, np.int64)
    lengths = archive.read(name)
    if lengths.dtype.kind not in "iu" or lengths.shape != (num_examples,):
        archive.refuse(
            f"{name} must be integers, one for each of the {num_examples:,} "
            f"examples of x{suffix}",
            f"{lengths.dtype} of shape {lengths.shape}",
        )
    is_good = (lengths >= 1) & (lengths <= num_steps)
    if not is_good.all():
        index = int(np.argmin(is_good))
        archive.refuse(
            f"{name} must be from 1 to {num_steps}",
            f"{lengths[index]} at index {index}",
        )
    return lengths.astype(np.int64)


class _Archive:
    """The arrays of a `.npz` file, read without unpickling anything."""

    def __init__(self, path: pathlib.Path, argument: str) -> None:
        self._path, self._argument = path, argument
        try:
            with open_regular(path) as file, zipfile.ZipFile(file) as archive:
                self._members = {
                    info.filename.removesuffix(".npy"): info
                    for info in archive.infolist()
                }
        except Exception as error:
            raise InputError(
                f"`{argument}` must be a NumPy archive (.npz): "
                f"{described(error)}. Received: {path}"
            ) from None
        self.names = set(self._members)

    def refuse(self, rule: str, received: str) -> NoReturn:
        """Raise the error for an archive that breaks a rule."""
        raise InputError(
            f"`{self._argument}` {self._path}: {rule}. Received: {received}"
        )

    def read(self, name: str) -> npt.NDArray[Any]:
        """Return an array, mapped if it is stored as it is.

        Args:
            name: the name of the array.

        Raises:
            InputError: if it is missing or damaged, has objects, or is too
                large to be held.
        """
        if name not in self._members:
            self.refuse(
                f"there must be an array {name}",
                f"arrays {shown(sorted(self.names))}",
            )
        try:
            with (
                open_regular(self._path) as file,
                zipfile.ZipFile(file) as archive,
                archive.open(self._members[name]) as member,
            ):
                return self._read(name, file, member)
        except InputError:
            raise
        # NumPy parses headers as Python literals; a damaged one may raise
        # nearly anything.
        except Exception as error:
            self.refuse(f"{name} cannot be read", described(error))

    def _read(self, name: str, file: Any, member: Any) -> npt.NDArray[Any]:
        info = self._members[name]
        version = np.lib.format.read_magic(member)
        if version not in _HEADERS:
            self.refuse(
                f"{name} must be an array of version 1 or 2", shown(version)
            )
        shape, is_fortran, dtype = _HEADERS[version](member)
        start = member.tell()
        # Objects have no size of their own, and would be unpickled.
        if dtype.hasobject:
            self.refuse(f"{name} must be numbers or strings", "objects")
        num_bytes = math.prod(shape) * dtype.itemsize
        if start + num_bytes != info.file_size:
            self.refuse(
                f"{name} must be as large as its header says, "
                f"{num_bytes:,} bytes",
                f"{info.file_size - start:,}",
            )
        if not num_bytes:
            return np.zeros(shape, dtype)
        if info.compress_type == zipfile.ZIP_STORED and not is_fortran:
            # The end of the member, at which its checksum is compared.
            while member.read(_CHUNK):
                pass
            first = start + _data_offset(file, info)
            return np.memmap(self._path, dtype, "r", first, shape)
        if num_bytes > _MAX_HELD:
            self.refuse(
                f"{name} must have at most {_MAX_HELD:,} bytes, or be written "
                "by `numpy.savez`, not compressed",
                f"{num_bytes:,}",
            )
        values = np.empty(math.prod(shape), dtype)
        left = values.view(np.uint8).data
        while len(left):
            count = member.readinto(left)
            if not count:
                self.refuse(f"{name} must be whole", "the start of it")
            left = left[count:]
        # The end of the member, at which its checksum is compared.
        member.read(1)
        return np.ascontiguousarray(
            values.reshape(shape, order="F" if is_fortran else "C")
        )


def _data_offset(file: Any, info: zipfile.ZipInfo) -> int:
    """Return where the data of a member begins in the file."""
    file.seek(info.header_offset)
    header = file.read(_LOCAL_HEADER.size)
    _, name_size, extra_size = _LOCAL_HEADER.unpack(header)
    size = _LOCAL_HEADER.size + name_size + extra_size
    return int(info.header_offset + size)
