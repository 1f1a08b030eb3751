"""Tokens of texts, and their numbers: as `TextVectorization` of Keras has them.

The numbers are made here while data is prepared, without TensorFlow, and by
the stock layer inside a saved model; a test compares the two.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from keras_lstm.core.errors import InputError, shown
from keras_lstm.tasks.labels import check_text

TOKENS = ("characters", "words", "spaces", "list")
# The kind of token whose numbers start with 0: all of them are known.
SYMBOLS = "symbols"
# Numbers below that of the first token: padding, and tokens that are unknown.
PADDING, UNKNOWN, NUM_RESERVED = 0, 1, 2
# Names that the stock layers have for these.
RESERVED_NAMES = ("", "[UNK]")
# What `standardize="lower_and_strip_punctuation"` of Keras removes.
_PUNCTUATION = re.compile(r"[!\"#$%&()\*\+,-\./:;<=>?@\[\\\]^_`{|}~']")
# `tf.strings.split` splits at these, and Python's `str.split` at more.
_BLANKS = re.compile(r"[ \t\n\r\f\v]+")
_UPPER = {ord(x): x.lower() for x in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}


def split_tokens(value: Any, tokens: str) -> list[str]:
    """Split a value into tokens.

    Args:
        value: a text, or for "list" a list of strings or of integers.
        tokens: "characters"; "words", in lower case (of ASCII) and without
            punctuation; "spaces", for whatever blanks separate; or "list".

    Returns:
        The tokens; they may be none.

    Raises:
        InputError: if the value is of another type.
    """
    if tokens == "list":
        return _list_tokens(value)
    if not isinstance(value, str):
        raise InputError(f"a sequence must be a text. Received: {shown(value)}")
    check_text(value)
    if tokens == "characters":
        return list(value)
    if tokens == "words":
        value = _PUNCTUATION.sub("", value.translate(_UPPER))
    if value.isascii() and value.isprintable():
        # Faster, and the same: the only blank is the space.
        return value.split()
    return [token for token in _BLANKS.split(value) if token]


def _list_tokens(value: Any) -> list[str]:
    if not isinstance(value, list):
        raise InputError(
            f"a sequence must be a list of tokens. Received: {shown(value)}"
        )
    kinds = {type(token) for token in value}
    if not kinds <= {str} and not kinds <= {int}:
        raise InputError(
            "tokens must be all strings or all integers. Received: "
            f"{shown(value)}"
        )
    found = [str(token) for token in value]
    for token in found:
        check_text(token)
        if not token:
            raise InputError(
                f"tokens must not be empty. Received: {shown(value)}"
            )
    return found


class Vocabulary:
    """Tokens that have numbers of their own.

    Args:
        tokens: the tokens, without repetitions; the first has the number 2.
        argument: the name of the argument in error messages.

    Raises:
        InputError: if a token is empty or there twice.
    """

    def __init__(
        self, tokens: Sequence[str], argument: str = "vocabulary"
    ) -> None:
        self.tokens = tuple(tokens)
        self._numbers = {
            token: number
            for number, token in enumerate(self.tokens, NUM_RESERVED)
        }
        if len(self._numbers) < len(self.tokens) or any(
            name in self._numbers for name in RESERVED_NAMES
        ):
            raise InputError(
                f"`{argument}` must have different tokens, none of them empty "
                f"or [UNK]. Received: {shown(list(tokens))}"
            )

    def __len__(self) -> int:
        return len(self.tokens)

    def encode(self, tokens: Iterable[str]) -> npt.NDArray[np.int32]:
        """Return the numbers of tokens, 1 for those that are unknown."""
        numbers = self._numbers
        return np.array(
            [numbers.get(token, UNKNOWN) for token in tokens], np.int32
        )

    def decode(self, numbers: Iterable[int]) -> list[str]:
        """Return the tokens of numbers, "?" for those that are unknown."""
        return [
            self.tokens[number - NUM_RESERVED]
            if number >= NUM_RESERVED
            else "?"
            for number in numbers
            if number != PADDING
        ]
