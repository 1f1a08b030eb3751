"""Sequence tasks from the tables of a Mealy machine.

A machine reads one symbol at a time and writes one for each. Everything else
is derived from its two tables: targets, sampling, the exhaustive check, the
grouping of what is wrong.
"""

import dataclasses
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from keras_lstm.core.errors import InputError
from keras_lstm.core.options import option
from keras_lstm.core.seeds import derive_seed
from keras_lstm.tasks.notation import Notation
from keras_lstm.tasks.numbers import NumberNotation
from keras_lstm.tasks.sampling import (
    draw_holds_of,
    drawn_batch,
    listed_split,
    scan_states,
    stored_split,
)
from keras_lstm.tasks.tables import are_tables
from keras_lstm.tasks.task import Split, Splits, Task

# A permutation is listed in memory: 128 MB at this size.
MAX_LISTED_INPUTS = 2**24
# Of more, symbols are made of the numbers, batch by batch.
_MAX_STORED_INPUTS = 2**20
# Inputs outside the domain are drawn again; rarer domains would take for ever.
_MAX_SEQUENCES_PER_INPUT = 1024
_TABLES = ("next_state", "output")

Symbols = npt.NDArray[np.integer[Any]]


@dataclasses.dataclass(frozen=True)
class TransducerTask(Task):
    """Base of the tasks that a finite-state machine defines.

    A subclass sets the tables. Rows are states, columns are input symbols;
    the machine starts in state 0.

    Attributes:
        next_state: `next_state[state][symbol]`, the state it goes to.
        output: `output[state][symbol]`, the symbol it writes.
        domain_states: the inputs of the domain are those that end in one of
            these states; None for all inputs.
        hold_label: what a run of steps spent in the start state is called in
            reports.
        input_name: what an input is called there.
        target_name: what the right answer to it is called.
        state_names: what each state is called; empty for their numbers.

    Example:

    >>> class Negate(TransducerTask):
    ...     "Two's complement: copy up to the first 1, then flip."
    ...     name = "negate"
    ...     next_state = ((0, 1), (1, 1))
    ...     output = ((0, 1), (1, 0))
    >>> negate = Negate(num_bits=4)
    >>> negate.targets(negate.symbols_of(np.array([6])))  # least bit first
    array([[0, 1, 0, 1]], dtype=int32)
    """

    default_preset: ClassVar[str] = "increment"
    objectives = ("cost", "smallest")
    next_state: ClassVar[tuple[tuple[int, ...], ...]]
    output: ClassVar[tuple[tuple[int, ...], ...]]
    domain_states: ClassVar[frozenset[int] | None] = None
    hold_label: ClassVar[str] = "run"
    input_name: ClassVar[str] = "sequence of symbols"
    target_name: ClassVar[str] = "what its machine writes"
    state_names: ClassVar[tuple[str, ...]] = ()

    num_bits: int = option(
        20,
        "symbols in a number, least significant first",
        minimum=1,
        maximum=4096,
    )
    sampling: str = option(
        "uniform",
        "how training inputs are chosen: drawn uniformly; drawn with a share "
        "whose carry length is chosen uniformly; or a permutation of the "
        "domain with a part held out",
        choices=("uniform", "carry", "permutation"),
    )
    carry_fraction: float = option(
        0.5,
        "share of a batch whose carry length is chosen uniformly "
        "(sampling carry)",
        minimum=0.0,
        maximum=1.0,
    )
    train_examples: int = option(
        2**18,
        "inputs not held out (sampling permutation)",
        minimum=1,
        maximum=MAX_LISTED_INPUTS,
    )
    validation_examples: int = option(
        1024,
        "inputs to validate on after each epoch",
        minimum=0,
        maximum=2**20,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_tables()
        num_inputs = self.num_inputs()
        if not num_inputs:
            raise InputError(
                "`domain_states` must admit some input. Received: "
                f"domain_states={self.domain_states}, num_bits={self.num_bits}"
            )
        if self.sampling == "permutation":
            if self.num_symbols**self.num_bits > MAX_LISTED_INPUTS:
                raise InputError(
                    "`sampling` permutation lists the domain and takes at "
                    f"most {MAX_LISTED_INPUTS} inputs. Received: "
                    f"num_bits={self.num_bits}"
                )
            if self.train_examples > num_inputs:
                raise InputError(
                    "`train_examples` must be at most the domain's "
                    f"{num_inputs} inputs. Received: "
                    f"train_examples={self.train_examples}"
                )
            if self.validation_examples >= self.train_examples:
                raise InputError(
                    "`validation_examples` are cut from `train_examples` and "
                    "must be fewer. Received: "
                    f"validation_examples={self.validation_examples}"
                )
        elif (
            num_inputs * _MAX_SEQUENCES_PER_INPUT
            < self.num_symbols**self.num_bits
        ):
            raise InputError(
                "`domain_states` must admit at least one sequence in "
                f"{_MAX_SEQUENCES_PER_INPUT} for inputs to be drawn. "
                f"Received: {num_inputs} at num_bits={self.num_bits}"
            )
        elif self.sampling == "carry" and not (
            self.hold_symbols and self.leave_symbols
        ):
            raise InputError(
                "`sampling` carry needs a start state that some symbols keep "
                "and others leave. Received: "
                f"next_state[0]={self.next_state[0]}"
            )

    def _check_tables(self) -> None:
        tables = [getattr(self, name, None) for name in _TABLES]
        if not are_tables(*tables) or not all(
            state in range(len(self.next_state))
            for state in self.domain_states or ()
        ):
            raise InputError(
                "`next_state` and `output` must be tables of the same shape, "
                "a row for each state and a column for each of at least two "
                "symbols, of integers, naming states that exist. Received: "
                f"next_state={tables[0]}, output={tables[1]}, "
                f"domain_states={self.domain_states}"
            )

    @property
    def num_symbols(self) -> int:
        """How many different symbols the machine reads."""
        return len(self.next_state[0])

    @property
    def num_classes(self) -> int:
        """How many different symbols the machine writes."""
        return max(max(row) for row in self.output) + 1

    @property
    def hold_symbols(self) -> list[int]:
        """The symbols that keep the machine in its start state."""
        return [x for x, state in enumerate(self.next_state[0]) if state == 0]

    @property
    def leave_symbols(self) -> list[int]:
        """The symbols that take the machine out of its start state."""
        return [x for x, state in enumerate(self.next_state[0]) if state != 0]

    @property
    def input_shape(self) -> tuple[int, ...]:
        """`(num_bits,)`."""
        return (self.num_bits,)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """`(num_bits,)`."""
        return (self.num_bits,)

    @property
    def draws_without_end(self) -> bool:
        """Whether training inputs are drawn, rather than listed."""
        return self.sampling != "permutation"

    @property
    def num_training_examples(self) -> int | None:
        """How many inputs are listed to train on; None if they are drawn."""
        if self.draws_without_end:
            return None
        return self.train_examples - self.validation_examples

    @property
    def num_sequences(self) -> int:
        """How many sequences there are, in the domain or not."""
        return self.num_symbols**self.num_bits

    @property
    def has_validation(self) -> bool:
        """Whether there are `validation_examples`."""
        return self.validation_examples > 0

    def notation(self, any_length: bool) -> Notation:
        """Return that of numbers."""
        return NumberNotation(self, any_length)

    def sketch(self, inputs: Symbols) -> list[str]:
        """Return the number as people write it."""
        return [self.text_of(inputs)]

    def state_name(self, state: int) -> str:
        """What a state is called."""
        return self.state_names[state] if self.state_names else str(state)

    # The machine, on NumPy arrays of any length.

    def states(self, symbols: Symbols) -> npt.NDArray[np.int32]:
        """The state before each symbol, and the last one.

        Args:
            symbols: `(..., timesteps)`, least significant first.

        Returns:
            `(..., timesteps + 1)`.
        """
        table = np.asarray(self.next_state, np.int32)
        shape = (*symbols.shape[:-1], symbols.shape[-1] + 1)
        states = np.zeros(shape, np.int32)
        for t in range(symbols.shape[-1]):
            states[..., t + 1] = table[states[..., t], symbols[..., t]]
        return states

    def targets(self, symbols: Symbols) -> npt.NDArray[np.int32]:
        """What the machine writes: the right answer.

        Args:
            symbols: `(..., timesteps)`, least significant first.

        Returns:
            `(..., timesteps)`, least significant first.
        """
        table = np.asarray(self.output, np.int32)
        return table[self.states(symbols)[..., :-1], symbols]

    def in_domain(self, states: Any) -> Any:
        """Whether an input that ends in each of `states` is in the domain."""
        if self.domain_states is None:
            return np.ones(np.shape(states), np.bool_)
        return np.isin(states, list(self.domain_states))

    def hold_length(self, symbols: Symbols) -> npt.NDArray[np.int32]:
        """Symbols read before the machine first leaves its start state.

        For increment, the length of the carry.

        Args:
            symbols: `(..., timesteps)`, least significant first.

        Returns:
            `(...)`, from 0 to `timesteps`.
        """
        stayed = self.states(symbols)[..., 1:] == 0
        return np.cumprod(stayed, -1, dtype=np.int32).sum(-1, dtype=np.int32)

    def num_inputs(self, num_bits: int | None = None) -> int:
        """How many inputs the domain has, as an exact integer."""
        counts = [1] + [0] * (len(self.next_state) - 1)
        for _ in range(num_bits or self.num_bits):
            after = [0] * len(counts)
            for state, row in enumerate(self.next_state):
                for successor in row:
                    after[successor] += counts[state]
            counts = after
        return sum(
            count for state, count in enumerate(counts) if self.in_domain(state)
        )

    def of_length(self, num_bits: int) -> Self:
        """Return the same task for inputs of another length, drawn."""
        return dataclasses.replace(self, num_bits=num_bits, sampling="uniform")

    def symbols_of(
        self, numbers: Any, num_bits: int | None = None
    ) -> npt.NDArray[np.int32]:
        """The digits of numbers in base `num_symbols`.

        Args:
            numbers: integers below `num_symbols ** num_bits`, `(...)`.
            num_bits: how many digits; by default the task's own.

        Returns:
            `(..., num_bits)`, least significant first.
        """
        digits = []
        rest = np.asarray(numbers)
        for _ in range(num_bits or self.num_bits):
            rest, digit = np.divmod(rest, self.num_symbols)
            digits.append(digit)
        return np.stack(digits, -1).astype(np.int32)

    def text_of(self, symbols: Symbols) -> str:
        """One sequence as people write it: most significant first.

        Args:
            symbols: `(timesteps,)`, least significant first.
        """
        return "".join(np.asarray(symbols)[::-1].astype(str))

    # The examples.

    def splits(self, seed: int) -> Splits:
        """The task's examples; a `test` split only for a permutation."""
        if self.sampling == "permutation":
            return self._permutation_splits(seed)
        train = Split(None, self._drawn("train", seed))
        if not self.validation_examples:
            return Splits(train)
        indices = np.arange(self.validation_examples)
        symbols, targets = self._drawn("validation", seed)(indices)
        return Splits(train, stored_split(symbols, targets))

    def permutation(
        self, seed: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The domain as numbers, shuffled and cut (sampling permutation).

        Returns:
            Those to train and validate on, and those held out.
        """
        numbers = np.arange(self.num_symbols**self.num_bits)
        states = np.zeros(numbers.shape, np.int32)
        table = np.asarray(self.next_state, np.int32)
        rest = numbers
        for _ in range(self.num_bits):
            rest, symbols = np.divmod(rest, self.num_symbols)
            states = table[states, symbols]
        numbers = numbers[self.in_domain(states)]
        rng = np.random.default_rng(derive_seed(seed, "permutation"))
        rng.shuffle(numbers)
        return numbers[: self.train_examples], numbers[self.train_examples :]

    def held_out(self, seed: int) -> npt.NDArray[np.int64] | None:
        """Return the inputs held out as numbers; None where none are."""
        if self.draws_without_end:
            return None
        return self.permutation(seed)[1]

    def _permutation_splits(self, seed: int) -> Splits:
        kept, held_out = self.permutation(seed)
        cut = len(kept) - self.validation_examples
        parts = [kept[:cut], kept[cut:], held_out]
        validation, test = [
            self._listed(part) if len(part) else None for part in parts[1:]
        ]
        if cut > _MAX_STORED_INPUTS:
            return Splits(self._listed(parts[0]), validation, test)
        # These are passed over again and again.
        symbols = self.symbols_of(parts[0])
        train = stored_split(symbols, self.targets(symbols))
        return Splits(train, validation, test)

    def _listed(self, numbers: npt.NDArray[np.int64]) -> Split:
        powers = [self.num_symbols**t for t in range(self.num_bits)]
        return listed_split(numbers, powers, self.num_symbols, self.transduce)

    def _drawn(self, purpose: str, seed: int) -> Any:
        """A stream of inputs; a batch depends on its first index alone."""
        draw_holds = None
        if self.sampling == "carry":
            draw_holds = draw_holds_of(
                self.hold_symbols,
                self.leave_symbols,
                self.num_bits,
                self.carry_fraction,
            )
        return drawn_batch(
            derive_seed(seed, purpose),
            self.num_bits,
            self.num_symbols,
            draw_holds,
            self.transduce,
        )

    def transduce(self, symbols: Any) -> tuple[Any, Any]:
        """`targets` inside a tf.data pipeline, without a loop over time.

        Args:
            symbols: int32 tensor, `(batch_size, num_bits)`.

        Returns:
            The targets, int32 `(batch_size, num_bits)`, and whether each
            input is in the domain, bool `(batch_size,)`.
        """
        import tensorflow as tf

        reached = scan_states(self.next_state, symbols, self.num_bits)
        before = tf.pad(reached[:, :-1], [[0, 0], [1, 0]])
        outputs = tf.reshape(tf.constant(self.output, tf.int32), [-1])
        targets = tf.gather(outputs, before * self.num_symbols + symbols)
        allowed = self.in_domain(np.arange(len(self.next_state)))
        return targets, tf.gather(tf.constant(allowed), reached[:, -1])


def get_machine(task: Task) -> TransducerTask | None:
    """Return the machine that defines a task, or None where there is none."""
    return task if isinstance(task, TransducerTask) else None


def require_machine(task: Task, what: str, received: str) -> TransducerTask:
    """Return the machine that defines a task.

    Args:
        task: what is learned.
        what: begins the message of the error: what needs a machine.
        received: ends it.

    Returns:
        The task.

    Raises:
        InputError: if no machine defines it.
    """
    machine = get_machine(task)
    if machine is None:
        raise InputError(f"{what} a sequence task. Received: {received}")
    return machine
