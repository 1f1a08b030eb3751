"""Rows of token sequences: where they are, and how they are read."""

import dataclasses
import itertools
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from keras_lstm.core.errors import InputError, shown
from keras_lstm.core.options import check_known
from keras_lstm.tasks.labels import label_text
from keras_lstm.tasks.partition import part_named
from keras_lstm.tasks.records import (
    OnBadRow,
    Record,
    RecordFile,
    refuse_row,
    usual_column,
)
from keras_lstm.tasks.tokens import split_tokens

LABEL, PER_TOKEN = "label", "per_token"
TARGET_KINDS = (LABEL, PER_TOKEN)
# Rows from which to tell what tokens and targets are.
_NUM_FIRST = 1000
# Fraction of those whose targets have a token for each token of the input.
_MOST = 0.9
# Names of columns that need not be given.
INPUT_NAMES = ("input", "text", "sequence", "tokens", "sentence", "word")
_TARGET_NAMES = ("target", "label", "class", "category", "tags", "y")


@dataclasses.dataclass(frozen=True)
class TokenSource:
    """Where token sequences are, and how rows are read and divided.

    Args:
        data: path of the file.
        validation_data: path of a file to validate on; None for rows of
            `data`.
        test_data: path of a file to test on; likewise.
        input: column of the sequences; None to find it.
        target: column of the targets; None to find it.
        tokens: what a token is, one of `TOKENS`; None to find it.
        target_kind: "label" or "per_token"; None to find it.
        part: column that names the part of each row; None to divide at random.
        group: column of what must stay in one part; None for the input.
        validation_fraction: fraction of the rows to validate on.
        test_fraction: fraction of the rows to test on.
        split_seed: seed of the division.
        max_length: number of tokens after which a sequence is cut; None for
            no such number.
        skips_bad_rows: whether to skip rows that cannot be read.
    """

    data: str
    validation_data: str | None
    test_data: str | None
    input: str | None
    target: str | None
    tokens: str | None
    target_kind: str | None
    part: str | None
    group: str | None
    validation_fraction: float
    test_fraction: float
    split_seed: int
    max_length: int | None
    skips_bad_rows: bool


class Example(NamedTuple):
    """A row that was read.

    Args:
        line: number of its line in its file.
        tokens: the tokens of the input.
        target: the label, or the target tokens.
        record: the row.
        file: its file.
    """

    line: int
    tokens: list[str]
    target: str | list[str]
    record: Record
    file: RecordFile

    @property
    def targets(self) -> Sequence[str]:
        """The target tokens, or the label alone."""
        return [self.target] if isinstance(self.target, str) else self.target


def skip_row(error: InputError) -> None:
    """Skip a row; an `OnBadRow`."""


def read_examples(
    source: TokenSource, on_bad_row: OnBadRow = refuse_row
) -> Iterator[Example]:
    """Yield the rows of a source's files, one file after the other.

    Args:
        source: the source, with nothing left to find.
        on_bad_row: called with the error for each row that is not as it must
            be.

    Yields:
        The other rows.

    Raises:
        InputError: if a file cannot be read or lacks a column.
    """
    for argument in ("data", "validation_data", "test_data"):
        path = getattr(source, argument)
        if path is None:
            continue
        file = RecordFile(pathlib.Path(path), argument)
        _check_columns(source, file)
        for record in file.rows(on_bad_row):
            try:
                example = _read_example(source, record, file)
            except InputError as error:
                on_bad_row(error)
            else:
                yield example


def _read_example(
    source: TokenSource, record: Record, file: RecordFile
) -> Example:
    values = []
    for name in (source.input, source.target):
        value = record.values.get(name or "")
        if value is None or value == "" or value == []:
            raise file.error(
                record.line, f"column {shown(name)} must have a value", "none"
            )
        values.append(value)
    for name in (source.part, source.group):
        if name is not None and _is_blank(record.values.get(name)):
            if file.argument != "data":
                continue
            raise file.error(
                record.line, f"column {shown(name)} must have a value", "none"
            )
    try:
        if source.part is not None and file.argument == "data":
            part_named(record.values[source.part])
        tokens = split_tokens(values[0], source.tokens or "")
        target = _target(values[1], source)
    except InputError as error:
        raise InputError(
            f"`{file.argument}` {file.path}, line {record.line}: {error}"
        ) from None
    if not tokens:
        raise file.error(
            record.line, "a sequence must have a token", shown(values[0])
        )
    if isinstance(target, list) and len(target) != len(tokens):
        raise file.error(
            record.line,
            f"a target must have as many tokens as its input, {len(tokens)}",
            f"{len(target)}",
        )
    return Example(record.line, tokens, target, record, file)


