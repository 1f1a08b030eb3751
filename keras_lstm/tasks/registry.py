"""Registry of tasks by name."""

import importlib
import re
import sys

from keras_lstm.core.errors import InputError
from keras_lstm.core.options import check_known
from keras_lstm.tasks.image_rows import ImageRows
from keras_lstm.tasks.increment import Add, Decrement, Increment, Parity
from keras_lstm.tasks.task import Task

TASKS: dict[str, type[Task]] = {
    task.name: task for task in (Increment, Decrement, Parity, Add, ImageRows)
}


def get_task(name: str) -> type[Task]:
    """Look up a task's class.

    Args:
        name: a registered name, such as "increment", or "module:Class" for a
            custom task, whose module is also searched for in the current
            folder.

    Returns:
        A subclass of `Task`.

    Raises:
        InputError: if the name is not registered, the module or class cannot
            be imported, or the class is not a task with a valid `name` and
            `default_preset`.
    """
    if ":" not in name:
        check_known(name, TASKS, "task")
        return TASKS[name]
    module_name, _, class_name = name.partition(":")
    sys.path.insert(0, "")
    try:
        task = getattr(importlib.import_module(module_name), class_name)
    # A custom module may raise anything, or exit, while it is imported.
    except (Exception, SystemExit) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(
            f"`task` must be module:Class, importable from here ({reason}). "
            f"Received: task={name}"
        ) from None
    finally:
        sys.path.remove("")
    if not (isinstance(task, type) and issubclass(task, Task)):
        raise InputError(
            f"`task` must name a subclass of keras_lstm.tasks.Task. "
            f"Received: task={name}"
        )
    own_name = getattr(task, "name", None)
    if not (
        isinstance(own_name, str)
        and re.fullmatch(r"[a-z0-9][a-z0-9_-]*", own_name)
        and isinstance(getattr(task, "default_preset", None), str)
    ):
        raise InputError(
            "`task` must be a class with a `name` of lower-case letters, "
            "digits, - and _, and a `default_preset`. Received: "
            f"task={name}, with "
            f"name={own_name!r}"
        )
    return task


def task_name(task: type[Task]) -> str:
    """Return the name by which `get_task` finds a class."""
    if TASKS.get(getattr(task, "name", "")) is task:
        return task.name
    return f"{task.__module__}:{task.__qualname__}"
