"""Proofs that a network is right at every length: boxes that it never leaves.

Boxes prove that a network that reads symbol by symbol predicts what a machine
writes, for sequences of any length. A box is a pair of bounds on every h and
c, and belongs to one state of the machine. `check_proof` checks the conditions
that boxes must meet to be a proof; `find_proof` searches for such boxes.

The trusted base is three modules: this one, `propagation` and `intervals`.
They import neither `search` nor `regularization`, so a proof does not depend
on how its boxes were found. Outside this folder, the base relies on
`models/weights.py`, which reads the weights and refuses layers that the
equations do not cover, and on `models/stock_model.py`, which compares the model
with a stock model of these weights.


The claim is about the model as `predict` runs it: in float32, on a CPU, not
compiled by XLA. It assumes

- IEEE 754 arithmetic, rounded to nearest, with sums in any order, with or
  without fused multiply-add, and with subnormal numbers kept or flushed to
  zero (`intervals.py`);
- matrix products computed as plain sums of products (no Strassen or Winograd,
  no bfloat16 or TF32: the defaults of TensorFlow and oneDNN on a CPU);
- errors of `tf.tanh` and `tf.sigmoid` within those that
  `scripts/benchmarks/measure_activations.py` measured for this TensorFlow over
  all finite float32 numbers;
- Keras's LSTM equations (`keras/src/layers/rnn/lstm.py`), and the correctness
  of the trusted base.

docs/proof.md explains the idea with a picture.
"""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable
from typing import Any, ClassVar

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from keras_lstm.core.errors import InputError
from keras_lstm.models.logits import margins_of, sample_logits
from keras_lstm.models.stock_model import check_computes_as_stock
from keras_lstm.models.weights import LSTMWeights, read_weights
from keras_lstm.proof.intervals import (
    SIGMOID_ERROR,
    TANH_ERROR,
    Array,
    Interval,
)
from keras_lstm.proof.propagation import read_symbol, smallest_margins
from keras_lstm.tasks.transducer import TransducerTask

# Sums of products of numbers below this stay far from float32's maximum.
_LARGEST = 2.0**50
# Random sequences that a proved model is asked, and their greatest length.
_SEQUENCES = 256
_SYMBOLS = 32


_FIELDS = ("checksum", "weights_sha256", "next_state", "output", "boxes")
_BOX_FIELDS = (
    *("state", "last_symbols", "successors", "margins", "low", "high"),
)


class ProofError(ValueError):
    """Error for a proof that is malformed or does not hold."""


