"""Packages that only some commands need."""

import importlib.util

from keras_lstm.core.errors import InputError


def require_package(module: str, extra: str, what: str) -> None:
    """Refuse what needs a package that is not installed.

    Args:
        module: name of the module that is needed.
        extra: the extra of this package that installs it.
        what: what needs it, for the message.

    Raises:
        InputError: if the module is not there.
    """
    if importlib.util.find_spec(module) is None:
        raise InputError(
            f"{what} needs the package {module}: pip install "
            f"'keras-lstm[{extra}]'. Received: no such package"
        )
