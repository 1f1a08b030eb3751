"""What `report.json` holds, typed."""

import dataclasses
import enum
import json
from typing import Any, Self

# Fields that only some runs have; the others leave them out.
_OPTIONAL = (
    *("method", "min_margin_input", "by_hold_length"),
    *("test_first_num_examples", "test_first_num_wrong"),
    *("proof_boxes", "proof_margin"),
)


class StopReason(enum.StrEnum):
    """Why a training stopped."""

    ALL_EPOCHS = "all_epochs"
    CALLBACK = "callback"
    FULL_ACCURACY = "full_accuracy"
    NOTHING_WRONG = "nothing_wrong"
    PROVED = "proved"


_REASONS = {
    StopReason.ALL_EPOCHS: "all epochs were run",
    StopReason.CALLBACK: "a callback stopped it",
    StopReason.FULL_ACCURACY: "the monitored accuracy was exactly 1",
    StopReason.NOTHING_WRONG: "nothing was wrong",
    StopReason.PROVED: "it is proved",
}
# What version 0.1 wrote; it named the monitor as well.
_REASONS_IN_0_1 = {text: reason for reason, text in _REASONS.items()}
_RENAMED = {
    "by_run_length": "by_hold_length",
    "test_head_num_examples": "test_first_num_examples",
    "test_head_num_wrong": "test_first_num_wrong",
}
_FULL_ACCURACY_IN_0_1 = " was exactly 1"


@dataclasses.dataclass(frozen=True)
class Seconds:
    """How long the parts of a run took, in seconds."""

    import_: float
    build: float
    train: float
    check: float

    @property
    def total(self) -> float:
        """All of them."""
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
    """What a finished run came to.

    Args:
        task: the name by which `get_task` finds the task.
        preset: the name of the preset.
        seed: of the run.
        checked: "all inputs", "test split", or the kinds sampled.
        num_examples: inputs checked.
        num_wrong: those with any output wrong.
        sequence_accuracy: share of the inputs that are right.
        token_accuracy: share of the outputs that are right.
        min_margin: the smallest margin; None if it is not finite.
        test_num_examples: inputs that were held out; None if none were.
        test_num_wrong: those of them that are wrong.
        training_examples: examples trained on, repeats counted.
        distinct_training_examples: different ones; None if not countable.
        optimizer_steps: steps of the optimizer.
        epochs: epochs run.
        validation_accuracy: sequence accuracy after the last epoch.
        stopped_because: why the training stopped.
        resumed_from_step: the step it was resumed from, if it was.
        proved: whether it is proved for every length.
        num_parameters: of the model.
        seconds: how long the parts took.
        versions: of Python and the packages.
        method: how inputs were checked.
        min_margin_input: where the smallest margin occurs, most significant
            first.
        by_hold_length: counts by run length.
        test_first_num_examples: of the first test examples, see `test_first`.
        test_first_num_wrong: those of them that are wrong.
        proof_boxes: boxes of the proof.
        proof_margin: the margin that is proved.
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
    min_margin_input: str | None = None
    by_hold_length: list[dict[str, int]] | None = None
    test_first_num_examples: int | None = None
    test_first_num_wrong: int | None = None
    proof_boxes: int | None = None
    proof_margin: float | None = None

    def to_mapping(self) -> dict[str, Any]:
        """Return the fields as JSON holds them."""
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
        """Read what `to_mapping` gave, in this version or an earlier one.

        Args:
            mapping: the parsed `report.json`.

        Returns:
            The report. Fields that are not known are left out.

        Raises:
            KeyError: if a field is missing.
            TypeError: if a field has another type.
            ValueError: if a field has no such value.
        """
        mapping = {_RENAMED.get(name, name): mapping[name] for name in mapping}
        values = {
            field.name: mapping[field.name]
            for field in dataclasses.fields(cls)
            if field.name in mapping or field.default is dataclasses.MISSING
        }
        seconds = {k: float(v) for k, v in values["seconds"].items()}
        values["seconds"] = Seconds(
            *(seconds[name] for name in ("import", "build", "train", "check"))
        )
        values["stopped_because"] = _stop_reason(values["stopped_because"])
        return cls(**values)


def stop_text(reason: StopReason, monitor: str | None) -> str:
    """Return why a training stopped, in words.

    Args:
        reason: why.
        monitor: the option of that name.
    """
    if reason is StopReason.FULL_ACCURACY and monitor is not None:
        return f"{monitor}{_FULL_ACCURACY_IN_0_1}"
    return _REASONS[reason]


def _stop_reason(text: str) -> StopReason:
    if text.endswith(_FULL_ACCURACY_IN_0_1):
        return StopReason.FULL_ACCURACY
    return _REASONS_IN_0_1.get(text) or StopReason(text)
