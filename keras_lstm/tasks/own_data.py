"""What tasks on data of one's own have in common."""

import dataclasses
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from keras_lstm.core.console import percent
from keras_lstm.core.errors import InputError
from keras_lstm.core.options import option
from keras_lstm.tasks.labels import parse_names
from keras_lstm.tasks.partition import PARTS, TEST, Defects
from keras_lstm.tasks.task import Split, Task

_BAR = 40
_NUM_RANGES = 10
_NUM_CLASSES = 20


@dataclasses.dataclass(frozen=True)
class OwnData(Task):
    """Base class of tasks that classify sequences from files.

    What is not given is found in the data when the task is made, and is then
    an option like any other, so that a run can be used without the data.
    """

    data_options = ("data",)
    example_label = "sequence"
    has_baselines: ClassVar[bool] = True
    # Options that say which part sequences are in.
    dividing_options: ClassVar[tuple[str, ...]] = (
        *("validation_data", "test_data", "part"),
    )

    data: str | None = option(None, "file or folder of sequences")
    validation_data: str | None = option(
        None, "file or folder to validate on (none: sequences of the data)"
    )
    test_data: str | None = option(
        None, "file or folder to test on (none: sequences of the data)"
    )
    part: str | None = option(
        None,
        "column that names the part of each sequence: train, validation or "
        "test (none: divide at random)",
    )
    validation_fraction: float = option(
        0.1, "fraction of the sequences to validate on", minimum=0.0, below=1.0
    )
    test_fraction: float = option(
        0.1,
        "fraction of the sequences to test on, unless the data says which",
        minimum=0.0,
        maximum=1.0,
    )
    split_seed: int = option(
        0, "seed of the division into parts", minimum=0, maximum=2**31 - 1
    )
    bad_rows: str = option(
        "refuse",
        "refuse a file with a row that cannot be read, or skip such rows",
        choices=("refuse", "skip"),
    )
    classes: str | None = option(
        None, "classes, a JSON list (none: those of the training part)"
    )
    data_sha256: str | None = option(
        None, "SHA-256 of the data (none: whatever it has)"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.validation_fraction + self.test_fraction > 1.0:
            raise InputError(
                "`validation_fraction` and `test_fraction` must be at most 1 "
                f"together. Received: {self.validation_fraction} and "
                f"{self.test_fraction}"
            )
        if self.classes is not None:
            parse_names(self.classes, "classes")

    def found(self, name: str) -> Any:
        """Return an option that the data determines if it is not given.

        Args:
            name: the option.

        Raises:
            InputError: if there is no data to find it in.
        """
        value = getattr(self, name)
        if value is None:
            raise InputError(
                "`data` must be a file or a folder of sequences. Received: "
                f"data=None, {name}=None"
            )
        return value

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes."""
        return parse_names(self.found("classes"), "classes")

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @property
    def has_validation(self) -> bool:
        """Whether sequences are for validation."""
        return (
            self.validation_fraction > 0
            or self.part is not None
            or self.validation_data is not None
        )

    def unused_options(self) -> list[str]:
        """Return a line for each option that others leave without effect."""
        unused = {
            "validation_data": ("validation_fraction",),
            "test_data": ("test_fraction",),
            "part": ("validation_fraction", "test_fraction", "split_seed"),
        }
        defaults = {x.name: x.default for x in dataclasses.fields(OwnData)}
        return [
            f"`{name}` has no effect beside `{given}`"
            for given, names in unused.items()
            if getattr(self, given) is not None
            for name in names
            if getattr(self, name) != defaults[name]
        ]

    def training_remarks(self, trained: Task) -> list[str]:
        """Return a line that says so if a model was trained on this data.

        Args:
            trained: the task that the model was trained on.
        """
        if self.data_sha256 != getattr(trained, "data_sha256", None):
            return []
        return [
            f"{self.data} is what the model was trained on: its training part "
            "is measured as well; without `data`, the test part alone is"
        ]

    def to_evaluate(self, **data: Any) -> Task:
        """Return the task whose test split is all of other data."""
        values: dict[str, Any] = dict.fromkeys(self.dividing_options)
        values |= {"data_sha256": None}
        values |= {"test_fraction": 1.0, "validation_fraction": 0.0}
        return dataclasses.replace(self, **data, **values)


def _no_sequences(indices: Any) -> tuple[Any, Any]:
    raise InputError("`data` must have training sequences. Received: none")


# The training part of data that is only tested on.
NO_SEQUENCES = Split(0, _no_sequences)


def describe_parts(parts: npt.NDArray[np.uint8]) -> str:
    """Return how many sequences each part has, as text.

    Args:
        parts: the part of each sequence, an index in `PARTS`.
    """
    counts = np.bincount(parts, minlength=len(PARTS))
    return ", ".join(
        f"{count:,} {'training' if name == 'train' else name}"
        for name, count in zip(PARTS, counts.tolist(), strict=True)
    )


def describe_missing_test(parts: npt.NDArray[np.uint8]) -> list[str]:
    """Return a line that says so if nothing is left to test on.

    Args:
        parts: the part of each sequence, an index in `PARTS`.
    """
    if (parts == TEST).any():
        return []
    return ["no test sequences: `test_fraction` must leave some"]


def describe_defects(defects: Defects) -> list[str]:
    """Return what may be wrong with data, a line each.

    Args:
        defects: the counts.
    """
    return [
        f"{count:,} {text}"
        for count, text in (
            (defects.num_bad, "bad rows are skipped"),
            (defects.num_repeated, "sequences repeat an earlier one"),
            (
                defects.num_contradicted,
                "sequences are there with other targets as well",
            ),
            (
                defects.num_leaked,
                "validation and test sequences are in the training part as "
                "well",
            ),
        )
        if count
    ]


def class_lines(counts: list[tuple[str, int]]) -> list[str]:
    """Return how often each class occurs, a line each for the first ones.

    Args:
        counts: the classes and their counts, those to show first.
    """
    total = sum(count for _, count in counts)
    lines = [f"{len(counts):,} classes"]
    lines += [
        f"{count:>11,} {percent(round(count / total, 4)):>8}  {name}"
        for name, count in counts[:_NUM_CLASSES]
    ]
    if len(counts) > _NUM_CLASSES:
        lines.append(f"... and {len(counts) - _NUM_CLASSES:,} more")
    return lines


def histogram(lengths: npt.NDArray[np.int64]) -> list[str]:
    """Return a line with a bar for each of some ranges of lengths.

    Args:
        lengths: the lengths, at least 1.
    """
    longest = int(lengths.max())
    step = -(-longest // _NUM_RANGES)
    groups = np.bincount((lengths - 1) // step)
    width = max(1, int(groups.max()))
    lines = []
    for number, count in enumerate(groups.tolist()):
        low, high = number * step + 1, (number + 1) * step
        name = f"{low}" if low == high else f"{low}-{high}"
        bar = "█" * round(_BAR * count / width)
        lines.append(f"{name:>11} {count:>10,} {bar}".rstrip())
    return lines
