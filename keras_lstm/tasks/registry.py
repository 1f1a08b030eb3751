"""Registry of tasks by name."""

import importlib
import pathlib
import re
import sys
from collections.abc import Callable
from types import ModuleType

from keras_lstm.core.errors import InputError, described
from keras_lstm.core.options import check_known
from keras_lstm.tasks.feature_sequences import FeatureSequences
from keras_lstm.tasks.image_rows import ImageRows
from keras_lstm.tasks.increment import Add, Decrement, Increment, Parity
from keras_lstm.tasks.installed import import_installed
from keras_lstm.tasks.machine import FiniteStateMachine
from keras_lstm.tasks.task import Task
from keras_lstm.tasks.token_sequences import TokenSequences

TASKS: dict[str, type[Task]] = {
    task.name: task
    for task in (
        Increment,
        Decrement,
        Parity,
        Add,
        FiniteStateMachine,
        ImageRows,
        TokenSequences,
        FeatureSequences,
    )
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
    sys.path.insert(0, "")
    try:
        return _task_of(name, importlib.import_module)
    finally:
        sys.path.remove("")


def find_task(name: str, folder: pathlib.Path | None) -> type[Task]:
    """Look up a task's class by a name that was read from a file.

    The code of a custom task runs only if it is installed. If `get_task` has
    imported its module, or the program itself, the class is found there.

    Args:
        name: a name as for `get_task`.
        folder: the run folder that the name was read from; None for another
            file.

    Returns:
        A subclass of `Task`.

    Raises:
        InputError: if there is no such task, or its module is neither
            installed nor imported.
    """
    if ":" not in name:
        return get_task(name)

    def find(module_name: str) -> ModuleType:
        module = import_installed(module_name, folder)
        if module is None:
            raise InputError(
                "`task` must be installed, or named on the command line by "
                f"--task {name}: reading a file runs no code of its own "
                f"folder or the current one. Received: task={name}"
            )
        return module

    return _task_of(name, find)


def _task_of(name: str, find: Callable[[str], ModuleType]) -> type[Task]:
    """Return the class named "module:Class", given a way to find a module."""
    module_name, _, class_name = name.partition(":")
    try:
        task = getattr(find(module_name), class_name)
    except (InputError, KeyboardInterrupt):
        raise
    # A custom module may raise anything, or exit, while it is imported.
    except BaseException as error:
        raise InputError(
            f"`task` must be module:Class, importable from here "
            f"({described(error)}). Received: task={name}"
        ) from None
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
            f"task={name}, with name={own_name!r}"
        )
    return task


def task_name(task: type[Task]) -> str:
    """Return the name by which `get_task` finds a class."""
    if TASKS.get(getattr(task, "name", "")) is task:
        return task.name
    return f"{task.__module__}:{task.__qualname__}"
