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
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from keras_lstm.core.errors import InputError
from keras_lstm.models.weights import LSTMWeights, read_weights
from keras_lstm.proof.intervals import (
    SIGMOID_ERROR,
    TANH_ERROR,
    Array,
    Interval,
)
from keras_lstm.proof.propagation import read_symbol, smallest_margins
from keras_lstm.tasks.transducer import TransducerTask

# Sums of products of numbers below this stay far from float32's largest.
_LARGEST = 2.0**50


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
    network = provable_weights(model, task)
    if proof.weights_sha256 != network.digest():
        raise ProofError("this proof is about other weights")
    if [proof.next_state, proof.output] != tables_of(task):
        raise ProofError("this proof is about another task")
    next_state, output = np.array(task.next_state), np.array(task.output)
    boxes, states = proof.boxes, proof.states
    count, size = len(states), state_size(network)
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


def provable_weights(model: keras.Model, task: TransducerTask) -> LSTMWeights:
    """The network of a model that a proof can be about.

    Raises:
        InputError: it is another.
    """
    _check_activations()
    network = read_weights(model, task.num_symbols)
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


def tables_of(task: TransducerTask) -> list[list[list[int]]]:
    """The machine's tables, as JSON holds them."""
    return [
        np.asarray(table).tolist() for table in (task.next_state, task.output)
    ]


def _checksum(content: Any) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def state_size(network: LSTMWeights) -> int:
    """Return how many numbers a state has: each layer's h and c."""
    return sum(2 * lstm.units for lstm in network.lstms)


def _all_in(numbers: npt.NDArray[np.int64], count: int) -> bool:
    return bool(np.all((numbers >= 0) & (numbers < count)))
