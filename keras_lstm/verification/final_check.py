"""The check of a trained model with which a run ends, whatever its task."""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras

from keras_lstm.core.errors import InputError
from keras_lstm.tasks.task import Split, Splits, Task
from keras_lstm.tasks.transducer import TransducerTask, get_machine
from keras_lstm.verification.evaluation import Evaluation, evaluate
from keras_lstm.verification.reporting import (
    check_report,
    check_text,
    evaluation_report,
    evaluation_text,
    failures_csv,
)
from keras_lstm.verification.verify import Verification, verify


@dataclasses.dataclass(frozen=True)
class FinalCheck:
    """What checking a trained model came to.

    Args:
        result: the check itself.
        fields: what `report.json` holds of it.
        text: what people read of it.
        failures: the wrong answers as CSV; None for a test split.
    """

    result: Verification | Evaluation
    fields: dict[str, Any]
    text: str
    failures: str | None


def require_checkable(task: Task, splits: Splits) -> None:
    """Refuse a task whose models cannot be checked.

    Args:
        task: what is learned.
        splits: its examples.

    Raises:
        InputError: if no machine defines it and it has no test split.
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
    progress: Callable[[int, int], None] | None = None,
    forecast: Callable[[float], None] | None = None,
) -> FinalCheck:
    """Check every input of a machine's domain; else measure the test split.

    Args:
        model: of the task.
        task: what is right.
        splits: its examples.
        seed: of the run; says which inputs were held out.
        failures_name: of the file that will list the wrong answers.
        progress: see `verify`.
        forecast: see `verify`.

    Returns:
        The check, and what is written of it.

    Raises:
        InputError: see `require_checkable`.
    """
    machine = get_machine(task)
    if machine is None:
        return _measured(task, evaluate(model, require_test(task, splits)))
    held_out = machine.held_out(seed)
    result = verify(
        model, machine, held_out=held_out, progress=progress, forecast=forecast
    )
    return _verified(machine, result, failures_name)


def require_test(task: Task, splits: Splits) -> Split:
    """Return the test split.

    Raises:
        InputError: if there is none.
    """
    if splits.test is None:
        raise InputError(
            "`task` must have a test split, or be a sequence task. Received: "
            f"task={task.name}"
        )
    return splits.test


def _verified(
    machine: TransducerTask, result: Verification, failures_name: str
) -> FinalCheck:
    fields = check_report(result) | {
        "test_num_examples": result.test_num_examples,
        "test_num_wrong": result.test_num_wrong,
    }
    return FinalCheck(
        result,
        fields,
        check_text(machine, result, failures_name),
        failures_csv(machine, result.failures),
    )


def _measured(task: Task, result: Evaluation) -> FinalCheck:
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
    return FinalCheck(
        result, fields, evaluation_text(task, result, first), None
    )
