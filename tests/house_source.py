"""Reads the modules of a package, and what they import, for tests/house.py."""

import ast
import dataclasses
import functools
import importlib.util
import pathlib

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclasses.dataclass(frozen=True)
class Module:
    """A source file: a module, or the stub of one under the same name."""

    name: str
    path: pathlib.Path

    @functools.cached_property
    def text(self):
        """The source."""
        return self.path.read_text(encoding="utf-8")

    @functools.cached_property
    def tree(self):
        """The syntax tree."""
        return ast.parse(self.text, str(self.path))

    @functools.cached_property
    def _names(self):
        names = _ImportedNames(self)
        names.visit(self.tree)
        return names

    @property
    def imports(self):
        """Pairs of a line and the full name that is imported there."""
        return self._names.found

    @property
    def origins(self):
        """The full name behind each name that an import binds."""
        return self._names.origins

    @property
    def top(self):
        """The name below the package's own; empty for the package itself."""
        return top(self.name)


def read_modules(root, suffixes=(".py",)):
    """Return the modules of a package folder, sorted by path."""
    modules = []
    for path in sorted(root.rglob("*.py*")):
        if path.suffix in suffixes:
            parts = path.relative_to(root.parent).with_suffix("").parts
            parts = parts[:-1] if path.stem == "__init__" else parts
            modules.append(Module(".".join(parts), path))
    return modules


def top(name):
    """Return the second part of a module's name, empty if there is none."""
    return [*name.split("."), ""][1]


def dotted(node):
    """Return `a.b.c` of an expression of that form, else an empty string."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (before := dotted(node.value)):
        return f"{before}.{node.attr}"
    return ""


def last(name):
    """Return the last part of a dotted name."""
    return name.rpartition(".")[2]


class _ImportedNames(ast.NodeVisitor):
    """Collects what a module imports, wherever in it and however."""

    def __init__(self, module):
        name = module.name
        is_folder = module.path.stem == "__init__"
        self.package = name if is_folder else name.rpartition(".")[0]
        self.found = []
        self.origins = {}

    def visit_Import(self, node):
        for alias in node.names:
            self.found.append((node.lineno, alias.name))
            first = alias.name.partition(".")[0]
            bound = alias.name if alias.asname else first
            self.origins[alias.asname or first] = bound

    def visit_ImportFrom(self, node):
        source = "." * node.level + (node.module or "")
        source = importlib.util.resolve_name(source, self.package)
        for alias in node.names:
            self.found.append((node.lineno, f"{source}.{alias.name}"))
            self.origins[alias.asname or alias.name] = f"{source}.{alias.name}"

    def visit_Call(self, node):
        if last(dotted(node.func)) in ("import_module", "__import__"):
            arguments = dict(zip(("name", "package"), node.args, strict=False))
            arguments |= {word.arg: word.value for word in node.keywords}
            name = _text(arguments.get("name"))
            package = _text(arguments.get("package")) or self.package
            if name:
                name = importlib.util.resolve_name(name, package)
                self.found.append((node.lineno, name))
        self.generic_visit(node)

    def visit_Attribute(self, node):
        # `keras_lstm.train` after `import keras_lstm.core.options`.
        name = dotted(node)
        if name.partition(".")[0] == self.package.partition(".")[0]:
            self.found.append((node.lineno, name))
        else:
            self.generic_visit(node)


def _text(node):
    """Return the value of a literal string, else an empty string."""
    value = getattr(node, "value", None)
    return value if isinstance(value, str) else ""


def imported_modules(root):
    """Return, by module, which of the package it imports.

    Each is a dictionary from the imported module to the line and the full
    name of the first such import. Stubs count with their modules: their lines
    are imports that happen later. Importing `a.b` counts as no import of `a`,
    whose file only lists names.
    """
    modules = read_modules(root, (".py", ".pyi"))
    graph = {module.name: {} for module in modules}
    for module in modules:
        for line, name in module.imports:
            if name.partition(".")[0] == root.name:
                imported = name
                while imported not in graph and "." in imported:
                    imported = imported.rpartition(".")[0]
                graph[module.name].setdefault(imported, (line, name))
    return graph


def shortest_chains(graph, start):
    """Return, by module, the shortest chain of imports that leads to it."""
    chains = {start: [start]}
    waiting = [start]
    for name in waiting:
        for imported in graph.get(name, ()):
            if imported not in chains:
                chains[imported] = [*chains[name], imported]
                waiting.append(imported)
    return chains


def listed_names(module):
    """Return the names that a namespace lists, and what else it has.

    The names are pairs with the full names of the modules that they are from.
    In a stub there may be nothing but its docstring and such lines.
    """
    names, others = [], []
    for node in module.tree.body:
        is_list = isinstance(node, ast.ImportFrom) and all(
            alias.name == alias.asname for alias in node.names
        )
        if is_list:
            names += [
                (alias.name, module.origins[alias.name].rpartition(".")[0])
                for alias in node.names
            ]
        elif module.path.suffix == ".pyi" and not isinstance(node, ast.Expr):
            others.append(
                f"{module.path.name} of {module.name}, line {node.lineno}, is "
                "not of the form `from .module import Name as Name`"
            )
    return names, others


def defined_names(module):
    """Return what a module defines itself, at its top level."""
    names = set()
    waiting = list(module.tree.body) if module else []
    for node in waiting:
        if isinstance(node, (ast.ClassDef, *FUNCTIONS)):
            names.add(node.name)
        elif isinstance(node, ast.Name):
            if isinstance(node.ctx, ast.Store):
                names.add(node.id)
        else:
            waiting += ast.iter_child_nodes(node)
    return names
