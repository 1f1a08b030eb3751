"""A run's files as they may leave this machine."""

import dataclasses
import pathlib
import re
from typing import Any

from keras_lstm.config import Config
from keras_lstm.core.yaml_text import parse_yaml, write_yaml
from keras_lstm.runs.report import Report

_PATHS = re.compile(r"(^|_)(data|dir|file|folder|path)$")


def public_options(options: dict[str, Any]) -> dict[str, Any]:
    """Return options with the names of files, rather than their paths.

    A path tells names of people and machines.

    Args:
        options: options by name.
    """
    return {
        name: pathlib.PurePath(value).name
        if isinstance(value, str) and _PATHS.search(name)
        else value
        for name, value in options.items()
    }


def public_yaml(config: Config) -> str:
    """Return a configuration as YAML, as `public_options` does.

    Args:
        config: the run's configuration.
    """
    # Made here, from a configuration that was read: it is not too long.
    parts = parse_yaml(config.to_yaml(), "the configuration")
    return write_yaml(parts | {"task": public_options(parts["task"])})


def public_report(report: Report) -> Report:
    """Return a report that names another run without its path.

    Args:
        report: the run's report.
    """
    path = report.repaired_from
    name = None if path is None else pathlib.PurePath(path).name
    return dataclasses.replace(report, repaired_from=name)


def public_text(text: str, config: Config, run_dir: pathlib.Path) -> str:
    """Return a text with names in place of the run's absolute paths.

    Args:
        text: any text about the run, such as its page.
        config: the run's configuration.
        run_dir: the run folder.
    """
    options = config.task.to_mapping()
    names = {
        options[option]: name
        for option, name in public_options(options).items()
        if name != options[option]
    }
    names[str(run_dir)] = run_dir.name
    # A path may begin with another.
    for path in sorted(names, key=len, reverse=True):
        if pathlib.PurePath(path).is_absolute():
            text = text.replace(path, names[path])
    return text
