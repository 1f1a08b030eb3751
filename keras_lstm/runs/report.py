"""The typed contents of `report.json`."""

import dataclasses
import enum
import functools
import itertools
import json
import typing
from typing import Any, Self

from keras_lstm.core.json_types import check_type

# Fields that only some runs have; other reports omit them.
_OPTIONAL = (
    *("method", "num_predicted", "min_margin_input", "by_hold_length"),
    *("test_first_num_examples", "test_first_num_wrong"),
    *("model_sha256", "proof_boxes", "proof_margin", "taught_by"),
    *("best_epoch", "baselines", "by_length", "repaired_from"),
)
_SHARES = ("sequence_accuracy", "token_accuracy", "validation_accuracy")
_GROUPS = ("by_hold_length", "by_length")
_PREFIXES = ("", "test_", "test_first_")
# 300 years.
_MAX_SECONDS = 1e10


class StopReason(enum.StrEnum):
    """Reason why training stopped."""

    ALL_EPOCHS = "all_epochs"
    CALLBACK = "callback"
    FULL_ACCURACY = "full_accuracy"
    NO_IMPROVEMENT = "no_improvement"
    NOTHING_WRONG = "nothing_wrong"
    PROVED = "proved"


_REASONS = {
    StopReason.ALL_EPOCHS: "all epochs were run",
    StopReason.CALLBACK: "a callback stopped it",
    StopReason.FULL_ACCURACY: "the monitored accuracy was exactly 1",
    StopReason.NO_IMPROVEMENT: "the validation accuracy no longer improved",
    StopReason.NOTHING_WRONG: "nothing was wrong",
    StopReason.PROVED: "it is proved",
}
# Version 0.1 wrote these texts; in one it named the monitor.
_REASONS_IN_0_1 = {text: reason for reason, text in _REASONS.items()}
_RENAMED = {
    "by_run_length": "by_hold_length",
    "test_head_num_examples": "test_first_num_examples",
    "test_head_num_wrong": "test_first_num_wrong",
}
_FULL_ACCURACY_IN_0_1 = " was exactly 1"


@dataclasses.dataclass(frozen=True)
class Seconds:
    """Time taken by each part of a run, in seconds.

    Args:
        import_: importing packages.
        build: making the model and the dataset.
        train: `fit`, over all resumptions.
        check: the final check.
    """

    import_: float
    build: float
    train: float
    check: float

    @property
    def total(self) -> float:
        """Sum of all parts."""
        return self.import_ + self.build + self.train + self.check

    def to_mapping(self) -> dict[str, float]:
        """Return the seconds by part, and the total, rounded."""
        parts = {
            "import": self.import_,
            "build": self.build,
            "train": self.train,
            "check": self.check,
            "total": self.total,
        }
        return {name: round(seconds, 3) for name, seconds in parts.items()}


