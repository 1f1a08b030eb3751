"""The settings of optimizers, which a resumed script may have changed."""

import json
from collections.abc import Mapping

import keras

_RATE = "learning_rate"


def read_settings(
    optimizers: Mapping[str, keras.optimizers.Optimizer],
) -> dict[str, dict[str, str]]:
    """Return the settings of optimizers.

    Args:
        optimizers: the optimizers, by name.

    Returns:
        Each setting as JSON, by the name of the optimizer and of the setting.
        Optimizers that cannot tell their settings are left out.
    """
    found = {}
    for name, optimizer in optimizers.items():
        inner = getattr(optimizer, "inner_optimizer", optimizer)
        try:
            config = inner.get_config()
        except NotImplementedError:
            continue
        found[name] = {
            key: json.dumps(value, default=str, sort_keys=True)
            for key, value in config.items()
            if key != "name"
        }
    return found


def describe_changes(
    saved: Mapping[str, Mapping[str, str]],
    current: Mapping[str, Mapping[str, str]],
    restores_rate: bool,
) -> list[str]:
    """Describe what has changed in the settings of optimizers.

    Args:
        saved: the settings that the training began with.
        current: those of the script now.
        restores_rate: whether the learning rate is restored.

    Returns:
        One line per setting.
    """
    lines = []
    for name, settings in saved.items():
        now = current.get(name, {})
        for key, value in settings.items():
            if now.get(key, value) == value:
                continue
            # A schedule is no variable: it is not restored.
            restored = key == _RATE and restores_rate and is_number(now[key])
            which = "the checkpoint's" if restored else "the new value"
            lines.append(
                f"{key} of {name} is {now[key]}, and was {value} when the "
                f"training began: {which} applies"
                + (" (see restore_learning_rate)" if restored else "")
            )
    return lines


def is_number(text: str) -> bool:
    """Return whether a setting in JSON is a number, not a schedule."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def set_learning_rates(
    optimizers: Mapping[str, keras.optimizers.Optimizer],
    settings: Mapping[str, Mapping[str, str]],
) -> None:
    """Set the learning rates that are numbers.

    Args:
        optimizers: the optimizers, by name.
        settings: a result of `read_settings`.
    """
    for name, optimizer in optimizers.items():
        rate = settings.get(name, {}).get(_RATE, "")
        if is_number(rate):
            inner = getattr(optimizer, "inner_optimizer", optimizer)
            inner.learning_rate = float(rate)
