"""Rows of CSV, TSV and JSON Lines files, read one after another.

Files are read as streams, with Python's own `csv`, `json` and `gzip`: what is
held in memory is one row.
"""

import collections
import contextlib
import csv
import dataclasses
import gzip
import itertools
import json
import pathlib
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Any

from keras_lstm.core.errors import InputError, described, shown
from keras_lstm.core.files import open_regular

# Longest line of a file, in bytes: more is no row of a table.
_MAX_LINE = 2**24
# Objects of JSON Lines from which to tell its columns.
_NUM_FIRST = 1000
_GZIP = b"\x1f\x8b"
_DELIMITERS = ",;\t|"
_KINDS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".tab": "csv",
    ".txt": "csv",
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
}
_REPLACEMENTS = range(0xDC80, 0xDD00)

# Called with the error for a row; may raise it, or return to skip the row.
OnBadRow = Callable[[InputError], None]


@dataclasses.dataclass(frozen=True)
class Record:
    """A row of a file.

    Args:
        line: number of the row's first line in the file, from 1.
        values: the values by column: text for CSV, and what JSON holds for
            JSON Lines.
    """

    line: int
    values: dict[str, Any]


def usual_column(columns: list[str], usual: tuple[str, ...]) -> str | None:
    """Return the column with the most usual name, whatever its case.

    Args:
        columns: names of columns.
        usual: names in lower case, the most usual one first.

    Returns:
        The first of the columns named so; None if there is none.
    """
    lower = {name.lower(): name for name in reversed(columns)}
    return next((lower[name] for name in usual if name in lower), None)


def refuse_row(error: InputError) -> None:
    """Refuse the file because of a row; an `OnBadRow`."""
    raise error


class RecordFile:
    """A table in a file: CSV, TSV or JSON Lines, compressed by gzip or not.

    The first line of CSV and TSV names the columns; those of JSON Lines are
    keys that most of its first objects have. The suffix, apart from `.gz`,
    tells the kind. The delimiter of CSV is whichever of comma, semicolon, tab
    and bar the first line has most of.

    Args:
        path: the file.
        argument: the name of the argument in error messages.

    Attributes:
        columns: the names of the columns.

    Raises:
        InputError: if the file cannot be read, has another suffix, no rows, or
            two columns of one name.
    """

    def __init__(self, path: pathlib.Path, argument: str = "data") -> None:
        self.path = path
        self.argument = argument
        kind = _kind_of(path)
        if kind is None:
            raise InputError(
                f"`{argument}` must be a file that ends in "
                f"{', '.join(_KINDS)}, or one of these and .gz. Received: "
                f"{argument}={shown(str(path))}"
            )
        self._is_json = kind == "json"
        self.columns = self._read_columns()

    def rows(self, on_bad_row: OnBadRow = refuse_row) -> Iterator[Record]:
        """Yield the rows, in order.

        Args:
            on_bad_row: called with the error for each row that cannot be read.

        Yields:
            The other rows.

        Raises:
            InputError: if the file cannot be read.
        """
        read = self._json_rows if self._is_json else self._csv_rows
        with self._reading() as lines:
            for line, values in read(lines):
                if isinstance(values, InputError):
                    on_bad_row(values)
                else:
                    yield Record(line, values)

    def error(self, line: int, rule: str, received: str) -> InputError:
        """Return the error for a row.

        Args:
            line: number of the row's line.
            rule: the rule that it breaks, without a full stop.
            received: what it holds instead.
        """
        return InputError(
            f"`{self.argument}` {self.path}, line {line}: {rule}. Received: "
            f"{received}"
        )

    def _reading(self) -> "_Lines":
        return _Lines(self.path, self.argument)

    def _read_columns(self) -> list[str]:
        with self._reading() as lines:
            try:
                return self._columns_of(lines)
            except StopIteration:
                raise InputError(
                    f"`{self.argument}` must hold at least one row. "
                    f"Received: {self.path}, without any"
                ) from None

    def _columns_of(self, lines: "_Lines") -> list[str]:
        if self._is_json:
            counts: collections.Counter[str] = collections.Counter()
            rows = self._json_rows(lines)
            _, first = next(rows)
            if isinstance(first, InputError):
                raise first
            number = 0
            for _, row in itertools.chain(
                [(1, first)], itertools.islice(rows, _NUM_FIRST - 1)
            ):
                if isinstance(row, dict):
                    counts.update(row.keys())
                    number += 1
            return [name for name in counts if 2 * counts[name] >= number]
        header, reader = self._csv_reader(lines)
        for name in header:
            if header.count(name) > 1:
                raise self.error(
                    1, "columns must have different names", shown(name)
                )
        # A row that cannot be read is refused, or skipped, by `rows`.
        with contextlib.suppress(csv.Error):
            next(reader)
        return header

    def _csv_reader(self, lines: "_Lines") -> tuple[list[str], Any]:
        """Return the columns, and a reader of the rows after them."""
        first = next(lines)
        if first.lstrip("\ufeff").strip() == "":
            raise self.error(1, "the first line must name the columns", "''")
        counts = {each: first.count(each) for each in _DELIMITERS}
        delimiter = max(counts, key=lambda each: counts[each])
        lines.push_back(first.removeprefix("\ufeff"))
        # Fields of tab-separated files have no quotes around them.
        if delimiter == "\t":
            reader = csv.reader(
                lines, delimiter="\t", strict=True, quoting=csv.QUOTE_NONE
            )
        else:
            reader = csv.reader(lines, delimiter=delimiter, strict=True)
        try:
            header = next(reader)
        except csv.Error as error:
            raise self.error(1, str(error), shown(first)) from None
        if _has_bad_bytes(first):
            raise self.error(1, "text must be UTF-8", shown(first))
        return [name.strip() for name in header], reader

    def _csv_rows(
        self, lines: "_Lines"
    ) -> Iterator[tuple[int, dict[str, str] | InputError]]:
        header, reader = self._csv_reader(lines)
        while True:
            line = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                # Then nobody knows where the row ends.
                if (count := reader.line_num - line + 1) > 1:
                    raise self.error(
                        line,
                        f"the quotes of a row must be closed ({error})",
                        f"a row of {count:,} lines or more",
                    ) from None
                rule = f"a row must be CSV ({error})"
                yield line, self.error(line, rule, "another")
                continue
            if not cells:
                continue
            if len(cells) != len(header):
                yield (
                    line,
                    self.error(
                        line,
                        f"a row must have {len(header)} columns",
                        f"{len(cells)}",
                    ),
                )
            elif any(map(_has_bad_bytes, cells)):
                yield (
                    line,
                    self.error(line, "text must be UTF-8", "other bytes"),
                )
            else:
                yield line, dict(zip(header, cells, strict=True))

    def _json_rows(
        self, lines: "_Lines"
    ) -> Iterator[tuple[int, dict[str, Any] | InputError]]:
        for line, text in enumerate(lines, 1):
            text = text.removeprefix("\ufeff") if line == 1 else text
            if not text.strip():
                continue
            try:
                values = json.loads(text)
            # Numbers of too many digits are a ValueError as well.
            except (ValueError, RecursionError) as error:
                received = shown(text.strip())
                yield (
                    line,
                    self.error(line, f"must be JSON ({error})", received),
                )
                continue
            if _has_bad_bytes(text):
                yield (
                    line,
                    self.error(line, "text must be UTF-8", "other bytes"),
                )
            elif not isinstance(values, dict):
                yield (
                    line,
                    self.error(line, "must be a JSON object", shown(values)),
                )
            else:
                yield line, values


