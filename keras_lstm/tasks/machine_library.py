"""Finite-state machines of the literature, by name.

An acceptor answers after each symbol whether all that was read is accepted.
Facts are from the papers named; no code is.
"""

from collections.abc import Callable

from keras_lstm.tasks.machine_table import MachineTable, explore

_TOMITA = (
    "Tomita, Dynamic construction of finite automata from examples using "
    "hill-climbing, 1982"
)
_DELETANG = "Delétang et al., Neural Networks and the Chomsky Hierarchy, 2023"
_ARITHMETIC = "schoolbook arithmetic"
_DYCK = "the Dyck language of two kinds of brackets, cut at a depth"
_DEAD = "dead"


def tomita_1() -> MachineTable:
    """Accept sequences of ones only."""
    return explore(
        *("tomita-1", _TOMITA, True, "01"),
        lambda s, x: (s and x == "1", s and x == "1"),
    )


def tomita_2() -> MachineTable:
    """Accept repetitions of 10."""

    def step(state: str, symbol: str) -> tuple[str, bool]:
        after = {("even", "1"): "odd", ("odd", "0"): "even"}
        end = after.get((state, symbol), _DEAD)
        return end, end == "even"

    return explore("tomita-2", _TOMITA, "even", "01", step)


def tomita_3() -> MachineTable:
    """Refuse an odd run of zeros right after an odd run of ones."""

    def step(
        state: tuple[str, int, bool], symbol: str
    ) -> tuple[tuple[str, int, bool], bool]:
        # The symbol of the run, the parity of its length, and whether an odd
        # run of ones was right before it.
        last, odd, after_odd = state
        if last == _DEAD:
            return state, False
        if symbol == last:
            run = (symbol, 1 - odd, after_odd)
        elif last == "0" and odd and after_odd:
            return (_DEAD, 0, False), False
        else:
            run = (symbol, 1, symbol == "0" and odd == 1)
        return run, not (run[0] == "0" and run[1] == 1 and run[2])

    return explore("tomita-3", _TOMITA, ("0", 0, False), "01", step)


def tomita_4() -> MachineTable:
    """Refuse three zeros in a row."""

    def step(zeros: int, symbol: str) -> tuple[int, bool]:
        after = 3 if zeros == 3 else zeros + 1 if symbol == "0" else 0
        return after, after < 3

    return explore("tomita-4", _TOMITA, 0, "01", step)


def tomita_5() -> MachineTable:
    """Accept an even number of zeros and an even number of ones."""

    def step(
        state: tuple[int, int], symbol: str
    ) -> tuple[tuple[int, int], bool]:
        zeros, ones = state
        after = (zeros ^ (symbol == "0"), ones ^ (symbol == "1"))
        return after, after == (0, 0)

    return explore("tomita-5", _TOMITA, (0, 0), "01", step)


def tomita_6() -> MachineTable:
    """Accept if the numbers of zeros and of ones are equal modulo 3."""

    def step(difference: int, symbol: str) -> tuple[int, bool]:
        after = (difference + (1 if symbol == "0" else -1)) % 3
        return after, after == 0

    return explore("tomita-6", _TOMITA, 0, "01", step)


def tomita_7() -> MachineTable:
    """Accept zeros, then ones, then zeros, then ones, each perhaps none."""

    def step(run: int, symbol: str) -> tuple[int, bool]:
        # Runs 0 and 2 are of zeros, 1 and 3 of ones; 4 is too many.
        after = run if run == 4 or symbol == "01"[run % 2] else run + 1
        return after, after < 4

    return explore("tomita-7", _TOMITA, 0, "01", step)


def even_pairs() -> MachineTable:
    """Tell whether ab and ba come an even number of times together."""

    def step(
        state: tuple[str, str] | None, symbol: str
    ) -> tuple[tuple[str, str], str]:
        first = state[0] if state else symbol
        return (first, symbol), "even" if first == symbol else "odd"

    return explore("even-pairs", _DELETANG, None, "ab", step)


