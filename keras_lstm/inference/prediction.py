"""Predictions of a finished run's model for given inputs."""

import codecs
import contextlib
import os
import pathlib
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from keras_lstm.config import Config
from keras_lstm.core.errors import InputError, RunError, escaped, shown
from keras_lstm.tasks.notation import Notation, Query
from keras_lstm.tasks.task import Task

if TYPE_CHECKING:
    import keras

    from keras_lstm.inference.quick_batches import QuickBatches

# Largest batch: its inputs, and the time steps of all of them.
_BATCH = 4096
_BATCH_STEPS = 2**20
# Up to this many time steps, computing a first batch is faster than tracing.
_EAGER_STEPS = 256
# From this many inputs on, NumPy is tried.
_QUICK_BATCH = 1024
# Bytes read at once, and largest size of a line in bytes.
_MAX_READ = 2**16
_MAX_LINE = 2**20


# A million of these are made: frozen data classes take three times as long.
class Line(NamedTuple):
    """An input as it was given.

    Args:
        text: the text.
        source: name of the file that it was read from; "" for an argument of
            the command line.
        number: the line number in the file, from 1; 0 for an argument.
        queries: the inputs parsed from the text; empty if not parsed yet.
        is_cut: whether the text is only the start of a line that is too long.
    """

    text: str
    source: str = ""
    number: int = 0
    queries: tuple[Query, ...] = ()
    is_cut: bool = False

    @property
    def place(self) -> str:
        """Source and line number for messages; empty for an argument."""
        if not self.source:
            return ""
        return f"{escaped(self.source)}, line {self.number}"

    @property
    def origin(self) -> dict[str, Any]:
        """Source and line number for JSON; empty for an argument."""
        if not self.source:
            return {}
        return {"source": self.source, "line": self.number}


class Prediction(NamedTuple):
    """A model's prediction for one input.

    Args:
        text: one line, for people.
        fields: the same, for JSON.
    """

    text: str
    fields: dict[str, Any]


def read_lines(inputs: Sequence[str]) -> Iterator[list[Line]]:
    """Read inputs from arguments, files and standard input.

    Args:
        inputs: each an input, `@PATH` for a file with one input per line, or
            `-` for standard input. Empty lines are skipped.

    Yields:
        Lists of inputs, each of as many as are available at once.

    Raises:
        InputError: if a file or standard input cannot be read or is empty.
    """
    plain: list[Line] = []
    for argument in inputs:
        if argument != "-" and not argument.startswith("@"):
            plain.append(Line(argument))
            continue
        yield plain
        plain = []
        name = "standard input" if argument == "-" else argument[1:]
        empty, number = True, 0
        try:
            with _open_input(argument) as file:
                for texts in _available_lines(file):
                    lines = [
                        Line(text, name, each, is_cut=is_cut)
                        for each, (text, is_cut) in enumerate(texts, number + 1)
                        if text.strip() or is_cut
                    ]
                    number += len(texts)
                    empty = empty and not lines
                    yield lines
        except OSError as error:
            raise InputError(
                f"`input` must be readable. Received: {name} ({error})"
            ) from None
        if empty:
            raise InputError(
                f"`input` must not be empty. Received: {name}, empty"
            )
    yield plain


def _available_lines(file: Any) -> Iterator[list[tuple[str, bool]]]:
    """Yield lists of a binary file's lines, each of as many as are available.

    A program that writes to a pipe, or a person who types, may wait for each
    prediction before sending the next line.

    Args:
        file: the file.

    Yields:
        For each line, its text, and whether that is only its start, because
        it is too long.
    """
    rest = b""
    start = codecs.BOM_UTF8
    while part := file.read1(_MAX_READ):
        rest += part
        if len(rest) < len(start) and start.startswith(rest):
            continue
        rest, start = rest.removeprefix(start), b""
        *lines, rest = rest.split(b"\n")
        # One byte more than fits tells that the line is too long.
        rest = rest[: _MAX_LINE + 1]
        yield [_text(line) for line in lines]
    yield [_text(rest)]


