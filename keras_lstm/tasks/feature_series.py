"""Time series in tables with a row for each time step."""

import array
import dataclasses
import datetime
import math
import pathlib
from typing import Any

import numpy as np

from keras_lstm.core.errors import InputError, shown
from keras_lstm.core.files import sha256_of
from keras_lstm.core.options import check_known
from keras_lstm.tasks.feature_table import MAX_VALUE, FeatureTable
from keras_lstm.tasks.labels import class_order, label_text
from keras_lstm.tasks.partition import part_named
from keras_lstm.tasks.records import Record, RecordFile, usual_column

# Rows from which to tell which columns are numbers.
_NUM_FIRST = 1000
_USUAL = {
    "group": ("group", "id", "series", "sequence", "case", "unit"),
    "time": ("time", "timestamp", "date", "datetime", "step", "t"),
    "target": ("target", "label", "class", "category", "y"),
}


@dataclasses.dataclass(frozen=True)
class SeriesColumns:
    """What the columns of a table of time series are.

    Args:
        group: column that tells the sequences apart.
        time: column to sort a sequence's rows by; None for the file's order.
        target: column of the class, the same in all rows of a sequence; None
            for sequences without a class.
        part: column that names the part; likewise. None for none.
        features: columns of the features.
        ignored: columns that nothing is known of, and that are not numbers.
    """

    group: str
    time: str | None
    target: str | None
    part: str | None
    features: tuple[str, ...]
    ignored: tuple[str, ...] = ()


def find_columns(
    file: RecordFile,
    given: dict[str, str | None],
    features: tuple[str, ...] | None,
) -> SeriesColumns:
    """Find out what the columns of a table are.

    Args:
        file: the table.
        given: the columns that are known, by "group", "time", "target" and
            "part"; those that are None are found by their names.
        features: the features; None for all other columns of numbers.

    Returns:
        The columns.

    Raises:
        InputError: if a column is missing.
    """
    what = f"column of {file.path}"
    found = dict(given)
    taken = [name for name in given.values() if name is not None]
    for name in (*taken, *(features or ())):
        check_known(name, file.columns, what)
    taken += features or ()
    for argument, usual in _USUAL.items():
        if found[argument] is None:
            left = [name for name in file.columns if name not in taken]
            column = usual_column(left, usual)
            found[argument] = column
            taken += [] if column is None else [column]
    for argument in ("group", "target"):
        if found[argument] is None:
            raise InputError(
                f"`{argument}` must name a column. Received: "
                f"{argument}=None, columns {shown(file.columns)} of {file.path}"
            )
    left = [name for name in file.columns if name not in taken]
    numeric = _numeric(file, left)
    features = numeric if features is None else features
    if not features:
        raise InputError(
            "`data` must have a column of numbers besides group, time and "
            f"target. Received: columns {shown(left)} of {file.path}"
        )
    ignored = tuple(name for name in left if name not in numeric)
    return SeriesColumns(features=features, ignored=ignored, **found)  # type: ignore[arg-type]


def is_series(file: RecordFile) -> bool:
    """Return whether a table looks like time series.

    Its columns name the sequences and the times, and most others are numbers.

    Args:
        file: the table.

    Raises:
        InputError: if the file cannot be read.
    """
    lower = {name.lower(): name for name in file.columns}
    named = {
        argument: [lower[x] for x in usual if x in lower]
        for argument, usual in _USUAL.items()
    }
    if not (named["group"] and named["time"]):
        return False
    known = [name for names in named.values() for name in names]
    left = [name for name in file.columns if name not in known]
    return 2 * len(_numeric(file, left)) > len(left)


def _numeric(file: RecordFile, names: list[str]) -> tuple[str, ...]:
    """Return the columns most of whose first values are numbers.

    If others of their values are none, the rows of these are refused.
    """
    seen: dict[str, list[bool]] = {name: [] for name in names}
    for number, record in enumerate(file.rows(lambda error: None)):
        if number == _NUM_FIRST:
            break
        for name in names:
            value = record.values.get(name)
            if value is not None and str(value).strip():
                seen[name].append(_is_number(value))
    return tuple(x for x in names if 2 * sum(seen[x]) > len(seen[x]))


def _is_number(value: Any) -> bool:
    try:
        _number(value)
    except ValueError:
        return False
    return True


def _number(value: Any) -> float:
    """Return a value as a number, NaN and infinity as well.

    Raises:
        ValueError: if it is none.
    """
    if isinstance(value, str):
        # `float` allows 1_000.
        if "_" in value:
            raise ValueError(value)
        return float(value)
    if isinstance(value, int | float):
        try:
            return float(value)
        except OverflowError:
            return math.inf
    raise ValueError(value)


def read_series(
    file: RecordFile, columns: SeriesColumns, skips_bad_rows: bool
) -> FeatureTable:
    """Read a table whose rows are the time steps of several sequences.

    The rows of a sequence need not follow one another: the features of all
    are held in memory, as float32.

    Args:
        file: the table.
        columns: what its columns are.
        skips_bad_rows: whether to skip rows that cannot be read.

    Returns:
        The sequences, in the order in which they begin in the file.

    Raises:
        InputError: if the file or a row of it cannot be read.
    """
    reader = _Reader(file, columns)
    num_bad = 0

    def on_bad_row(error: InputError) -> None:
        nonlocal num_bad
        num_bad += 1
        if not skips_bad_rows:
            raise error

    for record in file.rows(on_bad_row):
        try:
            reader.add(record)
        except InputError as error:
            on_bad_row(error)
    if not reader.groups:
        raise InputError(
            f"`data` must have a row that can be read. Received: {num_bad} "
            f"bad rows in {file.path}"
        )
    return reader.finish(num_bad)


