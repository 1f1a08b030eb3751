"""What is learned: the registry of tasks."""

import importlib
import sys

from keras_lstm.options import InputError, check_known
from keras_lstm.tasks.image_rows import ImageRows
from keras_lstm.tasks.increment import Decrement, Increment, Parity
from keras_lstm.tasks.task import Task

TASKS: dict[str, type[Task]] = {
    task.name: task for task in (Increment, Decrement, Parity, ImageRows)
}


def get_task(name: str) -> type[Task]:
    """Looks up a task's class.

    Args:
        name: a registered name, such as "increment", or "module:Class" for
            a task of your own (the module is looked for in the current
            folder as well).

    Raises:
        InputError: there is no such task.
    """
    if ":" not in name:
        check_known(name, TASKS, "task")
        return TASKS[name]
    module_name, _, class_name = name.partition(":")
    sys.path.insert(0, "")
    try:
        task = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(
            f"`task` must be module:Class, importable from here ({error}). "
            f"Received: task={name}"
        ) from None
    finally:
        sys.path.remove("")
    if not (isinstance(task, type) and issubclass(task, Task)):
        raise InputError(
            f"`task` must name a subclass of keras_lstm.Task. "
            f"Received: task={name}"
        )
    return task


def task_name(task: type[Task]) -> str:
    """The name by which `get_task` finds this class again."""
    if TASKS.get(getattr(task, "name", "")) is task:
        return task.name
    return f"{task.__module__}:{task.__qualname__}"
