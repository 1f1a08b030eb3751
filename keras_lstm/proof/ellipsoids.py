"""Proofs that a network is right at every length: ellipsoids that it stays in.

This module and `affine` are the trusted base of these proofs, with
`intervals`, `subject`, `proof_json` and `models/weights.py`. It imports no
search. The claim, and what it assumes, are those of `certificate.py`.

Boxes prove a network only if it was trained for that. The states of any other
network need a domain in which deviations can cancel: here the h of all layers
are in an ellipsoid, and each c between two bounds. A *node* is such a set,
paired with a state of the machine. docs/proof.md explains why that suffices.

Along a run of one symbol, a c can count the symbols, up to a limit of
thousands. Nodes for parts of the run cover that: such a node leads back to
itself on that symbol a given number of times, and then to the next node.
"""

import dataclasses
import json
from typing import Any, ClassVar

import keras
import numpy as np
import numpy.typing as npt

from keras_lstm.models.weights import LSTMWeights
from keras_lstm.proof.affine import Form, Reading, distances, read_symbol
from keras_lstm.proof.intervals import (
    Array,
    Interval,
    product,
    rounding,
    total,
)
from keras_lstm.proof.proof_json import (
    ProofError,
    check_keys,
    check_list,
    check_strings_and_tables,
    checksum_of,
    parse,
)
from keras_lstm.proof.subject import LARGEST, check_answers, check_subject
from keras_lstm.tasks.transducer import TransducerTask

# Floating-point errors in the checks themselves are far below this.
_SLACK = 1e-8
# Of all nodes together: each repetition is checked one by one.
_MAX_REPEATS = 10**7

Integers = npt.NDArray[np.int64]

# Type and number of dimensions of each array in JSON.
_ARRAYS: dict[str, tuple[type, int]] = {
    **dict.fromkeys(("states", "basis", "repeats", "repeated"), (int, 1)),
    **{"radii": (float, 1), "centers": (float, 2), "successors": (int, 2)},
    **dict.fromkeys(("bases", "c", "entry"), (float, 3)),
}


@dataclasses.dataclass(frozen=True)
class EllipsoidProof:
    """Sets of network states, and the set that each symbol leads to.

    A node holds the states whose h is `centers + radii * bases @ x`, with a
    vector x of length at most 1, and whose c is inside `c`. All that is not
    noted otherwise has an element for each node; reading starts in the first.

    Args:
        weights_sha256: SHA-256 of the network's weights, in hexadecimal.
        next_state: the machine's table of next states.
        output: the machine's table of outputs.
        margin: lower bound on the right symbol's logit minus the largest
            other, a number.
        bases: matrices that nodes share, `(bases, units, units)`, for the
            units of all layers.
        states: the machine state, `(nodes,)`.
        basis: index of the node's matrix in `bases`, `(nodes,)`.
        centers: center of the ellipsoid of h, `(nodes, units)`.
        radii: radius of the ellipsoid, `(nodes,)`.
        c: bounds on c, `(nodes, units)`.
        entry: bounds on c on arrival from other nodes, `(nodes, units)`.
        successors: index of the node that reading each symbol leads to,
            `(nodes, num_symbols)`.
        repeats: how often at most the symbol `repeated` is read in the node,
            `(nodes,)`; the last of these leads to the successor, those before
            it back to the node.
        repeated: that symbol, `(nodes,)`; of no account where `repeats` is 1.
    """

    domain: ClassVar[str] = "ellipsoids"

    weights_sha256: str
    next_state: list[list[int]]
    output: list[list[int]]
    margin: float
    bases: Array
    states: Integers
    basis: Integers
    centers: Array
    radii: Array
    c: Interval
    entry: Interval
    successors: Integers
    repeats: Integers
    repeated: Integers

    def to_json(self) -> str:
        """Return the proof as JSON, with a checksum of its contents."""
        content: dict[str, Any] = {"domain": self.domain}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Interval):
                content[field.name] = [bound.tolist() for bound in value]
            elif isinstance(value, np.ndarray):
                content[field.name] = value.tolist()
            else:
                content[field.name] = value
        return json.dumps({"checksum": checksum_of(content), **content}) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "EllipsoidProof":
        """Read a proof from the text that `to_json` returned.

        Args:
            text: the JSON text.

        Returns:
            The proof, as the text claims it: `check_ellipsoids` checks it.

        Raises:
            ProofError: if `text` is not such a proof, or its checksum does
                not match.
        """
        content = parse(text, _check_types)
        del content["domain"]
        arrays: dict[str, Any] = {
            name: _read_array(content[name], kind, depth, name)
            for name, (kind, depth) in _ARRAYS.items()
        }
        for name in ("c", "entry"):
            if len(arrays[name]) != 2:
                raise ProofError(
                    f"this is not a proof: `{name}` is no interval"
                )
            arrays[name] = Interval(*arrays[name])
        return cls(**content | arrays)


