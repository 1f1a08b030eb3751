"""Finite-state machines: from arrows to tables, and to text and back."""

import dataclasses
import itertools
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any

from keras_lstm.core.errors import InputError, shown
from keras_lstm.core.yaml_text import parse_yaml, write_yaml

# Outputs of an acceptor, and of what is undefined.
REJECT, ACCEPT = "reject", "accept"
UNDEFINED = "undefined"
MAX_SYMBOLS = 1024
# A configuration holds the machine as text.
_MAX_ARROWS = 4000
_KEYS = ("name", "source", "start", "states", "accepting", "outputs")


class MachineError(InputError):
    """Raised for what is no machine.

    Args:
        rule: the rule, which follows "must have".
        received: what was received instead, with its place.
    """

    def __init__(self, rule: str, received: str) -> None:
        super().__init__(f"`machine` must have {rule}. Received: {received}")


@dataclasses.dataclass(frozen=True)
class Arrow:
    """A transition of a machine.

    Args:
        start: the state that it leaves.
        symbol: the symbol that is read.
        end: the state that it leads to.
        output: the symbol that is written.
        place: where it was read, such as "line 7", for error messages.
    """

    start: str
    symbol: str
    end: str
    output: str
    place: str


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
    if start not in names:
        raise MachineError(
            f"a start state that exists: {_listed(names)}", start
        )
    _check_sizes(names, symbols)
    found = _by_state_and_symbol(arrows)
    remarks = _complete(found, names, symbols, undefined)
    reached = _reachable(start, symbols, found)
    if len(reached) < len(names):
        left = [name for name in names if name not in reached]
        remarks.append(
            f"dropped what the start does not reach: {_listed(left)}"
        )
    classes = _classes(reached, symbols, found)
    merged = [group for group in classes if len(group) > 1]
    if merged:
        remarks.append(
            "merged states that no sequence tells apart: "
            + "; ".join(_listed(group) for group in merged)
        )
    index = {state: i for i, group in enumerate(classes) for state in group}
    rows = [[found[group[0], x] for x in symbols] for group in classes]
    outputs = list(dict.fromkeys(each.output for row in rows for each in row))
    if len(outputs) < 2:
        raise MachineError(
            "at least two different outputs that can be reached",
            f"{_listed(outputs)} only",
        )
    return MachineTable(
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


def _by_state_and_symbol(
    arrows: Iterable[Arrow],
) -> dict[tuple[str, str], Arrow]:
    found: dict[tuple[str, str], Arrow] = {}
    for arrow in arrows:
        other = found.setdefault((arrow.start, arrow.symbol), arrow)
        if (other.end, other.output) != (arrow.end, arrow.output):
            raise MachineError(
                "one arrow for each state and symbol",
                f"two for `{arrow.symbol}` in state `{arrow.start}` "
                f"({other.place} and {arrow.place})",
            )
    return found


def _complete(
    found: dict[tuple[str, str], Arrow],
    names: list[str],
    symbols: list[str],
    undefined: str,
) -> list[str]:
    """Add the missing arrows, and a state to lead to; return what was done."""
    missing = [(x, y) for x in names for y in symbols if (x, y) not in found]
    if not missing:
        return []
    if undefined == "refuse":
        state, symbol = missing[0]
        raise MachineError(
            "an arrow for each state and symbol (or pass --undefined sink)",
            f"none for `{symbol}` in state `{state}`"
            + (f", and {len(missing) - 1} more" if missing[1:] else ""),
        )
    sink = next(x for x in _free_names("sink") if x not in names)
    written = {arrow.output for arrow in found.values()}
    output = REJECT if REJECT in written else UNDEFINED
    names.append(sink)
    for state, symbol in [*missing, *((sink, x) for x in symbols)]:
        found[state, symbol] = Arrow(state, symbol, sink, output, "")
    lead = "arrow leads" if len(missing) == 1 else "arrows lead"
    return [
        f"{len(missing):,} missing {lead} to `{sink}`, which writes `{output}`"
    ]


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
    content = parse_yaml(text, what)
    if not isinstance(content, Mapping):
        raise MachineError("a YAML mapping with `states`", shown(content))
    for key in content:
        if key not in _KEYS:
            raise MachineError(
                f"a mapping with the keys {_listed(_KEYS)}", f"{key}"
            )
    states = content.get("states")
    if not isinstance(states, Mapping) or not states:
        raise MachineError("a mapping `states`, of at least one", shown(states))
    of_states = _outputs_of_states(content, [_text(key) for key in states])
    arrows = []
    for state, row in states.items():
        if not isinstance(row, Mapping):
            raise MachineError(
                f"a mapping from symbols for state `{_text(state)}`",
                shown(row),
            )
        for symbol, target in row.items():
            end, slash, output = _text(target).rpartition(" / ")
            place = f"state `{_text(state)}`"
            if of_states is not None:
                end = _text(target)
                if end not in of_states:
                    raise MachineError(
                        f"names of states in {place}", f"`{end}`, which is none"
                    )
                output = of_states[end]
            elif not slash:
                raise MachineError(
                    f'"next state / output" for `{_text(symbol)}` in {place} '
                    "(or give `accepting` or `outputs`)",
                    shown(_text(target)),
                )
            elif end not in map(_text, states):
                raise MachineError(
                    f"names of states in {place}", f"`{end}`, which is none"
                )
            arrows.append(
                Arrow(_text(state), _text(symbol), end, output, place)
            )
    return make_table(
        arrows,
        _text(content.get("start", next(iter(states)))),
        states=map(_text, states),
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
    """Return a name: YAML reads 0, 1.5, yes and null as other types."""
    if isinstance(value, bool):
        raise MachineError(
            "names that YAML reads as text: quote yes, no, true, false, on and "
            "off",
            str(value),
        )
    if not isinstance(value, str | int | float):
        raise MachineError("names that are text or numbers", shown(value))
    return str(value)


def _check_sizes(states: list[str], symbols: list[str]) -> None:
    if len(symbols) < 2:
        raise MachineError("at least two symbols", _listed(symbols) or "none")
    if len(states) * len(symbols) > _MAX_ARROWS:
        raise MachineError(
            f"at most {_MAX_ARROWS:,} arrows",
            f"{len(states):,} states and {len(symbols):,} symbols",
        )
    for symbol in symbols:
        if not symbol or len(symbol.split()) != 1 or not symbol.isprintable():
            raise MachineError("symbols without spaces", f"symbol `{symbol}`")


def _reachable(
    start: str, symbols: list[str], arrows: Mapping[tuple[str, str], Arrow]
) -> list[str]:
    """Return the states that the start reaches, nearest first."""
    reached = [start]
    known = {start}
    for state in reached:
        for symbol in symbols:
            end = arrows[state, symbol].end
            if end not in known:
                known.add(end)
                reached.append(end)
    return reached


def _classes(
    states: list[str],
    symbols: list[str],
    arrows: Mapping[tuple[str, str], Arrow],
) -> list[list[str]]:
    """Return the states that no sequence tells apart, by Moore's algorithm."""
    groups = {
        state: tuple(arrows[state, x].output for x in symbols)
        for state in states
    }
    numbers = _numbered(groups, states)
    while True:
        refined = {
            state: (
                numbers[state],
                *(numbers[arrows[state, x].end] for x in symbols),
            )
            for state in states
        }
        after = _numbered(refined, states)
        if len(set(after.values())) == len(set(numbers.values())):
            break
        numbers = after
    classes: dict[int, list[str]] = {}
    for state in states:
        classes.setdefault(numbers[state], []).append(state)
    return list(classes.values())


def _numbered(
    groups: Mapping[str, Hashable], states: list[str]
) -> dict[str, int]:
    numbers: dict[Hashable, int] = {}
    return {x: numbers.setdefault(groups[x], len(numbers)) for x in states}


def _free_names(name: str) -> Iterable[str]:
    yield name
    for number in itertools.count(2):
        yield f"{name}{number}"


def _listed(names: Iterable[str], most: int = 8) -> str:
    names = list(names)
    shown_names = ", ".join(f"`{name}`" for name in names[:most])
    left = len(names) - most
    return f"{shown_names} and {left:,} more" if left > 0 else shown_names
