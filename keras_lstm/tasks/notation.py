"""Notations: the text form of a task's inputs and outputs.

A notation turns the arguments of `predict` into arrays, and predictions into
text and JSON. This module has the base class and the notations that
`Task.notation` returns by default; `numbers.py` has the notation of finite-
state machines, and `image_files.py` that of images.
"""

import abc
import dataclasses
import pathlib
import warnings
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from keras_lstm.core.console import percent
from keras_lstm.core.errors import InputError, described, escaped
from keras_lstm.core.files import open_regular

_MAX_SHOWN = 40
# What a script does in place of a notation.
_BY_SCRIPT = ("read", "encode", "describe", "describe_one")


@dataclasses.dataclass(frozen=True)
class Query:
    """One input to predict.

    Args:
        text: the text as written, or the file's path.
        value: the parsed input, in any form that the notation's `encode`
            reads.
        num_steps: number of time steps that the model reads.
        index: position among the file's inputs, from 0; None for the only
            input.
    """

    text: str
    value: Any
    num_steps: int
    index: int | None = None


class Described(NamedTuple):
    """A prediction, for people and for programs.

    Args:
        text: one line of text.
        fields: the fields of its JSON object.
    """

    text: str
    fields: dict[str, Any]


class Notation(abc.ABC):
    """Text form of a task's inputs and outputs; see `Task.notation`.

    A subclass must define `read`, `encode` and `describe`.

    Attributes:
        reads_lines: true if an input is a line of text, which may also come
            from standard input or from a file with an input per line; false
            if an input is the path of a file.
        keeps_blanks: whether blanks at the start and the end of a line are
            part of the input.
        class_names: names of the classes; None for their numbers.
    """

    reads_lines: ClassVar[bool] = True
    keeps_blanks: ClassVar[bool] = False
    class_names: tuple[str, ...] | None = None

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        own = vars(cls)
        # A script would still read and write as the class above does.
        if not own.keys().isdisjoint(_BY_SCRIPT) and "for_script" not in own:
            cls.for_script = Notation.for_script  # type: ignore[method-assign]

    @abc.abstractmethod
    def read(self, text: str) -> list[Query]:
        """Parse inputs.

        Args:
            text: a line of text, or the path of a file; see `reads_lines`.

        Returns:
            The inputs in it: one for a line, one or more for a file.

        Raises:
            InputError: if the text is not an input of the task.
        """

    def read_plain(self, texts: Sequence[str]) -> list[Query | None]:
        """Parse the lines that many have in common, together.

        `read` takes each by itself, which takes most of the time of a million
        lines.

        Args:
            texts: lines, without blanks at their ends unless `keeps_blanks`.

        Returns:
            For each line the query that `read` returns for it; None to leave
            it to `read`, by default.
        """
        return [None] * len(texts)

    def encode(self, queries: Sequence[Query]) -> npt.NDArray[Any]:
        """Return queries as input for the model, by default their values.

        Args:
            queries: at least one query, all of the same `num_steps`.

        Returns:
            `(num_queries, timesteps)` for symbols,
            `(num_queries, timesteps, features)` for features.
        """
        return np.stack([query.value for query in queries])

    def describe(
        self,
        queries: Sequence[Query],
        predictions: npt.NDArray[np.int32],
        confidences: npt.NDArray[np.float32],
    ) -> list[Described]:
        """Return predictions as text and JSON fields.

        By default these are the names of classes, or else their numbers; a
        single one has its probability.

        Args:
            queries: the queries, as given to `encode`.
            predictions: class numbers, `(num_queries, *output_shape)`; -1
                where a logit is NaN.
            confidences: probabilities that the model assigns to the
                predictions, of the same shape.

        Returns:
            One description for each query.
        """
        rows = zip(queries, predictions, confidences, strict=True)
        return [_describe_labels(*row, self.class_names) for row in rows]

    def for_script(self) -> dict[str, Any] | None:
        """Return what a script in a page needs to read and write as this does.

        A subclass that changes how inputs are read or answers are written is
        read by no script, unless it defines this as well.

        Returns:
            A mapping for JSON, whose `reader` names a function in the script;
            None (the default) if no script reads such inputs.
        """
        return None


