"""Proofs that a network is right at every length: boxes that it never leaves.

Boxes prove that a network that reads symbol by symbol predicts what a machine
writes, for sequences of any length. A box is a pair of bounds on every h and
c, and belongs to one state of the machine. `check_proof` checks the conditions
that boxes must meet to be a proof; `find_proof` searches for such boxes.

The trusted base is this module, `propagation` and `intervals`, and what every
kind of proof shares: `subject` (is it about this model?) and `proof_json`. They
import neither `search` nor `regularization`, so a proof does not depend on how
its boxes were found. Outside this folder, the base relies on
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
import json
from typing import Any, ClassVar

import keras
import numpy as np
import numpy.typing as npt

from keras_lstm.proof.intervals import Array, Interval
from keras_lstm.proof.proof_json import (
    ProofError,
    check_keys,
    check_list,
    check_strings_and_tables,
    checksum_of,
    parse,
)
from keras_lstm.proof.propagation import read_symbol, smallest_margins
from keras_lstm.proof.subject import (
    LARGEST,
    check_answers,
    check_subject,
    state_size,
)
from keras_lstm.tasks.transducer import TransducerTask

_FIELDS = ("checksum", "weights_sha256", "next_state", "output", "boxes")
_BOX_FIELDS = (
    *("state", "last_symbols", "successors", "margins", "low", "high"),
)


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
        or not all(
            0 <= symbol < task.num_symbols
            for symbols in proof.last_symbols
            for symbol in symbols
        )
        or not np.all(proof.boxes.size < LARGEST)
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


def _all_in(numbers: npt.NDArray[np.int64], count: int) -> bool:
    return bool(np.all((numbers >= 0) & (numbers < count)))