def check_ellipsoids(
    model: keras.Model, task: TransducerTask, proof: EllipsoidProof
) -> float:
    """Check a proof that a model is right at every length.

    A proof holds if (1) the state before the first symbol is in the first
    node, which is paired with the machine's start state, (2) from any state in
    any node, reading any symbol leads into a node paired with the machine's
    next state, and (3) the prediction there is the symbol that the machine
    writes. Where a node repeats a symbol, (2) is shown for each repetition.

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
    check_nodes(network, task, proof)
    check_answers(model, task, proof.margin)
    return proof.margin


def check_nodes(
    network: LSTMWeights, task: TransducerTask, proof: EllipsoidProof
) -> None:
    """Check the three conditions of `check_ellipsoids` for a network."""
    _check_arrays(network, task, proof)
    to_noise = _invert(proof.bases)[proof.basis]

    # 1. The initial state, in which every h and c is 0, is in the first node.
    start = np.linalg.norm(to_noise[0] @ proof.centers[0])
    if not (
        proof.states[0] == 0
        and start * (1 + _SLACK) <= proof.radii[0]
        and np.all(proof.entry.low[0] <= 0)
        and np.all(proof.entry.high[0] >= 0)
    ):
        raise ProofError("the first node does not contain the initial state")

    for symbol in range(task.num_symbols):
        for first in range(0, len(proof.states), 128):
            nodes = np.arange(first, min(first + 128, len(proof.states)))
            _check_reading(network, task, proof, to_noise, nodes, symbol)


def _check_types(content: Any) -> None:
    """Refuse JSON that has not the fields of a proof; arrays apart.

    Raises:
        ProofError: if it has not.
    """
    names = [field.name for field in dataclasses.fields(EllipsoidProof)]
    check_keys(content, ("checksum", "domain", *names), "the proof")
    if content["domain"] != EllipsoidProof.domain:
        raise ProofError(f"this is not a proof by {EllipsoidProof.domain}")
    check_strings_and_tables(content)
    check_list([content["margin"]], float, "margin")


def _read_array(value: Any, kind: type, depth: int, name: str) -> Any:
    """Return lists in lists as an array, without a change of type.

    Raises:
        ProofError: if they are no array of that type and depth.
    """
    rows = [value]
    for _ in range(depth - 1):
        if not all(type(row) is list for row in rows):
            raise ProofError(f"this is not a proof: `{name}` is no array")
        rows = [each for row in rows for each in row]
    for row in rows:
        check_list(row, kind, name)
    try:
        return np.array(value, np.int64 if kind is int else np.float64)
    # Rows of different lengths.
    except ValueError:
        raise ProofError(f"this is not a proof: `{name}` is no array") from None


def _invert(bases: Array) -> Array:
    """Return the inverses, whose errors change no length by `_SLACK`.

    Raises:
        ProofError: if an inverse is less accurate than that.
    """
    try:
        inverses = np.linalg.inv(bases)
    except np.linalg.LinAlgError:
        raise ProofError("this proof has a singular basis") from None
    # With an error E in the product, a length is wrong by a factor of at most
    # 1 - |E|.
    error = np.abs(inverses @ bases - np.eye(bases.shape[1])).sum((1, 2))
    if not np.all(error < _SLACK / 10):
        raise ProofError("this proof has an almost singular basis")
    return np.asarray(inverses, np.float64)


def _check_arrays(
    network: LSTMWeights, task: TransducerTask, proof: EllipsoidProof
) -> None:
    units = sum(lstm.units for lstm in network.lstms)
    count, bases = len(proof.states), len(proof.bases)
    shapes = [
        (proof.states, (count,)),
        (proof.basis, (count,)),
        (proof.radii, (count,)),
        (proof.repeats, (count,)),
        (proof.repeated, (count,)),
        (proof.successors, (count, task.num_symbols)),
        (proof.bases, (bases, units, units)),
        *(
            (array, (count, units))
            for array in (proof.centers, *proof.c, *proof.entry)
        ),
    ]
    ranges = [
        (proof.states, len(proof.next_state)),
        (proof.basis, bases),
        (proof.successors, count),
        (proof.repeats - 1, _MAX_REPEATS),
        (proof.repeated, task.num_symbols),
    ]
    if (
        count == 0
        or any(array.shape != shape for array, shape in shapes)
        or any(np.any((a < 0) | (a >= end)) for a, end in ranges)
        or not all(np.all(np.abs(a) < LARGEST) for a, _ in shapes)
        or proof.repeats.sum() > _MAX_REPEATS
        or not np.all(proof.radii >= 0)
        or not _inside(proof.entry, proof.c)
        or not np.all(proof.entry.low <= proof.entry.high)
    ):
        raise ProofError(
            "this proof has arrays of wrong shapes or values out of range"
        )


def _check_reading(
    network: LSTMWeights,
    task: TransducerTask,
    proof: EllipsoidProof,
    to_noise: Array,
    nodes: Integers,
    symbol: int,
) -> None:
    """Check conditions 2 and 3 for some nodes and a symbol."""
    next_state, output = np.array(task.next_state), np.array(task.output)
    states, successors = proof.states[nodes], proof.successors[nodes, symbol]
    repeats = np.where(proof.repeated[nodes] == symbol, proof.repeats[nodes], 1)
    again = nodes[repeats > 1]
    if not np.array_equal(
        proof.states[successors], next_state[states, symbol]
    ) or not np.array_equal(
        proof.states[again], next_state[proof.states[again], symbol]
    ):
        raise ProofError(
            f"reading {symbol} leads to a node of another machine state"
        )
    after = read_nodes(network, proof, nodes, symbol)
    left = ProofError(f"on reading {symbol}, the network leaves its nodes")
    reached = distances(
        after.h, proof.centers[successors], to_noise[successors]
    )
    if not np.all(reached * (1 + _SLACK) <= proof.radii[successors]):
        raise left
    reached = distances(after.h, proof.centers[nodes], to_noise[nodes])
    stays = reached * (1 + _SLACK) <= proof.radii[nodes]
    if not np.all(stays | (repeats == 1)):
        raise left
    for row, (node, successor) in enumerate(
        zip(nodes, successors, strict=True)
    ):
        if repeats[row] == 1:
            c = _row(after.c.bounds, row)
        else:
            update = _row(after.forget, row), _row(after.added, row)
            c = _repeat(proof, node, *update, repeats[row])
        if not _inside(c, _row(proof.entry, successor)):
            raise left
    margins = smallest_margins(network, after.h, output[states, symbol])
    if not (proof.margin > 0 and np.all(margins >= proof.margin)):
        raise ProofError(
            f"on reading {symbol}, the margin is not above 0, or unproved"
        )


def read_nodes(
    network: LSTMWeights, proof: EllipsoidProof, nodes: Integers, symbol: int
) -> Reading:
    """Return bounds on what reading a symbol in some nodes leads to."""
    h = Form(
        proof.centers[nodes],
        proof.radii[nodes, np.newaxis, np.newaxis]
        * proof.bases[proof.basis[nodes]],
        np.zeros_like(proof.centers[nodes]),
    )
    c = Interval(*(bound[nodes] for bound in proof.c))
    return read_symbol(network, h, c, symbol)


def _repeat(
    proof: EllipsoidProof,
    node: int,
    forget: Interval,
    added: Interval,
    repeats: int,
) -> Interval:
    """Return bounds on c after up to `repeats` updates, checking those before.

    Raises:
        ProofError: if an update before the last leaves the node.
    """
    c, inside = _row(proof.entry, node), _row(proof.c, node)
    for _ in range(repeats - 1):
        c = total(product(forget, c), added)
        if not _inside(c, inside):
            raise ProofError("repeating a symbol, the network leaves its nodes")
    return total(product(forget, c), added)


def smallest_margins(
    network: LSTMWeights, h: Form, targets: npt.NDArray[np.int64]
) -> Array:
    """Return lower bounds on the right logit minus the largest other.

    Args:
        network: the weights.
        h: bounds on the h of each layer in turn after the symbol.
        targets: the right class in each row, `(rows,)`.

    Returns:
        Lower bounds on the margin, `(rows,)`.
    """
    units = h.middle.shape[1]
    h = h.part(units - network.lstms[-1].units, units)
    kernel = network.kernel.astype(np.float64)
    bias = network.bias.astype(np.float64)
    # The difference of two exact logits is one sum over the same h: bounding
    # it directly is tighter than bounding each logit.
    difference = kernel[:, targets].T[:, np.newaxis] - kernel.T
    spread = np.einsum("rnk,ron->rok", h.generators, difference)
    margins = (
        np.einsum("rn,ron->ro", h.middle, difference)
        - np.linalg.norm(spread, axis=2)
        - np.einsum("rn,ron->ro", h.error, np.abs(difference))
        + (bias[targets][:, np.newaxis] - bias)
    )
    # The two logits are rounded separately.
    rounded = rounding([(h.bounds, kernel)], bias)
    rows = np.arange(len(targets))
    margins -= rounded + rounded[rows, targets][:, np.newaxis]
    margins[rows, targets] = np.inf
    return margins.min(1)


def _row(bounds: Interval, row: int) -> Interval:
    return Interval(bounds.low[row], bounds.high[row])


def _inside(inner: Interval, outer: Interval) -> bool:
    return bool(
        np.all(outer.low <= inner.low) and np.all(inner.high <= outer.high)
    )
