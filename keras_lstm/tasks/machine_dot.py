"""Finite-state machines written as Graphviz files."""

import pathlib

from keras_lstm.core.errors import InputError
from keras_lstm.core.files import check_writable
from keras_lstm.tasks.transducer import TransducerTask

SUFFIXES = (".dot", ".gv")


def check_dot_path(path: pathlib.Path) -> None:
    """Refuse a path to which no Graphviz file can be written.

    Args:
        path: the path.

    Raises:
        InputError: if it does not end in .dot or .gv, exists, or its folder
            does not.
        PermissionError: if its folder cannot be written to.
    """
    for is_kept, rule in (
        (path.suffix.lower() in SUFFIXES, "end in .dot or .gv"),
        (not path.exists(), "not exist yet"),
        (path.parent.is_dir(), "be in a folder that exists"),
    ):
        if not is_kept:
            raise InputError(f"`output` must {rule}. Received: output={path}")
    check_writable(path.parent, "output")


def machine_to_dot(task: TransducerTask, name: str = "") -> str:
    """Write a machine as a Graphviz file.

    `read_machine` reads it, and refuses names with a slash or a backslash.

    Args:
        task: the machine.
        name: name of the graph; empty for none.

    Returns:
        The text: a node for each state, an edge "input / output" for each
        state and symbol, and `__start0`, which points at the start state.
    """
    lines = [f"digraph {_quoted(name)} {{" if name else "digraph {"]
    states = [_quoted(task.state_name(i)) for i in range(len(task.next_state))]
    lines += [f"  {state} [shape=circle];" for state in states]
    lines += [
        '  __start0 [label="", shape=none];',
        f"  __start0 -> {states[0]};",
    ]
    for start, ends, outputs in zip(
        states, task.next_state, task.output, strict=True
    ):
        for symbol, (end, output) in enumerate(zip(ends, outputs, strict=True)):
            label = f"{task.symbol_name(symbol)} / {task.output_name(output)}"
            lines.append(
                f"  {start} -> {states[end]} [label={_quoted(label)}];"
            )
    return "\n".join([*lines, "}", ""])


def _quoted(text: str) -> str:
    text = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
