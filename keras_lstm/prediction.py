"""Answers of a finished run to inputs that people give it."""

import codecs
import contextlib
import dataclasses
import pathlib
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_lstm.console import percent
from keras_lstm.image_input import read_images
from keras_lstm.notation import Number, read_number, symbols_of, written
from keras_lstm.options import InputError
from keras_lstm.tasks.image_rows import ImageRows
from keras_lstm.tasks.transducer import TransducerTask

if TYPE_CHECKING:
    import keras

    from keras_lstm.runs import Run

# Numbers answered at once, and symbols.
_BATCH = 4096
_BATCH_SYMBOLS = 2**20
_IMAGE_BATCH = 1024
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
    """

    text: str
    source: str = ""
    number: int = 0

    @property
    def place(self) -> str:
        """Where it is, for messages."""
        return f"{self.source}, line {self.number}" if self.source else ""


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a model says to a number.

    Args:
        line: the input.
        prediction: what the model says, in the input's notation.
        answer: what is right, likewise.
        wrong: a mark `^` under each wrong symbol, most significant first;
            empty if the prediction is right.
        symbols: what the model says, symbol by symbol, likewise.
    """

    line: Line
    prediction: str
    answer: str
    wrong: str
    symbols: str

    def to_mapping(self) -> dict[str, Any]:
        """As JSON can hold it."""
        place = {}
        if self.line.source:
            place = {"source": self.line.source, "line": self.line.number}
        return place | {
            "input": self.line.text,
            "prediction": self.prediction,
            "right": not self.wrong,
            "answer": self.answer,
            "wrong_symbols": self.wrong,
        }

    def __str__(self) -> str:
        said = f"{self.line.text} → {self.prediction}"
        if not self.wrong:
            return f"{said}  right"
        return (
            f"{said}  WRONG: {self.answer} is right; {self.symbols} has "
            f"wrong {self.wrong}"
        )


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


def check_arguments(
    inputs: Sequence[str], task: TransducerTask, any_length: bool
) -> None:
    """Refuses bad arguments before anything is answered.

    Raises:
        InputError: a number that is none, or a file that is not there.
    """
    for given in inputs:
        if given.startswith("@"):
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
                    "`input` must be a file after @. Received: "
                    f"{given}, a folder"
                )
            # A pipe has no size.
            if stat.S_ISREG(found.st_mode) and not found.st_size:
                raise InputError(
                    f"`input` must hold something. Received: {given}, empty"
                )
        elif given != "-":
            read_number(given, task, any_length)


def answer_numbers(
    model: "keras.Model",
    task: TransducerTask,
    lines: Iterable[list[Line]],
    *,
    any_length: bool,
    on_bad_line: Callable[[Line, InputError], None],
) -> Iterator[list[Answer]]:
    """A model's answers to numbers, in their order and a batch at a time.

    Args:
        model: of the task.
        task: what is right.
        lines: the inputs, see `read_lines`.
        any_length: whether the model reads sequences of any length.
        on_bad_line: called with a line that is no number, and why.
    """
    ask = _asking(model)
    for some in lines:
        for first in range(0, len(some), _BATCH):
            read: list[tuple[Line, Number]] = []
            for line in some[first : first + _BATCH]:
                try:
                    number = read_number(line.text, task, any_length)
                    read.append((line, number))
                except InputError as error:
                    on_bad_line(line, error)
            yield list(_answers(ask, task, read))


