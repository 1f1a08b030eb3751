"""Version of this package, and a check of versions in files."""

import pathlib

from keras_lstm.core.errors import InputError, shown

__version__ = "0.3.0"
_MAX_LENGTH = 100


def check_version(version: object, argument: str, path: pathlib.Path) -> None:
    """Refuse files that a newer version of this package has written.

    Args:
        version: version that the file states.
        argument: name of the argument that gave the path, for the message.
        path: path of the file or its folder.

    Raises:
        InputError: if `version` is newer than this package, or no version.
    """
    if not isinstance(version, str) or len(version) > _MAX_LENGTH:
        raise InputError(
            f"`{argument}` must state its version, such as {__version__}. "
            f"Received: {shown(version)}, {argument}={path}"
        )
    if _parts(version) > _parts(__version__):
        raise InputError(
            f"`{argument}` was written by keras-lstm {version}, newer than "
            f"this one, {__version__}. Received: {argument}={path}"
        )


def _parts(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdecimal()]
