"""Right for every length: boxes of states that a network never leaves.

A network that reads symbol by symbol is proved to answer as a machine does,
for sequences of any length, by boxes: bounds on every h and c, each box beside
one state of the machine. `check_proof` says what has to hold, and is all that
has to be trusted; `find_proof` looks for boxes.

The claim is about the model as `predict` runs it: in float32, on a CPU, not
compiled by XLA. Assumed are

- IEEE 754 arithmetic, rounded to nearest, sums in any order, with or without
  fused multiply-add, subnormal numbers kept or flushed (`intervals.py`);
- matrix products by plain sums of products (no Strassen or Winograd, no
  bfloat16 or TF32: TensorFlow's and oneDNN's defaults on a CPU);
- `tf.tanh` and `tf.sigmoid` within what
  `scripts/benchmarks/measure_activations.py` measured for this TensorFlow over
  all finite float32 numbers;
- Keras's LSTM equations (`keras/src/layers/rnn/lstm.py`), and this module.

docs/proof.md explains the idea with a picture.
"""

import dataclasses
import functools
import hashlib
import json
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from keras_lstm.intervals import (
    SIGMOID_ERROR,
    TANH_ERROR,
    Array,
    Interval,
    exactly,
    product,
    rounding,
    sigmoid,
    tanh,
    total,
    weighted_sum,
)
from keras_lstm.network import Network, read_network
from keras_lstm.options import InputError
from keras_lstm.tasks.transducer import TransducerTask

# Sums of products of numbers below this stay far from float32's largest.
_LARGEST = 2.0**50
_MAX_ROUNDS = 400
_MAX_BOXES = 64
_ROUNDS_BETWEEN_TRIES = 10
_ROUNDS_TO_SETTLE = 10


class ProofError(ValueError):
    """A proof that does not hold for this model, or is no proof at all."""


@dataclasses.dataclass(frozen=True)
class Proof:
    """Boxes of network states, and where each leads.

    Args:
        weights_sha256: of the network that it is about.
        next_state: the machine's table.
        output: the machine's table.
        states: the machine's state beside each box, `(boxes,)`; the first
            box is where reading starts.
        last_symbols: what was read last on the way to each box; says where a
            box comes from, and proves nothing.
        boxes: bounds on each layer's h and c, one after the other,
            `(boxes, 2 * units of all layers)`.
        successors: the box that reading each symbol leads to,
            `(boxes, num_symbols)`.
        margins: by how much the right symbol's logit is then at least greater
            than every other, `(boxes, num_symbols)`.
    """

    weights_sha256: str
    next_state: list[list[int]]
    output: list[list[int]]
    states: npt.NDArray[np.int64]
    last_symbols: list[list[int]]
    boxes: Interval
    successors: npt.NDArray[np.int64]
    margins: Array

    def to_json(self) -> str:
        """The proof as text, with a checksum of itself."""
        content = {
            "weights_sha256": self.weights_sha256,
            "next_state": self.next_state,
            "output": self.output,
            "boxes": [
                {
                    "state": int(state),
                    "last_symbols": last_symbols,
                    "successors": successors.tolist(),
                    "margins": margins.tolist(),
                    "low": low.tolist(),
                    "high": high.tolist(),
                }
                for state, last_symbols, successors, margins, low, high in zip(
                    self.states,
                    self.last_symbols,
                    self.successors,
                    self.margins,
                    *self.boxes,
                    strict=True,
                )
            ],
        }
        return json.dumps({"checksum": _checksum(content), **content}) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Proof":
        """Reads what `to_json` wrote.

        Raises:
            ProofError: it is something else, or was changed.
        """
        try:
            content = json.loads(text)
            checksum = content.pop("checksum")
            boxes = content["boxes"]
            proof = cls(
                str(content["weights_sha256"]),
                content["next_state"],
                content["output"],
                np.array([box["state"] for box in boxes], np.int64),
                [box["last_symbols"] for box in boxes],
                Interval(
                    np.array([box["low"] for box in boxes], np.float64),
                    np.array([box["high"] for box in boxes], np.float64),
                ),
                np.array([box["successors"] for box in boxes], np.int64),
                np.array([box["margins"] for box in boxes], np.float64),
            )
        except (
            *(AttributeError, IndexError, KeyError, OverflowError),
            *(RecursionError, TypeError, ValueError),
        ) as error:
            raise ProofError(
                f"this is no proof ({type(error).__name__}: {error})"
            ) from None
        if checksum != _checksum(content):
            raise ProofError("this proof was changed: its checksum is another")
        return proof