@dataclasses.dataclass(frozen=True)
class ImageAnswer:
    """What a model says to an image.

    Args:
        path: the file.
        index: which one of the file's images; None for one alone.
        label: the class.
        probability: what the model gives it.
        rows: how many rows were read.
    """

    path: pathlib.Path
    index: int | None
    label: int
    probability: float
    rows: int

    def to_mapping(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {
            "input": str(self.path),
            **({} if self.index is None else {"index": self.index}),
            "class": self.label,
            "probability": self.probability,
            "rows": self.rows,
        }

    def __str__(self) -> str:
        which = "" if self.index is None else f"[{self.index}]"
        return (
            f"{self.path}{which} → {self.label}  ({percent(self.probability)})"
        )


def answer_images(
    run: "Run", paths: Sequence[pathlib.Path], rows: int | None = None
) -> Iterator[ImageAnswer]:
    """A run's answers to files of images, in their order.

    Args:
        run: of image rows.
        paths: see `read_images`; all are read before the first answer.
        rows: answer after so many; by default all.

    Raises:
        InputError: files that cannot be read, or `rows` that there are not.
    """
    import tensorflow as tf

    from keras_lstm.cells import predictions_of
    from keras_lstm.evaluation import answering_every_step

    task = run.config.task
    if not isinstance(task, ImageRows):
        raise InputError(
            "`run_dir` must hold a run of a sequence task or of image-rows. "
            f"Received: a run of {task.name}"
        )
    shape = task.input_shape
    if rows is not None and rows > shape[0]:
        raise InputError(
            f"`rows` must be at most {shape[0]}. Received: rows={rows}"
        )
    files = [read_images(path, shape, task.white) for path in paths]
    model = run.model if rows is None else answering_every_step(run.model)
    for path, images in zip(paths, files, strict=True):
        for first in range(0, len(images), _IMAGE_BATCH):
            batch = images[first : first + _IMAGE_BATCH]
            logits = model(tf.constant(batch), training=False)
            logits = logits if rows is None else logits[:, rows - 1]
            shares = tf.reduce_max(tf.nn.softmax(logits), -1).numpy()
            found = zip(predictions_of(logits.numpy()), shares, strict=True)
            for index, (label, share) in enumerate(found, first):
                yield ImageAnswer(
                    path,
                    None if len(images) == 1 else index,
                    int(label),
                    float(share),
                    rows or shape[0],
                )


def _asking(model: "keras.Model") -> Callable[[Any], Any]:
    """The model's predictions; it is traced when that is worth it."""
    import tensorflow as tf

    from keras_lstm.cells import predictions_of

    traced = tf.function(
        lambda symbols: model(symbols, training=False),
        reduce_retracing=True,
        autograph=False,
    )
    asked = False

    def ask(symbols: Any) -> Any:
        nonlocal asked
        # Without a graph each step takes a millisecond.
        worth_it = asked or symbols.shape[1] > _EAGER_STEPS
        call = traced if worth_it else lambda x: model(x, training=False)
        asked = True
        return predictions_of(call(tf.constant(symbols)).numpy())

    return ask


def _answers(
    ask: Callable[[Any], Any],
    task: TransducerTask,
    read: list[tuple[Line, Number]],
) -> Iterator[Answer]:
    by_length: dict[int, list[int]] = {}
    for index, (_, number) in enumerate(read):
        by_length.setdefault(number.num_bits, []).append(index)
    found: list[Answer | None] = [None] * len(read)
    for num_bits, indices in by_length.items():
        size = max(1, _BATCH_SYMBOLS // num_bits)
        for first in range(0, len(indices), size):
            part = indices[first : first + size]
            symbols = symbols_of([read[index][1] for index in part], task)
            rows = zip(part, ask(symbols), task.answer(symbols), strict=True)
            for index, prediction, answer in rows:
                found[index] = _answer(task, *read[index], prediction, answer)
    for each in found:
        if each is not None:
            yield each


def _answer(
    task: TransducerTask,
    line: Line,
    number: Number,
    prediction: Any,
    answer: Any,
) -> Answer:
    said = written(prediction, number, task.num_classes)
    wrong = prediction != answer
    if not wrong.any():
        return Answer(line, said, said, "", "")
    return Answer(
        line,
        said,
        written(answer, number, task.num_classes),
        "".join(np.where(wrong, "^", ".")[::-1]),
        "".join("?" if s < 0 else str(s) for s in prediction[::-1]),
    )
