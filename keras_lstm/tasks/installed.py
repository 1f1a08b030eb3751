"""Import of modules that a run folder names.

A run folder may come from anyone, and importing a module runs it. So only
installed modules are imported: those that Python finds without the current
folder and outside the run folder.
"""

import contextlib
import importlib
import importlib.machinery
import os
import pathlib
import sys
from collections.abc import Iterator
from types import ModuleType


def import_installed(
    name: str, folder: pathlib.Path | None
) -> ModuleType | None:
    """Import a module if it is installed, or imported already.

    Args:
        name: the module's name, such as "package.module".
        folder: a folder whose code must not run; None for none.

    Returns:
        The module; None if it is not installed.
    """
    if name in sys.modules:
        return sys.modules[name]
    with _only_installed(folder):
        if not _is_installed(name, folder):
            return None
        return importlib.import_module(name)


@contextlib.contextmanager
def _only_installed(folder: pathlib.Path | None) -> Iterator[None]:
    """Take the current folder, and what is below `folder`, off `sys.path`."""
    removed = [
        (index, entry)
        for index, entry in enumerate(sys.path)
        if os.path.realpath(entry) == os.path.realpath("")
        or _is_below(entry, folder)
    ]
    entries = {entry for _, entry in removed}
    sys.path[:] = [entry for entry in sys.path if entry not in entries]
    try:
        yield
    finally:
        for index, entry in removed:
            sys.path.insert(index, entry)


def _is_installed(name: str, folder: pathlib.Path | None) -> bool:
    """Return whether a module and the packages around it are installed.

    Nothing is imported.
    """
    parts = name.split(".")
    path = sys.path
    for end in range(1, len(parts) + 1):
        package = ".".join(parts[:end])
        # By a name without dots: a namespace package looks its parent up.
        spec = importlib.machinery.PathFinder.find_spec(parts[end - 1], path)
        # Editable installs add finders of their own.
        own_finder = spec is None
        for finder in sys.meta_path:
            spec = spec or finder.find_spec(package, path)
        if spec is None:
            return False
        path = list(spec.submodule_search_locations or ())
        places = [*path, *([spec.origin] if spec.origin else [])]
        for place in places:
            if _is_below(place, folder):
                return False
            if not own_finder and _is_local(place):
                return False
    return True


def _is_local(place: str) -> bool:
    """Return whether a place is in the current folder, but not installed.

    A virtual environment in the current folder has an entry on `sys.path`.
    """
    return _is_below(place, pathlib.Path()) and not any(
        _is_below(entry, pathlib.Path()) and _is_below(place, entry)
        for entry in sys.path
    )


def _is_below(place: str, folder: str | pathlib.Path | None) -> bool:
    """Return whether a path is a folder's or lies in it."""
    if folder is None:
        return False
    above = os.path.realpath(folder)
    return any(
        each == above or each.startswith(above.rstrip(os.sep) + os.sep)
        for each in (os.path.realpath(place), os.path.abspath(place))
    )