class HasTargets(Protocol):
    """Member of `TransducerTask` that a `MachineNotation` needs."""

    def targets(self, symbols: Any) -> npt.NDArray[np.int32]:
        """Return the targets of symbols."""


class MachineNotation(Notation):
    """Notation of a task whose targets are known for any input.

    A subclass must define `read` and `describe_one`.

    Args:
        machine: the task.
    """

    def __init__(self, machine: HasTargets) -> None:
        self._machine = machine

    def describe(
        self,
        queries: Sequence[Query],
        predictions: npt.NDArray[np.int32],
        confidences: npt.NDArray[np.float32],
    ) -> list[Described]:
        """Write each prediction, and the target if it is wrong."""
        targets = self._machine.targets(self.encode(queries))
        rows = zip(queries, predictions, targets, strict=True)
        return [self.describe_one(*row) for row in rows]

    @abc.abstractmethod
    def describe_one(
        self,
        query: Query,
        prediction: npt.NDArray[np.int32],
        target: npt.NDArray[np.int32],
    ) -> Described:
        """Return a prediction as text and JSON fields, see `compared`.

        Args:
            query: the query.
            prediction: the class numbers, `(num_steps,)`.
            target: those that are right.
        """


def compared(
    query: Query, predicted: str, right: str, marks: str, where: str
) -> Described:
    """Return the description of a prediction beside its target.

    Args:
        query: the query.
        predicted: the prediction as text.
        right: the target as text.
        marks: a mark for each symbol, `^` if it is wrong; empty if none is.
        where: how the text says which symbols are wrong.

    Returns:
        The description.
    """
    text = f"{query.text} → {predicted}  right"
    if marks:
        text = (
            f"{query.text} → {predicted}  WRONG: {right} is right; {where} "
            f"{marks}"
        )
    fields = {
        "input": query.text,
        "prediction": predicted,
        "right": not marks,
        "target": right,
        "wrong_symbols": marks,
    }
    return Described(text, fields)


# Python converts no longer numbers.
_MAX_DIGITS = 4300


class SymbolNotation(Notation):
    """Symbols as numbers from 0, separated by spaces; labels as numbers.

    Args:
        num_symbols: number of different symbols.
        num_steps: number of symbols in an input; None for any number.
    """

    def __init__(self, num_symbols: int, num_steps: int | None) -> None:
        self._num_symbols = num_symbols
        self._num_steps = num_steps

    def read(self, text: str) -> list[Query]:
        """Read one sequence of symbols."""
        words = text.split()
        symbols = [
            int(x)
            for x in words
            if x.isascii() and x.isdecimal() and len(x) <= _MAX_DIGITS
        ]
        if (
            not words
            or len(symbols) < len(words)
            or max(symbols) >= self._num_symbols
            or self._num_steps not in (None, len(symbols))
        ):
            count = "" if self._num_steps is None else f"{self._num_steps} "
            raise refused(
                f"{count}numbers from 0 to {self._num_symbols - 1}, separated "
                "by spaces",
                text,
            )
        return [Query(text, np.array(symbols, np.int32), len(symbols))]

    def for_script(self) -> dict[str, Any] | None:
        """Return the number of symbols, and of those in an input."""
        return {
            "reader": "symbols",
            "num_symbols": self._num_symbols,
            "num_steps": self._num_steps,
        }


class ArrayNotation(Notation):
    """Features as NumPy files (`.npy`); labels as numbers.

    Args:
        shape: shape of one input; a file holds one or more of them.
    """

    reads_lines = False

    def __init__(self, shape: tuple[int | None, ...]) -> None:
        self._shape = shape

    def read(self, text: str) -> list[Query]:
        """Read a file of one or more inputs."""
        return array_queries(text, read_npy(pathlib.Path(text)), self._shape)


