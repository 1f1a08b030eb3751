"""What labelled sequences of features hold: read before anything else."""

import dataclasses
import functools
import os
import pathlib
from typing import Any

import numpy as np
import numpy.typing as npt

from keras_lstm.core.errors import InputError, shown
from keras_lstm.core.files import joined_sha256
from keras_lstm.tasks.feature_arrays import read_arrays
from keras_lstm.tasks.feature_images import class_folders, read_image_folders
from keras_lstm.tasks.feature_series import find_columns, read_series
from keras_lstm.tasks.feature_table import FeatureTable, join_tables
from keras_lstm.tasks.partition import (
    TEST,
    TRAIN,
    VALIDATION,
    Defects,
    divide,
    find_defects,
)
from keras_lstm.tasks.records import RecordFile, is_record_file

ARRAYS, IMAGES, SERIES = "arrays", "images", "series"
SOURCES = (ARRAYS, IMAGES, SERIES)
# So that the statistics of all features fit into a configuration.
_MAX_SEPARATE = 1024
_MAX_FEATURES = 2**14


@dataclasses.dataclass(frozen=True)
class FeatureSource:
    """Where sequences of features are, and how they are read and divided.

    Args:
        data: path of the file or folder.
        source: "arrays", "images" or "series"; None to find it.
        group: column of a series' name; None to find it, as for the next two.
        time: column to sort a series by.
        target: column of a series' class.
        part: column that names the part; None to divide at random.
        features: columns of features; None for all other numbers.
        image_size: rows and columns to resize images to; None for none.
        skips_bad_rows: whether to skip rows that cannot be read.
        validation_fraction: fraction of the sequences to validate on.
        test_fraction: fraction of the sequences to test on; 1 for all,
            whatever the data says.
        split_seed: seed of the division.
        validation_data: path of other data to validate on; None for sequences
            of `data`.
        test_data: path of other data to test on; likewise.
    """

    data: str
    source: str | None
    group: str | None
    time: str | None
    target: str | None
    part: str | None
    features: tuple[str, ...] | None
    image_size: tuple[int, int] | None
    skips_bad_rows: bool
    validation_fraction: float
    test_fraction: float
    split_seed: int
    validation_data: str | None = None
    test_data: str | None = None