@dataclasses.dataclass(frozen=True)
class ProofSearch:
    """What came of looking for a proof.

    Args:
        proof: what was found, checked; None if nothing was.
        margin: over all boxes, and so over all sequences, the right symbol's
            logit is greater than every other by at least this; 0 without a
            proof.
        reason: why none was found.
        rounds: how often all boxes were pushed through the network.
        seconds: how long it took.
    """

    proof: Proof | None
    margin: float
    reason: str
    rounds: int
    seconds: float


def check_proof(
    model: keras.Model, task: TransducerTask, proof: Proof
) -> float:
    """Checks that a proof holds: that a model is right for every length.

    It does if (1) the state before the first symbol is in the first box,
    (2) from any state in any box, reading any symbol leads into a box beside
    the machine's next state, and (3) the answer given there is the machine's.
    By induction over the symbols read, every answer to every sequence is then
    right. Bounds hold for float32 as it runs: see the top of this module.

    Args:
        model: from symbols to logits, `(batch_size, timesteps, num_classes)`.
        task: the machine.
        proof: the boxes.

    Returns:
        The smallest margin.

    Raises:
        ProofError: it does not hold.
        InputError: the model is not of the kind that this is about.
    """
    network = _provable(model, task)
    if proof.weights_sha256 != network.digest():
        raise ProofError("this proof is about other weights")
    if [proof.next_state, proof.output] != _tables(task):
        raise ProofError("this proof is about another task")
    next_state, output = np.array(task.next_state), np.array(task.output)
    boxes, states = proof.boxes, proof.states
    count, size = len(states), _state_size(network)
    if (
        [bound.shape for bound in boxes] != [(count, size)] * 2
        or proof.successors.shape != (count, task.num_symbols)
        or proof.margins.shape != (count, task.num_symbols)
        or not _all_in(states, len(next_state))
        or not _all_in(proof.successors, count)
        or not np.all(boxes.size < _LARGEST)
    ):
        raise ProofError("this proof has no boxes of such a network's states")

    # 1. Reading starts in the first box: every h and c is 0.
    if not (
        count > 0
        and states[0] == 0
        and np.all(boxes.low[0] <= 0)
        and np.all(boxes.high[0] >= 0)
    ):
        raise ProofError("the first box does not hold the start")

    for symbol in range(task.num_symbols):
        after = read_symbol(network, boxes, np.full(count, symbol))

        # 2. Whatever is read, the network stays within the boxes.
        successors = proof.successors[:, symbol]
        if not np.array_equal(states[successors], next_state[states, symbol]):
            raise ProofError(f"reading {symbol}, the machine goes elsewhere")
        if not (
            np.all(boxes.low[successors] <= after.low)
            and np.all(after.high <= boxes.high[successors])
        ):
            raise ProofError(f"reading {symbol}, the network leaves its boxes")

        # 3. And what it answers there is right, by the margins claimed.
        margins = smallest_margins(network, after, output[states, symbol])
        claimed = proof.margins[:, symbol]
        if not (np.all(claimed > 0) and np.all(claimed <= margins)):
            raise ProofError(f"reading {symbol}, an answer is not decided")
    return float(proof.margins.min())


