"""Finds code that asks for the class of an object, for tests/house.py."""

import ast

from house_source import dotted, last

# What puts classes together.
_COMPOUNDS = (
    ast.BinOp,
    ast.IfExp,
    ast.List,
    ast.Set,
    ast.Starred,
    ast.Subscript,
    ast.Tuple,
)


def find_type_checks(homes, others, base):
    """Return where modules ask for a class that their homes define.

    Meant are `isinstance` and `issubclass`, `cast`, comparisons of `type(x)`
    and class patterns, with a class that is `base` or derives from it, alone,
    in a union, in a tuple, or by another name in that file.

    Args:
        homes: the modules that define the classes, and may ask.
        others: the modules that may not.
        base: the name of the base class.
    """
    classes = _derived_classes(homes, base)
    if not classes:
        return [f"there is no class {base}, so none is asked for"]
    found = []
    for module in others:
        classes_here = _Classes(module, classes)
        asked = {
            (node.lineno, name)
            for node in ast.walk(module.tree)
            for each in _compared_types(node, module.origins)
            for name in classes_here.among(each)
        }
        found += [
            f"{module.name}, line {line}, asks for {name}"
            for line, name in sorted(asked)
        ]
    return found


def _derived_classes(modules, base):
    """Return the names of a class and all that derive from it."""
    bases = {
        node.name: [
            last(_full_name(_without_subscript(each), module.origins))
            for each in node.bases
        ]
        for module in modules
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ClassDef)
    }
    derived = {base} & {*bases}
    while more := {
        name
        for name in bases
        if name not in derived and derived & {*bases[name]}
    }:
        derived |= more
    return derived


def _without_subscript(node):
    return node.value if isinstance(node, ast.Subscript) else node


def _full_name(node, origins):
    """Return the dotted name of an expression, its first part resolved."""
    first, dot, rest = dotted(node).partition(".")
    return origins.get(first, first) + dot + rest


def _compared_types(node, origins):
    """Return the expressions that say which class a node asks for."""
    if isinstance(node, ast.Call):
        called = last(_full_name(node.func, origins))
        if called in ("isinstance", "issubclass"):
            return node.args[1:]
        if called == "cast":
            named = [word.value for word in node.keywords if word.arg == "typ"]
            return node.args[:1] + named
    elif isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        others = [side for side in sides if not _is_type_of(side)]
        return others if len(others) < len(sides) else []
    elif isinstance(node, ast.MatchClass):
        return [node.cls]
    return []


def _is_type_of(node):
    """Whether an expression is `type(x)` or `x.__class__`."""
    if isinstance(node, ast.Call):
        return dotted(node.func) == "type" and len(node.args) == 1
    return isinstance(node, ast.Attribute) and node.attr == "__class__"


class _Classes:
    """Which expressions of a module name one of some classes."""

    def __init__(self, module, classes):
        self.module = module
        self.package = module.name.partition(".")[0]
        self.classes = classes
        # A class of this module may have the name of a task.
        self.own = {
            node.name
            for node in ast.walk(module.tree)
            if isinstance(node, ast.ClassDef)
        }
        self.aliases = {}
        assigned = [
            (target.id, node.value)
            for node in ast.walk(module.tree)
            if isinstance(node, (ast.Assign, ast.AnnAssign, ast.NamedExpr))
            for target in getattr(node, "targets", [getattr(node, "target", 0)])
            if isinstance(target, ast.Name) and node.value is not None
        ]
        # An alias may be of another that stands further down.
        for _ in assigned:
            for name, value in assigned:
                if name not in self.aliases and (meant := self.among(value)):
                    self.aliases[name] = meant

    def among(self, node):
        """Return the classes that an expression names."""
        if isinstance(node, (ast.Name, ast.Attribute)):
            return self._meant(node)
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            try:
                return self.among(ast.parse(node.value, mode="eval").body)
            except SyntaxError:
                return []
        if isinstance(node, _COMPOUNDS):
            return [
                name
                for child in ast.iter_child_nodes(node)
                for name in self.among(child)
            ]
        return []

    def _meant(self, node):
        name = dotted(node)
        if name in self.aliases:
            return self.aliases[name]
        full_name = _full_name(node, self.module.origins)
        is_imported = name.partition(".")[0] in self.module.origins
        if last(full_name) not in self.classes or (
            not full_name.startswith(f"{self.package}.")
            if is_imported
            else name in self.own
        ):
            return []
        return [last(full_name)]
