"""How people write a task's inputs and read its outputs.

A notation turns what `predict` is given into arrays, and what the model says
into text and JSON. `numbers.py` has that of finite-state machines,
`image_files.py` that of images; here is what other tasks start from.
"""

import abc
import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from keras_lstm.core.console import percent
from keras_lstm.core.errors import InputError

_MAX_SHOWN = 40


@dataclasses.dataclass(frozen=True)
class Query:
    """One input as it was given.

    Args:
        text: what was written, or the file's path.
        value: what it stands for; the notation's own.
        num_steps: time steps that the model is to read.
        index: which one of a file's inputs; None for one alone.
    """

    text: str
    value: Any
    num_steps: int
    index: int | None = None


class Described(NamedTuple):
    """A prediction as people and as programs read it.

    Args:
        text: one line.
        fields: what JSON holds.
    """

    text: str
    fields: dict[str, Any]


class Notation(abc.ABC):
    """How a task's inputs and outputs are written.

    Attributes:
        reads_lines: whether an input is a line of text, which may also come
            from a file or from standard input, rather than a file of its own.
    """

    reads_lines: ClassVar[bool] = True

    @abc.abstractmethod
    def read(self, text: str) -> list[Query]:
        """Read what a person has given.

        Args:
            text: a line of text, or the path of a file.

        Returns:
            The inputs in it: one for a line, one or several for a file.

        Raises:
            InputError: if it is no input of the task.
        """

    @abc.abstractmethod
    def encode(self, queries: Sequence[Query]) -> npt.NDArray[Any]:
        """Return what the model reads.

        Args:
            queries: at least one, all of the same number of time steps.

        Returns:
            `(queries, timesteps)` or `(queries, timesteps, features)`.
        """

    @abc.abstractmethod
    def describe(
        self,
        queries: Sequence[Query],
        predictions: npt.NDArray[np.int32],
        confidences: npt.NDArray[np.float32],
    ) -> list[Described]:
        """Write down what the model says.

        Args:
            queries: as given to `encode`.
            predictions: `(queries, *output_shape)`; -1 where logits were no
                numbers.
            confidences: the probability that the model gives each of them.

        Returns:
            One for each query.
        """


class SymbolNotation(Notation):
    """Symbols as numbers from 0, separated by spaces; labels as numbers.

    Args:
        num_symbols: how many different symbols there are.
        num_steps: how many an input has; None for any number.
    """

    def __init__(self, num_symbols: int, num_steps: int | None) -> None:
        self._num_symbols = num_symbols
        self._num_steps = num_steps

    def read(self, text: str) -> list[Query]:
        """Read one sequence of symbols."""
        words = text.split()
        symbols = [int(x) for x in words if x.isascii() and x.isdecimal()]
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

    def encode(self, queries: Sequence[Query]) -> npt.NDArray[Any]:
        """Stack the symbols."""
        return np.stack([query.value for query in queries])

    def describe(
        self,
        queries: Sequence[Query],
        predictions: npt.NDArray[np.int32],
        confidences: npt.NDArray[np.float32],
    ) -> list[Described]:
        """Write the labels, and for one alone its probability."""
        return describe_labels(queries, predictions, confidences)


class ArrayNotation(Notation):
    """Files of arrays as NumPy writes them (`.npy`); labels as numbers.

    Args:
        shape: of one input; a file holds one or several.
    """

    reads_lines = False

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._shape = shape

    def read(self, text: str) -> list[Query]:
        """Read a file of numbers."""
        return array_queries(text, read_npy(pathlib.Path(text)), self._shape)

    def encode(self, queries: Sequence[Query]) -> npt.NDArray[Any]:
        """Stack the arrays."""
        return np.stack([query.value for query in queries])

    def describe(
        self,
        queries: Sequence[Query],
        predictions: npt.NDArray[np.int32],
        confidences: npt.NDArray[np.float32],
    ) -> list[Described]:
        """Write the labels, and for one alone its probability."""
        return describe_labels(queries, predictions, confidences)


def describe_labels(
    queries: Sequence[Query],
    predictions: npt.NDArray[np.int32],
    confidences: npt.NDArray[np.float32],
) -> list[Described]:
    """Write down class numbers, one or several for each input.

    Args:
        queries: what was asked.
        predictions: `(queries, *output_shape)`.
        confidences: of the same shape.

    Returns:
        One for each query.
    """
    found = []
    for query, label, share in zip(
        queries, predictions, confidences, strict=True
    ):
        fields: dict[str, Any] = {"input": query.text}
        place = query.text
        if query.index is not None:
            fields["index"] = query.index
            place = f"{query.text}[{query.index}]"
        if np.ndim(label):
            fields["classes"] = label.tolist()
            said = " ".join(map(str, label.tolist()))
        else:
            fields |= {"class": int(label), "probability": float(share)}
            said = f"{label}  ({percent(float(share))})"
        found.append(Described(f"{place} → {said}", fields))
    return found


def array_queries(
    text: str, values: npt.NDArray[Any], shape: tuple[int, ...]
) -> list[Query]:
    """Take the inputs out of a file's array.

    Args:
        text: the file's path.
        values: one input or several.
        shape: of one input.

    Returns:
        A query for each.

    Raises:
        InputError: if the array has another shape, or holds nothing.
    """
    if values.ndim == len(shape):
        values = values[np.newaxis]
    if values.ndim != len(shape) + 1 or values.shape[1:] != shape:
        raise InputError(
            "`input` must hold arrays of "
            f"{' x '.join(map(str, shape))}, which the model reads. Received: "
            f"{text}, of {' x '.join(map(str, values.shape))}"
        )
    values = np.asarray(values, np.float32)
    if not len(values) or not np.isfinite(values).all():
        raise InputError(f"`input` must hold finite numbers. Received: {text}")
    several = len(values) > 1
    return [
        Query(text, value, shape[0], index if several else None)
        for index, value in enumerate(values)
    ]


def read_npy(path: pathlib.Path) -> Any:
    """Read an array that NumPy wrote, without unpickling anything.

    Args:
        path: the file.

    Returns:
        Bytes or floating-point numbers, mapped from the file: memory is taken
        for what it holds, not for what its header promises.

    Raises:
        InputError: if it is no such file.
    """
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"`input` {path} cannot be read: {reason}") from None
    if values.dtype != np.uint8 and values.dtype.kind != "f":
        raise InputError(
            "`input` must hold bytes (uint8) or floating-point numbers. "
            f"Received: {path}, of {values.dtype}"
        )
    return values


def refused(rule: str, text: str) -> InputError:
    """Return the error for an input that breaks a rule.

    Args:
        rule: what it must be.
        text: what was given; shortened in the message.
    """
    shown = text.strip()
    if len(shown) > _MAX_SHOWN:
        shown = f"{shown[:30]}... ({len(shown):,} characters)"
    return InputError(f"`input` must be {rule}. Received: {shown!r}")
