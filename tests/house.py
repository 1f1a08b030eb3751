"""The rules of the house, as checks of a package folder.

Each check takes the folder and returns what breaks its rule, a sentence each.
Nothing of the package is imported here: the checks read its source, and what
has to run is run by tests/house_process.py.
"""

import ast
import graphlib
import json
import pathlib
import subprocess
import sys

from house_source import (
    FUNCTIONS,
    defined_names,
    imported_modules,
    listed_names,
    read_modules,
    shortest_chains,
    top,
)
from house_types import find_type_checks

# A room imports only itself and the rooms before it.
ROOMS = (
    "core",
    "tasks",
    "checkpoint",
    "config",
    "models",
    "distribute",
    "proof",
    "verification",
    "monitoring",
    "callbacks",
    "runs",
    "pages",
    "training",
    "tuning",
    "inference",
    "cli",
)
# These modules at the top make up one room; every other room is a folder.
CONFIG_MODULES = ("config", "config_file", "config_rules", "presets")
# These only re-export what a room has.
THIN_NAMESPACES = ("errors", "losses", "metrics", "testing")
NAMESPACES = (
    *("callbacks", "checkpoint", "distribute", "models", "monitoring"),
    *("proof", "tasks", *THIN_NAMESPACES),
)
NUM_TOP_NAMES = range(15, 26)

TRUSTED = (
    *("certificate", "propagation", "intervals", "subject", "proof_json"),
    *("ellipsoids", "affine"),
)
UNTRUSTED = ("search", "regularization", "ellipsoid_search", "partition")

HEAVY = (
    "tensorflow",
    "keras",
    "keras_tuner",
    "sklearn",
    "scipy",
    "matplotlib",
)
LIGHT = (
    "core",
    "tasks",
    *CONFIG_MODULES,
    "distribute.cluster",
    "runs.folder",
    "runs.table",
    "runs.compare_text",
    "cli",
)
LIGHT_EXCEPT = ("tasks.datasets",)

# Modules of Python that Windows does not have.
UNIX = ("fcntl", "grp", "pty", "pwd", "resource", "syslog", "termios", "tty")

RUN_FILES = (
    "repair.json",
    "config.yaml",
    "model.keras",
    "report.json",
    "report.html",
    "README.md",
    "history.csv",
    "failures.csv",
    "suspicious.csv",
    "proof.json",
    "checkpoints",
)
RUN_FILES_MODULE = "runs.folder"

MAX_FUNCTION_LINES = 80
MAX_MODULE_LINES = 450
REASON = "# Long because "


def room_of(name):
    """Return the room of a module by its name, None if it has none."""
    first = top(name)
    if first in CONFIG_MODULES:
        return "config"
    return first if first in ROOMS else None


def find_imports_against_the_table(root):
    """Return imports of lower rooms, and what has no room at all."""
    found = _find_strangers(root)
    thin = ("", "__main__", *THIN_NAMESPACES)
    room_files = {f"{root.name}.{room}" for room in {*ROOMS} - {"config"}}
    for module in read_modules(root, (".py", ".pyi")):
        if module.top in thin:
            found += _find_content(module)
    for name, imports in imported_modules(root).items():
        room = room_of(name)
        if room is None:
            continue
        for imported, (line, full_name) in imports.items():
            other = room_of(imported)
            here = f"{name}, line {line}, imports {full_name}"
            if other is None or imported in room_files:
                found.append(f"{here}: that is in no module of a room")
            elif ROOMS.index(other) > ROOMS.index(room):
                found.append(f"{here}: {other} is below {room}")
    return found