def read_symbol(
    network: Network, states: Interval, symbols: npt.NDArray[np.int64]
) -> Interval:
    """Bounds on the state after a symbol, from bounds on the one before.

    Args:
        network: the weights.
        states: `(rows, 2 * units of all layers)`: each layer's h, its c.
        symbols: what is read in each row, `(rows,)`.
    """
    x = exactly(network.embedding[symbols])
    after: list[Interval] = []
    first = 0
    for lstm in network.lstms:
        units = lstm.units
        h, c = (
            Interval(*(bound[:, i : i + units] for bound in states))
            for i in (first, first + units)
        )
        first += 2 * units
        kernel, recurrent_kernel, bias = (w.astype(np.float64) for w in lstm)
        z = weighted_sum([(x, kernel), (h, recurrent_kernel)], bias)
        z_i, z_f, z_g, z_o = (
            Interval(*bounds)
            for bounds in zip(
                *(np.split(bound, 4, axis=1) for bound in z), strict=True
            )
        )
        c = total(product(sigmoid(z_f), c), product(sigmoid(z_i), tanh(z_g)))
        x = product(sigmoid(z_o), tanh(c))
        after += [x, c]
    low, high = zip(*after, strict=True)
    return Interval(np.concatenate(low, 1), np.concatenate(high, 1))


def smallest_margins(
    network: Network, states: Interval, targets: npt.NDArray[np.int64]
) -> Array:
    """By how much at least the right logit is greater than every other.

    Args:
        network: the weights.
        states: `(rows, 2 * units of all layers)`, after the symbol.
        targets: the right class in each row, `(rows,)`.

    Returns:
        `(rows,)`.
    """
    units = network.lstms[-1].units
    h = Interval(*(bound[:, -2 * units : -units] for bound in states))
    kernel = network.kernel.astype(np.float64)
    bias = network.bias.astype(np.float64)
    # Of the exact logits the difference is one sum, in which h is the same.
    difference = kernel[:, targets].T[:, np.newaxis] - kernel.T
    margins = (
        np.einsum("rn,ron->ro", (h.low + h.high) / 2, difference)
        - np.einsum("rn,ron->ro", (h.high - h.low) / 2, np.abs(difference))
        + (bias[targets][:, np.newaxis] - bias)
    )
    # Each of the two is rounded by itself.
    rounded = rounding([(h, kernel)], bias)
    rows = np.arange(len(targets))
    margins -= rounded + rounded[rows, targets][:, np.newaxis]
    margins[rows, targets] = np.inf
    return margins.min(1)


def find_proof(
    model: keras.Model,
    task: TransducerTask,
    progress: Callable[[int, int], None] | None = None,
) -> ProofSearch:
    """Looks for a proof that a model is right for sequences of any length.

    Starting from the state before the first symbol, boxes are pushed through
    the network and joined with what arrives, one for each state of the
    machine and each of the last symbols read, until none grows. Should an
    answer become undecided, no such boxes exist; then, and where they do not
    stop growing, boxes that tell more of the symbols read last apart are tried.

    Args:
        model: from symbols to logits, with the per_step head.
        task: the machine.
        progress: called with how many rounds are done, and of how many.

    Raises:
        InputError: the model is not of the kind that this is about.
    """
    start = time.perf_counter()
    network = _provable(model, task)
    rounds, reason, num_remembered = 0, "", 1
    while True:
        search = _Search(network, task, num_remembered)
        proof = search.run(progress)
        rounds += search.rounds
        if proof is not None:
            margin = check_proof(model, task, proof)
            seconds = time.perf_counter() - start
            return ProofSearch(proof, margin, "", rounds, seconds)
        reason = reason or search.reason
        num_remembered += 1
        if len(search.states) * task.num_symbols > _MAX_BOXES:
            seconds = time.perf_counter() - start
            return ProofSearch(None, 0.0, reason, rounds, seconds)


