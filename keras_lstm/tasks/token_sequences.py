"""Sequences of tokens from a file, with a class each or one per token."""

import dataclasses
import functools
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from keras_lstm.core.console import percent
from keras_lstm.core.errors import InputError
from keras_lstm.core.options import option
from keras_lstm.tasks.labels import (
    names_from_text,
    names_to_text,
)
from keras_lstm.tasks.notation import Notation
from keras_lstm.tasks.own_data import (
    NO_SEQUENCES,
    OwnData,
    describe_defects,
    describe_parts,
)
from keras_lstm.tasks.partition import PARTS, TEST, VALIDATION
from keras_lstm.tasks.stored import SequenceStore, numpy_batch
from keras_lstm.tasks.task import Split, Splits
from keras_lstm.tasks.token_notation import TokenNotation
from keras_lstm.tasks.token_rows import LABEL, TARGET_KINDS, TokenSource
from keras_lstm.tasks.token_summary import suggest, summarize
from keras_lstm.tasks.token_survey import (
    Survey,
    check_class,
    survey,
    survey_names,
)
from keras_lstm.tasks.tokens import (
    NUM_RESERVED,
    PADDING,
    TOKENS,
    Vocabulary,
)


@dataclasses.dataclass(frozen=True)
class TokenSequences(OwnData):
    """Classify sequences of tokens from a CSV, TSV or JSON Lines file.

    Inputs are token numbers, `(timesteps,)`, of any length: 0 is padding, 1
    an unknown token. Targets are class numbers: one for the sequence, `()`, or
    one for each token, `(timesteps,)`.

    What is not given is found in the file when the task is made: columns, what
    a token is, the kind of targets, and from the training part alone the
    vocabulary and the classes. They are then options like any other, so that a
    run can be used without the file.

    Example:

    ```python
    task = TokenSequences(data="names.csv")
    splits = task.splits(seed=0)
    ```
    """

    name = "sequences"
    default_preset: ClassVar[str] = "sequences"
    step_label = "token"
    pads: ClassVar[bool] = True
    dividing_options: ClassVar[tuple[str, ...]] = (
        *OwnData.dividing_options,
        "group",
    )

    data: str | None = option(
        None,
        "CSV, TSV or JSON Lines file (.csv, .tsv, .jsonl, also with .gz), "
        "whose first line names the columns",
    )
    input: str | None = option(
        None, "column of the sequences (none: find it by name or number)"
    )
    target: str | None = option(
        None, "column of the targets (none: find it by name or number)"
    )
    tokens: str | None = option(
        None,
        "what a token is: a character; a word, in lower case and without "
        "punctuation; what spaces separate; or an element of a JSON list "
        "(none: what the first rows look like)",
        choices=TOKENS,
    )
    target_kind: str | None = option(
        None,
        "one label for a sequence, or one per token (none: per token if the "
        "lengths agree)",
        choices=TARGET_KINDS,
    )
    group: str | None = option(
        None,
        "column whose rows of one value stay in one part (none: rows of the "
        "same input do)",
    )
    max_length: int | None = option(
        None, "number of tokens after which a sequence is cut", minimum=1
    )
    max_vocabulary: int = option(
        20_000,
        "largest number of known tokens, the most frequent ones (fewer if "
        "their text has more than 400,000 characters)",
        minimum=1,
        maximum=2**20,
    )
    vocabulary: str | None = option(
        None, "known tokens, a JSON list (none: those of the training part)"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.data is not None and None in (
            *(self.input, self.target, self.tokens, self.target_kind),
            *(self.vocabulary, self.classes, self.data_sha256),
        ):
            self._find()
        # The stock layers refuse what these do not allow.
        if self.vocabulary is not None:
            _vocabulary(self.vocabulary)

    def _find(self) -> None:
        """Set the options that are not given to what the file holds."""
        found = self.survey()
        for name in ("input", "target", "tokens", "target_kind"):
            object.__setattr__(self, name, getattr(found.source, name))
        if self.data_sha256 is None:
            object.__setattr__(self, "data_sha256", found.sha256)
        if self.vocabulary is None or self.classes is None:
            names = survey_names(found, self.max_vocabulary)
            for name, texts in (
                ("vocabulary", names.tokens),
                ("classes", names.classes),
            ):
                if getattr(self, name) is None:
                    object.__setattr__(self, name, names_to_text(texts))

    def survey(self) -> Survey:
        """Read the file once, or return what was found before.

        Returns:
            What the file holds.

        Raises:
            InputError: if it cannot be read as the options say.
        """
        values = self.to_mapping() | {
            "data": self.found("data"),
            "skips_bad_rows": self.bad_rows == "skip",
        }
        fields = dataclasses.fields(TokenSource)
        return survey(TokenSource(**{x.name: values[x.name] for x in fields}))

    def recommended(self) -> dict[str, Any]:
        """Return the head for the kind of targets; watch what there is."""
        is_label = self.target_kind in (None, LABEL)
        head = "last_state" if is_label else "per_step"
        values: dict[str, Any] = {"head": head}
        if not (self.has_validation and self._has_rows(VALIDATION)):
            values |= {"keep_best": False, "monitor": None}
        return values

    def _has_rows(self, part: int) -> bool:
        """Return whether a part has rows, if that can be known."""
        return self.data is None or bool((self.survey().parts == part).any())

    @property
    def token_kind(self) -> str | None:
        """The option `tokens`."""
        return self.tokens

    @property
    def max_tokens(self) -> int | None:
        """The option `max_length`."""
        return self.max_length

    @property
    def known_tokens(self) -> Vocabulary:
        """The vocabulary."""
        return _vocabulary(self.found("vocabulary"))

    @property
    def num_symbols(self) -> int:
        """Number of known tokens, and two: padding, and unknown ones."""
        return NUM_RESERVED + len(self.known_tokens)

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """`(None,)`: any number of tokens."""
        return (None,)

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """`()`, or `(None,)` for targets per token."""
        return () if self.target_kind in (None, LABEL) else (None,)

    def notation(self, any_length: bool) -> Notation:
        """Return the notation of texts."""
        return TokenNotation(
            self.known_tokens,
            str(self.tokens),
            self.class_names,
            self.max_length,
        )

    def sketch(self, inputs: npt.NDArray[Any]) -> list[str]:
        """Return the tokens on one line."""
        between = "" if self.tokens == "characters" else " "
        return [between.join(self.known_tokens.decode(inputs.tolist()))]

    def splits(self, seed: int) -> Splits:
        """Return the rows of the file, divided as the options say.

        Args:
            seed: unused: the parts are the same for every seed.

        Returns:
            The three splits; a part without rows is None.

        Raises:
            InputError: if the file has changed, or a row has a class that the
                training part lacks.
        """
        found = self.survey()
        if self.data_sha256 not in (None, found.sha256):
            raise InputError(
                f"`data` must be the file of `data_sha256` "
                f"{self.data_sha256} (none: any file). Received: "
                f"{self.data}, with {found.sha256}"
            )
        if not self._has_rows(TEST):
            raise InputError(
                "`data` must leave rows to test on: give a larger "
                "`test_fraction`, or `test_data`. Received: "
                f"{describe_parts(found.parts)}"
            )
        parts = [_Part(self) for _ in PARTS]
        for part, example in found.examples():
            parts[part].append(example)
        train, validation, test = (part.finish() for part in parts)
        return Splits(train or NO_SEQUENCES, validation, test)

    def remarks(self) -> list[str]:
        """Return what to know of the data before training."""
        found = self.survey()
        source = found.source
        names = survey_names(found, self.max_vocabulary)
        lines = [
            f"{self.data}: {describe_parts(found.parts)} sequences; "
            f"{source.tokens} of column {source.input}, "
            f"{len(self.known_tokens):,} known; {self.num_classes:,} classes "
            f"of column {source.target}, "
            f"{'one each' if not self.output_shape else 'one for each token'}"
        ]
        left = names.num_tokens - len(self.known_tokens)
        for count, text in (
            (
                left,
                f"of {names.num_tokens:,} different tokens are left unknown",
            ),
            (found.num_cut, f"sequences are cut to {self.max_length} tokens"),
        ):
            if count > 0:
                lines.append(f"{count:,} {text}")
        lines += self.unused_options() + self.defects()
        if names.unknown_fraction:
            lines.append(
                f"{percent(names.unknown_fraction)} of the validation and "
                "test parts' tokens are unknown"
            )
        return lines

    def defects(self) -> list[str]:
        """Return what may be wrong with the data."""
        return describe_defects(self.survey().defects)

    def suggested(self) -> dict[str, str]:
        """Return columns, and what their contents ask for."""
        return suggest(self.survey())

    def summary(self) -> list[str]:
        """Return what the file holds."""
        return summarize(self.survey(), self.max_vocabulary)


class _Part:
    """Builder of one split."""

    def __init__(self, task: TokenSequences) -> None:
        self._task = task
        self._known = task.known_tokens
        self._classes = {
            name: number for number, name in enumerate(task.class_names)
        }
        self._inputs = SequenceStore(np.min_scalar_type(task.num_symbols))
        self._targets = SequenceStore(np.min_scalar_type(task.num_classes))
        self._lines: list[int] = []

    def append(self, example: Any) -> None:
        most = self._task.max_length
        tokens = self._known.encode(example.tokens[:most])
        targets = []
        for name in example.targets[:most]:
            check_class(name, self._classes, example)
            targets.append(self._classes[name])
        self._inputs.append(tokens)
        self._targets.append(np.array(targets, np.int32))
        self._lines.append(example.line)

    def finish(self) -> Split | None:
        self._inputs.finish()
        self._targets.finish()
        if not self._lines:
            return None
        return Split(
            len(self._lines),
            functools.partial(
                _batch, self._inputs, self._targets, self._task.output_shape
            ),
            lengths=self._inputs.lengths,
            lines=np.array(self._lines, np.int64),
        )


def _batch(
    inputs: SequenceStore,
    targets: SequenceStore,
    output_shape: tuple[int | None, ...],
    indices: Any,
) -> tuple[Any, Any]:
    def read(rows: Any) -> tuple[Any, Any]:
        found = targets.padded(rows, 0).astype(np.int32)
        return (
            inputs.padded(rows, PADDING).astype(np.int32),
            found if output_shape else found[:, 0],
        )

    return numpy_batch(read, indices, np.int32, (None,), output_shape)


@functools.lru_cache(maxsize=8)
def _vocabulary(text: str) -> Vocabulary:
    return Vocabulary(names_from_text(text, "vocabulary"))
