"""Notation of numbers, for tasks that a finite-state machine defines."""

import re
import sys
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from keras_lstm.tasks.notation import (
    Described,
    HasTargets,
    MachineNotation,
    Query,
    compared,
    refused,
)

# Python converts decimal numbers of up to 4,300 digits by default.
_MAX_DECIMAL_DIGITS = 4000
_MAX_BITS = 2**16
# With a margin, the bits of a signed 64-bit integer.
_MAX_SMALL_BITS = 62


class Machine(HasTargets, Protocol):
    """Members of `TransducerTask` that its notation needs."""

    name: ClassVar[str]
    next_state: ClassVar[tuple[tuple[int, ...], ...]]
    domain_states: ClassVar[frozenset[int] | None]

    @property
    def num_bits(self) -> int:
        """Number of symbols in an input."""

    @property
    def num_symbols(self) -> int:
        """Number of different input symbols."""

    @property
    def num_classes(self) -> int:
        """Number of different output symbols."""

    def symbols_of(
        self, numbers: Any, num_bits: int | None = None
    ) -> npt.NDArray[np.int32]:
        """Return the digits of numbers, least significant first."""

    def states(self, symbols: Any) -> npt.NDArray[np.int32]:
        """Return the state before each symbol, and the final state."""

    def in_domain(self, states: Any) -> Any:
        """Return whether inputs that end in `states` are in the domain."""


class NumberNotation(MachineNotation):
    """Decimal, binary and hexadecimal numbers; outputs are written alike.

    Args:
        task: the task, which defines the base, the domain and the targets.
        any_length: whether the model reads sequences of any length.
    """

    def __init__(self, task: Machine, any_length: bool) -> None:
        super().__init__(task)
        self._task = task
        self._any_length = any_length

    def read(self, text: str) -> list[Query]:
        """Read one number."""
        number = read_number(text, self._task, self._any_length)
        return [Query(text, number, number.num_bits)]

    def read_plain(self, texts: Sequence[str]) -> list[Query | None]:
        """Parse the decimal numbers that the model reads unpadded."""
        found: list[Query | None] = [None] * len(texts)
        task, num_bits = self._task, self._task.num_bits
        # A subclass may read a number otherwise.
        if type(self) is not NumberNotation or not _is_small(
            task.num_symbols, num_bits
        ):
            return found
        end = task.num_symbols**num_bits
        # Longer ones are above, or begin with zeros.
        longest = len(str(end))
        places, values = [], []
        for place, text in enumerate(texts):
            # `num_bits` digits may be symbols.
            if (
                text.isdigit()
                and len(text) <= longest
                and len(text) != num_bits
                and text.isascii()
                and (value := int(text)) < end
            ):
                places.append(place)
                values.append(value)
        if not values:
            return found
        symbols = task.symbols_of(np.array(values), num_bits)
        inside = task.in_domain(task.states(symbols)[:, -1])
        for place, value, is_inside in zip(
            places, values, inside.tolist(), strict=True
        ):
            if is_inside:
                text = texts[place]
                number = Number(text, "decimal", value, num_bits)
                found[place] = Query(text, number, num_bits)
        return found

    def encode(self, queries: Sequence[Query]) -> npt.NDArray[Any]:
        """Return the digits, least significant first."""
        return _symbols_of([query.value for query in queries], self._task)

    def describe(
        self,
        queries: Sequence[Query],
        predictions: npt.NDArray[np.int32],
        confidences: npt.NDArray[np.float32],
    ) -> list[Described]:
        """Write predictions: right decimal numbers together, others by one."""
        if type(self) is not NumberNotation:
            return super().describe(queries, predictions, confidences)
        targets = self._task.targets(self.encode(queries))
        base, num_steps = self._task.num_classes, queries[0].num_steps
        together = np.all(predictions == targets, -1)
        values = np.zeros(len(queries), np.int64)
        if base <= 10 and _is_small(base, num_steps):
            values = predictions @ (base ** np.arange(num_steps))
        else:
            together[:] = False
        found = []
        for at, (query, value, is_right) in enumerate(
            zip(queries, values.tolist(), together.tolist(), strict=True)
        ):
            if is_right and query.value.notation == "decimal":
                text = str(value)
                described = compared(query, text, text, "", "")
            else:
                described = self.describe_one(
                    query, predictions[at], targets[at]
                )
            found.append(described)
        return found

    def describe_one(
        self,
        query: Query,
        prediction: npt.NDArray[np.int32],
        target: npt.NDArray[np.int32],
    ) -> Described:
        """Write a prediction in the notation of its input."""
        number, base = query.value, self._task.num_classes
        predicted = right = _format(prediction, number, base)
        wrong, marks, symbols = prediction != target, "", ""
        if wrong.any():
            right = _format(target, number, base)
            marks = "".join(np.where(wrong, "^", ".")[::-1])
            symbols = "".join(
                "?" if s < 0 else str(s) for s in prediction[::-1]
            )
        where = f"{symbols} has wrong"
        return compared(query, predicted, right, marks, where)

    def for_script(self) -> dict[str, Any] | None:
        """Return the base and the length."""
        return {
            "reader": "numbers",
            "base": self._task.num_symbols,
            "num_bits": self._task.num_bits,
            "any_length": self._any_length,
        }


class Number(NamedTuple):
    """A number and its notation.

    Args:
        text: the text as written.
        notation: "digits" (exactly `num_bits` of them), "binary" (0b...),
            "hexadecimal" (0x...) or "decimal".
        value: the number.
        num_bits: number of symbols that the model reads.
    """

    text: str
    notation: str
    value: int
    num_bits: int