@dataclasses.dataclass(frozen=True)
class FeatureSurvey:
    """What a source holds.

    Args:
        source: the source, with nothing left to find.
        table: the sequences.
        parts: the part of each sequence, `(num_examples,)`.
        defects: what may be wrong with them.
    """

    source: FeatureSource
    table: FeatureTable
    parts: npt.NDArray[np.uint8]
    defects: Defects

    def training_classes(self) -> tuple[str, ...]:
        """Return the classes of the training part.

        Raises:
            InputError: if there is no training part or one class only, or a
                class is in another part only.
        """
        table, is_train = self.table, self.parts == TRAIN
        present = np.unique(table.labels[is_train])
        names = tuple(table.names[label] for label in present.tolist())
        self.check_classes(names)
        if len(names) < 2:
            raise InputError(
                "`data` must have at least two classes in the training part. "
                f"Received: {shown(list(names))} in {self.source.data}"
            )
        return names

    def check_classes(self, names: tuple[str, ...]) -> None:
        """Refuse classes that are not among those of the training part.

        Args:
            names: the classes of the training part.

        Raises:
            InputError: if a sequence has another class.
        """
        table = self.table
        known = np.isin(np.array(table.names), np.array(names))
        others = np.flatnonzero(~known[table.labels])
        if len(others):
            index = int(others[0])
            raise InputError(
                f"`data` {table.place(index)}: each class must be in the "
                "training part as well. Received: "
                f"{shown(table.names[table.labels[index]])}"
            )

    def statistics(
        self, in_one: bool
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return `FeatureTable.statistics` of the training part."""
        indices = np.flatnonzero(self.parts == TRAIN)
        return self.table.statistics(indices, in_one)

    @property
    def in_one(self) -> bool:
        """Whether features share one mean and variance by default."""
        table = self.table
        return table.has_one_unit or table.num_features > _MAX_SEPARATE


def source_of(path: pathlib.Path, argument: str = "data") -> str:
    """Return what kind of data a path leads to, one of `SOURCES`.

    Args:
        path: the path.
        argument: name of the option that gives it. Defaults to "data".

    Raises:
        InputError: if it is none of them.
    """
    if path.is_dir():
        class_folders(path, argument)
        return IMAGES
    if path.suffix.lower() == ".npz":
        return ARRAYS
    if is_record_file(path):
        return SERIES
    raise InputError(
        f"`{argument}` must be a .npz file; a folder with a folder of images "
        "for each class; or a CSV, TSV or JSON Lines file. Received: "
        f"{argument}={shown(str(path))}"
    )


def survey_features(source: FeatureSource) -> FeatureSurvey:
    """Read a source, or return what was found before.

    Args:
        source: the source.

    Returns:
        What it holds.

    Raises:
        InputError: if it cannot be read as the source says.
    """
    paths = (source.data, source.validation_data, source.test_data)
    return _survey(source, tuple(_stamp(path or "") for path in paths))


def _stamp(data: str) -> tuple[Any, ...]:
    """Return what changes when the data does."""
    path = pathlib.Path(data)
    stamps: list[Any] = []
    try:
        paths = [path]
        if path.is_dir():
            paths += [each for each in path.iterdir() if each.is_dir()]
        for each in sorted(paths):
            status = os.stat(each)
            stamps.append((status.st_ino, status.st_size, status.st_mtime_ns))
    except (OSError, ValueError):
        return ()
    return tuple(stamps)


@functools.lru_cache(maxsize=2)
def _survey(source: FeatureSource, stamp: Any) -> FeatureSurvey:
    # The data is the same however it is divided.
    undivided = dataclasses.replace(
        source, split_seed=0, validation_fraction=0.0, test_fraction=0.0
    )
    found, table = _load(undivided, stamp)
    keys = table.keys(source.split_seed)
    parts = _parts(source, found.source == ARRAYS, table, keys)
    return FeatureSurvey(
        dataclasses.replace(
            source,
            **{
                name: getattr(found, name)
                for name in ("source", "group", "time", "target", "features")
            },
        ),
        table,
        parts,
        find_defects(keys, table.labels, parts, table.num_bad),
    )


def _parts(
    source: FeatureSource,
    is_arrays: bool,
    table: FeatureTable,
    keys: npt.NDArray[np.uint64],
) -> npt.NDArray[np.uint8]:
    if source.test_fraction == 1.0:
        return np.full(len(table), TEST, np.uint8)
    forced = table.forced
    free = forced < 0
    if is_arrays:
        # Of training arrays, some may validate.
        free |= forced == TRAIN
    has_test = source.part is None and bool((forced == TEST).any())
    has_validation = source.validation_data is not None or (
        source.part is None and bool((forced == VALIDATION).any())
    )
    parts = forced.astype(np.uint8)
    if free.any():
        parts[free] = divide(
            keys[free],
            table.labels[free],
            0.0 if has_validation else source.validation_fraction,
            0.0 if has_test else source.test_fraction,
        )
    return parts


@functools.lru_cache(maxsize=2)
def _load(
    source: FeatureSource, stamp: Any
) -> tuple[FeatureSource, FeatureTable]:
    """Read all data of a source into one table."""
    found, table = _load_one(source, "data")
    tables, digests = [table], [table.sha256]
    for argument, part in (
        ("validation_data", VALIDATION),
        ("test_data", TEST),
    ):
        path = getattr(source, argument)
        digests.append("")
        if path and source.part is None and part in table.forced:
            raise InputError(
                f"`{argument}` must not be given for an archive with arrays "
                f"for it. Received: {argument}={shown(path)}, "
                f"data={shown(source.data)}"
            )
        if path is not None:
            like_it = dataclasses.replace(found, data=path, part=None)
            _, other = _load_one(like_it, argument)
            _check_alike(found, table, other, argument, path)
            forced = np.full(len(other), part, np.int8)
            tables.append(dataclasses.replace(other, forced=forced))
            digests[-1] = other.sha256
    return found, join_tables(tables, joined_sha256(digests))


def _check_alike(
    source: FeatureSource,
    table: FeatureTable,
    other: FeatureTable,
    argument: str,
    path: str,
) -> None:
    """Refuse other data of another shape."""
    shapes = [(each.num_steps, each.num_features) for each in (table, other)]
    if source.source != IMAGES:
        shapes = [(0, num_features) for _, num_features in shapes]
    if shapes[0] != shapes[1]:
        raise InputError(
            f"`{argument}` must have {_shape_text(shapes[0])}, as "
            f"{source.data}. Received: {_shape_text(shapes[1])} in {path}"
        )


def _shape_text(shape: tuple[int, int]) -> str:
    rows, columns = shape
    if rows:
        return f"images of {rows} x {columns} pixels"
    return f"{columns} features"


def _load_one(
    source: FeatureSource, argument: str
) -> tuple[FeatureSource, FeatureTable]:
    """Read the data of one file or folder, and find what is not given."""
    path = pathlib.Path(source.data)
    kind = source_of(path, argument)
    if source.source not in (None, kind):
        raise InputError(
            f"`{argument}` must be {source.source}, as the data trained on. "
            f"Received: {path}, which is {kind}"
        )
    for names, owner in (
        (("group", "time", "target", "part", "features"), SERIES),
        (("image_size",), IMAGES),
    ):
        for name in names:
            if kind != owner and getattr(source, name) is not None:
                raise InputError(
                    f"`{name}` is for {owner} only. Received: "
                    f"{name}={shown(getattr(source, name))}, data={path}"
                )
    found = dataclasses.replace(source, source=kind)
    if kind == ARRAYS:
        table = read_arrays(path, argument)
    elif kind == IMAGES:
        table = read_image_folders(path, source.image_size, argument)
    else:
        file = RecordFile(path, argument)
        given = {x: getattr(source, x) for x in _COLUMNS}
        columns = find_columns(file, given, source.features)
        table = read_series(file, columns, source.skips_bad_rows)
        found = dataclasses.replace(
            found,
            **{x: getattr(columns, x) for x in (*_COLUMNS, "features")},
        )
    if table.num_features > _MAX_FEATURES:
        raise InputError(
            f"`{argument}` must have at most {_MAX_FEATURES:,} features. "
            f"Received: {table.num_features:,} in {path}"
        )
    return found, table


_COLUMNS = ("group", "time", "target", "part")
