"""Finite-state machines from Graphviz files, regular expressions and YAML."""

import dataclasses
import itertools
import pathlib
import re
from collections.abc import Iterable, Mapping

from keras_lstm.core.errors import InputError, escaped, shown
from keras_lstm.core.files import decode_small, open_regular
from keras_lstm.tasks.machine_arrows import ACCEPT, REJECT, Arrow, MachineError
from keras_lstm.tasks.machine_library import MACHINES
from keras_lstm.tasks.machine_regex import PREFIX, machine_of_regex
from keras_lstm.tasks.machine_table import (
    MachineTable,
    make_table,
    parse_table,
)

# Parsing takes seconds for each MB.
_MAX_FILE = 400_000
_DOT, _YAML = (".dot", ".gv"), (".yaml", ".yml")
# Shapes of states that do not accept.
_PLAIN = ("circle", "ellipse", "oval", "box", "rect", "rectangle", "none")
# LearnLib and AALpy point at the start state from this node.
_START = re.compile(r"__start\d*")
# The DOT language, https://graphviz.org/doc/info/lang.html, without HTML and
# ports, which no machine has.
_GRAMMAR = r"""
graph: "strict"i? KIND ID? "{" statement* "}"
statement: (edge | node | assignment | defaults | subgraph) ";"?
edge: ID (ARROW ID)+ attributes*
node: ID attributes*
assignment: ID "=" ID
defaults: DEFAULTS attributes+
subgraph: ("subgraph"i ID?)? "{" statement* "}"
attributes: "[" (ID "=" ID (";" | ",")?)* "]"
KIND.2: "digraph"i | "graph"i
DEFAULTS.2: /(graph|node|edge)(?=\s*\[)/i
ARROW: "->" | "--"
ID: /[^\W\d]\w*/ | /-?(\.\d+|\d+(\.\d*)?)/ | /"(\\.|[^"\\])*"/s
COMMENT: /\/\/[^\n]*/ | /\/\*.*?\*\//s | /^#[^\n]*/m
%import common.WS
%ignore WS
%ignore COMMENT
"""


def is_machine(name: str) -> bool:
    """Return whether a task's name stands for a machine to read.

    Args:
        name: "regex:" and an expression, a path that ends in .dot, .gv, .yaml
            or .yml, or a name of the library.
    """
    suffix = pathlib.PurePath(name).suffix.lower()
    return (
        name.startswith(PREFIX) or suffix in (*_DOT, *_YAML) or name in MACHINES
    )


def read_machine(name: str, undefined: str = "refuse") -> MachineTable:
    """Read a machine.

    Args:
        name: see `is_machine`.
        undefined: what to do if an arrow is missing, see `make_table`.

    Returns:
        The machine, minimal.

    Raises:
        InputError: if there is no such file, or it holds no machine.
    """
    if name.startswith(PREFIX) or name in MACHINES:
        if undefined != "refuse":
            raise InputError(
                "`undefined` is for files, whose arrows may be missing. "
                f"Received: undefined={undefined}, {shown(name)}"
            )
        if name in MACHINES:
            return MACHINES[name]()
        return machine_of_regex(name.removeprefix(PREFIX))
    path = pathlib.Path(name)
    try:
        with open_regular(path) as file:
            text = decode_small(file, path, _MAX_FILE)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"`machine` must be a readable file. Received: {shown(str(error))}"
        ) from None
    text, stem = text.removeprefix("\ufeff"), escaped(path.stem)
    if path.suffix.lower() not in _YAML:
        return machine_of_dot(text, stem, undefined)
    table = parse_table(text, escaped(path.name), undefined)
    return dataclasses.replace(table, name=table.name or stem)


def machine_of_dot(
    text: str, name: str = "", undefined: str = "refuse"
) -> MachineTable:
    """Read a machine as AALpy and LearnLib write it for Graphviz.

    Args:
        text: a directed graph. Labels of a Mealy machine's edges are "input /
            output"; those of other machines are the input. The output of a
            Moore machine's state follows "|" or " / " in its label. The
            accepting states of an acceptor have a double circle. An edge from
            the node `__start0` leads to the start state.
        name: name of the machine.
        undefined: see `make_table`.

    Returns:
        The machine.

    Raises:
        MachineError: if the text is no such graph; the message names the line.
    """
    nodes, edges = _parse_dot(text)
    starts = [edge for edge in edges if _START.fullmatch(edge.start)]
    arrows = [edge for edge in edges if not _START.fullmatch(edge.start)]
    if len({edge.end for edge in starts}) != 1:
        raise MachineError(
            "one edge from `__start0` to the start state",
            ", ".join(f"{x.place}: to `{x.end}`" for x in starts) or "none",
        )
    states = [
        *(node for node in nodes if not _START.fullmatch(node)),
        *(edge.end for edge in edges),
    ]
    outputs = _outputs_of_nodes(nodes, dict.fromkeys(states))
    has_outputs = any(output != REJECT for output in outputs.values())
    with_output = [edge for edge in arrows if "/" in edge.symbol]
    if with_output and not has_outputs:
        arrows = [_split(edge) for edge in arrows]
    elif arrows and len(with_output) == len(arrows):
        raise MachineError(
            "outputs either in labels or in states",
            f"both: {arrows[0].place}: `{arrows[0].symbol}`",
        )
    else:
        arrows = [
            Arrow(x.start, x.symbol, x.end, outputs[x.end], x.place)
            for x in arrows
        ]
    return make_table(
        arrows, starts[0].end, states=states, undefined=undefined, name=name
    )