class _Reader:
    """Reader of rows into sequences."""

    def __init__(self, file: RecordFile, columns: SeriesColumns) -> None:
        self._file, self._columns = file, columns
        # The number, the first line, the class and the part by group.
        self.groups: dict[str, tuple[int, int, str, int]] = {}
        self._steps = array.array("f")
        self._numbers = array.array("q")
        self._times = array.array("d")
        self._time_kind: str | None = None

    def add(self, record: Record) -> None:
        """Add a row.

        Raises:
            InputError: if a value is missing, no number, or another than in
                the sequence's first row.
        """
        columns, line = self._columns, record.line
        group = self._value(record, columns.group)
        label, part = "", -1
        try:
            if columns.target is not None:
                label = label_text(self._value(record, columns.target))
            if columns.part is not None:
                part = part_named(self._value(record, columns.part))
            key = label_text(group)
        except InputError as error:
            raise InputError(
                f"`data` {self._file.path}, line {line}: {error}"
            ) from None
        steps = [self._feature(record, name) for name in columns.features]
        time, kind = self._time(record)
        known = self.groups.get(key, (len(self.groups), line, label, part))
        for name, one, other in (
            (columns.target, known[2], label),
            (columns.part, known[3], part),
        ):
            if one != other:
                raise self._file.error(
                    line,
                    f"{shown(name)} must be the same in all rows of a "
                    f"sequence, as in line {known[1]} of {shown(key)}",
                    shown(record.values.get(name or "")),
                )
        self._time_kind = kind
        self.groups[key] = known
        self._steps.extend(steps)
        self._numbers.append(known[0])
        self._times.append(time)

    def _value(self, record: Record, name: str) -> Any:
        value = record.values.get(name)
        if value is None or value == "":
            raise self._file.error(
                record.line, f"column {shown(name)} must have a value", "none"
            )
        return value

    def _feature(self, record: Record, name: str) -> float:
        value = self._value(record, name)
        try:
            number = _number(value)
        except ValueError:
            number = math.nan
        # False for NaN.
        if not abs(number) <= MAX_VALUE:
            raise self._file.error(
                record.line,
                f"column {shown(name)} must be a number, finite and at most "
                f"{MAX_VALUE:.0e} in size",
                shown(value),
            )
        return number

    def _time(self, record: Record) -> tuple[float, str]:
        """Return a number to sort by, and what kind of time it is from."""
        name = self._columns.time
        if name is None:
            return 0.0, "none"
        value = self._value(record, name)
        kind = "a number"
        try:
            time = _number(value)
        except ValueError:
            kind = "a date in ISO 8601"
            time = _seconds(value)
        if not math.isfinite(time):
            raise self._file.error(
                record.line,
                f"column {shown(name)} must be a number or a date in ISO 8601",
                shown(value),
            )
        if self._time_kind not in (None, kind):
            raise self._file.error(
                record.line,
                f"column {shown(name)} must be {self._time_kind} everywhere",
                shown(value),
            )
        return time, kind

    def finish(self, num_bad: int) -> FeatureTable:
        """Return the sequences."""
        numbers = np.frombuffer(self._numbers, np.int64)
        steps = np.frombuffer(self._steps, np.float32)
        steps = steps.reshape(len(numbers), -1)
        times = np.frombuffer(self._times, np.float64)
        order = np.lexsort((times, numbers))
        if not np.array_equal(order, np.arange(len(order))):
            steps = steps[order]
        count = len(self.groups)
        lengths = np.bincount(numbers, minlength=count).astype(np.int64)
        _, lines, labels, parts = zip(*self.groups.values(), strict=True)
        names = class_order(set(labels))
        codes = {name: code for code, name in enumerate(names)}
        return FeatureTable(
            blocks=(steps,),
            block=np.zeros(count, np.int8),
            starts=np.cumsum(lengths) - lengths,
            lengths=lengths,
            labels=np.array([codes[x] for x in labels], np.int32),
            names=names,
            forced=np.array(parts, np.int8),
            place=_Place(self._file.path, self.groups),
            sha256=sha256_of(self._file.path),
            features=self._columns.features,
            ignored=self._columns.ignored,
            lines=np.array(lines, np.int64),
            num_bad=num_bad,
            groups=tuple(self.groups),
        )


def _seconds(value: Any) -> float:
    """Return a date as seconds, NaN if it is none."""
    try:
        date = datetime.datetime.fromisoformat(str(value).strip())
    except ValueError:
        return math.nan
    if date.tzinfo is None:
        date = date.replace(tzinfo=datetime.UTC)
    return date.timestamp()


class _Place:
    """Where a sequence is: the file and the line of its first row."""

    def __init__(
        self, path: pathlib.Path, groups: dict[str, tuple[int, int, str, int]]
    ) -> None:
        self._path = path
        self._lines = [line for _, line, _, _ in groups.values()]

    def __call__(self, index: int) -> str:
        return f"{self._path}, line {self._lines[index]}"