@dataclasses.dataclass(frozen=True)
class Proof:
    """Boxes of network states, and the box that each symbol leads to.

    Args:
        weights_sha256: SHA-256 of the network's weights, in hexadecimal.
        next_state: the machine's table of next states.
        output: the machine's table of outputs.
        states: the machine state that each box is paired with, `(boxes,)`.
            Reading starts in the first box.
        last_symbols: the last symbols read on the way to each box. They
            describe the box and prove nothing.
        boxes: bounds on the h and c of each layer in turn,
            `(boxes, 2 * units of all layers)`.
        successors: index of the box that reading each symbol leads to,
            `(boxes, num_symbols)`.
        margins: lower bounds on the right symbol's logit minus the largest
            other after reading each symbol, `(boxes, num_symbols)`.
    """

    domain: ClassVar[str] = "boxes"

    weights_sha256: str
    next_state: list[list[int]]
    output: list[list[int]]
    states: npt.NDArray[np.int64]
    last_symbols: list[list[int]]
    boxes: Interval
    successors: npt.NDArray[np.int64]
    margins: Array

    def to_json(self) -> str:
        """Return the proof as JSON, with a checksum of its contents."""
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
        return json.dumps({"checksum": checksum_of(content), **content}) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Proof":
        """Read a proof from the text that `to_json` returned.

        Args:
            text: the JSON text.

        Returns:
            The proof, as the text claims it: `check_proof` checks it.

        Raises:
            ProofError: if `text` is not such a proof, or its checksum does
                not match.
        """
        content = parse(text, _check_types)
        boxes = content["boxes"]
        return cls(
            content["weights_sha256"],
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


def check_proof(
    model: keras.Model, task: TransducerTask, proof: Proof
) -> float:
    """Check a proof that a model is right at every length.

    A proof holds if (1) the state before the first symbol is in the first box,
    which is paired with the machine's start state, (2) from any state in any
    box, reading any symbol leads into a box paired with the machine's next
    state, and (3) the prediction there is the symbol that the machine writes.
    By induction over the symbols read, every prediction for every sequence is
    then right. The bounds cover float32 rounding: see the top of this module.

    Args:
        model: model from symbols, `(batch_size, timesteps)`, to logits,
            `(batch_size, timesteps, num_classes)`.
        task: the machine.
        proof: the proof to check.

    Returns:
        The smallest margin: for every symbol of every sequence, the right
        logit exceeds all others by at least this.

    Raises:
        ProofError: if the proof does not hold for `model` and `task`.
        InputError: if `provable_weights` refuses the model or TensorFlow, or
            the model does not compute what a stock model of its weights does.
    """
    network = check_subject(
        model, task, proof.weights_sha256, [proof.next_state, proof.output]
    )
    _check_shapes(proof, task, state_size(network))
    next_state, output = np.array(task.next_state), np.array(task.output)
    boxes, states, count = proof.boxes, proof.states, len(proof.states)

    # 1. The initial state, in which every h and c is 0, is in the first box.
    if not (
        count > 0
        and states[0] == 0
        and np.all(boxes.low[0] <= 0)
        and np.all(boxes.high[0] >= 0)
    ):
        raise ProofError("the first box does not contain the initial state")

    for symbol in range(task.num_symbols):
        after = read_symbol(network, boxes, np.full(count, symbol))

        # 2. Whatever symbol is read, the network stays within the boxes.
        successors = proof.successors[:, symbol]
        if not np.array_equal(states[successors], next_state[states, symbol]):
            raise ProofError(
                f"reading {symbol} leads to a box of another machine state"
            )
        if not (
            np.all(boxes.low[successors] <= after.low)
            and np.all(after.high <= boxes.high[successors])
        ):
            raise ProofError(
                f"on reading {symbol}, the network leaves its boxes"
            )

        # 3. Its predictions there are right, by the margins claimed.
        margins = smallest_margins(network, after, output[states, symbol])
        claimed = proof.margins[:, symbol]
        if not (np.all(claimed > 0) and np.all(claimed <= margins)):
            raise ProofError(
                f"on reading {symbol}, a margin is not above 0, or unproved"
            )
    least = float(proof.margins.min())
    check_answers(model, task, least)
    return least


def check_subject(
    model: keras.Model,
    task: TransducerTask,
    weights_sha256: str,
    tables: list[list[list[int]]],
) -> LSTMWeights:
    """Check that a proof, by boxes or otherwise, is about a model and a task.

    Args:
        model: as for `check_proof`.
        task: as for `check_proof`.
        weights_sha256: SHA-256 of the weights that the proof is about.
        tables: the machine's two tables that it is about.

    Returns:
        The weights.

    Raises:
        ProofError: if the proof is about others.
        InputError: as for `check_proof`.
    """
    network = provable_weights(model, task)
    if weights_sha256 != network.digest():
        raise ProofError("this proof is about other weights")
    if tables != tables_of(task):
        raise ProofError("this proof is about another task")
    check_computes_as_stock(model, network)
    return network


@functools.cache
def check_activations() -> None:
    """Refuse a TensorFlow whose tanh or sigmoid is less accurate than allowed.

    This checks a sample of the float32 numbers;
    `scripts/benchmarks/measure_activations.py` measures all of them.

    Raises:
        InputError: if an error exceeds `TANH_ERROR` or `SIGMOID_ERROR`, or a
            result is out of range.
    """
    patterns = np.random.default_rng(0).integers(2**32, size=2**18 + 7)
    x = patterns.astype(np.uint32).view(np.float32)
    x = np.concatenate([x[np.isfinite(x)], np.linspace(-20, 20, 2**18 + 5)])
    x = x.astype(np.float32)
    # TensorFlow computes the last few numbers of an array with other
    # instructions than the rest, so rows of 7 are measured as well.
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
                f"`tf.{name}` must be accurate to {allowed:.3g}, and stay from "
                f"{least:.0f} to 1, for a proof. Received: an error of "
                f"{error:.3g} in this TensorFlow"
            )


def provable_weights(model: keras.Model, task: TransducerTask) -> LSTMWeights:
    """Return the weights of a model that can be proved.

    Args:
        model: model from symbols, `(batch_size, timesteps)`, to logits,
            `(batch_size, timesteps, num_classes)`.
        task: the machine.

    Returns:
        The weights of its layers.

    Raises:
        InputError: if `model` has unsupported layers or a last_state head, too
            few classes, or weights that are not finite and below 2^50; or if
            TensorFlow's tanh or sigmoid is less accurate than allowed.
    """
    check_activations()
    network = read_weights(model, task.num_symbols)
    if not network.per_step:
        raise InputError(
            "`model` must answer at every time step for a proof about every "
            "length. Received: head=last_state"
        )
    if len(network.bias) < task.num_classes:
        raise InputError(
            f"`model` must have at least {task.num_classes} classes. Received: "
            f"{len(network.bias)}"
        )
    for weights in network.weights():
        allowed = np.abs(weights) < _LARGEST
        if not allowed.all():
            raise InputError(
                "`model` must have finite weights of magnitude below 2^50. "
                f"Received: {weights[~allowed][0]}"
            )
    return network


