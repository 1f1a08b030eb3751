"""Finite-state machines: from arrows to tables, and to text and back."""

import dataclasses
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any

from keras_lstm.core.errors import shown
from keras_lstm.core.yaml_text import parse_yaml, write_yaml
from keras_lstm.tasks.machine_arrows import (
    ACCEPT,
    REJECT,
    Arrow,
    MachineError,
    by_state_and_symbol,
    complete,
    equivalent,
    listed,
    reachable,
)

MAX_SYMBOLS = 1024
# A configuration holds the machine as text.
_MAX_ARROWS, _MAX_BYTES = 2000, 50_000
_KEYS = ("name", "source", "start", "states", "accepting", "outputs")


@dataclasses.dataclass(frozen=True)
class MachineTable:
    """A minimal Mealy machine with names; state 0 is the start.

    Args:
        name: its name; empty for none.
        source: where it is from; empty for unknown.
        states: names of the states.
        symbols: names of the input symbols.
        outputs: names of the output symbols.
        next_state: the next state, by state and symbol.
        output: the output symbol, by state and symbol.
        remarks: what was done to make it minimal and complete.
    """

    name: str
    source: str
    states: tuple[str, ...]
    symbols: tuple[str, ...]
    outputs: tuple[str, ...]
    next_state: tuple[tuple[int, ...], ...]
    output: tuple[tuple[int, ...], ...]
    remarks: tuple[str, ...] = dataclasses.field(default=(), compare=False)

    def to_text(self) -> str:
        """Return the table as YAML, which `parse_table` reads."""
        states = {
            state: {
                symbol: f"{self.states[end]} / {self.outputs[written]}"
                for symbol, end, written in zip(
                    self.symbols, ends, outputs, strict=True
                )
            }
            for state, ends, outputs in zip(
                self.states, self.next_state, self.output, strict=True
            )
        }
        named = {"name": self.name, "source": self.source}
        content: dict[str, Any] = {
            key: text for key, text in named.items() if text
        }
        content |= {"start": self.states[0], "states": states}
        return write_yaml(content)


def make_table(
    arrows: Iterable[Arrow],
    start: str,
    *,
    states: Iterable[str] = (),
    undefined: str = "refuse",
    name: str = "",
    source: str = "",
) -> MachineTable:
    """Make a minimal machine of arrows.

    Args:
        arrows: the transitions.
        start: the start state.
        states: names of further states, which have no arrows.
        undefined: what to do if an arrow is missing: "refuse" it, or lead it
            to a "sink", where the output is `UNDEFINED` for ever, or `REJECT`
            if that is an output.
        name: name of the machine.
        source: where it is from.

    Returns:
        The machine. States that cannot be reached are dropped, and states
        that no sequence tells apart are merged.

    Raises:
        MachineError: if there are two arrows for a state and a symbol, one is
            missing, there is no start, or there are fewer than two symbols or
            outputs, or too many.
    """
    arrows = list(arrows)
    symbols = list(dict.fromkeys(arrow.symbol for arrow in arrows))
    names = list(dict.fromkeys([*states, *(x.start for x in arrows)]))
    names = list(dict.fromkeys([*names, *(arrow.end for arrow in arrows)]))
    _check_names(arrows, names)
    _check_sizes(names, symbols)
    if start not in names:
        raise MachineError(f"a start state that exists: {listed(names)}", start)
    found = by_state_and_symbol(arrows)
    reached = reachable(start, symbols, found)
    left = [name for name in names if name not in reached]
    remarks = complete(found, reached, symbols, undefined)
    if left:
        remarks.append(f"dropped what the start does not reach: {listed(left)}")
    classes = equivalent(reached, symbols, found)
    merged = [group for group in classes if len(group) > 1]
    if merged:
        remarks.append(
            "merged states that no sequence tells apart: "
            + "; ".join(listed(group) for group in merged)
        )
    index = {state: i for i, group in enumerate(classes) for state in group}
    rows = [[found[group[0], x] for x in symbols] for group in classes]
    outputs = list(dict.fromkeys(each.output for row in rows for each in row))
    if len(outputs) < 2:
        raise MachineError(
            "at least two different outputs that can be reached",
            f"{listed(outputs)} only",
        )
    table = MachineTable(
        name,
        source,
        tuple(group[0] for group in classes),
        tuple(symbols),
        tuple(outputs),
        tuple(tuple(index[each.end] for each in row) for row in rows),
        tuple(
            tuple(outputs.index(each.output) for each in row) for row in rows
        ),
        tuple(remarks),
    )
    size = len(table.to_text().encode())
    if size > _MAX_BYTES:
        raise MachineError(
            f"at most {_MAX_BYTES:,} bytes as a table", f"{size:,}"
        )
    return table


