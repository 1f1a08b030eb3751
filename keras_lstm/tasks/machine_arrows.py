"""Arrows of a finite-state machine, and what they lead to."""

import dataclasses
import itertools
from collections.abc import Hashable, Iterable, Mapping

from keras_lstm.core.errors import InputError

# Outputs of an acceptor, and of what is undefined.
REJECT, ACCEPT = "reject", "accept"
UNDEFINED = "undefined"


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


def by_state_and_symbol(
    arrows: Iterable[Arrow],
) -> dict[tuple[str, str], Arrow]:
    """Return the arrows by state and symbol.

    Args:
        arrows: the arrows.

    Raises:
        MachineError: if there are two for a state and a symbol.
    """
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


def complete(
    found: dict[tuple[str, str], Arrow],
    names: list[str],
    symbols: list[str],
    undefined: str,
) -> list[str]:
    """Add the missing arrows, and a state to lead to.

    Args:
        found: the arrows by state and symbol; missing ones are added.
        names: the states; a sink is added.
        symbols: the symbols.
        undefined: see `make_table`.

    Returns:
        What was done, as lines.

    Raises:
        MachineError: if one is missing and `undefined` is "refuse".
    """
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


def reachable(
    start: str, symbols: list[str], arrows: Mapping[tuple[str, str], Arrow]
) -> list[str]:
    """Return the states that the start reaches, nearest first.

    Args:
        start: the start state.
        symbols: the symbols.
        arrows: the arrows by state and symbol; some may be missing.
    """
    reached = [start]
    known = {start}
    for state in reached:
        for symbol in symbols:
            arrow = arrows.get((state, symbol))
            if arrow is not None and arrow.end not in known:
                known.add(arrow.end)
                reached.append(arrow.end)
    return reached


def equivalent(
    states: list[str],
    symbols: list[str],
    arrows: Mapping[tuple[str, str], Arrow],
) -> list[list[str]]:
    """Return the states that no sequence tells apart, by Moore's algorithm.

    Args:
        states: the states.
        symbols: the symbols.
        arrows: the arrows by state and symbol, without a gap.

    Returns:
        Lists of states, in the order of their first ones.
    """
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


def listed(names: Iterable[str], most: int = 8) -> str:
    """Return names for a message: the first few, and how many are left.

    Args:
        names: the names.
        most: number of names to show.
    """
    names = list(names)
    shown_names = ", ".join(f"`{name}`" for name in names[:most])
    left = len(names) - most
    return f"{shown_names} and {left:,} more" if left > 0 else shown_names