def _is_blank(value: Any) -> bool:
    """Return whether a row's value is none, or blanks alone."""
    return value is None or (isinstance(value, str) and not value.strip())


def _target(value: Any, source: TokenSource) -> str | list[str]:
    """Return the target in a row's column."""
    if source.target_kind == LABEL:
        return label_text(value)
    return target_tokens(value, source.tokens or "")


def target_tokens(value: Any, tokens: str) -> list[str]:
    """Split a target that has a token for each token of its input.

    Args:
        value: the target, a text or a list.
        tokens: what a token of the input is.

    Returns:
        The target tokens.

    Raises:
        InputError: if the value is of another type.
    """
    if isinstance(value, list):
        return split_tokens(value, "list")
    return split_tokens(value, "spaces" if tokens != "characters" else tokens)


def _check_columns(source: TokenSource, file: RecordFile) -> None:
    for argument in ("input", "target", "part", "group"):
        name = getattr(source, argument)
        needed = argument in ("input", "target") or file.argument == "data"
        if name is not None and needed:
            check_known(name, file.columns, f"column of {file.path}")


def with_columns(source: TokenSource, file: RecordFile) -> TokenSource:
    """Return the source with the columns of inputs and targets."""
    _check_columns(source, file)
    found = {"input": source.input, "target": source.target}
    taken = [source.part, source.group, *found.values()]
    left = [name for name in file.columns if name not in taken]
    for argument, usual in (("input", INPUT_NAMES), ("target", _TARGET_NAMES)):
        if found[argument] is not None:
            continue
        missing = sum(value is None for value in found.values())
        name = usual_column(left, usual)
        if name is None and len(left) == missing:
            name = left[0]
        if name is None:
            raise InputError(
                f"`{argument}` must be given for a file of other columns than "
                "input and target (the task rows reads time series, a row for "
                f"each step). Received: {file.path}, with columns "
                f"{shown(file.columns)}"
            )
        found[argument] = name
        left.remove(name)
    source = dataclasses.replace(
        source, input=found["input"], target=found["target"]
    )
    _check_columns(source, file)
    return source


def with_kinds(source: TokenSource, file: RecordFile) -> TokenSource:
    """Return the source with what tokens and targets are."""
    if source.tokens is not None and source.target_kind is not None:
        return source
    first = [
        [
            record.values.get(name or "")
            for name in (source.input, source.target)
        ]
        for record in itertools.islice(file.rows(skip_row), _NUM_FIRST)
    ]
    given = source.tokens
    if given is None:
        lists = sum(isinstance(value, list) for value, _ in first)
        spaced = sum(" " in str(value).strip() for value, _ in first)
        tokens = "words" if 2 * spaced > len(first) else "characters"
        tokens = "list" if 2 * lists > len(first) else tokens
        source = dataclasses.replace(source, tokens=tokens)
    if source.target_kind is None:
        kinds = [source.tokens or ""]
        if given is None and kinds == ["words"]:
            # Tags of punctuation are for tokens that words leave out.
            kinds.append("spaces")
        for tokens in kinds:
            agree = sum(
                _agree(value, target, tokens) for value, target in first
            )
            if agree >= max(1, _MOST * len(first)):
                return dataclasses.replace(
                    source, tokens=tokens, target_kind=PER_TOKEN
                )
        source = dataclasses.replace(source, target_kind=LABEL)
    return source


def _agree(value: Any, target: Any, tokens: str) -> bool:
    """Return whether a target has as many tokens as its input."""
    try:
        inputs = split_tokens(value, tokens)
        return len(inputs) == len(target_tokens(target, tokens))
    except InputError:
        return False