def parity() -> MachineTable:
    """Tell whether the number of b is even."""
    names = ("even", "odd")
    return explore(
        *("parity-check", _DELETANG, "even", "ab"),
        lambda s, x: 2 * (names[names.index(s) ^ (x == "b")],),
    )


def cycle_navigation() -> MachineTable:
    """Walk on a cycle of five places and tell the place."""
    moves = {"stay": 0, "right": 1, "left": -1}
    return explore(
        *("cycle-navigation", _DELETANG, 0, tuple(moves)),
        lambda place, move: 2 * ((place + moves[move]) % 5,),
    )


def modular_arithmetic() -> MachineTable:
    """Compute modulo 5 with +, - and *; a symbol is one with its digit."""

    def step(
        state: tuple[int, int], symbol: str
    ) -> tuple[tuple[int, int], int]:
        # The sum of the terms before the last one, and the last one.
        total, term = state
        operator, digit = symbol[0], int(symbol[1])
        if operator == "*":
            term = term * digit % 5
        else:
            total = (total + term) % 5
            term = (digit if operator == "+" else -digit) % 5
        return (total, term), (total + term) % 5

    symbols = [f"{operator}{digit}" for operator in "+-*" for digit in range(5)]
    return explore("modular-arithmetic", _DELETANG, (0, 0), symbols, step)


def multiplication(factor: int, base: int) -> MachineTable:
    """Multiply a number by a factor, least significant digit first."""

    def step(carry: int, digit: str) -> tuple[int, int]:
        return divmod(factor * int(digit, 36) + carry, base)

    return explore(
        f"times-{factor}-base-{base}", _ARITHMETIC, 0, _digits(base), step
    )


def remainder(divisor: int, base: int) -> MachineTable:
    """Compute the remainder of a number, most significant digit first."""

    def step(rest: int, digit: str) -> tuple[int, int]:
        after = (rest * base + int(digit, 36)) % divisor
        return after, after

    return explore(
        f"remainder-{divisor}-base-{base}", _ARITHMETIC, 0, _digits(base), step
    )


def increment(base: int) -> MachineTable:
    """Add 1 to a number, least significant digit first."""

    def step(carry: int, digit: str) -> tuple[int, int]:
        return divmod(int(digit, 36) + carry, base)

    return explore(
        f"increment-base-{base}", _ARITHMETIC, 1, _digits(base), step
    )


def dyck_2() -> MachineTable:
    """Accept balanced brackets of two kinds, at most three deep."""

    def step(opened: str, symbol: str) -> tuple[str, bool]:
        if opened == _DEAD:
            return _DEAD, False
        if symbol in "([":
            after = opened + symbol if len(opened) < 4 else _DEAD
        else:
            pair = opened[-1] + symbol
            after = opened[:-1] if pair in ("()", "[]") else _DEAD
        return after, after == "."

    # A dot, and the brackets that are open.
    return explore("dyck-2-depth-3", _DYCK, ".", "()[]", step)


def _digits(base: int) -> str:
    return "0123456789abcdefghijklmnopqrstuvwxyz"[:base]


MACHINES: dict[str, Callable[[], MachineTable]] = {
    "tomita-1": tomita_1,
    "tomita-2": tomita_2,
    "tomita-3": tomita_3,
    "tomita-4": tomita_4,
    "tomita-5": tomita_5,
    "tomita-6": tomita_6,
    "tomita-7": tomita_7,
    "even-pairs": even_pairs,
    "parity-check": parity,
    "cycle-navigation": cycle_navigation,
    "modular-arithmetic": modular_arithmetic,
    "times-3": lambda: multiplication(3, 2),
    "times-7-decimal": lambda: multiplication(7, 10),
    "remainder-7": lambda: remainder(7, 2),
    "remainder-7-decimal": lambda: remainder(7, 10),
    "increment-decimal": lambda: increment(10),
    "dyck-2": dyck_2,
}
