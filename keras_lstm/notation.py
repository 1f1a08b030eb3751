"""Numbers as people write them, for sequence tasks."""

import dataclasses
import re

import numpy as np
import numpy.typing as npt

from keras_lstm.options import InputError
from keras_lstm.tasks.transducer import TransducerTask

# Python itself reads and writes decimal numbers of up to 4,300 digits.
_MAX_DECIMAL_DIGITS = 4000
_MAX_BITS = 2**16
# What fits a 64-bit integer.
_MAX_SMALL_BITS = 62


@dataclasses.dataclass(frozen=True)
class Number:
    """An input, as it was written.

    Args:
        text: what was written.
        notation: "digits" (as many as `num_bits`), "binary" (0b...),
            "hexadecimal" (0x...) or "decimal".
        value: what it stands for.
        num_bits: how many symbols the model is to read.
    """

    text: str
    notation: str
    value: int
    num_bits: int


def read_number(text: str, task: TransducerTask, any_length: bool) -> Number:
    """Reads what a person has written.

    Args:
        text: `0b...`, `0x...`, exactly `num_bits` digits, or a decimal number.
        task: whose input it is; shorter ones are padded to its `num_bits`.
        any_length: whether the model reads longer ones. It then gets one
            symbol more where the answer would not fit otherwise.

    Raises:
        InputError: it is no number, or one that the model does not read.
    """
    written = text.strip()
    base = task.num_symbols
    digits = "0123456789"[:base]
    # Of more than ten symbols there is no way to write digits.
    if (
        len(written) == task.num_bits
        and base <= 10
        and _all_in(written, digits)
    ):
        notation, value = "digits", int(written, base)
        num_bits = len(written)
    elif match := re.fullmatch(r"0([bx])([0-9a-fA-F]+)", written):
        if base != 2:
            raise _refused("a decimal number for this task", text)
        kind, rest = match[1], match[2]
        if kind == "b" and not _all_in(rest, digits):
            raise _refused("bits, 0 and 1, after 0b", text)
        notation = "binary" if kind == "b" else "hexadecimal"
        value = int(rest, 2 if kind == "b" else 16)
        num_bits = len(rest) if kind == "b" else value.bit_length()
    elif written and written.isascii() and written.isdigit():
        if len(written) > _MAX_DECIMAL_DIGITS:
            raise _refused(
                f"written as 0x... if it has more than {_MAX_DECIMAL_DIGITS:,} "
                "digits",
                text,
            )
        notation, value = "decimal", int(written)
        num_bits = _length(value, base)
    elif re.fullmatch(r"-\d+", written):
        raise _refused("a number that is not negative", text)
    else:
        raise _refused(
            f"{task.num_bits} digits below {base}, a decimal number, 0b... or "
            "0x...",
            text,
        )
    number = Number(written, notation, value, max(task.num_bits, num_bits))
    if not any_length and number.num_bits > task.num_bits:
        raise _refused(
            f"of at most {task.num_bits} bits, which the last_state head reads",
            text,
        )
    if number.num_bits >= _MAX_BITS:
        raise _refused(f"of fewer than {_MAX_BITS:,} bits", text)
    if _in_domain(number, task):
        return number
    longer = dataclasses.replace(number, num_bits=number.num_bits + 1)
    if any_length and _in_domain(longer, task):
        return longer
    raise _refused(
        f"in the domain of {task.name}, which it is not at {number.num_bits} "
        "bits",
        text,
    )


def symbols_of(
    numbers: list[Number], task: TransducerTask
) -> npt.NDArray[np.int32]:
    """The symbols of numbers of one length.

    Returns:
        `(numbers, num_bits)`, least significant first.
    """
    num_bits, base = numbers[0].num_bits, task.num_symbols
    if _length(base**num_bits - 1, 2) <= _MAX_SMALL_BITS:
        values = np.array([number.value for number in numbers])
        return task.symbols_of(values, num_bits)
    return np.array(
        [_digits(number.value, base, num_bits) for number in numbers], np.int32
    )


def written(symbols: npt.NDArray[np.integer], number: Number, base: int) -> str:
    """An answer in the notation of its question.

    Args:
        symbols: the answer, `(num_bits,)`, least significant first.
        number: the question.
        base: how many different symbols the answer may have.
    """
    # A symbol that is none: the model's logits were no numbers.
    if (symbols < 0).any() or base > 10:
        return " ".join("?" if s < 0 else str(s) for s in symbols[::-1])
    text = "".join(map(str, symbols[::-1].tolist()))
    if number.notation == "digits":
        return text
    if number.notation == "decimal":
        return str(int(text, base))
    width = len(number.text) - 2
    if base == 2 and number.notation == "hexadecimal":
        return f"0x{int(text, 2):0{width}x}"
    return "0b" + text.lstrip("0").rjust(width, "0")


def _in_domain(number: Number, task: TransducerTask) -> bool:
    """`task.in_domain` of one number: arrays would take ten times as long."""
    if task.domain_states is None:
        return True
    state = 0
    for digit in _digits(number.value, task.num_symbols, number.num_bits):
        state = task.next_state[state][digit]
    return state in task.domain_states


def _all_in(text: str, characters: str) -> bool:
    return bool(text) and not text.strip(characters)


def _length(value: int, base: int) -> int:
    """How many digits a number has."""
    if base == 2:
        return value.bit_length()
    length = 0
    while value:
        value //= base
        length += 1
    return length


def _digits(value: int, base: int, length: int) -> list[int]:
    """Least significant first."""
    if base == 2:
        return [int(bit) for bit in reversed(f"{value:0{length}b}")]
    digits = []
    for _ in range(length):
        value, digit = divmod(value, base)
        digits.append(digit)
    return digits


def _refused(rule: str, text: str) -> InputError:
    shown = text.strip()
    if len(shown) > 40:
        shown = f"{shown[:30]}... ({len(shown):,} characters)"
    return InputError(f"`input` must be {rule}. Received: {shown!r}")