def _find_strangers(root):
    """Return what is at the top and should not be, or is missing there."""
    folders = {*ROOMS} - {"config"}
    modules = {"__init__", "__main__", *CONFIG_MODULES, *THIN_NAMESPACES}
    found = [
        f"{root.name} has no folder {folder}"
        for folder in sorted(folders)
        if not (root / folder).is_dir()
    ] + [
        f"{root.name} has no module {name}"
        for name in CONFIG_MODULES
        if not (root / f"{name}.py").is_file()
    ]
    for path in sorted(root.iterdir()):
        if path.is_dir():
            # A folder that was moved away leaves its __pycache__ behind.
            kept = any(
                each.is_file() and "__pycache__" not in each.parts
                for each in path.rglob("*")
            )
            if kept and path.name not in folders | {*THIN_NAMESPACES}:
                found.append(f"{path.name}/ is no room of the table")
        elif path.suffix in (".py", ".pyi") and path.stem not in modules:
            found.append(f"{path.name} is in no room of the table")
    return found


def _find_content(module):
    """Return what a module that should only re-export has of its own."""
    if module.name.count(".") > 1:
        return [f"{module.name} is in no room of the table"]
    return [
        f"{module.name} defines {node.name}: it should only re-export"
        for node in module.tree.body
        if isinstance(node, (ast.ClassDef, *FUNCTIONS))
        and node.name not in ("__getattr__", "__dir__")
    ]


def find_circle(root):
    """Return one circle of imports among modules, if there is any."""
    try:
        graphlib.TopologicalSorter(imported_modules(root)).prepare()
    except graphlib.CycleError as error:
        return [" imports ".join(reversed(error.args[1]))]
    return []


def find_untrusted_imports(root):
    """Return how the trusted base of `proof` comes to import the rest."""
    graph = imported_modules(root)
    trusted, untrusted = (
        [f"{root.name}.proof.{name}" for name in names]
        for names in (TRUSTED, UNTRUSTED)
    )
    missing = [name for name in trusted + untrusted if name not in graph]
    return [f"there is no module {name}" for name in missing] + [
        " imports ".join(chain)
        for name in trusted
        for imported, chain in shortest_chains(graph, name).items()
        if _is_within(imported, untrusted)
    ]


def find_heavy_imports(root):
    """Return how a module that should load fast, or --help, loads slowly."""
    names = [module.name for module in read_modules(root)]
    light = [f"{root.name}.{name}" for name in LIGHT]
    heavy = [f"{root.name}.{name}" for name in LIGHT_EXCEPT]
    missing = [name for name in light if name not in names]
    chosen = [
        name
        for name in names
        if _is_within(name, light) and not _is_within(name, heavy)
    ]
    request = {"modules": [root.name, *chosen], "heavy": HEAVY}
    return [f"there is no module {name}" for name in missing] + run_process(
        "imports", root, request
    )


def find_unix_imports(root):
    """Return imports of what only Unix has, also those within functions."""
    return [
        f"{module.name}, line {line}, imports {name}, which only Unix has"
        for module in read_modules(root)
        for line, name in module.imports
        if name.partition(".")[0] in UNIX
    ]


def _is_within(name, modules):
    return any(f"{name}.".startswith(f"{module}.") for module in modules)


