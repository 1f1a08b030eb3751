"""A run's configuration as it may leave this machine."""

import pathlib
import re
from typing import Any

from keras_lstm.config import Config
from keras_lstm.core.yaml_text import parse_yaml, write_yaml

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
