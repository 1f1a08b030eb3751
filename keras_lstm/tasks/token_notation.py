"""Notation of token sequences: texts as people write them."""

import json
from typing import Any

import numpy as np
import numpy.typing as npt

from keras_lstm.core.console import percent
from keras_lstm.core.errors import InputError, escaped
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
        self._class_names = class_names
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
        queries: Any,
        predictions: npt.NDArray[np.int32],
        confidences: npt.NDArray[np.float32],
    ) -> list[Described]:
        """Write class names, and a probability if there is one class."""
        rows = zip(queries, predictions, confidences, strict=True)
        return [self._describe_one(*row) for row in rows]

    def _describe_one(
        self, query: Query, prediction: Any, confidence: Any
    ) -> Described:
        fields: dict[str, Any] = {"input": query.text}
        names = [
            # -1 where a logit is NaN.
            self._class_names[each] if each >= 0 else "?"
            for each in np.ravel(prediction).tolist()
        ]
        if np.ndim(prediction):
            fields["classes"] = names
            output = " ".join(names)
        else:
            known = None if np.isnan(confidence) else float(confidence)
            fields |= {"class": names[0], "probability": known}
            output = f"{names[0]}  ({percent(float(confidence))})"
        num_unknown = int((query.value == UNKNOWN).sum())
        fields["num_unknown_tokens"] = num_unknown
        if num_unknown:
            output += f"  ({num_unknown} of {query.num_steps} tokens unknown)"
        return Described(f"{escaped(query.text)} → {escaped(output)}", fields)


def _parsed(text: str) -> tuple[Any, str]:
    """Return the JSON list in a text, or else the text, and how to split it."""
    if text.lstrip().startswith("["):
        try:
            return json.loads(text), "list"
        except (ValueError, RecursionError):
            pass
    return text, "spaces"