def run_process(task, root, request):
    """Return what tests/house_process.py answers in a process of its own."""
    script = pathlib.Path(__file__).with_name("house_process.py")
    done = subprocess.run(
        [sys.executable, str(script), task, str(root), json.dumps(request)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def find_unexplained_length(root):
    """Return long functions and modules without a reason beside them.

    A nested function is part of the outer one. The reason is a comment that
    starts with `# Long because `, right above the function, or between the
    docstring of a module and what follows.
    """
    found = []
    for module in read_modules(root):
        lines = [line.strip() for line in module.text.splitlines()]
        if len(lines) > MAX_MODULE_LINES and not _explains(_head(module)):
            found.append(f"{module.name} has {len(lines)} lines")
        for function in _outer_functions(module.tree):
            length = function.end_lineno - function.lineno + 1
            starts = [function, *function.decorator_list]
            if length > MAX_FUNCTION_LINES and not any(
                _explains(_comment_above(lines, start.lineno))
                for start in starts
            ):
                found.append(
                    f"{module.name}.{function.name} has {length} lines"
                )
    return found


def _explains(lines):
    return any(line.startswith(REASON) for line in lines)


def _head(module):
    """Return the lines from the docstring to the first statement."""
    body = module.tree.body
    start = 0
    if ast.get_docstring(module.tree) is not None:
        start, body = body[0].end_lineno, body[1:]
    end = body[0].lineno - 1 if body else None
    return [line.strip() for line in module.text.splitlines()[start:end]]


def _comment_above(lines, line):
    """Return the lines of the comment that ends right above a line."""
    first = line - 1
    while first > 0 and lines[first - 1].startswith("#"):
        first -= 1
    return lines[first : line - 1]


def _outer_functions(node):
    """Yield the functions and methods that are in no other function."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, FUNCTIONS):
            yield child
        else:
            yield from _outer_functions(child)


def find_stray_file_names(root):
    """Return literal names of run files outside the module that has them.

    A literal without blanks counts if the name is one of its parts between
    slashes; so does the constant part of an f-string. Docstrings and whole
    sentences do not.
    """
    home = f"{root.name}.{RUN_FILES_MODULE}"
    found, named = [], set()
    for module in read_modules(root):
        for line, text in _literals(module.tree):
            names = {*RUN_FILES} & {*text.split("/")}
            if module.name == home:
                named |= names
            else:
                found += [
                    f"{module.name}, line {line}, names {name}"
                    for name in sorted(names)
                ]
    missing = [name for name in RUN_FILES if name not in named]
    return found + [f"{home} does not name {name}" for name in missing]


def _literals(tree):
    """Return lines and texts of the string literals without blanks."""
    # Docstrings, which no expression uses.
    alone = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)
    }
    return sorted(
        (node.lineno, node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and node.value.split() == [node.value]
        and id(node) not in alone
    )


def find_task_type_checks(root):
    """Return where code outside `tasks` asks for the class of a task."""
    modules = read_modules(root)
    tasks = [module for module in modules if room_of(module.name) == "tasks"]
    others = [module for module in modules if module not in tasks]
    return find_type_checks(tasks, others, "Task")


def find_misnamed(root):
    """Return where the public names are not what their lists say.

    A namespace's names are listed in its stub, as `from .module import Name
    as Name`; those of a module without a stub in the module itself.
    """
    modules = read_modules(root, (".py", ".pyi"))
    sources = {m.name: m for m in modules if m.path.suffix == ".py"}
    stubs = {m.name: m for m in modules if m.path.suffix == ".pyi"}
    wanted = {root.name, *(f"{root.name}.{name}" for name in NAMESPACES)}
    found, request = [], {}
    for namespace in sorted({*wanted, *stubs}):
        source = sources.get(namespace)
        thin = source if top(namespace) in THIN_NAMESPACES else None
        listing = stubs.get(namespace, thin)
        if listing is None:
            found.append(f"{namespace} has no stub that lists its names")
            continue
        names, faults = listed_names(listing)
        found += faults
        request[namespace] = {}
        for name, origin in names:
            if name in request[namespace]:
                found.append(f"{namespace} lists {name} twice")
            is_module = f"{origin}.{name}" in sources
            request[namespace][name] = None if is_module else origin
            if not is_module and name not in defined_names(sources.get(origin)):
                found.append(f"{namespace}: {origin} does not define {name}")
        if namespace in stubs and source is not None:
            found += _find_second_list(source, request[namespace])
    return (
        found
        + _find_wrong_number(root, request.get(root.name, {}))
        + run_process("names", root, request)
    )


def _find_second_list(module, names):
    """Return the names that a module with a stub writes down once more."""
    strings = {
        node.value
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    return [
        f"{module.name} lists {name} besides its stub"
        for name in names
        if name[0] != "_" and (name in strings or name in module.origins)
    ]


def _find_wrong_number(root, names):
    """Return what the top level has too many or too few of."""
    found = [
        f"{root.name} does not list the namespace {name}"
        for name in NAMESPACES
        if names.get(name, "") is not None
    ]
    public = [name for name in names if names[name] and name[0] != "_"]
    if len(public) not in NUM_TOP_NAMES:
        found.append(f"{root.name} has {len(public)} names at the top")
    return found