def place_boxes(
    task: TransducerTask, num_remembered: int
) -> tuple[npt.NDArray[np.int64], list[list[int]], npt.NDArray[np.int64]]:
    """A box for each state of the machine and each of the last symbols read.

    Args:
        task: the machine.
        num_remembered: how many of the last symbols tell boxes apart.

    Returns:
        `states`, `last_symbols` and `successors` of a `Proof`; the first box
        is where reading starts.
    """
    places: dict[tuple[int, tuple[int, ...]], int] = {(0, ()): 0}
    successors: list[list[int]] = []
    queue = list(places)
    for state, read in queue:
        row = []
        for symbol in range(task.num_symbols):
            last = (*read, symbol)[-num_remembered:]
            place = (task.next_state[state][symbol], last)
            if place not in places:
                places[place] = len(places)
                queue.append(place)
            row.append(places[place])
        successors.append(row)
    return (
        np.array([state for state, _ in queue]),
        [list(read) for _, read in queue],
        np.array(successors),
    )


class _Search:
    """Boxes that grow until they hold everything that can be reached."""

    def __init__(
        self, network: Network, task: TransducerTask, num_remembered: int
    ) -> None:
        self._network = network
        self._task = task
        self.states, self.last_symbols, self.successors = place_boxes(
            task, num_remembered
        )
        self.rounds = 0
        self.reason = ""

    def run(self, progress: Callable[[int, int], None] | None) -> Proof | None:
        size = _state_size(self._network)
        count = len(self.states)
        # Nothing has arrived yet, but at the start.
        low, high = np.full((2, count, size), np.nan)
        low[0] = high[0] = 0.0
        boxes = Interval(low, high)
        before = np.inf
        while self.rounds < _MAX_ROUNDS:
            self.rounds += 1
            after, undecided = self._push(boxes)
            if undecided:
                self.reason = undecided
                return None
            grown = self._joined(boxes, after)
            growth = np.maximum(boxes.low - grown.low, grown.high - boxes.high)
            growth[np.isnan(boxes.low) & ~np.isnan(grown.low)] = np.inf
            largest = float(np.nanmax(growth))
            if largest == 0:
                return self._proof(boxes)
            if self.rounds % _ROUNDS_BETWEEN_TRIES == 0 and largest < before:
                ahead = self._ahead(boxes, grown, largest / before)
                closed = self._closed(ahead)
                if closed is not None:
                    return self._proof(closed)
            if progress is not None:
                progress(self.rounds, _MAX_ROUNDS)
            boxes, before = grown, largest
        box, element = np.unravel_index(np.nanargmax(growth), growth.shape)
        self.reason = (
            f"after {self.rounds} rounds boxes still grew: "
            f"{self._element(int(element))} by {largest:.3g} in the last, in "
            f"the box {self._box(int(box))}"
        )
        return None

    def _push(self, boxes: Interval) -> tuple[list[Interval], str]:
        """What each symbol leads to, and which answer is not decided."""
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
                    f"reading {symbol} in the box {self._box(box)}"
                )
            whole = Interval(*(np.full_like(bound, np.nan) for bound in boxes))
            for bound, found in zip(whole, arrived, strict=True):
                bound[reached] = found
            after.append(whole)
        return after, ""

    def _joined(self, boxes: Interval, after: list[Interval]) -> Interval:
        """The boxes, grown by what arrives in them."""
        low, high = boxes.low.copy(), boxes.high.copy()
        for symbol, bounds in enumerate(after):
            # A little more, should another machine add up in another order.
            arrived = bounds.widened(2.0**-40)
            for box, successor in enumerate(self.successors[:, symbol]):
                low[successor] = np.fmin(low[successor], arrived.low[box])
                high[successor] = np.fmax(high[successor], arrived.high[box])
        return Interval(low, high)

    def _closed(self, boxes: Interval) -> Interval | None:
        """Boxes that hold these, which nothing leaves; None if not soon."""
        for _ in range(_ROUNDS_TO_SETTLE):
            after, undecided = self._push(boxes)
            if undecided:
                return None
            grown = self._joined(boxes, after)
            if all(map(np.array_equal, grown, boxes)):
                return boxes
            boxes = grown
        return None

    def _ahead(
        self, boxes: Interval, grown: Interval, ratio: float
    ) -> Interval:
        """Where the growth would end if it went on to shrink by `ratio`."""
        further = 1.05 * ratio / (1 - ratio)
        return Interval(
            grown.low - further * (boxes.low - grown.low),
            grown.high + further * (grown.high - boxes.high),
        )

    def _proof(self, boxes: Interval) -> Proof:
        count, outputs = len(self.states), np.array(self._task.output)
        margins = []
        for symbol in range(self._task.num_symbols):
            after = read_symbol(self._network, boxes, np.full(count, symbol))
            answers = outputs[self.states, symbol]
            margins.append(smallest_margins(self._network, after, answers))
        next_state, output = _tables(self._task)
        return Proof(
            weights_sha256=self._network.digest(),
            next_state=next_state,
            output=output,
            states=self.states,
            last_symbols=self.last_symbols,
            boxes=boxes,
            successors=self.successors,
            # And here a little less.
            margins=np.stack(margins, 1) * (1 - 1e-9),
        )

    def _box(self, box: int) -> str:
        read = self.last_symbols[box]
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


