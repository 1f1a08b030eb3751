"""The finite-state machine that a network computes.

AALpy's KV algorithm asks the network for its answers and proposes machines.
Each is compared with the network on random sequences and on every short one;
what differs is a counterexample, from which the algorithm goes on. The last
machine is then proved, where boxes close.
"""

import dataclasses
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from keras_lstm.core.console import quantity
from keras_lstm.core.extras import require_package
from keras_lstm.models.stepper import lstm_cell, numpy_sigmoid
from keras_lstm.models.weights import LSTMWeights
from keras_lstm.proof.search import ProofSearch, find_proof
from keras_lstm.proof.subject import provable_weights
from keras_lstm.tasks.transducer import TransducerTask
from keras_lstm.verification.verify import verify

# Random sequences that each machine is compared on, and their length.
_SEQUENCES, _STEPS = 1024, 128
_SHOWN_ARROWS = 40
# At most so many short sequences are compared, all of one length.
_WALKED = 2**16

_Table = tuple[tuple[int, ...], ...]
_Symbols = tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Extraction:
    """The machine that a network computes.

    Args:
        machine: the minimal machine; None if none was found.
        search: the search for a proof that the network is this machine; None
            without a machine.
        reason: why no machine was found; empty if one was.
        num_bits: length of the sequences that were all compared.
        apart: the shortest sequence of symbols on which the machine differs
            from the task's; None if they are the same, or there is none.
        num_queries: sequences that the network was asked.
        seconds: duration, in seconds.
    """

    machine: TransducerTask | None
    search: ProofSearch | None
    reason: str
    num_bits: int
    apart: npt.NDArray[np.int32] | None
    num_queries: int
    seconds: float

    @property
    def is_right(self) -> bool:
        """Whether the machine was found and is the task's."""
        return self.machine is not None and self.apart is None


def extract_machine(
    model: keras.Model,
    task: TransducerTask,
    *,
    max_states: int = 256,
    progress: Callable[[int, int], None] | None = None,
) -> Extraction:
    """Find the finite-state machine that a model computes.

    Args:
        model: model with the per_step head, from symbols,
            `(batch_size, timesteps)`, to logits,
            `(batch_size, timesteps, num_classes)`. It may be wrong.
        task: the machine that the model was trained on; only its symbols and
            their names matter for what is found.
        max_states: number of states at which to give up: a network that counts
            has no end of them. Defaults to 256.
        progress: function called with the number of states found so far, and
            `max_states`. Defaults to None.

    Returns:
        The machine, or why none was found.

    Raises:
        InputError: if AALpy is missing, or `provable_weights` refuses the
            model.

    Source: Kearns and Vazirani, "An Introduction to Computational Learning
    Theory", 1994, chapter 8; learned by AALpy (Muškardin et al., 2022).
    """
    start = time.perf_counter()
    require_package("aalpy", "extract", "`extract_machine`")
    network = provable_weights(model, task)
    learning = _Learning(model, task, network, max_states, progress)
    found = learning.run()
    search, apart = None, None
    if found is not None:
        search = find_proof(model, found)
        apart = shortest_difference(found, task)
    return Extraction(
        *(found, search, learning.reason, learning.num_bits, apart),
        *(learning.num_queries, time.perf_counter() - start),
    )