@dataclasses.dataclass(frozen=True)
class Report:
    """Result of a finished run.

    Args:
        task: the name by which `get_task` finds the task.
        preset: the name of the preset.
        seed: the run's seed.
        checked: "all inputs", "test split", or the kinds of inputs sampled.
        num_examples: number of inputs checked.
        num_wrong: number of checked inputs with any wrong output.
        sequence_accuracy: fraction of the inputs with all outputs right.
        token_accuracy: fraction of the outputs that are right.
        min_margin: the smallest margin; None if it is not finite.
        test_num_examples: number of held-out inputs; None if there are none.
        test_num_wrong: number of held-out inputs with any wrong output.
        training_examples: number of examples trained on, counting repeats.
        distinct_training_examples: number of different ones; None if there
            are too many to count.
        optimizer_steps: number of optimizer steps.
        epochs: number of epochs run.
        validation_accuracy: sequence accuracy on the validation split after
            the last epoch, or the best if its weights are kept; None without
            such a split.
        stopped_because: why training stopped.
        resumed_from_step: the step that the run was resumed from; None if it
            was not.
        proved: whether the model is proved right for every length.
        num_parameters: number of the model's parameters.
        seconds: time taken by each part of the run.
        versions: versions of Python and the packages, by name.
        method: how the inputs were checked.
        num_predicted: number of inputs checked by `predict`.
        min_margin_input: the input with the smallest margin, most significant
            symbol first.
        by_hold_length: a mapping of counts for each hold length.
        test_first_num_examples: number of first test examples that are also
            counted alone, see the option `test_first`.
        test_first_num_wrong: number of those with any wrong output.
        model_sha256: SHA-256 of `model.keras`, in hexadecimal; None in reports
            of version 0.1.
        proof_boxes: number of boxes in the proof.
        proof_margin: the proved margin.
        taught_by: "examples", or "construction" if the weights were set from
            the machine; None without the option `fallback`.
        best_epoch: the epoch whose weights are kept, from 1; None for the
            last.
        baselines: accuracies of simple methods on the test split, by name.
        by_length: counts for ranges of lengths.
        repaired_from: folder of the run whose model was made provable.
    """

    task: str
    preset: str
    seed: int
    checked: str
    num_examples: int
    num_wrong: int
    sequence_accuracy: float
    token_accuracy: float
    min_margin: float | None
    test_num_examples: int | None
    test_num_wrong: int | None
    training_examples: int
    distinct_training_examples: int | None
    optimizer_steps: int
    epochs: int
    validation_accuracy: float | None
    stopped_because: StopReason
    resumed_from_step: int | None
    proved: bool
    num_parameters: int
    seconds: Seconds
    versions: dict[str, str]
    method: str | None = None
    num_predicted: int | None = None
    min_margin_input: str | None = None
    by_hold_length: list[dict[str, int]] | None = None
    test_first_num_examples: int | None = None
    test_first_num_wrong: int | None = None
    model_sha256: str | None = None
    proof_boxes: int | None = None
    proof_margin: float | None = None
    taught_by: str | None = None
    best_epoch: int | None = None
    baselines: dict[str, float] | None = None
    by_length: list[dict[str, int]] | None = None
    repaired_from: str | None = None

    def to_mapping(self) -> dict[str, Any]:
        """Return the fields as a mapping for JSON."""
        mapping = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
        }
        mapping |= {
            "seconds": self.seconds.to_mapping(),
            "stopped_because": self.stopped_because.value,
        }
        return {
            name: value
            for name, value in mapping.items()
            if value is not None or name not in _OPTIONAL
        }

    def to_json(self) -> str:
        """Return the text of `report.json`."""
        return json.dumps(self.to_mapping(), indent=2, allow_nan=False) + "\n"

    @classmethod
    def from_mapping(cls, mapping: dict[str, Any]) -> Self:
        """Restore a report from the mapping of this or an earlier version.

        Args:
            mapping: the parsed `report.json`.

        Returns:
            The report, without unknown fields.

        Raises:
            KeyError: if a field is missing.
            TypeError: if a field, or `mapping`, has the wrong type.
            ValueError: if a field has an invalid value.
        """
        check_type("report", mapping, dict[str, Any])
        mapping = {_RENAMED.get(name, name): mapping[name] for name in mapping}
        values = {
            field.name: mapping[field.name]
            for field in dataclasses.fields(cls)
            if field.name in mapping or field.default is dataclasses.MISSING
        }
        seconds, hints = values["seconds"], _json_types()
        for name, value in values.items():
            check_type(name, value, hints[name])
        _check_ranges(values)
        values["seconds"] = Seconds(
            *(seconds[name] for name in ("import", "build", "train", "check"))
        )
        values["stopped_because"] = _stop_reason(values["stopped_because"])
        return cls(**values)


def _check_ranges(values: dict[str, Any]) -> None:
    """Refuse shares, counts and seconds that no run has.

    Raises:
        ValueError: if one is out of range.
    """
    shares = [(name, values.get(name)) for name in _SHARES]
    shares += (values.get("baselines") or {}).items()
    for name, share in shares:
        if share is not None and not 0.0 <= share <= 1.0:
            raise ValueError(f"{name} is out of range")
    for part, seconds in values["seconds"].items():
        if not 0.0 <= seconds < _MAX_SECONDS:
            raise ValueError(f"seconds, {part} is out of range")
    counts = [values, *(x for n in _GROUPS for x in values.get(n) or ())]
    for found, prefix in itertools.product(counts, _PREFIXES):
        examples, wrong = (
            found.get(f"{prefix}num_{each}") for each in ("examples", "wrong")
        )
        if None not in (examples, wrong) and wrong > examples:
            raise ValueError(f"{prefix}num_wrong is out of range")


@functools.cache
def _json_types() -> dict[str, Any]:
    """Return the type of each field in `report.json`."""
    hints = typing.get_type_hints(Report)
    return hints | {"seconds": dict[str, float], "stopped_because": str}


def stop_text(reason: StopReason, monitor: str | None) -> str:
    """Return the reason why training stopped, in words.

    Args:
        reason: the reason.
        monitor: the run's option `monitor`.
    """
    if reason is StopReason.FULL_ACCURACY and monitor is not None:
        return f"{monitor}{_FULL_ACCURACY_IN_0_1}"
    return _REASONS[reason]


def _stop_reason(text: str) -> StopReason:
    if text.endswith(_FULL_ACCURACY_IN_0_1):
        return StopReason.FULL_ACCURACY
    return _REASONS_IN_0_1.get(text) or StopReason(text)
