"""Configuration files: the YAML of `Config.to_yaml`, or a part of it."""

import dataclasses
import pathlib
from typing import Any

from keras_lstm.config import ModelConfig, TrainingConfig
from keras_lstm.core.errors import InputError, shown
from keras_lstm.core.options import check_keys, check_known, option_kinds
from keras_lstm.core.yaml_text import parse_yaml
from keras_lstm.tasks.registry import find_task
from keras_lstm.tasks.task import Task

# Current names of options, by the names that version 0.1 used.
_RENAMED = {
    "carry_share": "carry_fraction",
    "test_head": "test_first",
    "clipnorm": "global_clipnorm",
    "warmup": "warmup_fraction",
    "ema_share": "ema_fraction",
    "counterexamples_from": "counterexamples_from_epoch",
    "counterexample_share": "counterexample_fraction",
    "early_answers": "early_prediction",
    "prove_from": "prove_from_epoch",
    "checkpoint_steps": "checkpoint_every_steps",
    "checkpoint_seconds": "checkpoint_every_seconds",
    "shards": "num_microbatches",
}


@dataclasses.dataclass(frozen=True)
class ConfigFile:
    """Contents of a configuration file, which may be incomplete.

    Args:
        preset: name of a preset; None if the file names none.
        task: class of the task; None if the file names none.
        values: values by option name, for `Config.replace`.
    """

    preset: str | None
    task: type[Task] | None
    values: dict[str, Any]

    def all_values(self) -> dict[str, Any]:
        """Return the values, and those of options that came later.

        A run's file states every option that the version which wrote it had.
        Those that came later have their defaults, which do as that version
        did, and not the values of the preset, which may have changed since. A
        file without any option of the model, or of the training, has those of
        the preset.
        """
        values: dict[str, Any] = {}
        for part in (ModelConfig(), TrainingConfig()):
            defaults = part.to_mapping()
            if not self.values.keys().isdisjoint(defaults):
                values |= defaults
        return values | self.values


def read_config(
    text: str,
    default_task: type[Task],
    folder: pathlib.Path | None = None,
) -> ConfigFile:
    """Parse the YAML of `Config.to_yaml`, or a part of it.

    Args:
        text: the YAML.
        default_task: class of the task whose options the text may set if it
            names no task.
        folder: the folder that the text comes from, whose code is not run;
            None for none.

    Returns:
        The contents. `Config.replace` checks the values.

    Raises:
        InputError: if the text is not YAML, has an unknown key, or names a
            task whose module is neither installed nor imported already.
    """
    mapping = parse_yaml(text, "config") or {}
    if not isinstance(mapping, dict):
        raise InputError(
            f"`config` must be a mapping. Received: config={shown(mapping)}"
        )
    known = ["preset", "seed", "task", "model", "training"]
    for key in mapping:
        check_known(key, known, "key of `config`")
    values = {"seed": mapping["seed"]} if "seed" in mapping else {}
    task = None
    parts: dict[str, type] = {
        "model": ModelConfig,
        "training": TrainingConfig,
        "task": default_task,
    }
    if isinstance(mapping.get("task"), dict) and "name" in mapping["task"]:
        name = mapping["task"].pop("name")
        parts["task"] = task = find_task(
            name if isinstance(name, str) else shown(name), folder
        )
    for key, cls in parts.items():
        given = translate_options(mapping.get(key, {}))
        check_keys(cls, given, key)
        values |= {
            name: to_number(cls, name, value) for name, value in given.items()
        }
    preset = mapping.get("preset")
    if preset is not None and not isinstance(preset, str):
        preset = shown(preset)
    return ConfigFile(preset, task, values)


def to_number(cls: type, name: str, value: Any) -> Any:
    """Convert a number like 1e-3, which YAML reads as a string, to a float.

    Args:
        cls: a dataclass with options.
        name: name of one of them.
        value: its value, as YAML reads it.

    Returns:
        The number; `value` itself if it is none, or the option is no float.
    """
    if not isinstance(value, str):
        return value
    if option_kinds(cls)[name] is not float:
        return value
    try:
        return float(value)
    except ValueError:
        return value


def translate_options(options: Any) -> Any:
    """Replace the option names of version 0.1 by the current names.

    Args:
        options: a part of a configuration.

    Returns:
        A mapping with the current names; `options` itself if it is not a
        mapping.

    Raises:
        InputError: if an option is given under both names.
    """
    if not isinstance(options, dict):
        return options
    if _RENAMED.keys().isdisjoint(options):
        return dict(options)
    for old, new in _RENAMED.items():
        if old in options and new in options:
            raise InputError(
                f"`{new}` must not be given under its old name as well. "
                f"Received: {old}={shown(options[old])}, "
                f"{new}={shown(options[new])}"
            )
    return {_RENAMED.get(name, name): options[name] for name in options}
