"""Configurations and values from the arguments of a command."""

import argparse
import pathlib
from collections.abc import Callable

from keras_lstm.config import Config, option_owners
from keras_lstm.config_file import ConfigFile, read_config
from keras_lstm.core.console import print_status
from keras_lstm.core.errors import InputError, escaped, shown
from keras_lstm.core.files import decode_small
from keras_lstm.core.options import MAX_INT
from keras_lstm.core.yaml_text import MAX_TEXT
from keras_lstm.presets import PRESETS, get_preset
from keras_lstm.runs.folder import RunFolder
from keras_lstm.runs.saved_run import SavedRun, read_run
from keras_lstm.tasks.machine import FiniteStateMachine
from keras_lstm.tasks.machine_files import is_machine, read_machine
from keras_lstm.tasks.make import make_task
from keras_lstm.tasks.registry import get_task, task_name
from keras_lstm.tasks.task import Task


def resolve_config(
    arguments: argparse.Namespace,
    read_resumed: Callable[[pathlib.Path], Config | None] | None = None,
) -> Config:
    """Return the configuration of a run.

    Values come from the preset, or from what is resumed; then from the
    configuration file; then from the flags. Later values win.

    Args:
        arguments: the parsed arguments of `train` or `tune`.
        read_resumed: function that reads the configuration in the folder to
            resume, or returns None if there is none yet; None for a run.

    Returns:
        The configuration.

    Raises:
        InputError: if a value, a name or the file is invalid, or the task is
            not that of the preset, the file or the run to resume.
    """
    task, machine = _task_of(arguments)
    file = ConfigFile(None, None, {})
    if arguments.config is not None:
        try:
            # Not `open_regular`: a shell may pass a pipe, as in <(command).
            with arguments.config.open("rb") as opened:
                text = decode_small(opened, arguments.config, MAX_TEXT)
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(
                f"`config` must be a readable file. Received: {error}"
            ) from None
        file = read_config(text, task)
    if file.task is not None and file.task is not task:
        raise InputError(
            f"`config` is for {file.task.name}. Received: task={arguments.task}"
        )
    name = arguments.preset or file.preset
    config = _resumed_config(arguments, task, name, read_resumed)
    is_new = config is None
    if config is None:
        config = get_preset(name or _default_preset(task), task)
    owners = option_owners(task)
    flags = {}
    for option, text in arguments.options.items():
        cls = Config if option == "seed" else owners.get(option, ("", None))[1]
        if cls is None:
            raise InputError(f"`{option}` is no option of {task.name}")
        flags[option] = cls.parse(option, text)
    values = file.values | machine | flags
    if is_new:
        of_task = config.task.to_mapping() | {
            name: value
            for name, value in values.items()
            if name in owners and owners[name][0] == "task"
        }
        values = make_task(task, of_task).recommended() | values
    config = config.replace(**values)
    if not arguments.smoke:
        return config
    smoke = {"epochs": 1, "steps_per_epoch": 2}
    for option in ("counterexamples_from_epoch", "prove_from_epoch"):
        if getattr(config.training, option) is not None:
            smoke[option] = 0
    return config.replace(**smoke)


def _task_of(
    arguments: argparse.Namespace,
) -> tuple[type[Task], dict[str, str]]:
    """Return the task's class, and the options that define a machine."""
    undefined = arguments.undefined
    if undefined not in (None, "refuse", "sink"):
        raise InputError(
            "`undefined` must be refuse or sink. Received: "
            f"undefined={shown(undefined)}"
        )
    if not is_machine(arguments.task):
        if undefined is not None:
            raise InputError(
                "`undefined` is for machines that are read. Received: "
                f"undefined={undefined}, task={arguments.task}"
            )
        return get_task(arguments.task), {}
    table = read_machine(arguments.task, undefined or "refuse")
    for remark in table.remarks:
        print_status(escaped(f"{table.name}: {remark}"))
    return FiniteStateMachine, {"machine": table.to_text()}


def _resumed_config(
    arguments: argparse.Namespace,
    task: type[Task],
    preset: str | None,
    read_resumed: Callable[[pathlib.Path], Config | None] | None,
) -> Config | None:
    """Return the configuration of what is resumed; None if there is none."""
    if not arguments.resume:
        return None
    if arguments.run_dir is None:
        raise InputError("`resume` needs `run_dir`. Received: run_dir=None")
    if read_resumed is None:
        config = RunFolder(arguments.run_dir).read_config()
    else:
        config = read_resumed(arguments.run_dir)
    if config is None:
        return None
    if type(config.task) is not task or preset not in (None, config.preset):
        raise InputError(
            "`resume` must keep the run's own task and preset, "
            f"{task_name(type(config.task))} and {config.preset}. Received: "
            f"task={arguments.task}, preset={preset}"
        )
    return config


