"""Search for boxes that make up a proof."""

import dataclasses
import time
from collections.abc import Callable, Iterator

import keras
import numpy as np
import numpy.typing as npt

from keras_lstm.models.weights import LSTMWeights
from keras_lstm.proof.boxes import make_boxes
from keras_lstm.proof.certificate import Proof, check_proof
from keras_lstm.proof.intervals import (
    Interval,
)
from keras_lstm.proof.propagation import read_symbol, smallest_margins
from keras_lstm.proof.subject import provable_weights, state_size, tables_of
from keras_lstm.tasks.transducer import TransducerTask

_MAX_ROUNDS = 400
_MAX_BOXES = 64
# Rounds before boxes are extrapolated, if all are reached in half as many.
_PERIOD = 10
# Periods in which extrapolated boxes may settle.
_PERIODS_TO_SETTLE = 4
# What `make_boxes` returns.
_Layout = tuple[npt.NDArray[np.int64], list[list[int]], npt.NDArray[np.int64]]


@dataclasses.dataclass(frozen=True)
class ProofSearch:
    """Result of a search for a proof.

    Args:
        proof: the proof, already checked; None if none was found.
        margin: over all boxes, and hence over all sequences, the right
            symbol's logit exceeds every other by at least this; 0 without a
            proof.
        reason: why no proof was found; empty if one was.
        rounds: number of times that all boxes were propagated through the
            network, without those for extrapolated boxes.
        seconds: duration of the search, in seconds.
    """

    proof: Proof | None
    margin: float
    reason: str
    rounds: int
    seconds: float


def find_proof(
    model: keras.Model,
    task: TransducerTask,
    progress: Callable[[int, int], None] | None = None,
) -> ProofSearch:
    """Search for a proof that a model is right for sequences of any length.

    There is one box for each machine state and last symbol read. Starting from
    the state before the first symbol, each round propagates the boxes through
    the network and grows each box to hold what arrives in it, until none grows.
    From time to time, boxes are tried that are extrapolated from the last
    round's growth. If a prediction becomes undecided, no such boxes exist.
    Then, or if the boxes do not stop growing, the search is repeated with boxes
    that distinguish the last symbol written, too, or more of those read.

    Args:
        model: model with the per_step head, from symbols,
            `(batch_size, timesteps)`, to logits,
            `(batch_size, timesteps, num_classes)`.
        task: the machine.
        progress: function called at the start of each round, with its number
            and their maximum. The count starts again for each set of boxes,
            and stays while extrapolated ones are tried. Defaults to None.

    Returns:
        The proof, checked by `check_proof`, or why none was found.

    Raises:
        InputError: if `provable_weights` refuses the model or TensorFlow.
    """
    start = time.perf_counter()
    network = provable_weights(model, task)
    rounds, reason = 0, ""
    for layout in _layouts(task):
        search = _Search(network, task, progress, *layout)
        proof = search.run()
        rounds += search.rounds
        if proof is not None:
            margin = check_proof(model, task, proof)
            seconds = time.perf_counter() - start
            return ProofSearch(proof, margin, "", rounds, seconds)
        reason = reason or search.reason
    seconds = time.perf_counter() - start
    return ProofSearch(None, 0.0, reason, rounds, seconds)


def _layouts(task: TransducerTask) -> Iterator[_Layout]:
    """Yield layouts of boxes, coarse ones first."""
    first = make_boxes(task, 1)
    yield first
    by_output = make_boxes(task, 1, by_output=True)
    if len(by_output[0]) > len(first[0]):
        yield by_output
    num_remembered, count = 1, len(first[0])
    while count * task.num_symbols <= _MAX_BOXES:
        num_remembered += 1
        more = make_boxes(task, num_remembered)
        count = len(more[0])
        yield more


