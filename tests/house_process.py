"""What a process of its own finds out for tests/house.py.

Command: python tests/house_process.py imports|names ROOT REQUEST, where ROOT
is the folder of a package and REQUEST is JSON; prints a JSON list of what
breaks the rule.
"""

import contextlib
import importlib
import importlib.abc
import importlib.machinery
import io
import json
import pathlib
import runpy
import sys


class HeavyImportError(ImportError):
    """Stands in for a package that takes long to load."""


class Wall(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Loads none of some packages, and notes who wants them.

    Asking whether such a package is installed is allowed.
    """

    def __init__(self, package, heavy):
        self.package = package
        self.heavy = heavy
        self.importing = ""
        self.num_attempts = 0
        self.found = {}

    def find_spec(self, name, path=None, target=None):
        if name in self.heavy:
            return importlib.machinery.ModuleSpec(name, self)
        return None

    def create_module(self, spec):
        chain = []
        frame = sys._getframe()
        while frame:
            name = frame.f_globals.get("__name__", "")
            if f"{name}.".startswith(f"{self.package}."):
                chain.append(f"{name}, line {frame.f_lineno},")
            frame = frame.f_back
        self.num_attempts += 1
        # The innermost is at fault; that others import it too is no news.
        importer = chain[0] if chain else f"{self.package}.__main__"
        self.found.setdefault(
            (importer, spec.name),
            f"{self.importing} brings in {spec.name}: "
            + " imports ".join([*reversed(chain), spec.name]),
        )
        raise HeavyImportError(spec.name)

    def exec_module(self, module):
        """Do nothing: there is no module."""

    @contextlib.contextmanager
    def watch(self, what):
        """Say what is imported meanwhile, and note how else it fails."""
        self.importing = what
        before = self.num_attempts
        try:
            yield
        except (Exception, SystemExit) as error:
            is_end = isinstance(error, SystemExit) and not error.code
            if not is_end and self.num_attempts == before:
                self.found[what] = f"{what} fails: {error!r}"


def check_imports(package, request):
    """Return which modules, or showing the help, import a heavy package."""
    wall = Wall(package, request["heavy"])
    sys.meta_path.insert(0, wall)
    for name in request["modules"]:
        with wall.watch(name):
            importlib.import_module(name)
    sys.argv = [package, "--help"]
    shown = io.StringIO()
    with wall.watch("--help"), contextlib.redirect_stdout(shown):
        runpy.run_module(package, run_name="__main__", alter_sys=True)
    found = list(wall.found.values())
    if not found and not shown.getvalue():
        found.append("--help shows nothing")
    return found


def check_names(package, request):
    """Return where namespaces offer other names than those listed.

    The request is, by namespace, a dictionary from each name to the module
    that has it, or null for a name that is a module itself.
    """
    found = []
    namespaces = {}
    for namespace in request:
        try:
            namespaces[namespace] = importlib.import_module(namespace)
        except Exception as error:
            found.append(f"{namespace} cannot be imported: {error!r}")
    for namespace, module in namespaces.items():
        names = {name for name in request[namespace] if _is_public(name)}
        offered = {
            f"dir({namespace})": dir(module),
            # Without `__all__`, what `import *` takes.
            f"{namespace}.__all__": getattr(module, "__all__", vars(module)),
        }
        for what, values in offered.items():
            values = [value for value in values if _is_public(value)]
            lacks, other = names - {*values}, {*values} - names
            found += [f"{what} lacks {name}" for name in sorted(lacks)]
            found += [f"{what} also has {name}" for name in sorted(other)]
            if len(values) > len({*values}):
                found.append(f"{what} has a name twice")
    # Twice, as a module that was imported since may have taken the name.
    for _ in range(2):
        for namespace, module in namespaces.items():
            for name, source in request[namespace].items():
                fault = _fault(module, name, source)
                if fault and fault not in found:
                    found.append(fault)
    return found


def _is_public(name):
    return not name.startswith("_")


def _fault(namespace, name, source):
    """Return what is wrong with a name of a namespace, if anything is."""
    full_name = f"{namespace.__name__}.{name}"
    try:
        value = getattr(namespace, name)
        if source is None:
            expected = importlib.import_module(full_name)
        else:
            expected = getattr(importlib.import_module(source), name)
    except Exception as error:
        return f"{full_name} does not resolve: {error!r}"
    if value is not expected:
        return f"{full_name} is not what {source or full_name} has"
    return None


def main():
    """Do what the command line asks for."""
    task, root, request = sys.argv[1:]
    root = pathlib.Path(root)
    sys.path.insert(0, str(root.parent))
    checks = {"imports": check_imports, "names": check_names}
    # Standard output is for the answer alone.
    with contextlib.redirect_stdout(sys.stderr):
        found = checks[task](root.name, json.loads(request))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
