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
    parse_names,
)
from keras_lstm.tasks.notation import Notation
from keras_lstm.tasks.partition import PARTS, TEST, VALIDATION
from keras_lstm.tasks.stored import SequenceStore
from keras_lstm.tasks.task import Split, Splits, Task
from keras_lstm.tasks.token_notation import TokenNotation
from keras_lstm.tasks.token_rows import LABEL, TARGET_KINDS, TokenSource
from keras_lstm.tasks.token_summary import suggest, summarize
from keras_lstm.tasks.token_survey import (
    Survey,
    check_class,
    describe_parts,
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
class TokenSequences(Task):
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
    data_options = ("data",)
    example_label = "sequence"
    step_label = "token"
    has_baselines: ClassVar[bool] = True
    pads: ClassVar[bool] = True

    data: str | None = option(
        None,
        "CSV, TSV or JSON Lines file (.csv, .tsv, .jsonl, also with .gz), "
        "whose first line names the columns",
    )
    validation_data: str | None = option(
        None, "file to validate on (none: rows of the data)"
    )
    test_data: str | None = option(
        None, "file to test on (none: rows of the data)"
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
    part: str | None = option(
        None,
        "column that names the part of each row: train, validation or test "
        "(none: divide at random)",
    )
    group: str | None = option(
        None,
        "column whose rows of one value stay in one part (none: rows of the "
        "same input do)",
    )
    validation_fraction: float = option(
        0.1, "fraction of the rows to validate on", minimum=0.0, below=1.0
    )
    test_fraction: float = option(
        0.1, "fraction of the rows to test on", minimum=0.0, maximum=1.0
    )
    split_seed: int = option(
        0, "seed of the division into parts", minimum=0, maximum=2**31 - 1
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
    bad_rows: str = option(
        "refuse",
        "refuse a file with a row that cannot be read, or skip such rows",
        choices=("refuse", "skip"),
    )
    data_sha256: str | None = option(
        None, "SHA-256 of the data (none: whatever it has)"
    )
    vocabulary: str | None = option(
        None, "known tokens, a JSON list (none: those of the training part)"
    )
    classes: str | None = option(
        None, "classes, a JSON list (none: those of the training part)"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.validation_fraction + self.test_fraction > 1.0:
            raise InputError(
                "`validation_fraction` and `test_fraction` must be at most 1 "
                f"together. Received: {self.validation_fraction} and "
                f"{self.test_fraction}"
            )
        if self.data is not None and None in (
            *(self.input, self.target, self.tokens, self.target_kind),
            *(self.vocabulary, self.classes, self.data_sha256),
        ):
            self._find()
        # The stock layers refuse what these do not allow.
        if self.vocabulary is not None:
            _vocabulary(self.vocabulary)
        if self.classes is not None:
            parse_names(self.classes, "classes")

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
        if self.data is None:
            raise InputError(
                "`data` must be a file of sequences. Received: data=None"
            )
        values = self.to_mapping() | {"skips_bad_rows": self.bad_rows == "skip"}
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
        return _vocabulary(self._found("vocabulary"))

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes."""
        return parse_names(self._found("classes"), "classes")

    def _found(self, name: str) -> str:
        text = getattr(self, name)
        if text is None:
            raise InputError(
                f"`data` must be a file of sequences. Received: {name}=None"
            )
        return str(text)

    @property
    def num_symbols(self) -> int:
        """Number of known tokens, and two: padding, and unknown ones."""
        return NUM_RESERVED + len(self.known_tokens)

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """`(None,)`: any number of tokens."""
        return (None,)

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """`()`, or `(None,)` for targets per token."""
        return () if self.target_kind in (None, LABEL) else (None,)

    @property
    def has_validation(self) -> bool:
        """Whether rows or a file are for validation."""
        return (
            self.validation_fraction > 0
            or self.validation_data is not None
            or self.part is not None
        )

    def to_evaluate(self, **data: Any) -> Task:
        """Return the task whose test split is all of another file."""
        return dataclasses.replace(
            self,
            **data,
            validation_data=None,
            test_data=None,
            part=None,
            group=None,
            data_sha256=None,
            test_fraction=1.0,
            validation_fraction=0.0,
        )

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
                f"{describe_parts(found)}"
            )
        parts = [_Part(self) for _ in PARTS]
        for part, example in found.examples():
            parts[part].append(example)
        train, validation, test = (part.finish() for part in parts)
        return Splits(train or _EMPTY, validation, test)

    def remarks(self) -> list[str]:
        """Return what to know of the data before training."""
        found = self.survey()
        source = found.source
        names = survey_names(found, self.max_vocabulary)
        lines = [
            f"{self.data}: {describe_parts(found)} sequences; "
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
            (found.num_bad, "bad rows are skipped"),
            (found.num_cut, f"sequences are cut to {self.max_length} tokens"),
            (found.num_repeated, "sequences repeat an earlier input"),
            (
                found.num_leaked,
                "validation and test sequences are in the training part as "
                "well",
            ),
        ):
            if count > 0:
                lines.append(f"{count:,} {text}")
        if names.unknown_fraction:
            lines.append(
                f"{percent(names.unknown_fraction)} of the validation and "
                "test parts' tokens are unknown"
            )
        return lines

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
    import tensorflow as tf

    def read(rows: Any) -> tuple[Any, Any]:
        found = targets.padded(rows, 0).astype(np.int32)
        return (
            inputs.padded(rows, PADDING).astype(np.int32),
            found if output_shape else found[:, 0],
        )

    symbols, classes = tf.numpy_function(
        read, [indices], (tf.int32, tf.int32), stateful=False
    )
    return (
        tf.ensure_shape(symbols, (None, None)),
        tf.ensure_shape(classes, (None, *output_shape)),
    )


def _no_rows(indices: Any) -> tuple[Any, Any]:
    raise InputError("`data` must have training rows. Received: none")


_EMPTY = Split(0, _no_rows)


@functools.lru_cache(maxsize=8)
def _vocabulary(text: str) -> Vocabulary:
    return Vocabulary(names_from_text(text, "vocabulary"))
