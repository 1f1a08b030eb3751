"""Tasks and their examples, made so that whatever fails is refused."""

import os
import traceback
from collections.abc import Mapping
from typing import Any

from keras_lstm.core.errors import InputError, described, shown
from keras_lstm.tasks.task import Split, Splits, Task


def make_task(cls: type[Task], values: Mapping[str, Any]) -> Task:
    """Make a task, and refuse a class that fails.

    Args:
        cls: a class of tasks.
        values: values of its options, by name.

    Returns:
        The task.

    Raises:
        InputError: if a value is not allowed, or the class raises another
            error.
    """
    try:
        task = cls(**values)
        # The shapes are read before any data, to check options.
        _ = (task.num_symbols, task.num_classes)
        _ = (task.input_shape, task.output_shape)
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"`task` {cls.name} must be made from its options alone, and have "
            f"shapes. Received: {_described_at(error)}"
        ) from error
    return task


def make_splits(task: Task, seed: int) -> Splits:
    """Return a task's examples, and refuse a task that fails to make them.

    Args:
        task: the task.
        seed: as for `Task.splits`.

    Returns:
        The splits.

    Raises:
        InputError: if `task.splits` raises an error, other than one of the
            system, or returns anything but `Splits`.
        OSError: if `task.splits` raises it.
    """
    rule = f"`splits` of {task.name} must return Splits of a Split each"
    try:
        splits = task.splits(seed)
    except (InputError, OSError):
        raise
    except Exception as error:
        raise InputError(f"{rule}. Received: {_described_at(error)}") from error
    if not (
        isinstance(splits, Splits)
        and isinstance(splits.train, Split)
        and isinstance(splits.validation, Split | None)
        and isinstance(splits.test, Split | None)
    ):
        raise InputError(f"{rule}. Received: {shown(splits)}")
    return splits


def _described_at(error: Exception) -> str:
    """Return an error, and the line of the task's code that it comes from."""
    frames = traceback.extract_tb(error.__traceback__)
    frame = frames[min(1, len(frames) - 1)]
    place = f"{os.path.basename(frame.filename)}, line {frame.lineno}"
    return f"{described(error)} ({place})"
