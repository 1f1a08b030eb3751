"""Answers of a finished run to inputs that people give it."""

import codecs
import contextlib
import dataclasses
import pathlib
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from keras_lstm.core.errors import InputError
from keras_lstm.tasks.notation import Notation, Query
from keras_lstm.tasks.task import Task

if TYPE_CHECKING:
    import keras

# Inputs asked at once, and time steps.
_BATCH = 4096
_BATCH_STEPS = 2**20
_EAGER_STEPS = 256
# Bytes read at once, and of a line at most.
_MAX_READ = 2**16
_MAX_LINE = 2**20


@dataclasses.dataclass(frozen=True)
class Line:
    """One input among others.

    Args:
        text: what was written.
        source: where: "" for the command line.
        number: the line's number there, from 1.
        queries: what it holds, where that was read already.
    """

    text: str
    source: str = ""
    number: int = 0
    queries: tuple[Query, ...] = ()

    @property
    def place(self) -> str:
        """Where it is, for messages."""
        return f"{self.source}, line {self.number}" if self.source else ""

    @property
    def origin(self) -> dict[str, Any]:
        """Where it is, for JSON."""
        if not self.source:
            return {}
        return {"source": self.source, "line": self.number}


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What a model says to one input.

    Args:
        text: one line, for people.
        fields: what JSON holds.
    """

    text: str
    fields: dict[str, Any]


def read_lines(inputs: Sequence[str]) -> Iterator[list[Line]]:
    """The inputs that arguments name, as many at once as there are.

    Args:
        inputs: each an input, `@PATH` for a file with one on each line, or
            `-` for standard input. Empty lines are passed over.

    Raises:
        InputError: a file that cannot be read, or holds nothing.
    """
    plain: list[Line] = []
    for given in inputs:
        if given != "-" and not given.startswith("@"):
            plain.append(Line(given.strip()))
            continue
        yield plain
        plain = []
        name = "standard input" if given == "-" else given[1:]
        empty, number = True, 0
        try:
            with _opened(given) as file:
                for texts in _available_lines(file):
                    lines = [
                        Line(text, name, each)
                        for each, text in enumerate(texts, number + 1)
                        if text
                    ]
                    number += len(texts)
                    empty = empty and not lines
                    yield lines
        except OSError as error:
            raise InputError(
                f"`input` must be text that can be read. Received: {name} "
                f"({error})"
            ) from None
        if empty:
            raise InputError(
                f"`input` must hold something. Received: {name}, empty"
            )
    yield plain


def _available_lines(file: Any) -> Iterator[list[str]]:
    """The lines of a binary file, as many at once as there are by then.

    Whoever writes into a pipe, or types, waits for each answer.
    """
    rest = b""
    start = codecs.BOM_UTF8
    while part := file.read1(_MAX_READ):
        rest += part
        if len(rest) < len(start) and start.startswith(rest):
            continue
        rest, start = rest.removeprefix(start), b""
        *lines, rest = rest.split(b"\n")
        if len(rest) > _MAX_LINE:
            lines, rest = [*lines, rest[:_MAX_LINE]], b""
        yield [_text(line) for line in lines]
    yield [_text(rest)]


def _text(line: bytes) -> str:
    # What is no UTF-8 is no number either, and is shown as it is.
    return line.decode("utf-8", "backslashreplace").strip()


@contextlib.contextmanager
def _opened(given: str) -> Iterator[Any]:
    if given != "-":
        with pathlib.Path(given[1:]).open("rb") as file:
            yield file
    elif sys.stdin is None:
        raise InputError(
            "`input` - needs standard input. Received: none, it is closed"
        )
    else:
        yield sys.stdin.buffer


def read_arguments(
    inputs: Sequence[str], notation: Notation
) -> Iterable[list[Line]]:
    """Refuse bad arguments before anything is asked, and return the inputs.

    Args:
        inputs: lines, see `read_lines`; or paths of files, all of which are
            read here.
        notation: the task's.

    Returns:
        The inputs, as many at once as there are.

    Raises:
        InputError: if one is no input of the task, or a file is not there.
    """
    if not notation.reads_lines:
        return [[Line(x, queries=tuple(notation.read(x))) for x in inputs]]
    for given in inputs:
        if given.startswith("@"):
            _check_file(given)
        elif given != "-":
            notation.read(given)
    return read_lines(inputs)


def _check_file(given: str) -> None:
    path = pathlib.Path(given[1:])
    try:
        found = path.stat()
    except OSError as error:
        raise InputError(
            f"`input` must be a file after @. Received: {given} "
            f"({error.strerror})"
        ) from None
    if stat.S_ISDIR(found.st_mode):
        raise InputError(
            f"`input` must be a file after @. Received: {given}, a folder"
        )
    # A pipe has no size.
    if stat.S_ISREG(found.st_mode) and not found.st_size:
        raise InputError(
            f"`input` must hold something. Received: {given}, empty"
        )


def predict(
    model: "keras.Model",
    task: Task,
    lines: Iterable[list[Line]],
    *,
    any_length: bool,
    on_bad_line: Callable[[Line, InputError], None],
    rows: int | None = None,
) -> Iterator[list[Prediction]]:
    """Predict inputs in their order, a batch at a time.

    Args:
        model: of the task.
        task: how inputs and outputs are written.
        lines: the inputs, see `read_arguments`.
        any_length: whether the model reads sequences of any length.
        on_bad_line: called with a line that is no input, and why.
        rows: predict after so many time steps; None for all.

    Yields:
        The predictions of the inputs that there are by then.
    """
    notation = task.notation(any_length)
    ask = _asking(model, rows)
    for some in lines:
        for first in range(0, len(some), _BATCH):
            read: list[tuple[Line, Query]] = []
            for line in some[first : first + _BATCH]:
                try:
                    queries = line.queries or notation.read(line.text)
                except InputError as error:
                    on_bad_line(line, error)
                else:
                    read += [(line, query) for query in queries]
            yield list(_predictions(ask, task, notation, read, rows))


def check_rows(rows: int | None, task: Task) -> None:
    """Refuse a number of rows to predict after that there is not.

    Raises:
        InputError: if the task's inputs have no rows, or fewer.
    """
    if rows is None:
        return
    if task.num_symbols is not None or task.output_shape:
        raise InputError(
            f"`rows` is for images. Received: a run of {task.name}, rows={rows}"
        )
    if rows > task.input_shape[0]:
        raise InputError(
            f"`rows` must be at most {task.input_shape[0]}. Received: "
            f"rows={rows}"
        )


# From inputs to predictions and confidences.
_Ask = Callable[[Any], tuple[Any, Any]]


def _asking(model: "keras.Model", rows: int | None) -> _Ask:
    """Return a function that asks the model; it is traced when that pays."""
    import tensorflow as tf

    from keras_lstm.models.early_prediction import build_stepwise_model
    from keras_lstm.models.logits import predictions_of

    asked_model = model if rows is None else build_stepwise_model(model)
    traced = tf.function(
        lambda inputs: asked_model(inputs, training=False),
        reduce_retracing=True,
        autograph=False,
    )
    asked = False

    def ask(inputs: Any) -> tuple[Any, Any]:
        nonlocal asked
        # Without a graph each step takes a millisecond.
        worth_it = asked or inputs.shape[1] > _EAGER_STEPS
        call = traced if worth_it else lambda x: asked_model(x, training=False)
        asked = True
        logits = call(tf.constant(inputs))
        logits = logits if rows is None else logits[:, rows - 1]
        shares = tf.reduce_max(tf.nn.softmax(logits), -1).numpy()
        return predictions_of(logits.numpy()), shares

    return ask


def _predictions(
    ask: _Ask,
    task: Task,
    notation: Notation,
    read: list[tuple[Line, Query]],
    rows: int | None,
) -> Iterator[Prediction]:
    by_length: dict[int, list[int]] = {}
    for index, (_, query) in enumerate(read):
        by_length.setdefault(query.num_steps, []).append(index)
    found: list[Prediction | None] = [None] * len(read)
    for num_steps, indices in by_length.items():
        size = min(_BATCH, max(1, _BATCH_STEPS // num_steps))
        for first in range(0, len(indices), size):
            part = indices[first : first + size]
            queries = [read[index][1] for index in part]
            said = notation.describe(queries, *ask(notation.encode(queries)))
            for index, described in zip(part, said, strict=True):
                fields = read[index][0].origin | described.fields
                if task.num_symbols is None:
                    fields["rows"] = rows or num_steps
                found[index] = Prediction(described.text, fields)
    for each in found:
        if each is not None:
            yield each
