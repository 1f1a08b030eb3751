"""Packages that only some commands need."""

import importlib.metadata
import importlib.util
import os
import re

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
    require_packages((module,), extra, what)


def require_packages(modules: tuple[str, ...], extra: str, what: str) -> None:
    """Refuse what needs packages that are not installed.

    Args:
        modules: names of the modules that are needed.
        extra: the extra of this package that installs them.
        what: what needs them, for the message.

    Raises:
        InputError: if any of the modules is not there. The message tells a
            command that installs them.
    """
    missing = [x for x in modules if not _is_installed(x)]
    if missing:
        names = ", ".join(missing).replace("_", "-")
        raise InputError(
            f"{what} needs packages that are not installed, {names}: "
            f"{_advice(extra)}. Received: no such package"
        )


def _is_installed(module: str) -> bool:
    # A folder of this name in the current one is found, too, but has no file.
    found = importlib.util.find_spec(module)
    return found is not None and found.origin is not None


def require_tracker(track: str | None) -> None:
    """Refuse a tracker whose package is not installed.

    Args:
        track: name of the tracker's package, and of the extra that installs
            it; None for no tracker.

    Raises:
        InputError: if the package is not there.
    """
    if track is not None:
        require_package(track, track, f"`track` {track}")


def _advice(extra: str) -> str:
    """Return a command that installs an extra here.

    The script of a checkout installs it itself. Elsewhere, its packages are
    named, since this package may have been installed from a file.
    """
    script = os.environ.get("KERAS_LSTM_SCRIPT")
    if script:
        return f"begin the command with {script} --with {extra}"
    try:
        lines = importlib.metadata.requires("keras-lstm") or []
    except importlib.metadata.PackageNotFoundError:
        lines = []
    marked = re.compile(rf"(.*?)\s*;\s*extra == ['\"]{extra}['\"]$")
    found = [match[1] for match in map(marked.match, lines) if match]
    if not found:
        return f"install the packages of the extra {extra} in pyproject.toml"
    return f"pip install {' '.join(map(repr, found))}"
