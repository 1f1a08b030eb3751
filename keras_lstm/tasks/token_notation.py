"""Notation of token sequences: texts as people write them."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from keras_lstm.core.errors import InputError
from keras_lstm.tasks.notation import Described, Notation, Query, refused
from keras_lstm.tasks.tokens import UNKNOWN, Vocabulary, split_tokens


class TokenNotation(Notation):
    """Texts, and the names of classes.

    Args:
        vocabulary: the known tokens.
        tokens: what a token is; for "list", a text is a JSON list, or else
            split at blanks.
        class_names: names of the classes.
        max_length: number of tokens after which a text is cut; None for no
            such number.
    """

    keeps_blanks = True

    def __init__(
        self,
        vocabulary: Vocabulary,
        tokens: str,
        class_names: tuple[str, ...],
        max_length: int | None = None,
    ) -> None:
        self._vocabulary = vocabulary
        self._tokens = tokens
        self.class_names = class_names
        self._max_length = max_length

    def read(self, text: str) -> list[Query]:
        """Read one text."""
        value, kind = text, self._tokens
        if kind == "list":
            value, kind = _parsed(text)
        try:
            tokens = split_tokens(value, kind)[: self._max_length]
        except InputError as error:
            raise refused(f"as those trained on ({error})", text) from None
        if not tokens:
            raise refused("a text with a token", text)
        return [Query(text, self._vocabulary.encode(tokens), len(tokens))]

    def describe(
        self,
        queries: Sequence[Query],
        predictions: npt.NDArray[np.int32],
        confidences: npt.NDArray[np.float32],
    ) -> list[Described]:
        """Write class names, and how many tokens are unknown."""
        found = super().describe(queries, predictions, confidences)
        return [
            _with_unknown(query, each)
            for query, each in zip(queries, found, strict=True)
        ]

    def for_script(self) -> dict[str, Any] | None:
        """Return the vocabulary, and how texts are split."""
        return {
            "reader": "tokens",
            "tokens": self._tokens,
            "vocabulary": list(self._vocabulary.tokens),
            "max_length": self._max_length,
        }


def _with_unknown(query: Query, described: Described) -> Described:
    num_unknown = int((query.value == UNKNOWN).sum())
    fields = described.fields | {"num_unknown_tokens": num_unknown}
    text = described.text
    if num_unknown:
        text += f"  ({num_unknown} of {query.num_steps} tokens unknown)"
    return Described(text, fields)


def _parsed(text: str) -> tuple[Any, str]:
    """Return the JSON list in a text, or else the text, and how to split it."""
    if text.lstrip().startswith("["):
        try:
            return json.loads(text), "list"
        except (ValueError, RecursionError):
            pass
    return text, "spaces"