class _Learning:
    """AALpy's algorithm, with a network that answers it."""

    def __init__(
        self,
        model: keras.Model,
        task: TransducerTask,
        network: LSTMWeights,
        max_states: int,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self._model, self._task, self._network = model, task, network
        self._max_states = max_states
        self._progress = progress
        self.reason = ""
        self.num_bits = 1
        while task.num_symbols ** (self.num_bits + 1) <= _WALKED:
            self.num_bits += 1
        rng = np.random.default_rng(0)
        shape = (_SEQUENCES, _STEPS)
        self._random = rng.integers(task.num_symbols, size=shape)
        self._answers = _answers(network, self._random)
        self.num_queries = 0

    def run(self) -> TransducerTask | None:
        """Return the machine; None if none was found."""
        # An extra, which only this function needs.
        import aalpy

        learning, alphabet = self, list(range(self._task.num_symbols))

        class Network(aalpy.SUL):
            """The network, one symbol at a time."""

            def pre(self) -> None:
                """Start again."""
                self.cells = _start(learning._network, 1)

            def post(self) -> None:
                """Do nothing."""

            def step(self, letter: int) -> int:
                """Read a symbol; return the answer."""
                symbols = np.array([letter])
                self.cells, answers = _step(
                    learning._network, self.cells, symbols
                )
                return int(answers[0])

        class Comparison(aalpy.base.Oracle):
            """Comparison of a machine with the network."""

            def find_cex(self, hypothesis: Any) -> _Symbols | None:
                """Return a sequence on which they differ, None for none."""
                return learning._find_difference(hypothesis)

        network = Network()
        found = aalpy.run_KV(
            *(alphabet, network, Comparison(alphabet, network)),
            automaton_type="mealy",
            print_level=0,
        )
        self.num_queries = network.num_queries + _SEQUENCES
        return None if self.reason else self._machine(found)

    def _machine(self, found: Any) -> TransducerTask:
        """Return AALpy's machine as a task, named as the trained one is."""
        states, index = [found.initial_state], {found.initial_state: 0}
        symbols = range(self._task.num_symbols)
        for state in states:
            for symbol in symbols:
                after = state.transitions[symbol]
                if after not in index:
                    index[after] = len(states)
                    states.append(after)
        return _named(
            self._task,
            tuple(
                tuple(index[s.transitions[x]] for x in symbols) for s in states
            ),
            tuple(tuple(s.output_fun[x] for x in symbols) for s in states),
            self.num_bits,
        )

    def _find_difference(self, hypothesis: Any) -> _Symbols | None:
        if self._progress is not None:
            self._progress(hypothesis.size, self._max_states)
        if hypothesis.size > self._max_states:
            limit = self._max_states
            self.reason = f"it has more than {quantity(limit, 'state')}"
            return None
        machine = self._machine(hypothesis)
        symbols = self._different(machine)
        if symbols is None:
            return None
        # The algorithm asks for one symbol at a time, which may be rounded in
        # another way.
        answers = _answers(self._network, symbols[np.newaxis])[0]
        if np.array_equal(answers, machine.targets(symbols)):
            self.reason = "an answer is too close to call"
            return None
        return tuple(symbols.tolist())

    def _different(
        self, machine: TransducerTask
    ) -> npt.NDArray[np.integer[Any]] | None:
        """Return symbols after which the network answers something else."""
        wrong = machine.targets(self._random) != self._answers
        if wrong.any():
            first = np.where(wrong.any(1), wrong.argmax(1), _STEPS)
            row = int(first.argmin())
            return self._random[row, : first[row] + 1]
        failures = verify(self._model, machine).failures
        if not failures:
            return None
        different = failures[0].prediction != failures[0].target
        return failures[0].symbols[: int(different.argmax()) + 1]


def _named(
    task: TransducerTask, next_state: _Table, output: _Table, num_bits: int
) -> TransducerTask:
    """Return a machine whose symbols have the names of another task's."""
    names = [task.output_name(x) for x in range(task.num_classes)]

    def output_name(self: Any, symbol: int) -> str:
        return names[symbol] if symbol < len(names) else str(symbol)

    cls = type(
        "Extracted",
        (TransducerTask,),
        {
            "__doc__": "A machine that a network computes.",
            "name": "extracted",
            "next_state": next_state,
            "output": output,
            "separator": task.separator,
            "state_names": tuple(f"s{i}" for i in range(len(next_state))),
            "symbol_name": lambda self, symbol: task.symbol_name(symbol),
            "output_name": output_name,
            "as_written": lambda self, values: values,
        },
    )
    return cls(num_bits=num_bits, validation_examples=0)


def shortest_difference(
    one: TransducerTask, other: TransducerTask
) -> npt.NDArray[np.int32] | None:
    """Return the shortest sequence that tells two machines apart.

    Args:
        one: a machine.
        other: a machine of as many symbols.

    Returns:
        The symbols, `(timesteps,)`, up to the first output that differs; None
        if the machines write the same for every sequence.

    Example:

    >>> shortest_difference(Increment(), Parity())
    array([0], dtype=int32)
    """
    reached: dict[tuple[int, int], _Symbols] = {(0, 0): ()}
    queue = deque(reached)
    while queue:
        pair = queue.popleft()
        for symbol in range(one.num_symbols):
            read = (*reached[pair], symbol)
            written, ends = (
                tuple(
                    getattr(machine, table)[state][symbol]
                    for machine, state in zip((one, other), pair, strict=True)
                )
                for table in ("output", "next_state")
            )
            if written[0] != written[1]:
                return np.array(read, np.int32)
            after = (ends[0], ends[1])
            if after not in reached:
                reached[after] = read
                queue.append(after)
    return None


def extraction_text(found: Extraction, task: TransducerTask) -> str:
    """Return what a network computes, as a person would want to read it.

    Args:
        found: the result of `extract_machine`.
        task: the machine that the network was trained on.

    Returns:
        One or more lines: whether it is the task's machine, how that is known,
        and the arrows, unless there are many.
    """
    machine, search = found.machine, found.search
    if machine is None or search is None:
        return f"No machine was found: {found.reason}."
    size = f"a machine of {quantity(len(machine.next_state), 'state')}"
    who = "This" if search.proof else "As far as it was compared, this"
    if found.apart is None:
        lines = [f"{who} network is {size}. It answers {task.target_name}."]
    else:
        lines = [
            f"{who} network is {size}. It does not always answer "
            f"{task.target_name}.",
            "The shortest sequence that tells them apart, first symbol first: "
            f"{_joined(machine, found.apart)}",
            *(
                f"  {label} {_joined(each, each.targets(found.apart), True)}"
                for label, each in (
                    ("it answers ", machine),
                    ("right is   ", task),
                )
            ),
        ]
    if search.proof is not None:
        lines.append(
            "Proved: it is this machine for every sequence, of any length "
            f"({len(search.proof.states)} boxes, smallest margin "
            f"{search.margin:.4g})."
        )
    else:
        lines.append(
            f"Not proved ({search.reason}), but no other answer was found: all "
            f"sequences of {found.num_bits} symbols and {_SEQUENCES:,} random "
            f"ones of {_STEPS} were compared."
        )
    arrows = [
        f"  {machine.state_name(start)}: {machine.symbol_name(symbol)} / "
        f"{machine.output_name(machine.output[start][symbol])} → "
        f"{machine.state_name(end)}"
        for start, row in enumerate(machine.next_state)
        for symbol, end in enumerate(row)
    ]
    shown = arrows[:_SHOWN_ARROWS]
    if len(arrows) > len(shown):
        shown.append(f"  and {len(arrows) - len(shown)} more; see --output")
    return "\n".join([*lines, *shown])


def _joined(
    machine: TransducerTask, symbols: Any, outputs: bool = False
) -> str:
    """Return a sequence in the order of reading, whatever the task's own."""
    name = machine.output_name if outputs else machine.symbol_name
    return " ".join(name(each) for each in symbols.tolist())


def _start(network: LSTMWeights, count: int) -> list[Any]:
    return [
        np.zeros((count, lstm.units), np.float32)
        for lstm in network.lstms
        for _ in "hc"
    ]


def _step(
    network: LSTMWeights, cells: list[Any], symbols: Any
) -> tuple[list[Any], Any]:
    """Return the cells after a symbol each, and the answers."""
    x, after = network.embedding[symbols], []
    pairs = zip(cells[::2], cells[1::2], strict=True)
    for lstm, (h, c) in zip(network.lstms, pairs, strict=True):
        z = x @ lstm.kernel + h @ lstm.recurrent_kernel + lstm.bias
        *_, c, x = lstm_cell(
            z, c, split=np.split, sigmoid=numpy_sigmoid, tanh=np.tanh
        )
        after += [x, c]
    return after, (x @ network.kernel + network.bias).argmax(-1)


def _answers(network: LSTMWeights, symbols: Any) -> Any:
    """Return the answers to sequences, `(num_examples, timesteps)`."""
    cells, answers = _start(network, len(symbols)), []
    for read in symbols.T:
        cells, found = _step(network, cells, read)
        answers.append(found)
    return np.stack(answers, 1)