def _text(line: bytes) -> tuple[str, bool]:
    # Bytes that are no UTF-8 become surrogates, which no notation accepts.
    text = line[:_MAX_LINE].decode("utf-8", "surrogateescape")
    return text.removesuffix("\r"), len(line) > _MAX_LINE


@contextlib.contextmanager
def _open_input(argument: str) -> Iterator[Any]:
    if argument != "-":
        with pathlib.Path(argument[1:]).open("rb") as file:
            yield file
    elif sys.stdin is None:
        raise InputError(
            "`input` must not be - while standard input is closed. Received: "
            "input=-"
        )
    else:
        # Whoever made the pipe may have set it so that it seems to end where
        # nothing is there yet.
        with contextlib.suppress(OSError):
            os.set_blocking(sys.stdin.fileno(), True)
        yield sys.stdin.buffer


def read_arguments(
    inputs: Sequence[str], notation: Notation
) -> Iterable[list[Line]]:
    """Refuse bad arguments before any prediction, and return the inputs.

    Args:
        inputs: arguments as for `read_lines`; or, if the notation does not
            read lines, paths of files, all of which are read here.
        notation: the task's notation.

    Returns:
        Batches of inputs; see `read_lines`.

    Raises:
        InputError: if an argument is not an input of the task, or a file is
            missing or empty.
    """
    if not notation.reads_lines:
        return [[Line(x, queries=tuple(notation.read(x))) for x in inputs]]
    for argument in inputs:
        if argument.startswith("@"):
            _check_file(argument)
        elif argument != "-":
            notation.read(argument)
    return read_lines(inputs)