@functools.cache
def _check_activations() -> None:
    """Refuses a TensorFlow whose tanh or sigmoid is worse than allowed for.

    On a sample: `scripts/benchmarks/measure_activations.py` asks all numbers.

    Raises:
        InputError: it is.
    """
    patterns = np.random.default_rng(0).integers(2**32, size=2**18 + 7)
    x = patterns.astype(np.uint32).view(np.float32)
    x = np.concatenate([x[np.isfinite(x)], np.linspace(-20, 20, 2**18 + 5)])
    x = x.astype(np.float32)
    # What is left over at the end of an array is computed otherwise.
    x = x[: len(x) // 7 * 7]
    rows = [*np.split(x[: 7 * 4096], 4096), x[7 * 4096 :]]
    with tf.device("CPU"):
        found = [
            np.concatenate([function(row).numpy() for row in rows])
            for function in (tf.tanh, tf.sigmoid)
        ]
    exact = np.tanh(x.astype(np.float64))
    half = 0.5 + 0.5 * np.tanh(0.5 * x.astype(np.float64))
    for name, y, right, allowed, least in (
        ("tanh", found[0], exact, TANH_ERROR, -1.0),
        ("sigmoid", found[1], half, SIGMOID_ERROR, 0.0),
    ):
        error = np.max(np.abs(y - right))
        if not (error <= allowed and y.min() >= least and y.max() <= 1):
            raise InputError(
                f"`tf.{name}` must be right to {allowed:.3g}, and from "
                f"{least:.0f} to 1, for a proof. Received: an error of "
                f"{error:.3g} in this TensorFlow"
            )


def _provable(model: keras.Model, task: TransducerTask) -> Network:
    """The network of a model that a proof can be about.

    Raises:
        InputError: it is another.
    """
    _check_activations()
    network = read_network(model, task.num_symbols)
    if not network.per_step:
        raise InputError(
            "`model` must answer at every time step for a proof about every "
            "length. Received: head=last_state"
        )
    if len(network.bias) < task.num_classes:
        raise InputError(
            f"`model` must have {task.num_classes} classes. Received: "
            f"{len(network.bias)}"
        )
    for weights in network.weights():
        allowed = np.abs(weights) < _LARGEST
        if not allowed.all():
            raise InputError(
                "`model` must have weights that are finite and below 2^50. "
                f"Received: {weights[~allowed][0]}"
            )
    return network


def _tables(task: TransducerTask) -> list[list[list[int]]]:
    """The machine's tables, as JSON holds them."""
    return [
        np.asarray(table).tolist() for table in (task.next_state, task.output)
    ]


def _checksum(content: Any) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _state_size(network: Network) -> int:
    return sum(2 * lstm.units for lstm in network.lstms)


def _all_in(numbers: npt.NDArray[np.int64], count: int) -> bool:
    return bool(np.all((numbers >= 0) & (numbers < count)))
