"""Final check of a trained model, whatever its task."""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras

from keras_lstm.core.errors import InputError
from keras_lstm.tasks.task import Split, Splits, Task
from keras_lstm.tasks.transducer import TransducerTask, get_machine
from keras_lstm.verification.baselines import baselines
from keras_lstm.verification.evaluation import Evaluation, evaluate
from keras_lstm.verification.mistakes import (
    count_by_length,
    mistakes_csv,
    mistakes_text,
)
from keras_lstm.verification.reporting import (
    baselines_text,
    check_report,
    check_text,
    evaluation_report,
    evaluation_text,
    failures_csv,
)
from keras_lstm.verification.verify import Verification, verify


@dataclasses.dataclass(frozen=True)
class FinalCheck:
    """Result of the final check of a trained model.

    Args:
        result: the result itself.
        fields: the result's fields of `report.json`.
        text: the result as text for people.
        failures: the wrong predictions as CSV.
    """

    result: Verification | Evaluation
    fields: dict[str, Any]
    text: str
    failures: str


def require_checkable(task: Task, splits: Splits) -> None:
    """Refuse a task whose models cannot be checked.

    Args:
        task: the task.
        splits: the task's examples.

    Raises:
        InputError: if no machine defines `task` and `splits` has no test
            split.
    """
    if get_machine(task) is None:
        require_test(task, splits)


def check_model(
    model: keras.Model,
    task: Task,
    splits: Splits,
    seed: int,
    *,
    failures_name: str,
    is_proved: bool = False,
    progress: Callable[[int, int], None] | None = None,
    forecast: Callable[[float], None] | None = None,
) -> FinalCheck:
    """Check a model on a machine's whole domain, or on the test split.

    Args:
        model: the trained model.
        task: the model's task.
        splits: the task's examples.
        seed: the run's seed, which determines the inputs held out.
        failures_name: name of the file that will list wrong predictions.
        is_proved: see `verify`.
        progress: see `verify`; not called for a test split.
        forecast: see `verify`; not called for a test split.

    Returns:
        The result, with its text and its fields of the report.

    Raises:
        InputError: if no machine defines `task` and `splits` has no test
            split.
    """
    machine = get_machine(task)
    if machine is None:
        evaluation = evaluate(model, require_test(task, splits))
        return _evaluated(task, splits, evaluation, failures_name)
    held_out = machine.held_out(seed)
    result = verify(
        model,
        machine,
        held_out=held_out,
        is_proved=is_proved,
        progress=progress,
        forecast=forecast,
    )
    return _verified(machine, result, failures_name)


def require_test(task: Task, splits: Splits) -> Split:
    """Return the test split.

    Args:
        task: the task, for the message.
        splits: the task's examples.

    Returns:
        The test split.

    Raises:
        InputError: if `splits` has no test split.
    """
    if splits.test is None:
        raise InputError(
            "`task` must have a test split (own data: a larger "
            "`test_fraction`, or `test_data`), or be a machine. Received: "
            f"task={task.name}"
        )
    return splits.test


def _verified(
    machine: TransducerTask, result: Verification, failures_name: str
) -> FinalCheck:
    fields = check_report(machine, result) | {
        "test_num_examples": result.test_num_examples,
        "test_num_wrong": result.test_num_wrong,
    }
    return FinalCheck(
        result,
        fields,
        check_text(machine, result, failures_name),
        failures_csv(machine, result.failures),
    )


def _evaluated(
    task: Task, splits: Splits, result: Evaluation, failures_name: str
) -> FinalCheck:
    fields = evaluation_report(result) | {
        "test_num_examples": result.num_examples,
        "test_num_wrong": result.num_wrong,
    }
    first = task.num_first_tested
    if first is not None:
        fields |= {
            "test_first_num_examples": min(first, result.num_examples),
            "test_first_num_wrong": result.num_wrong_of_first(first),
        }
    text = evaluation_text(task, result, first)
    test = require_test(task, splits)
    if task.has_baselines:
        fields["baselines"] = baselines(task, splits)
        text = f"{text}\n{baselines_text(task, fields['baselines'])}"
    if test.lengths is not None:
        fields["by_length"] = count_by_length(result, test.lengths)
    failures = mistakes_csv(task, test, result)
    if test.lines is not None:
        shown = mistakes_text(task, test, result)
        text = "\n".join([*shown, *([""] * bool(shown)), text])
        if result.num_wrong:
            text += f"\n{failures_name} lists the wrong ones."
    return FinalCheck(result, fields, text, failures)
