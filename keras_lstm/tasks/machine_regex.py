"""Finite-state machines of regular expressions.

greenery parses. The machine is made here, since greenery's own conversion has
no bound: `[ab]*a[ab]{n}` needs 2^n states.
"""

import itertools
import re
from collections.abc import Iterator
from typing import Any

from keras_lstm.core.errors import shown
from keras_lstm.tasks.machine_arrows import (
    ACCEPT,
    REJECT,
    Arrow,
    MachineError,
    by_state_and_symbol,
    equivalent,
    reachable,
)
from keras_lstm.tasks.machine_table import (
    MAX_SYMBOLS,
    MachineTable,
    make_table,
)

PREFIX = "regex:"
# Symbol for all characters that an expression does not name.
_OTHER = "other"
# Bounds on the time that a machine takes, before it is minimal.
_MAX_LENGTH, _MAX_PLACES, _MAX_ARROWS = 2_000, 1_000, 10_000


class _Places:
    """The places of an expression's characters, and which may follow which.

    Sets of places are integers, with a bit for each. Place 0 is before
    the first.

    Args:
        pattern: the expression, as greenery parses it.
    """

    def __init__(self, pattern: Any) -> None:
        self.characters: list[Any] = []
        self.followers = [0]
        first, self.last, _ = self._add(pattern)
        self.followers[0] = first

    def _add(self, node: Any) -> tuple[int, int, bool]:
        """Add the places of a part of the expression.

        Returns:
            Those it may begin with, those it may end with, and whether it may
            be empty.
        """
        if hasattr(node, "concs"):
            first, last, empty = 0, 0, False
            for each in node.concs:
                one = self._chain(each.mults)
                first, last = first | one[0], last | one[1]
                empty = empty or one[2]
            return first, last, empty
        place = 1 << len(self.followers)
        self.characters.append(node)
        self.followers.append(0)
        return place, place, False

    def _chain(self, mults: Any) -> tuple[int, int, bool]:
        first, last, empty = 0, 0, True
        for mult in mults:
            least, most = mult.multiplier.min.v, mult.multiplier.max.v
            for copy in range(max(least, 1) if most is None else most):
                one = self._add(mult.multiplicand)
                self._connect(last, one[0])
                may_be_empty = one[2] or copy >= least
                first |= one[0] if empty else 0
                last = one[1] | (last if may_be_empty else 0)
                empty = empty and may_be_empty
            if most is None:
                # The last copy may follow itself.
                self._connect(one[1], one[0])
        return first, last, empty

    def _connect(self, last: int, first: int) -> None:
        for place in _members(last):
            self.followers[place] |= first


def _members(places: int) -> Iterator[int]:
    while places:
        place = places.bit_length() - 1
        yield place
        places ^= 1 << place


def _num_places(node: Any) -> int:
    """Return a bound on the number of places, and on the time to add them."""
    if not hasattr(node, "concs"):
        return 1
    total = 0
    for mult in (mult for conc in node.concs for mult in conc.mults):
        least, most = mult.multiplier.min.v, mult.multiplier.max.v
        copies = max(least, 1) if most is None else most
        total += max(copies, 1) * max(_num_places(mult.multiplicand), 1)
    return total


def _alike(classes: list[Any]) -> list[tuple[list[range], int]]:
    """Divide all characters into kinds that are in the same classes.

    Args:
        classes: sets of characters.

    Returns:
        For each kind, ranges of its characters, and the classes that it is in,
        as an integer with a bit for each. The last kind is all characters that
        no class names, and its ranges are not listed.
    """
    toggled: dict[int, int] = {}
    rest = 0
    for i, each in enumerate(classes):
        rest |= each.negated << i
        for first, last in each.ord_ranges:
            for edge in (first, last + 1):
                toggled[edge] = toggled.get(edge, 0) ^ (1 << i)
    found: dict[int, list[range]] = {}
    within, begin = rest, 0
    for edge in sorted(toggled):
        found.setdefault(within, []).append(range(begin, edge))
        within, begin = within ^ toggled[edge], edge
    found.pop(rest, None)
    return [(ranges, within) for within, ranges in found.items()] + [([], rest)]