def read_number(text: str, task: Machine, any_length: bool) -> Number:
    """Parse a number.

    Args:
        text: `0b...`, `0x...`, exactly `num_bits` digits, or a decimal number.
        task: the task; shorter numbers are padded to its `num_bits`.
        any_length: whether the model reads sequences of any length. If so,
            longer numbers are accepted, and a number whose target would not
            fit is padded by one symbol.

    Returns:
        The number.

    Raises:
        InputError: if the text is not a number, or the number is too long for
            the model or outside the domain of the task.
    """  # noqa: DOC501 - `refused` returns an `InputError`.
    written = text.strip()
    base = task.num_symbols
    digits = "0123456789"[:base]
    # More than ten symbols would need more than the ten digits.
    if (
        len(written) == task.num_bits
        and base <= 10
        and _all_in(written, digits)
    ):
        notation, value = "digits", int(written, base)
        num_bits = len(written)
    elif match := re.fullmatch(r"0([bx])([0-9a-fA-F]+)", written):
        if base != 2:
            raise refused("a decimal number for this task", text)
        kind, rest = match[1], match[2]
        if kind == "b" and not _all_in(rest, digits):
            raise refused("bits, 0 and 1, after 0b", text)
        notation = "binary" if kind == "b" else "hexadecimal"
        value = int(rest, 2 if kind == "b" else 16)
        num_bits = len(rest) if kind == "b" else value.bit_length()
    elif written and written.isascii() and written.isdigit():
        # 0 if PYTHONINTMAXSTRDIGITS lifts the limit.
        limit = sys.get_int_max_str_digits() or _MAX_DECIMAL_DIGITS
        limit = min(limit, _MAX_DECIMAL_DIGITS)
        if len(written) > limit:
            raise refused(
                f"written as 0x... if it has more than {limit:,} digits",
                text,
            )
        notation, value = "decimal", int(written)
        num_bits = _length(value, base)
    elif re.fullmatch(r"-\d+", written):
        raise refused("a number that is not negative", text)
    else:
        raise refused(
            f"{task.num_bits} digits below {base}, a decimal number, 0b... or "
            "0x...",
            text,
        )
    number = Number(written, notation, value, max(task.num_bits, num_bits))
    if not any_length and number.num_bits > task.num_bits:
        raise refused(
            f"of at most {task.num_bits} bits, which the last_state head reads",
            text,
        )
    if number.num_bits >= _MAX_BITS:
        raise refused(f"of fewer than {_MAX_BITS:,} bits", text)
    if _in_domain(number, task):
        return number
    longer = number._replace(num_bits=number.num_bits + 1)
    if any_length and _in_domain(longer, task):
        return longer
    raise refused(
        f"in the domain of {task.name}, which excludes it at "
        f"{number.num_bits} bits",
        text,
    )


def _symbols_of(numbers: list[Number], task: Machine) -> npt.NDArray[np.int32]:
    """Return the symbols of numbers of equal length.

    Args:
        numbers: the numbers, all of the same `num_bits`.
        task: the task, which defines the base.

    Returns:
        `(num_numbers, num_bits)`, least significant first.
    """
    num_bits, base = numbers[0].num_bits, task.num_symbols
    if _is_small(base, num_bits):
        values = np.array([number.value for number in numbers])
        return task.symbols_of(values, num_bits)
    return np.array(
        [_digits(number.value, base, num_bits) for number in numbers], np.int32
    )


def _format(symbols: npt.NDArray[np.integer], number: Number, base: int) -> str:
    """Return an output in the notation of its input.

    Args:
        symbols: the output, `(num_bits,)`, least significant first; -1 where
            a logit is NaN.
        number: the input.
        base: number of different output symbols.

    Returns:
        The output as text, most significant first. Outputs with -1, in a
        base above 10, or too long for Python to convert to decimal, are
        symbols separated by spaces.
    """
    if (symbols < 0).any() or base > 10:
        return " ".join("?" if s < 0 else str(s) for s in symbols[::-1])
    text = "".join(map(str, symbols[::-1].tolist()))
    if number.notation == "digits":
        return text
    if number.notation == "decimal":
        try:
            return str(int(text, base))
        # Python converts numbers of so many digits to base 2, 4 or 8 only.
        except ValueError:
            return " ".join(text)
    width = len(number.text) - 2
    if base == 2 and number.notation == "hexadecimal":
        return f"0x{int(text, 2):0{width}x}"
    return "0b" + text.lstrip("0").rjust(width, "0")


def _in_domain(number: Number, task: Machine) -> bool:
    """Return whether a number is in the domain of the task."""
    # For one number, `task.in_domain` on arrays takes ten times as long.
    if task.domain_states is None:
        return True
    state = 0
    for digit in _digits(number.value, task.num_symbols, number.num_bits):
        state = task.next_state[state][digit]
    return state in task.domain_states


def _is_small(base: int, length: int) -> bool:
    """Return whether numbers of so many digits fit a 64-bit integer."""
    return _length(base**length - 1, 2) <= _MAX_SMALL_BITS


def _all_in(text: str, characters: str) -> bool:
    return bool(text) and not text.strip(characters)


def _length(value: int, base: int) -> int:
    """Return the number of digits of a number."""
    if base == 2:
        return value.bit_length()
    length = 0
    while value:
        value //= base
        length += 1
    return length


def _digits(value: int, base: int, length: int) -> list[int]:
    """Return the digits of a number, least significant first."""
    if base == 2:
        return [int(bit) for bit in reversed(f"{value:0{length}b}")]
    digits = []
    for _ in range(length):
        value, digit = divmod(value, base)
        digits.append(digit)
    return digits
