"""Options as a run's `config.yaml` states them, read fast and safely.

Unlike `RunFolder.read_config`, this makes no `Config`: a custom task's code is
not looked for, and no option that the preset has as well is checked again.
"""

import dataclasses
import functools
from typing import Any

from keras_lstm.config import Config, ModelConfig, TrainingConfig
from keras_lstm.config_file import to_number, translate_options
from keras_lstm.config_rules import Execution
from keras_lstm.core.errors import InputError, shown
from keras_lstm.core.files import read_small_text
from keras_lstm.core.options import (
    AUTO,
    MAX_INT,
    check_known,
    check_option,
    option_kinds,
)
from keras_lstm.core.yaml_text import MAX_TEXT, parse_repeated_yaml
from keras_lstm.presets import PRESETS, get_preset
from keras_lstm.runs.folder import RunFolder
from keras_lstm.tasks.registry import TASKS

_PARTS = ("model", "training", "task")


@dataclasses.dataclass(frozen=True)
class StatedConfig:
    """Options of a run, as its `config.yaml` states them.

    Args:
        preset: name of the preset.
        task: the name by which `get_task` finds the task.
        task_options: names of the options of the task.
        values: values by option name, with the seed; those that the file
            lacks are the preset's.
        differing: the values that differ from the preset's, by option name;
            the options of a custom task that the preset lacks are among them,
            and how steps are computed is not.
    """

    preset: str
    task: str
    task_options: frozenset[str]
    values: dict[str, Any]
    differing: dict[str, Any]


def read_stated_config(folder: RunFolder) -> StatedConfig | None:
    """Read the options that a run was started with; run no code.

    Args:
        folder: the run folder.

    Returns:
        The options; None if there is no `config.yaml`.

    Raises:
        InputError: if it is damaged or incomplete.
    """
    try:
        text = read_small_text(folder.config, MAX_TEXT)
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"`config` must be a readable file. Received: {error}"
        ) from None
    mapping = parse_repeated_yaml(text, "config")
    if not isinstance(mapping, dict):
        raise InputError(
            f"`config` must be a mapping. Received: config={shown(mapping)}"
        )
    for key in mapping:
        check_known(key, ("preset", "seed", *_PARTS), "key of `config`")
    preset, parts = mapping.get("preset"), {}
    for key in _PARTS:
        # Copied: texts that were parsed before share what they hold.
        parts[key] = translate_options(mapping.get(key, {}))
        if not isinstance(parts[key], dict):
            raise InputError(
                f"`{key}` must be a mapping. Received: "
                f"{key}={shown(parts[key])}"
            )
    task = parts["task"].pop("name", None)
    if not isinstance(preset, str) or not isinstance(task, str):
        raise InputError(
            "`config` must name a preset and a task. Received: "
            f"preset={shown(preset)}, task={shown(task)}"
        )
    known = _preset_values(preset, task)
    values = dict(known)
    given = {"seed": mapping["seed"]} if "seed" in mapping else {}
    differing = _differing("config", Config, given, values)
    for key, cls in (("model", ModelConfig), ("training", TrainingConfig)):
        differing |= _differing(key, cls, parts[key], values)
    differing |= _differing("task", TASKS.get(task), parts["task"], values)
    options = frozenset(parts["task"]) | _task_options(task)
    return StatedConfig(preset, task, options, values, differing)


def _differing(
    part: str,
    cls: type | None,
    given: dict[str, Any],
    values: dict[str, Any],
) -> dict[str, Any]:
    """Put stated values in place of a preset's, and return what differs.

    Args:
        part: the part of the configuration.
        cls: the class of that part; None for a custom task's, whose code is
            not read.
        given: the values that the file states.
        values: the preset's values, which are changed.

    Returns:
        The values that differ, by name.
    """
    differing = {}
    # Nearly all are the preset's.
    others = {
        name: value
        for name, value in given.items()
        if name not in values
        or value != values[name]
        or type(value) is not type(values[name])
        if not (value == AUTO and name in Execution._fields)
    }
    for name, value in others.items():
        if cls is None:
            _check_plain(name, value)
        else:
            check_known(name, option_kinds(cls), f"option of `{part}`")
            value = check_option(cls, name, to_number(cls, name, value))
        if name not in values or not _same(value, values[name]):
            values[name] = value
            if name not in Execution._fields:
                differing[name] = value
    return differing


def _check_plain(name: Any, value: Any) -> None:
    """Refuse what no task's option can be."""
    is_number = type(value) in (int, float)
    if type(name) is not str or not (
        (is_number and abs(value) <= MAX_INT)
        or value is None
        or type(value) in (bool, str)
    ):
        raise InputError(
            f"`{shown(name)}` must be the name of an option with a number, a "
            f"text, true, false or none. Received: {shown(value)}"
        )


def _same(one: Any, other: Any) -> bool:
    """Return whether two values are equal; True is not 1."""
    is_same: bool = one == other
    return is_same and (type(one) is bool) == (type(other) is bool)


@functools.lru_cache(256)
def _preset_values(preset: str, task: str) -> dict[str, Any]:
    """Return a preset's values for a task, by option name."""
    check_known(preset, PRESETS, "preset")
    if ":" not in task:
        check_known(task, TASKS, "task")
    config = get_preset(preset, TASKS.get(task))
    # Version 0.1 computed steps plainly, and its files do not say so.
    flat = config.with_execution(Execution()).to_flat()
    return {k: v for k, v in flat.items() if k not in ("preset", "task")}


@functools.lru_cache(64)
def _task_options(task: str) -> frozenset[str]:
    return (
        frozenset(option_kinds(TASKS[task])) if task in TASKS else frozenset()
    )