def _parse(expression: str) -> _Places:
    import greenery

    # Outside of classes, and not escaped.
    plain = re.sub(r"\\.|\[\^?(\\.|[^\]\\])*\]", "", expression)
    received = f"{PREFIX}{shown(expression)}"
    if "^" in plain or "$" in plain:
        raise MachineError(
            "a regular expression without anchors: all that was read is "
            "matched",
            received,
        )
    if len(expression) > _MAX_LENGTH:
        raise MachineError(
            f"a regular expression of at most {_MAX_LENGTH:,} characters",
            f"{len(expression):,}",
        )
    try:
        pattern = greenery.parse(expression)
        number = _num_places(pattern)
    # greenery raises several kinds, also of its parser.
    except Exception as error:
        raise MachineError(
            "a regular expression that greenery reads",
            f"{received} ({shown(str(error))})",
        ) from None
    if number > _MAX_PLACES:
        raise MachineError(
            f"a regular expression of at most {_MAX_PLACES:,} characters, "
            "repetitions written out",
            received,
        )
    return _Places(pattern)


def _arrows(places: _Places, kinds: list[int], expression: str) -> list[Arrow]:
    """Return arrows between the sets of places that can be reached.

    Args:
        places: the places of the expression.
        kinds: the places where characters of each kind may be.
        expression: the expression, for the error message.

    Returns:
        The arrows. Sets of places and kinds of characters are named by numbers,
        and the start is "0".

    Raises:
        MachineError: if there are too many.
    """
    start = 1
    names, states = {start: "0"}, [start]
    found: list[Arrow] = []
    for state in states:
        reached = 0
        for place in _members(state):
            reached |= places.followers[place]
        for kind, allowed in enumerate(kinds):
            after = reached & allowed
            if after not in names:
                names[after] = f"{len(names)}"
                states.append(after)
            answer = ACCEPT if after & places.last else REJECT
            found.append(
                Arrow(names[state], f"{kind}", names[after], answer, "")
            )
        if len(found) > _MAX_ARROWS:
            raise MachineError(
                f"a regular expression of at most {_MAX_ARROWS:,} arrows "
                "before states are merged",
                f"{PREFIX}{shown(expression)}",
            )
    return found


def machine_of_regex(expression: str) -> MachineTable:
    """Make an acceptor of a regular expression.

    Args:
        expression: the expression, of whole sequences, without anchors.

    Returns:
        The machine that says after each character whether all that was read
        matches. Its symbols are the characters that the expression names, and
        `other` for all others, if they may match.

    Raises:
        MachineError: if the text is no regular expression, names fewer than
            two characters or too many, or needs too large a machine.
    """
    places = _parse(expression)
    classes = list(dict.fromkeys(places.characters))
    of_class = dict.fromkeys(classes, 0)
    for place, each in enumerate(places.characters, 1):
        of_class[each] |= 1 << place
    alike = _alike(classes)
    allowed = [
        sum(of_class[classes[i]] for i in _members(within))
        for _, within in alike
    ]
    arrows = by_state_and_symbol(_arrows(places, allowed, expression))
    kinds = [f"{kind}" for kind in range(len(alike))]
    states = list(dict.fromkeys(start for start, _ in arrows))
    groups = equivalent(states, kinds, arrows)
    same = {state: group[0] for group in groups for state in group}
    # Minimal: characters differ if their arrows do.
    ends = {
        (state, kind): (same[arrow.end], arrow.output)
        for (state, kind), arrow in arrows.items()
        if same[state] == state
    }
    states, rest = list(dict.fromkeys(same.values())), kinds[-1]
    named = [
        (character, kind)
        for (ranges, _), kind in zip(alike[:-1], kinds, strict=False)
        if any(ends[state, kind] != ends[state, rest] for state in states)
        for character in _characters(ranges)
    ]
    never = [
        (state, REJECT)
        for state in states
        if all(ends[state, kind] == (state, REJECT) for kind in kinds)
    ]
    if any(ends[state, rest] not in never for state in states):
        named.append((_OTHER, rest))
    found = {
        (state, symbol): Arrow(
            state, symbol, *ends[state, kind], "the expression"
        )
        for state in states
        for symbol, kind in sorted(named, key=_by_name)
    }
    reached = set(reachable("0", [symbol for symbol, _ in named], found))
    return make_table(
        [arrow for arrow in found.values() if arrow.start in reached],
        "0",
        name=f"{PREFIX}{expression}",
    )


def _characters(ranges: list[range]) -> list[str]:
    number = sum(len(each) for each in ranges)
    if number > MAX_SYMBOLS:
        raise MachineError(
            f"at most {MAX_SYMBOLS:,} characters", f"{number:,} that are alike"
        )
    return [chr(each) for each in itertools.chain(*ranges)]


def _by_name(named: tuple[str, str]) -> tuple[bool, str]:
    return named[0] == _OTHER, named[0]
