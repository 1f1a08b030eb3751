"""Increment, and other small tasks on binary numbers."""

from typing import ClassVar

from keras_lstm.tasks.transducer import TransducerTask


class Increment(TransducerTask):
    """Add 1 to a number: 0111 (7) becomes 1000 (8).

    Bits are read least significant first, in the direction of the carry:

    | state | reads | writes | goes to |
    | --- | --- | --- | --- |
    | 0, carry | 1 | 0 | carry |
    | 0, carry | 0 | 1 | done |
    | 1, done | 0 or 1 | the bit read | done |

    The domain excludes the number of all ones, whose target would not fit.
    """

    name = "increment"
    hold_label: ClassVar[str] = "carry"
    input_name: ClassVar[str] = "binary number"
    target_name: ClassVar[str] = "that number plus 1 (modulo 2^length)"
    state_names = ("carry", "done")
    next_state = ((1, 0), (1, 1))
    output = ((1, 0), (0, 1))
    domain_states = frozenset({1})


class Decrement(TransducerTask):
    """Subtract 1 from a number: 1000 (8) becomes 0111 (7).

    State 0 borrows, state 1 is done. The domain excludes zero.
    """

    name = "decrement"
    hold_label: ClassVar[str] = "borrow"
    input_name: ClassVar[str] = "binary number"
    target_name: ClassVar[str] = "that number minus 1 (modulo 2^length)"
    state_names = ("borrow", "done")
    next_state = ((0, 1), (1, 1))
    output = ((1, 0), (0, 1))
    domain_states = frozenset({1})


class Parity(TransducerTask):
    """Compute at each bit the parity of the ones so far: 0110 becomes 0010.

    State 0 is even, state 1 is odd. Every input is in the domain.
    """

    name = "parity"
    hold_label: ClassVar[str] = "zeros before the first 1"
    input_name: ClassVar[str] = "sequence of bits"
    target_name: ClassVar[str] = "at each bit, whether the ones so far are odd"
    state_names = ("even", "odd")
    next_state = ((0, 1), (1, 0))
    output = ((0, 1), (1, 0))


class Add(TransducerTask):
    """Add two numbers: 0011 + 0110 (3 + 6) becomes 1001 (9).

    A symbol is a pair of bits, one of each number: 0 for 0 and 0, 1 for 1 and
    0, 2 for 0 and 1, 3 for 1 and 1. State 1 carries. Every input is in the
    domain; a carry out of the most significant bits is dropped.
    """

    name = "add"
    hold_label: ClassVar[str] = "bits before the first carry"
    input_name: ClassVar[str] = "pair of binary numbers"
    target_name: ClassVar[str] = "their sum (modulo 2^length)"
    state_names = ("no carry", "carry")
    next_state = ((0, 0, 0, 1), (0, 1, 1, 1))
    output = ((0, 1, 1, 0), (1, 0, 0, 1))