def read_run_of(
    run_dir: pathlib.Path, task: str | None, argument: str = "run_dir"
) -> SavedRun:
    """Read a finished run, and allow a task's code to run for it.

    Args:
        run_dir: the run folder.
        task: the task as "module:Class"; None to import no code that is not
            installed.
        argument: the name of the folder in error messages.

    Returns:
        The run.

    Raises:
        InputError: if there is no such run, or it is of another task.
    """
    # A module that is imported here is not refused when the run names it.
    allowed = None if task is None else get_task(task)
    saved = read_run(run_dir, argument)
    found = type(saved.config.task)
    if allowed not in (None, found):
        raise InputError(
            f"`task` must be the task of the run, {task_name(found)}. "
            f"Received: task={task}"
        )
    return saved


def _default_preset(task: type[Task]) -> str:
    """Return the preset with the task's name, or the task's default."""
    name = getattr(task, "name", "")
    return name if name in PRESETS else task.default_preset


def parse_positive(text: str | None, name: str) -> int | None:
    """Parse an integer of at least 1.

    Args:
        text: the text; None if the flag is not given.
        name: name of the argument, for the error message.

    Returns:
        The integer; None for None.

    Raises:
        InputError: if `text` is not an integer of at least 1.
    """
    if text is None:
        return None
    try:
        value = int(text)
    except ValueError:
        value = 0
    if not 1 <= value <= MAX_INT:
        raise InputError(
            f"`{name}` must be an integer of at least 1"
            f"{' and below 2^63' if value > MAX_INT else ''}. Received: "
            f"{name}={shown(text)}"
        )
    return value


def parse_steps(text: str | None) -> tuple[int, int] | None:
    """Parse the first and the last step of a range, such as "10,20".

    Args:
        text: the text; None if the flag is not given.

    Returns:
        The two steps, counted from 1; None for None.

    Raises:
        InputError: if `text` is not two step numbers from 1, in order.
    """
    if text is None:
        return None
    first, _, last = text.partition(",")
    try:
        steps = (int(first), int(last))
    except ValueError:
        steps = (0, 0)
    if not 1 <= steps[0] <= steps[1] <= MAX_INT:
        raise InputError(
            "`profile_steps` must be two step numbers below 2^63, the first at "
            "least 1 and not after the last. Received: "
            f"profile_steps={shown(text)}"
        )
    return steps


def parse_path(text: str) -> pathlib.Path:
    """Convert an argument to a path, as a `type` of `argparse`.

    Args:
        text: the argument.

    Returns:
        The path.

    Raises:
        argparse.ArgumentTypeError: if `text` is empty or holds a NUL
            character. `argparse` adds the name of the argument to the message.
    """
    if not text:
        raise argparse.ArgumentTypeError("must be a path. Received: nothing")
    if "\0" in text:
        raise argparse.ArgumentTypeError(
            f"must be a path, without NUL characters. Received: {shown(text)}"
        )
    return pathlib.Path(text)


def parse_page_path(text: str) -> pathlib.Path:
    """Convert an argument to the path of a page to write, likewise.

    Args:
        text: the argument.

    Returns:
        The path.

    Raises:
        argparse.ArgumentTypeError: if it does not end in .html, or is that of
            a folder, or of no file in a folder that exists.
    """
    path = parse_path(text)
    if path.suffix not in (".html", ".htm") or path.is_dir():
        raise argparse.ArgumentTypeError(
            f"must be a file that ends in .html. Received: {shown(text)}"
        )
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(
            f"must be in a folder that exists. Received: {shown(text)}"
        )
    return path


def parse_new_path(text: str) -> pathlib.Path:
    """Convert an argument to a path to write to, as a `type` of `argparse`.

    Args:
        text: the argument.

    Returns:
        The path.

    Raises:
        argparse.ArgumentTypeError: if `text` is empty or no UTF-8, which
            TensorFlow requires of the files that it writes.
    """
    path = parse_path(text)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError(
            f"must be a path in UTF-8. Received: {shown(text)}"
        ) from None
    return path