def _describe_labels(
    query: Query, label: Any, probability: Any, names: tuple[str, ...] | None
) -> Described:
    fields: dict[str, Any] = {"input": query.text}
    # The name of a file may hold line breaks.
    place = escaped(query.text)
    if query.index is not None:
        fields["index"] = query.index
        place = f"{place}[{query.index}]"
    classes = np.ravel(label).tolist()
    if names is not None:
        # -1 where a logit is NaN.
        classes = [names[each] if each >= 0 else "?" for each in classes]
    output = escaped(" ".join(map(str, classes)))
    if np.ndim(label):
        fields["classes"] = classes
    else:
        # JSON has no NaN.
        known = None if np.isnan(probability) else float(probability)
        fields |= {"class": classes[0], "probability": known}
        output = f"{output}  ({percent(float(probability))})"
    return Described(f"{place} → {output}", fields)


def array_queries(
    text: str, values: npt.NDArray[Any], shape: tuple[int | None, ...]
) -> list[Query]:
    """Return the inputs in a file's array.

    Args:
        text: the file's path.
        values: one input, `shape`, or several, `(num_inputs, *shape)`.
        shape: shape of one input.

    Returns:
        A query for each input.

    Raises:
        InputError: if the array has another shape, is empty, or holds
            infinities or NaN.
    """
    if values.ndim == len(shape):
        values = values[np.newaxis]
    sizes = values.shape[1:]
    if len(sizes) != len(shape) or any(
        size != wanted if wanted is not None else size == 0
        for size, wanted in zip(sizes, shape, strict=True)
    ):
        texts = ("any number" if x is None else str(x) for x in shape)
        raise InputError(
            "`input` must hold arrays of "
            f"{' x '.join(texts)}, which the model reads. Received: "
            f"{text}, of {' x '.join(map(str, values.shape))}"
        )
    values = to_float32(values)
    if not len(values) or not np.isfinite(values).all():
        raise InputError(f"`input` must hold finite numbers. Received: {text}")
    several = len(values) > 1
    return [
        Query(text, value, len(value), index if several else None)
        for index, value in enumerate(values)
    ]


def read_npy(path: pathlib.Path, kinds: str = "f") -> Any:
    """Read a `.npy` file, without unpickling anything.

    Args:
        path: the file.
        kinds: the kinds of NumPy types that are allowed besides bytes.
            Defaults to floating-point numbers.

    Returns:
        Bytes or numbers, mapped from the file: a header that
        declares too large an array takes no memory.

    Raises:
        InputError: if the file cannot be read, is not a regular file, or has
            another type of values.
    """
    try:
        with open_regular(path), warnings.catch_warnings():
            # Of headers written by Python 2, which are read all the same.
            warnings.simplefilter("ignore")
            values = np.lib.format.open_memmap(path, mode="r")
    # NumPy parses headers as Python literals; a damaged one may raise nearly
    # anything, such as tokenize.TokenError.
    except Exception as error:
        raise InputError(
            f"`input` {path} cannot be read: {described(error)}"
        ) from None
    if values.dtype != np.uint8 and values.dtype.kind not in kinds:
        what = "floating-point numbers" if kinds == "f" else "other numbers"
        raise InputError(
            f"`input` must hold bytes (uint8) or {what}. "
            f"Received: {path}, of {values.dtype}"
        )
    return values


def to_float32(values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Convert numbers to float32; those that are too large become infinite."""
    with np.errstate(over="ignore"):
        return np.asarray(values, np.float32)


def refused(rule: str, text: str) -> InputError:
    """Return the error for an input that breaks a rule.

    Args:
        rule: the rule, which follows "must be" in the message.
        text: the input; shortened in the message if it is long.

    Returns:
        The error, to be raised.
    """
    shown = _with_bytes(text.strip())
    if len(shown) > _MAX_SHOWN:
        shown = f"{shown[:30]}... ({len(shown):,} characters)"
    return InputError(f"`input` must be {rule}. Received: {shown!r}")


def _with_bytes(text: str) -> str:
    """Return text in which bytes that were no UTF-8 are hexadecimal."""
    try:
        raw = text.encode("utf-8", "surrogateescape")
    # Other surrogates, which no file has.
    except UnicodeEncodeError:
        return text
    return raw.decode("utf-8", "backslashreplace")
