"""Increment, and its small relatives."""

from typing import ClassVar

from keras_lstm.tasks.transducer import TransducerTask


class Increment(TransducerTask):
    """A number plus 1: 0111 (7) becomes 1000 (8).

    Bits are read least significant first, the way the carry travels:

    | state | reads | writes | goes to |
    | --- | --- | --- | --- |
    | 0, carry | 1 | 0 | carry |
    | 0, carry | 0 | 1 | done |
    | 1, done | 0 or 1 | what it read | done |

    The domain leaves out all ones, whose answer would not fit.
    """

    name = "increment"
    run_name: ClassVar[str] = "carry"
    next_state = ((1, 0), (1, 1))
    output = ((1, 0), (0, 1))
    domain_states = frozenset({1})


class Decrement(TransducerTask):
    """A number minus 1: 1000 (8) becomes 0111 (7).

    State 0 borrows, state 1 is done. The domain leaves out zero.
    """

    name = "decrement"
    run_name: ClassVar[str] = "borrow"
    next_state = ((0, 1), (1, 1))
    output = ((1, 0), (0, 1))
    domain_states = frozenset({1})


class Parity(TransducerTask):
    """At each bit, whether the ones so far are odd: 0110 becomes 0010.

    State 0 is even, state 1 odd. Every input is in the domain.
    """

    name = "parity"
    run_name: ClassVar[str] = "zeros before the first 1"
    next_state = ((0, 1), (1, 0))
    output = ((0, 1), (1, 0))
