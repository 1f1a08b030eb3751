"""Wrong answers of a run as rows of a table."""

import csv
import dataclasses
import html
import io
import pathlib
from collections.abc import Iterable, Iterator

from keras_lstm.core.errors import InputError
from keras_lstm.core.files import open_regular
from keras_lstm.pages.render import Parts, marked_parts, printable
from keras_lstm.tasks.task import Task
from keras_lstm.tasks.transducer import TransducerTask, get_machine
from keras_lstm.verification.reporting import number_of_text, shortened_text

# What a page shows, so that it stays small and opens at once.
MAX_ROWS = 1000
_MAX_CHARACTERS = 400_000
# A text in a file of one's own may be long.
_MAX_FIELD = 2**27
_MAX_SHORT = 64
_OF_MACHINES = ("input", "target", "prediction", "wrong")


@dataclasses.dataclass(frozen=True)
class Cell:
    """A cell of the table.

    Args:
        text: the text.
        parts: the text in parts, and whether each is wrong; empty for a text
            that is not marked.
        note: what else to say of it, such as the number that it stands for.
        short: the text without its middle; empty if it is short itself.
        is_code: whether it is an input or an output.
    """

    text: str
    parts: tuple[tuple[str, bool], ...] = ()
    note: str = ""
    short: str = ""
    is_code: bool = True


@dataclasses.dataclass(frozen=True)
class WrongAnswers:
    """The first wrong answers of a file.

    Args:
        columns: names of the columns.
        rows: a cell for each column.
        num_listed: number of wrong answers in the file.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    num_listed: int


def read_wrong_answers(path: pathlib.Path, task: Task) -> WrongAnswers:
    """Read the first wrong answers of a run.

    Args:
        path: the run's `failures.csv`; there need not be one.
        task: the run's task.

    Returns:
        As many as a page shows.

    Raises:
        InputError: if the file is damaged.
    """
    before = csv.field_size_limit(_MAX_FIELD)
    try:
        with open_regular(path) as file:
            lines = io.TextIOWrapper(file, encoding="utf-8", newline="")
            return _read(csv.reader(lines), task)
    except FileNotFoundError:
        return WrongAnswers((), (), 0)
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(
            f"`run_dir` must hold a readable {path.name}. Received: "
            f"{path.parent} ({error})"
        ) from None
    finally:
        csv.field_size_limit(before)


def _read(lines: Iterator[list[str]], task: Task) -> WrongAnswers:
    header = next(lines, [])
    machine = get_machine(task)
    for name in _OF_MACHINES if machine is not None else _OF_MACHINES[:1]:
        if name not in header:
            raise csv.Error(f"no column {name}")
    rows: list[tuple[Cell, ...]] = []
    size = count = 0
    for line in lines:
        count += 1
        if len(line) != len(header):
            raise csv.Error(f"line {count + 1} has {len(line)} fields")
        if len(rows) < MAX_ROWS and size < _MAX_CHARACTERS:
            fields = dict(zip(header, line, strict=True))
            row = tuple(_cells(fields, machine))
            size += sum(map(_size, row))
            if size < _MAX_CHARACTERS or not rows:
                rows.append(row)
    names = [
        name.replace("_", " ")
        for name in header
        if machine is None or name != "wrong"
    ]
    return WrongAnswers(tuple(names), tuple(rows), count)


def _size(cell: Cell) -> int:
    """Return about how many characters a cell has in HTML."""
    text = html.escape(printable(cell.text))
    return 40 + len(text) + len(cell.parts) * len("<mark></mark>")


def _cells(
    fields: dict[str, str], machine: TransducerTask | None
) -> Iterable[Cell]:
    for name, text in fields.items():
        if machine is None:
            yield Cell(text, short=_short(text), is_code=name == "input")
        elif name in _OF_MACHINES[:3]:
            number = number_of_text(machine, text)
            parts: Parts = []
            if name == "prediction" and len(text) <= _MAX_SHORT:
                parts = marked_parts(text, fields["wrong"])
            yield Cell(
                text,
                tuple(parts),
                "" if number is None else f"{number:,}",
                _short(text),
            )
        elif name != "wrong":
            yield Cell(text, is_code=False)


def _short(text: str) -> str:
    short = shortened_text(text)
    return "" if short == text else short.replace("symbols", "characters")