def explore(
    name: str,
    source: str,
    start: Hashable,
    symbols: Sequence[str],
    step: Callable[[Any, str], tuple[Any, Any]],
) -> MachineTable:
    """Make a machine of a function.

    Args:
        name: name of the machine.
        source: where it is from.
        start: the start state.
        symbols: names of the symbols.
        step: returns the next state and the output for a state and a symbol;
            a truth value is `ACCEPT` or `REJECT`.

    Returns:
        The machine, whose states are all that `step` reaches.
    """
    arrows, left, seen = [], [start], {start}
    while left:
        state = left.pop(0)
        for symbol in symbols:
            after, output = step(state, symbol)
            if isinstance(output, bool):
                output = ACCEPT if output else REJECT
            arrows.append(
                Arrow(str(state), symbol, str(after), str(output), name)
            )
            if after not in seen:
                seen.add(after)
                left.append(after)
    return make_table(arrows, str(start), name=name, source=source)


def parse_table(
    text: str, what: str = "machine", undefined: str = "refuse"
) -> MachineTable:
    """Parse a machine written as a YAML table.

    Args:
        text: the table: `states` maps each state to a mapping from symbols to
            "next state / output". With `accepting`, a list of states, or
            `outputs`, the output of each state, it is "next state", and the
            output after a symbol is that of the next state. `start` is the
            first state if it is not given; `name` and `source` are texts.
        what: name of the text, for error messages.
        undefined: as for `make_table`.

    Returns:
        The machine.

    Raises:
        MachineError: if the text is no such table.
        InputError: if it is no YAML.

    Example:

    >>> table = parse_table("states: {even: {a: even / 0, b: odd / 1}, "
    ...                     "odd: {a: odd / 1, b: even / 0}}")
    >>> table.states, table.next_state
    (('even', 'odd'), ((0, 1), (1, 0)))
    """
    content = parse_yaml(text, what, as_text=True)
    if not isinstance(content, Mapping):
        raise MachineError("a YAML mapping with `states`", shown(content))
    for key in content:
        if key not in _KEYS:
            raise MachineError(
                f"a mapping with the keys {listed(_KEYS)}", f"{key}"
            )
    states = content.get("states")
    if not isinstance(states, Mapping) or not states:
        raise MachineError("a mapping `states`, of at least one", shown(states))
    names = [_text(key) for key in states]
    known = set(names)
    of_states = _outputs_of_states(content, names)
    arrows = []
    for state, row in zip(names, states.values(), strict=True):
        place = f"state `{state}`"
        if not isinstance(row, Mapping):
            raise MachineError(
                f"a mapping from symbols for {place}", shown(row)
            )
        for symbol, target in row.items():
            end, slash, output = _text(target).rpartition(" / ")
            if of_states is not None:
                end = _text(target)
            elif not slash:
                raise MachineError(
                    f'"next state / output" for `{_text(symbol)}` in {place} '
                    "(or give `accepting` or `outputs`)",
                    shown(target),
                )
            if end not in known:
                raise MachineError(
                    f"names of states in {place}", f"`{end}`, which is none"
                )
            if of_states is not None:
                output = of_states[end]
            arrows.append(Arrow(state, _text(symbol), end, output, place))
    return make_table(
        arrows,
        _text(content.get("start", names[0])),
        states=names,
        undefined=undefined,
        name=_text(content.get("name", "")),
        source=_text(content.get("source", "")),
    )


def _outputs_of_states(
    content: Mapping[str, Any], states: list[str]
) -> dict[str, str] | None:
    """Return the output of each state; None if arrows have the outputs."""
    accepting, outputs = content.get("accepting"), content.get("outputs")
    if accepting is not None and outputs is not None:
        raise MachineError("a mapping with `accepting` or `outputs`", "both")
    if accepting is not None:
        if not isinstance(accepting, list):
            raise MachineError("a list `accepting` of states", shown(accepting))
        outputs = dict.fromkeys(states, REJECT)
        outputs |= {_text(state): ACCEPT for state in accepting}
    if outputs is None:
        return None
    if not isinstance(outputs, Mapping):
        raise MachineError("a mapping `outputs` by state", shown(outputs))
    found = {_text(state): _text(output) for state, output in outputs.items()}
    if set(found) != set(states):
        odd = sorted(set(found) ^ set(states))
        raise MachineError("one output for each state", f"`{odd[0]}`")
    return found


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise MachineError("names that are text or numbers", shown(value))
    return value


def _check_names(arrows: list[Arrow], states: list[str]) -> None:
    """Refuse names that could not be told apart, or read back."""
    for arrow in arrows:
        for name in (arrow.symbol, arrow.output):
            if name.split() != [name] or not name.isprintable():
                raise MachineError(
                    "symbols and outputs of printable characters, without "
                    "spaces",
                    f"{arrow.place}: `{name}`",
                )
    for name in states:
        if name != name.strip() or not name.isprintable() or " / " in name:
            raise MachineError(
                "states named by printable characters, without ` / `",
                f"`{name}`",
            )


def _check_sizes(states: list[str], symbols: list[str]) -> None:
    if len(symbols) < 2:
        raise MachineError("at least two symbols", listed(symbols) or "none")
    if len(states) * len(symbols) > _MAX_ARROWS:
        raise MachineError(
            f"at most {_MAX_ARROWS:,} arrows",
            f"{len(states):,} states and {len(symbols):,} symbols",
        )
