"""Sequence tasks from the tables of a Mealy machine.

The machine writes one symbol for each that it reads. Targets, sampling, the
exhaustive check and the grouping of failures derive from its two tables.
"""

import dataclasses
import functools
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from keras_lstm.core.errors import InputError
from keras_lstm.core.options import option
from keras_lstm.core.seeds import derive_seed
from keras_lstm.tasks.notation import Notation
from keras_lstm.tasks.numbers import NumberNotation
from keras_lstm.tasks.sampling import (
    SAMPLING_OPTIONS,
    draw_holds_of,
    drawn_batch,
    listed_split,
    scan_states,
    stored_split,
    transduce_numbers,
)
from keras_lstm.tasks.symbol_names import SymbolNames
from keras_lstm.tasks.tables import check_tables, codes_of, settle_tables
from keras_lstm.tasks.task import Split, Splits, Task

# A permutation is stored as int64 numbers: 128 MB at this size.
MAX_LISTED_INPUTS = 2**24
# Above this, symbols are computed from the numbers batch by batch.
_MAX_STORED_INPUTS = 2**20
# Inputs outside the domain are drawn again, too often in a rarer domain.
_MAX_SEQUENCES_PER_INPUT = 1024
_TABLES = ("next_state", "output")

Symbols = npt.NDArray[np.integer[Any]]