def check_answers(
    model: keras.Model, task: TransducerTask, least: float
) -> None:
    """Ask the model a sample of what is proved.

    That Keras computes the equations of an LSTM is assumed: this notices a
    Keras that was patched, or a `predict` that was compiled for other layers.

    Raises:
        InputError: if a margin is below `least`.
    """
    length = model.input_shape[1] or min(task.num_bits, _SYMBOLS)
    rng = np.random.default_rng(0)
    symbols = rng.integers(task.num_symbols, size=(_SEQUENCES, length))
    logits = sample_logits(model, symbols)
    # In float64, differences of float32 numbers are not rounded here.
    margins = margins_of(logits.astype(np.float64), task.targets(symbols))
    if not np.all(margins >= least):
        raise InputError(
            "`model` must compute what its layers and Keras's equations say. "
            f"Received: {model.name}, with a margin of {np.min(margins):.4g} "
            f"where at least {least:.4g} is proved"
        )


def tables_of(task: TransducerTask) -> list[list[list[int]]]:
    """Return the machine's two tables as lists, as JSON holds them."""
    return [
        np.asarray(table).tolist() for table in (task.next_state, task.output)
    ]


def _check_shapes(proof: Proof, task: TransducerTask, size: int) -> None:
    """Refuse arrays of wrong shapes, or values out of range.

    Raises:
        ProofError: if there are any.
    """
    count = len(proof.states)
    if (
        [bound.shape for bound in proof.boxes] != [(count, size)] * 2
        or proof.successors.shape != (count, task.num_symbols)
        or proof.margins.shape != (count, task.num_symbols)
        or not _all_in(proof.states, len(task.next_state))
        or not _all_in(proof.successors, count)
        or not np.all(proof.boxes.size < _LARGEST)
    ):
        raise ProofError(
            "this proof has arrays of wrong shapes or values out of range"
        )


def _check_types(content: Any) -> None:
    """Refuse JSON whose types or lengths are not those of a proof.

    Raises:
        ProofError: if they are not; the message names the place.
    """
    check_keys(content, _FIELDS, "the proof")
    check_strings_and_tables(content)
    if type(content["boxes"]) is not list or not content["boxes"]:
        raise ProofError("this is not a proof: `boxes` is no list of boxes")
    lengths = None
    for box in content["boxes"]:
        check_keys(box, _BOX_FIELDS, "a box")
        check_list([box["state"]], int, "state")
        for name in ("last_symbols", "successors"):
            check_list(box[name], int, name)
        for name in ("low", "high", "margins"):
            check_list(box[name], float, name)
        found = [len(box[n]) for n in ("low", "high", "margins", "successors")]
        if lengths not in (None, found):
            raise ProofError("this is not a proof: boxes differ in length")
        lengths = found


def parse(text: str, check_types: Callable[[Any], None]) -> Any:
    """Return the contents of a proof in JSON, without the checksum.

    Args:
        text: the JSON text.
        check_types: function that refuses contents of other types.

    Returns:
        The contents.

    Raises:
        ProofError: if `text` is not JSON, `check_types` refuses it, or its
            checksum does not match.
    """
    try:
        content = json.loads(text)
    except (RecursionError, ValueError) as error:
        raise ProofError(
            f"this is not a proof ({type(error).__name__}: {error})"
        ) from None
    check_types(content)
    if content.pop("checksum") != checksum_of(content):
        raise ProofError("this proof was changed: its checksum is wrong")
    return content


def check_strings_and_tables(content: Any) -> None:
    """Raise ProofError if digests or the machine's tables are malformed."""
    for name in ("checksum", "weights_sha256"):
        if type(content[name]) is not str:
            raise ProofError(f"this is not a proof: `{name}` is no string")
    for name in ("next_state", "output"):
        rows = content[name]
        if type(rows) is not list or not rows:
            raise ProofError(f"this is not a proof: `{name}` is no table")
        for row in rows:
            check_list(row, int, name)


def check_keys(value: Any, names: tuple[str, ...], what: str) -> None:
    """Refuse what is not a mapping with these keys and no others."""
    if type(value) is not dict or sorted(value) != sorted(names):
        raise ProofError(
            f"this is not a proof: {what} must hold {', '.join(names)}"
        )


def check_list(value: Any, kind: type, name: str) -> None:
    """Refuse what is not a list of floats, or of 64-bit integers."""
    good = type(value) is list and all(type(each) is kind for each in value)
    if not good or (kind is int and any(abs(each) >= 2**63 for each in value)):
        raise ProofError(
            f"this is not a proof: `{name}` is no list of "
            f"{'integers' if kind is int else 'floats'}"
        )


def checksum_of(content: Any) -> str:
    """Return the SHA-256 hex digest of a proof's contents as JSON."""
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def state_size(network: LSTMWeights) -> int:
    """Return the size of a network's state: the h and c of each layer."""
    return sum(2 * lstm.units for lstm in network.lstms)


def _all_in(numbers: npt.NDArray[np.int64], count: int) -> bool:
    return bool(np.all((numbers >= 0) & (numbers < count)))
