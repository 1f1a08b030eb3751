"""Tasks of any finite-state machine, written as a table."""

import dataclasses
import functools
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from keras_lstm.core.errors import InputError
from keras_lstm.core.options import option
from keras_lstm.tasks.labels import check_text
from keras_lstm.tasks.machine_table import MachineTable, parse_table
from keras_lstm.tasks.notation import (
    Described,
    MachineNotation,
    Notation,
    Query,
    compared,
    refused,
)
from keras_lstm.tasks.tokens import SYMBOLS, Vocabulary
from keras_lstm.tasks.transducer import TransducerTask

# Machines of more are mostly constructed (see `recommended`).
_MAX_ARROWS = 128
_EXAMPLE = """\
name: coin-lock
states:
  locked: {coin: unlocked / opens, push: locked / stays}
  unlocked: {coin: unlocked / stays, push: locked / closes}
"""


@dataclasses.dataclass(frozen=True)
class FiniteStateMachine(TransducerTask):
    """A task that a table defines; symbols have names.

    `keras-lstm train machine.dot` and the like read a file into the table.

    Example:

    >>> lock = FiniteStateMachine()
    >>> lock.next_state
    ((1, 0), (1, 0))
    >>> lock.text_of(np.array([0, 1, 1]))
    'coin push push'
    """

    name = "machine"
    default_preset: ClassVar[str] = "machine"
    separator = " "
    writes_numbers = False
    hold_label: ClassVar[str] = "start"

    machine: str = option(
        _EXAMPLE,
        "the machine, as a YAML table; `train` and `tune` make it of a file "
        "or a name in place of TASK",
    )

    def __post_init__(self) -> None:
        table = _parsed(self.machine)
        # What a subclass of `TransducerTask` has as class attributes.
        for name, value in {
            "next_state": table.next_state,
            "output": table.output,
            "state_names": table.states,
            "input_name": "sequence of symbols",
            "target_name": f"what {table.name or 'the machine'} writes",
        }.items():
            object.__setattr__(self, name, value)
        super().__post_init__()

    def recommended(self) -> dict[str, Any]:
        """Return sizes at which weights can be set from the machine.

        Boxes of large machines are rarely learned, and each step takes longer,
        so training is short.
        """
        sizes: dict[str, Any] = {
            "units": max(64, len(self.codes)),
            "embedding_dim": max(10, self.num_symbols),
        }
        if len(self.next_state) * self.num_symbols > _MAX_ARROWS:
            # Nor is it worth computing boxes that no epoch would use.
            sizes |= {"epochs": 8, "prove_from_epoch": None}
        return sizes

    @property
    def table(self) -> MachineTable:
        """The machine with its names."""
        return _parsed(self.machine)

    @property
    def token_kind(self) -> str | None:
        """Kind of names; None if the stock layer does not take some of them."""
        return SYMBOLS if len(self.known_tokens) else None

    @property
    def known_tokens(self) -> Vocabulary:
        """Names of the symbols, if the stock layer takes them all."""
        try:
            for name in self.table.symbols:
                check_text(name)
            return Vocabulary(self.table.symbols)
        except InputError:
            return Vocabulary(())

    def as_written(self, values: Any) -> Any:
        """Return values by time step in the order of reading."""
        return values

    def symbol_name(self, symbol: int) -> str:
        """Return the name of an input symbol."""
        return self.table.symbols[symbol]

    def output_name(self, symbol: int) -> str:
        """Return the name of an output symbol."""
        return self.table.outputs[symbol]

    def notation(self, any_length: bool) -> Notation:
        """Return the notation of names, separated by spaces."""
        return NameNotation(self, any_length)


@functools.lru_cache(maxsize=64)
def _parsed(text: str) -> MachineTable:
    return parse_table(text)


class NameNotation(MachineNotation):
    """Sequences of symbols by name, separated by spaces.

    Names of one character each may be written without spaces.

    Args:
        task: the task, which defines the names and the targets.
        any_length: whether the model reads sequences of any length.
    """

    def __init__(self, task: FiniteStateMachine, any_length: bool) -> None:
        super().__init__(task)
        self._task = task
        self._num_steps = None if any_length else task.num_bits
        self._symbols = {
            name: symbol for symbol, name in enumerate(task.table.symbols)
        }

    def read(self, text: str) -> list[Query]:
        """Read one sequence of names."""
        words = text.split()
        if all(len(name) == 1 for name in self._symbols):
            words = [each for word in words for each in word]
        unknown = next((x for x in words if x not in self._symbols), None)
        if unknown is not None or not words:
            names = list(self._symbols)
            listed = " ".join(names[:20]) + (" ..." if names[20:] else "")
            raise refused(
                f"symbols of {listed}, separated by spaces",
                text if unknown is None else unknown,
            )
        if self._num_steps not in (None, len(words)):
            raise refused(f"a sequence of {self._num_steps} symbols", text)
        symbols = np.array([self._symbols[x] for x in words], np.int32)
        return [Query(text, symbols, len(symbols))]

    def describe_one(
        self,
        query: Query,
        prediction: npt.NDArray[np.int32],
        target: npt.NDArray[np.int32],
    ) -> Described:
        """Write a prediction by names."""
        predicted, right = (
            self._task.text_of(each, outputs=True)
            for each in (prediction, target)
        )
        wrong, marks = prediction != target, ""
        if wrong.any():
            marks = "".join(np.where(wrong, "^", "."))
        return compared(query, predicted, right, marks, "wrong at")

    def for_script(self) -> dict[str, Any] | None:
        """Return the names, and the number of symbols in an input."""
        return {
            "reader": "names",
            "names": list(self._symbols),
            "num_steps": self._num_steps,
        }