@dataclasses.dataclass(frozen=True)
class TransducerTask(SymbolNames, Task):
    """Base class of tasks that a finite-state machine defines.

    A subclass must define `name`, `next_state` and `output`. In both tables
    rows are states, columns are input symbols; the machine starts in state 0.

    Attributes:
        next_state: `next_state[state][symbol]`, the next state.
        output: `output[state][symbol]`, the output symbol.
        domain_states: final states of the inputs in the domain; None for all.
        hold_label: name of the steps in the start state, as in "carry length".
        input_name: noun in reports for an input.
        target_name: noun in reports for the target of an input.
        state_names: names of the states; empty for their numbers.

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
    training_options = SAMPLING_OPTIONS
    next_state: ClassVar[tuple[tuple[int, ...], ...]]
    output: ClassVar[tuple[tuple[int, ...], ...]]
    domain_states: ClassVar[frozenset[int] | None] = None
    hold_label: ClassVar[str] = "hold"
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
        "training inputs: drawn uniformly; drawn with uniform carry lengths "
        "in a fraction of each batch; of another length in each batch, from 1 "
        "to `num_bits` and mostly short; or a permutation of the domain, with "
        "a part held out",
        choices=("uniform", "carry", "lengths", "permutation"),
    )
    carry_fraction: float = option(
        0.5,
        "fraction of a batch with uniform carry lengths (sampling carry)",
        minimum=0.0,
        maximum=1.0,
    )
    train_examples: int = option(
        2**18,
        "inputs to train and validate on (sampling permutation)",
        minimum=1,
        maximum=MAX_LISTED_INPUTS,
    )
    validation_examples: int = option(
        1024, "inputs to validate on after each epoch", minimum=0, maximum=2**20
    )

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        settle_tables(cls, TransducerTask)

    def __post_init__(self) -> None:
        super().__post_init__()
        next_state, output = (getattr(self, name, None) for name in _TABLES)
        check_tables(next_state, output, self.domain_states)
        num_inputs = self.num_inputs()
        if not num_inputs:
            raise InputError(
                "`domain_states` must admit some input. Received: "
                f"domain_states={self.domain_states}, num_bits={self.num_bits}"
            )
        if self.sampling == "permutation":
            if self.num_symbols**self.num_bits > MAX_LISTED_INPUTS:
                raise InputError(
                    "`num_bits` must allow at most "
                    f"{MAX_LISTED_INPUTS} inputs for `sampling` permutation. "
                    f"Received: num_bits={self.num_bits}"
                )
            if self.train_examples > num_inputs:
                raise InputError(
                    "`train_examples` must be at most the domain's "
                    f"{num_inputs} inputs. Received: "
                    f"train_examples={self.train_examples}"
                )
            if self.validation_examples >= self.train_examples:
                raise InputError(
                    "`validation_examples`, which are cut from "
                    "`train_examples`, must be fewer. Received: "
                    f"validation_examples={self.validation_examples}"
                )
        elif (
            num_inputs * _MAX_SEQUENCES_PER_INPUT
            < self.num_symbols**self.num_bits
        ):
            raise InputError(
                "`domain_states` must admit at least one sequence in "
                f"{_MAX_SEQUENCES_PER_INPUT} unless `sampling` is permutation. "
                f"Received: {num_inputs} at num_bits={self.num_bits}"
            )
        elif self.sampling == "lengths" and self.domain_states is not None:
            raise InputError(
                "`sampling` lengths needs a machine whose inputs are all in "
                f"the domain. Received: domain_states={self.domain_states}"
            )
        elif self.sampling == "carry" and not (
            self.hold_symbols and self.leave_symbols
        ):
            raise InputError(
                "`sampling` carry needs a start state that some symbols keep "
                "and others leave. Received: "
                f"next_state[0]={self.next_state[0]}"
            )

    @property
    def num_symbols(self) -> int:
        """Number of different input symbols."""
        return len(self.next_state[0])

    @property
    def num_classes(self) -> int:
        """Number of different output symbols."""
        return max(max(row) for row in self.output) + 1

    @functools.cached_property
    def codes(self) -> list[tuple[int, int, int]]:
        """What a step can lead to: next state, symbol read, symbol written."""
        return codes_of(self.next_state, self.output)

    @property
    def hold_symbols(self) -> list[int]:
        """Symbols that keep the machine in its start state."""
        return [x for x, state in enumerate(self.next_state[0]) if state == 0]

    @property
    def leave_symbols(self) -> list[int]:
        """Symbols that take the machine out of its start state."""
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
        """True if training inputs are drawn rather than listed."""
        return self.sampling != "permutation"

    @property
    def num_training_examples(self) -> int | None:
        """Number of inputs to train on; None if they are drawn."""
        if self.draws_without_end:
            return None
        return self.train_examples - self.validation_examples

    @property
    def num_sequences(self) -> int:
        """Number of input sequences, in the domain or not."""
        return self.num_symbols**self.num_bits

    @property
    def has_validation(self) -> bool:
        """True if `validation_examples` is not 0."""
        return self.validation_examples > 0

    def notation(self, any_length: bool) -> Notation:
        """Return the notation of numbers."""
        return NumberNotation(self, any_length)

    def sketch(self, inputs: Symbols) -> list[str]:
        """Return the input as text, most significant symbol first."""
        return [self.text_of(inputs)]

    def state_name(self, state: int) -> str:
        """Return the name of a state."""
        return self.state_names[state] if self.state_names else str(state)

    # The machine, on NumPy arrays of any length.

    def states(self, symbols: Symbols) -> npt.NDArray[np.int32]:
        """Return the state before each symbol, and the final state.

        Args:
            symbols: `(..., timesteps)`, least significant first.

        Returns:
            The states, `(..., timesteps + 1)`.
        """
        table = np.asarray(self.next_state, np.int32)
        # By time step, so that what a step reads and writes lies together.
        shape = (symbols.shape[-1] + 1, *symbols.shape[:-1])
        states = np.zeros(shape, np.int32)
        for t in range(symbols.shape[-1]):
            states[t + 1] = table[states[t], symbols[..., t]]
        return np.moveaxis(states, 0, -1)

    def targets(self, symbols: Symbols) -> npt.NDArray[np.int32]:
        """Return the symbols that the machine writes.

        Args:
            symbols: `(..., timesteps)`, least significant first.

        Returns:
            The targets, `(..., timesteps)`, least significant first.
        """
        table = np.asarray(self.output, np.int32)
        return table[self.states(symbols)[..., :-1], symbols]

    def in_domain(self, states: Any) -> Any:
        """Return whether inputs that end in `states` are in the domain."""
        if self.domain_states is None:
            return np.ones(np.shape(states), np.bool_)
        return np.isin(states, list(self.domain_states))

    def hold_length(self, symbols: Symbols) -> npt.NDArray[np.int32]:
        """Return the number of symbols before the start state is left.

        For increment, the length of the carry.

        Args:
            symbols: `(..., timesteps)`, least significant first.

        Returns:
            The hold lengths, `(...)`, from 0 to `timesteps`.
        """
        stayed = self.states(symbols)[..., 1:] == 0
        return np.cumprod(stayed, -1, dtype=np.int32).sum(-1, dtype=np.int32)

    def num_inputs(self, num_bits: int | None = None) -> int:
        """Return the exact number of inputs in the domain."""
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
        """Return the task at another length, with uniform sampling."""
        return dataclasses.replace(self, num_bits=num_bits, sampling="uniform")

    def symbols_of(
        self, numbers: Any, num_bits: int | None = None
    ) -> npt.NDArray[np.int32]:
        """Return the digits of numbers in base `num_symbols`.

        Args:
            numbers: integers below `num_symbols ** num_bits`, `(...)`.
            num_bits: number of digits; None for the task's `num_bits`.

        Returns:
            The digits, `(..., num_bits)`, least significant first.
        """
        rest = np.asarray(numbers)
        digits = np.empty((*rest.shape, num_bits or self.num_bits), np.int32)
        for position in range(digits.shape[-1]):
            rest, digits[..., position] = np.divmod(rest, self.num_symbols)
        return digits

    # The examples.

    def splits(self, seed: int) -> Splits:
        """Return the splits; only `sampling` permutation has a test split."""
        if self.sampling == "permutation":
            return self._permutation_splits(seed)
        train = Split(None, self._drawn("train", seed))
        if not self.validation_examples:
            return Splits(train)
        indices = np.arange(self.validation_examples)
        task = self
        if self.sampling == "lengths":
            task = self.of_length(self.num_bits)
        symbols, targets = task._drawn("validation", seed)(indices)
        return Splits(train, stored_split(symbols, targets))

    def permutation(
        self, seed: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return the domain as numbers, shuffled and cut.

        Args:
            seed: seed of the shuffle.

        Returns:
            The inputs to train and validate on, and the inputs held out.
        """
        numbers = np.arange(self.num_symbols**self.num_bits)
        # The states after the lowest digits of all numbers; the next digit is
        # the same for as many numbers as there are of these.
        states = np.zeros(1, np.int32)
        for _ in range(self.num_bits):
            states = np.asarray(self.next_state, np.int32).T[:, states].ravel()
        numbers = numbers[self.in_domain(states)]
        rng = np.random.default_rng(derive_seed(seed, "permutation"))
        rng.shuffle(numbers)
        return numbers[: self.train_examples], numbers[self.train_examples :]

    def held_out(self, seed: int) -> npt.NDArray[np.int64] | None:
        """Return the held-out inputs as numbers; None if inputs are drawn."""
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
        # Every epoch reads these, so compute their symbols only once.
        tables = self.next_state, self.output
        train = stored_split(
            *transduce_numbers(parts[0], self.num_bits, *tables)
        )
        return Splits(train, validation, test)

    def _listed(self, numbers: npt.NDArray[np.int64]) -> Split:
        powers = [self.num_symbols**t for t in range(self.num_bits)]
        return listed_split(numbers, powers, self.num_symbols, self.transduce)

    def _drawn(self, purpose: str, seed: int) -> Any:
        """Return the `batch` of an endless split."""
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
            draw_lengths=self.sampling == "lengths",
        )

    def transduce(self, symbols: Any) -> tuple[Any, Any]:
        """Compute `targets` in a tf.data pipeline, without a loop over time.

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
    """Return the machine that defines a task, None if there is none."""
    return task if isinstance(task, TransducerTask) else None


def require_machine(task: Task, what: str, received: str) -> TransducerTask:
    """Return the machine that defines a task.

    Args:
        task: the task.
        what: start of the error message, before "a finite-state machine".
        received: end of the error message, which follows "Received: ".

    Returns:
        The task.

    Raises:
        InputError: if no machine defines the task.
    """
    machine = get_machine(task)
    if machine is None:
        raise InputError(f"{what} a finite-state machine. Received: {received}")
    return machine