def _check_file(argument: str) -> None:
    path = pathlib.Path(argument[1:])
    try:
        found = path.stat()
    # A NUL character in a path is a ValueError.
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", error)
        raise InputError(
            f"`input` must be a file after @. Received: {argument} ({reason})"
        ) from None
    if stat.S_ISDIR(found.st_mode):
        raise InputError(
            f"`input` must be a file after @. Received: {argument}, a folder"
        )
    # Only regular files have a size: a pipe's is 0.
    if stat.S_ISREG(found.st_mode) and not found.st_size:
        raise InputError(
            f"`input` must not be empty. Received: {argument}, empty"
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
        model: the model.
        task: the model's task.
        lines: batches of inputs; see `read_arguments`.
        any_length: whether the model reads sequences of any length.
        on_bad_line: called with each line that is not an input of the task,
            and the reason.
        rows: number of time steps after which to predict; None for all.

    Yields:
        The predictions for the next inputs.

    Raises:
        RunError: if an output of the model is NaN.
    """
    notation = task.notation(any_length)
    infer = _make_infer(model, rows)
    for available in lines:
        for first in range(0, len(available), _BATCH):
            read: list[tuple[Line, Query]] = []
            part = available[first : first + _BATCH]
            texts = [line.text for line in part]
            if not notation.keeps_blanks:
                texts = [text.strip() for text in texts]
            plain = notation.read_plain(texts)
            for line, text, query in zip(part, texts, plain, strict=True):
                if query is not None and not line.is_cut:
                    read.append((line, query))
                    continue
                try:
                    queries = line.queries or _read_line(line, text, notation)
                except InputError as error:
                    on_bad_line(line, error)
                else:
                    read += [(line, query) for query in queries]
            yield list(_predictions(infer, task, notation, read, rows))


def _read_line(line: Line, text: str, notation: Notation) -> Sequence[Query]:
    if line.is_cut:
        raise InputError(
            f"`input` must be a line of at most {_MAX_LINE:,} bytes. Received: "
            f"{shown(line.text)}"
        )
    return notation.read(text)


def check_rows(rows: int | None, config: Config) -> None:
    """Refuse a number of rows after which a model does not predict.

    Args:
        rows: number of rows after which to predict; None for all.
        config: the configuration of the model's run.

    Raises:
        InputError: if `rows` is given and the task's inputs are not images,
            or have fewer rows, or the model reads backwards as well.
    """
    if rows is None:
        return
    task = config.task
    if config.model.bidirectional:
        raise InputError(
            "`rows` needs a model that reads forwards only. Received: "
            f"rows={rows}, bidirectional=True"
        )
    if task.num_symbols is not None or task.output_shape:
        raise InputError(
            f"`rows` is for images only. Received: task={task.name}, "
            f"rows={rows}"
        )
    steps = task.input_shape[0]
    if steps is None:
        raise InputError(
            "`rows` needs inputs of one length. Received: "
            f"task={task.name}, rows={rows}"
        )
    if rows > steps:
        raise InputError(
            f"`rows` must be at most {steps}. Received: rows={rows}"
        )


# From inputs to predictions and confidences.
_Infer = Callable[[Any], tuple[Any, Any]]


def _make_infer(model: "keras.Model", rows: int | None) -> _Infer:
    """Return a function that runs the model, traced if that saves time."""
    import tensorflow as tf

    from keras_lstm.inference.quick_batches import make_quick_batches
    from keras_lstm.models.early_prediction import build_stepwise_model
    from keras_lstm.models.logits import predictions_of

    network = model if rows is None else build_stepwise_model(model)
    traced = tf.function(
        lambda inputs: network(inputs, training=False),
        reduce_retracing=True,
        autograph=False,
    )
    called = tried = False
    quick: QuickBatches | None = None

    def infer(inputs: Any) -> tuple[Any, Any]:
        nonlocal called, tried, quick
        # Eager execution takes a millisecond for each time step. After a whole
        # batch there will be more.
        steps = inputs.shape[1]
        worth_it = called or steps > _EAGER_STEPS or len(inputs) == _BATCH
        if not tried and rows is None and len(inputs) >= _QUICK_BATCH:
            tried = True
            quick = make_quick_batches(
                model, lambda doubtful: traced(tf.constant(doubtful)).numpy()
            )
        if quick is not None:
            logits = quick.logits(inputs)
        else:
            call = traced if worth_it else lambda x: network(x, training=False)
            called = True
            logits = call(tf.constant(inputs)).numpy()
        logits = logits if rows is None else logits[:, rows - 1]
        predictions = predictions_of(logits)
        _check_classes(predictions)
        confidences = tf.reduce_max(tf.nn.softmax(logits), -1).numpy()
        return predictions, confidences

    return infer


def _check_classes(predictions: Any) -> None:
    """Refuse what is no class, since a logit is NaN."""
    bad = (predictions < 0).reshape(len(predictions), -1).any(-1)
    if bad.any():
        raise RunError(
            f"`model` does not answer {bad.sum()} of {len(bad)} inputs: its "
            "outputs are NaN. Its weights, or these inputs, are NaN or too "
            "large"
        )


def _predictions(
    infer: _Infer,
    task: Task,
    notation: Notation,
    read: list[tuple[Line, Query]],
    rows: int | None,
) -> Iterator[Prediction]:
    by_length: dict[int, list[int]] = {}
    for index, (_, query) in enumerate(read):
        by_length.setdefault(query.num_steps, []).append(index)
    found: list[Prediction | None] = [None] * len(read)
    reads_symbols = task.num_symbols is not None
    for num_steps, indices in by_length.items():
        size = min(_BATCH, max(1, _BATCH_STEPS // num_steps))
        for first in range(0, len(indices), size):
            part = indices[first : first + size]
            queries = [read[index][1] for index in part]
            texts = notation.describe(queries, *infer(notation.encode(queries)))
            for index, described in zip(part, texts, strict=True):
                fields = read[index][0].origin | described.fields
                if not reads_symbols:
                    fields["rows"] = rows or num_steps
                found[index] = Prediction(described.text, fields)
    for each in found:
        if each is not None:
            yield each