def is_record_file(path: pathlib.Path) -> bool:
    """Return whether a file's suffix is one that `RecordFile` reads."""
    return _kind_of(path) is not None


def _kind_of(path: pathlib.Path) -> str | None:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes[-1:] == [".gz"]:
        suffixes.pop()
    return _KINDS.get(suffixes[-1] if suffixes else "")


def _has_bad_bytes(text: str) -> bool:
    """Return whether text has bytes in it that were no UTF-8."""
    return not text.isascii() and any(ord(x) in _REPLACEMENTS for x in text)


class _Lines:
    """Lines of a file as text; what is no UTF-8 becomes surrogates."""

    def __init__(self, path: pathlib.Path, argument: str) -> None:
        self._path = path
        self._argument = argument
        self._pushed: list[str] = []
        self._count = 0

    def __enter__(self) -> "_Lines":
        try:
            self._opened = open_regular(self._path)
            raw = self._opened.__enter__()
        except OSError as error:
            raise self._unreadable(error) from None
        self._file: IO[bytes] | gzip.GzipFile = raw
        if raw.peek(2)[:2] == _GZIP:
            self._file = gzip.open(raw)
        return self

    def __exit__(self, *error: Any) -> None:
        self._opened.__exit__(*error)

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        if self._pushed:
            return self._pushed.pop()
        try:
            line = self._file.readline(_MAX_LINE + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise self._unreadable(error) from None
        self._count += 1
        if len(line) > _MAX_LINE:
            raise InputError(
                f"`{self._argument}` must have lines of at most {_MAX_LINE:,} "
                f"bytes. Received: {self._path}, line {self._count}"
            )
        if not line:
            raise StopIteration
        return line.decode("utf-8", "surrogateescape")

    def push_back(self, line: str) -> None:
        """Return this line next."""
        self._pushed.append(line)

    def _unreadable(self, error: Exception) -> InputError:
        return InputError(
            f"`{self._argument}` cannot be read: {described(error)}. "
            f"Received: {self._argument}={shown(str(self._path))}"
        )