class _Search:
    """Boxes that grow until they hold every state that can be reached."""

    def __init__(
        self,
        network: LSTMWeights,
        task: TransducerTask,
        progress: Callable[[int, int], None] | None,
        states: npt.NDArray[np.int64],
        last_symbols: list[list[int]],
        successors: npt.NDArray[np.int64],
    ) -> None:
        self._network = network
        self._task = task
        self._progress = progress
        self.states = states
        self.last_symbols = last_symbols
        self.successors = successors
        self.rounds = 0
        self.reason = ""

    def run(self) -> Proof | None:
        size = state_size(self._network)
        count = len(self.states)
        # NaN marks a box that nothing has reached; only the start is reached.
        low, high = np.full((2, count, size), np.nan)
        low[0] = high[0] = 0.0
        boxes = Interval(low, high)
        before, period, next_try = np.inf, _PERIOD, _PERIOD
        while self.rounds < _MAX_ROUNDS:
            self.rounds += 1
            grown, growth, undecided = self._grow(boxes)
            if undecided:
                self.reason = undecided
                return None
            largest = float(np.nanmax(growth))
            if largest == 0:
                return self._proof(boxes)
            if largest == np.inf:
                # What arrives in a box comes around the machine in time.
                period = min(max(_PERIOD, 2 * self.rounds), _MAX_ROUNDS)
                next_try = period
            elif self.rounds >= next_try and largest < before:
                ahead = _extrapolate(boxes, grown, largest / before)
                closed, tried = self._close(ahead, period)
                if closed is not None:
                    return self._proof(closed)
                # The next one waits for as many rounds as this one took.
                next_try = self.rounds + max(period, tried)
            boxes, before = grown, largest
        box, element = np.unravel_index(np.nanargmax(growth), growth.shape)
        self.reason = (
            f"after {self.rounds} rounds boxes still grew: "
            f"{self._element(int(element))} by {largest:.3g} in the last, in "
            f"the box {self._box(int(box))}"
        )
        return None

    def _grow(
        self, boxes: Interval
    ) -> tuple[Interval, npt.NDArray[np.float64], str]:
        """Return the grown boxes, their growth, and what is undecided."""
        if self._progress is not None:
            self._progress(self.rounds, _MAX_ROUNDS)
        after, undecided = self._push(boxes)
        if undecided:
            return boxes, np.zeros(0), undecided
        grown = self._join(boxes, after)
        growth = np.maximum(boxes.low - grown.low, grown.high - boxes.high)
        growth[np.isnan(boxes.low) & ~np.isnan(grown.low)] = np.inf
        return grown, growth, ""

    def _push(self, boxes: Interval) -> tuple[list[Interval], str]:
        """Return bounds after each symbol, or which prediction is undecided."""
        reached = np.flatnonzero(~np.isnan(boxes.low[:, 0]))
        inside = Interval(*(bound[reached] for bound in boxes))
        outputs = np.array(self._task.output)
        after: list[Interval] = []
        for symbol in range(self._task.num_symbols):
            symbols = np.full(len(reached), symbol)
            arrived = read_symbol(self._network, inside, symbols)
            targets = outputs[self.states[reached], symbol]
            margins = smallest_margins(self._network, arrived, targets)
            if not np.all(margins > 0):
                box = int(reached[np.argmin(margins)])
                return [], (
                    f"in round {self.rounds} an answer could not be decided: "
                    f"reading {self._task.symbol_name(symbol)} in the box "
                    f"{self._box(box)}"
                )
            whole = Interval(*(np.full_like(bound, np.nan) for bound in boxes))
            for bound, found in zip(whole, arrived, strict=True):
                bound[reached] = found
            after.append(whole)
        return after, ""

    def _join(self, boxes: Interval, after: list[Interval]) -> Interval:
        """Return the boxes, grown to hold what arrives in them."""
        low, high = boxes.low.copy(), boxes.high.copy()
        for symbol, bounds in enumerate(after):
            # Widened slightly: another machine may add in another order.
            arrived = bounds.widened(2.0**-40)
            np.fmin.at(low, self.successors[:, symbol], arrived.low)
            np.fmax.at(high, self.successors[:, symbol], arrived.high)
        return Interval(low, high)

    def _close(
        self, boxes: Interval, period: int
    ) -> tuple[Interval | None, int]:
        """Return boxes around these that nothing leaves, and the rounds taken.

        None stands for boxes that were not found.
        """
        before = np.inf
        for tried in range(1, _PERIODS_TO_SETTLE * period + 1):
            grown, growth, undecided = self._grow(boxes)
            if undecided:
                return None, tried
            largest = float(np.nanmax(growth))
            if largest == 0:
                return boxes, tried
            if tried % period == 0 and largest < before:
                grown = _extrapolate(boxes, grown, largest / before)
            boxes, before = grown, largest
        return None, tried

    def _proof(self, boxes: Interval) -> Proof:
        count, outputs = len(self.states), np.array(self._task.output)
        margins = []
        for symbol in range(self._task.num_symbols):
            after = read_symbol(self._network, boxes, np.full(count, symbol))
            targets = outputs[self.states, symbol]
            margins.append(smallest_margins(self._network, after, targets))
        next_state, output = tables_of(self._task)
        return Proof(
            weights_sha256=self._network.digest(),
            next_state=next_state,
            output=output,
            states=self.states,
            last_symbols=self.last_symbols,
            boxes=boxes,
            successors=self.successors,
            # Reduced slightly: another machine may add in another order.
            margins=np.stack(margins, 1) * (1 - 1e-9),
        )

    def _box(self, box: int) -> str:
        read = ", ".join(map(self._task.symbol_name, self.last_symbols[box]))
        last = f"after reading {read}" if read else "at the start"
        return f"of state {self._task.state_name(self.states[box])}, {last}"

    def _element(self, element: int) -> str:
        for number, lstm in enumerate(self._network.lstms, 1):
            if element < 2 * lstm.units:
                name = "hc"[element // lstm.units]
                unit = element % lstm.units
                return f"{name} of unit {unit} in LSTM layer {number}"
            element -= 2 * lstm.units
        raise IndexError(element)


def _extrapolate(boxes: Interval, grown: Interval, ratio: float) -> Interval:
    """Return the limit of the growth if it keeps shrinking by `ratio` < 1."""
    further = 1.05 * ratio / (1 - ratio)
    return Interval(
        grown.low - further * (boxes.low - grown.low),
        grown.high + further * (grown.high - boxes.high),
    )