def _split(edge: Arrow) -> Arrow:
    symbol, _, output = (part.strip() for part in edge.symbol.partition("/"))
    if not symbol or not output:
        raise MachineError(
            "labels like `input / output`", f"{edge.place}: `{edge.symbol}`"
        )
    return Arrow(edge.start, symbol, edge.end, output, edge.place)


def _outputs_of_nodes(
    nodes: Mapping[str, Mapping[str, str]], states: Iterable[str]
) -> dict[str, str]:
    """Return the output of each state of a Moore machine or an acceptor."""
    found: dict[str, str] = {}
    moore: set[str] = set()
    shapes = (*_PLAIN, "doublecircle", "record", "mrecord", "")
    for state in states:
        node = nodes.get(state, {})
        shape = node.get("shape", "").lower()
        accepts = shape == "doublecircle" or node.get("peripheries") == "2"
        if shape not in shapes:
            raise MachineError(
                "states of the shapes circle, doublecircle or record",
                f"{node['place']}: `{state}` of shape `{shape}`",
            )
        label = node.get("label", "").strip()
        if label.startswith("{") and label.endswith("}"):
            label = label[1:-1]
        # AALpy separates the name and the output by a bar, LearnLib by a slash.
        parts = [part.strip() for part in re.split(r"\||\s/\s", label)]
        if len(parts) == 1:
            found[state] = ACCEPT if accepts else REJECT
            continue
        if len(parts) != 2 or accepts or re.search(r"[{}\\]", label):
            raise MachineError(
                "states whose label is `name | output`, or that accept",
                f"{node['place']}: `{state}` of label `{label}`",
            )
        moore.add(state)
        found[state] = parts[1]
    if moore and len(moore) < len(found):
        odd = next(state for state in found if state not in moore)
        raise MachineError("an output for every state", f"none for `{odd}`")
    return found


def _parse_dot(
    text: str,
) -> tuple[dict[str, dict[str, str]], list[Arrow]]:
    """Return the attributes of nodes, with their `place`, and the edges."""
    # Most commands read no machine.
    import lark

    parser = lark.Lark(
        _GRAMMAR, start="graph", parser="lalr", propagate_positions=True
    )
    try:
        tree = parser.parse(text)
    except lark.exceptions.UnexpectedInput as error:
        raise MachineError(
            "a graph in the DOT language",
            f"line {max(error.line, 1)}, column {max(error.column, 1)}: "
            f"{shown(error.get_context(text, 20).splitlines()[0].strip())}",
        ) from None
    kind = next(x for x in tree.children if isinstance(x, lark.Token))
    if kind.lower() != "digraph":
        raise MachineError("a directed graph, `digraph`", f"{kind}")
    nodes: dict[str, dict[str, str]] = {}
    edges: list[Arrow] = []
    for statement in tree.iter_subtrees_topdown():
        if statement.data not in ("node", "edge", "defaults"):
            continue
        place = f"line {statement.meta.line}"
        names: list[str] = []
        attributes: dict[str, str] = {}
        for child in statement.children:
            if isinstance(child, lark.Token):
                if child.type == "ID":
                    names.append(_unquoted(child))
                if child == "--":
                    raise MachineError("directed edges, `->`", place)
                continue
            pairs = [_unquoted(each) for each in child.children]
            attributes |= zip(pairs[::2], pairs[1::2], strict=True)
        if statement.data == "defaults":
            if (
                "label" in attributes
                or "peripheries" in attributes
                or (attributes.get("shape", "circle") not in _PLAIN)
            ):
                raise MachineError(
                    "labels and shapes at each state and edge, not as defaults",
                    place,
                )
            continue
        if statement.data == "node":
            node = nodes.setdefault(names[0], {"place": place})
            node |= attributes
            continue
        label = attributes.get("label", "").strip()
        if "\\" in label:
            raise MachineError(
                "one label for each edge, without escapes",
                f"{place}: `{label}`",
            )
        for start, end in itertools.pairwise(names):
            if not label and not _START.fullmatch(start):
                raise MachineError(
                    "a label on every edge",
                    f"{place}: none from `{start}` to `{end}`",
                )
            edges.append(Arrow(start, label, end, "", place))
    return nodes, edges


def _unquoted(token: str) -> str:
    if token.startswith('"'):
        return re.sub(r'\\(["\\])', r"\1", token[1:-1])
    return str(token)
