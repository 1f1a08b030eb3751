"""The version of this package, and that of files it reads."""

import pathlib

from keras_lstm.core.errors import InputError

__version__ = "0.2.0"


def check_version(version: object, argument: str, path: pathlib.Path) -> None:
    """Refuses what a newer version of this package has written.

    Raises:
        InputError: it has.
    """
    if _parts(str(version)) > _parts(__version__):
        raise InputError(
            f"`{argument}` was written by keras-lstm {version}, newer than "
            f"this one, {__version__}. Received: {argument}={path}"
        )


def _parts(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdecimal()]
