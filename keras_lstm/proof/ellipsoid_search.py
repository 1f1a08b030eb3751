"""Search for ellipsoids that make up a proof."""

import dataclasses
import time
from collections.abc import Callable

import keras
import numpy as np

from keras_lstm.models.weights import LSTMWeights
from keras_lstm.proof.affine import Form, distances, read_symbol
from keras_lstm.proof.ellipsoids import (
    EllipsoidProof,
    Integers,
    check_ellipsoids,
    read_nodes,
    smallest_margins,
)
from keras_lstm.proof.intervals import Array, Interval
from keras_lstm.proof.partition import (
    MAX_NODES,
    Fineness,
    Node,
    Partition,
    PartitionError,
)
from keras_lstm.proof.proof_json import ProofError
from keras_lstm.proof.subject import provable_weights, tables_of
from keras_lstm.tasks.transducer import TransducerTask

_FINENESS = Fineness(7, 1.07, 0.03)
_MAX_WINDOWS = 512
_MAX_ROUNDS = 400
_MAX_SECONDS = 600.0
_SYMBOLS_OF_BASIS = 4
_ROWS = 128
# Widths beyond which nothing has ever closed.
_TOO_WIDE = 2.0


@dataclasses.dataclass(frozen=True)
class EllipsoidSearch:
    """Result of a search for a proof by ellipsoids.

    Args:
        proof: the proof, already checked; None if none was found.
        margin: over all sequences, the right symbol's logit exceeds every
            other by at least this; 0 without a proof.
        reason: why no proof was found; empty if one was.
        rounds: number of times that sets were propagated through the network.
        seconds: duration of the search, in seconds.
    """

    proof: EllipsoidProof | None
    margin: float
    reason: str
    rounds: int
    seconds: float


def find_ellipsoids(
    model: keras.Model,
    task: TransducerTask,
    progress: Callable[[int, int], None] | None = None,
) -> EllipsoidSearch:
    """Search for a proof by ellipsoids that a model is right at every length.

    `partition` divides the states that the network reaches into nodes. Each
    round propagates the nodes that changed through the network, and grows each
    node to hold what arrives in it, until none grows.

    Args:
        model: as for `find_proof`.
        task: the machine.
        progress: function called after a round, with the number of rounds done
            and their maximum; the count starts again for each division.
            Defaults to None.

    Returns:
        The proof, checked by `check_ellipsoids`, or why none was found.

    Raises:
        InputError: if `provable_weights` refuses the model or TensorFlow.
    """
    start = time.perf_counter()
    network = provable_weights(model, task)
    rounds, reason, proof = 0, "", None
    if task.num_symbols**_FINENESS.window > _MAX_WINDOWS:
        reason = "the machine reads too many different symbols"
    else:
        try:
            growth = Growth(network, task, _FINENESS)
        except PartitionError:
            reason = f"the states need more than {MAX_NODES} of them"
        else:
            proof = growth.run(progress)
            rounds, reason = growth.rounds, growth.reason
    margin = 0.0
    if proof is not None:
        try:
            margin = check_ellipsoids(model, task, proof)
        except ProofError as error:
            reason, proof = f"what was found does not hold: {error}", None
    seconds = time.perf_counter() - start
    return EllipsoidSearch(proof, margin, reason, rounds, seconds)


class Growth:
    """Nodes that grow until they hold every state that can be reached."""

    def __init__(
        self, network: LSTMWeights, task: TransducerTask, fineness: Fineness
    ) -> None:
        self._network, self._task = network, task
        partition = Partition(network, task, fineness)
        self._chains, nodes = partition.chains, partition.nodes
        self.rounds, self.reason = 0, ""
        self._in_run = np.array([node.in_run for node in nodes])
        low = np.array([node.points.min(0) for node in nodes])
        high = np.array([node.points.max(0) for node in nodes])
        units = low.shape[1] // 2
        centers = np.round((low + high)[:, :units] / 2, 7)
        next_state, output = tables_of(task)
        around = np.where(self._in_run, 0.002, 0.01)[:, np.newaxis]
        c = Interval(low[:, units:] - around, high[:, units:] + around)
        c.low[0] = c.high[0] = 0.0
        basis, bases = self._make_bases(nodes, centers)
        to_noise = np.linalg.inv(bases)[basis]
        reach = [
            np.linalg.norm(
                (node.points[:, :units] - center) @ inverse.T, axis=1
            )
            for node, center, inverse in zip(
                nodes, centers, to_noise, strict=True
            )
        ]
        radii = np.array([distance.max() for distance in reach])
        self.proof = EllipsoidProof(
            weights_sha256=network.digest(),
            next_state=next_state,
            output=output,
            margin=0.0,
            bases=bases,
            states=np.array([node.state for node in nodes]),
            basis=basis,
            centers=centers,
            radii=np.where(
                self._in_run, 1.2 * radii + 0.002, 1.4 * radii + 0.008
            ),
            c=c,
            entry=Interval(*(bound.copy() for bound in c)),
            successors=np.array([node.successors for node in nodes]),
            repeats=np.array([node.repeats for node in nodes]),
            repeated=np.array([node.repeated for node in nodes]),
        )

    def _make_bases(
        self, nodes: list[Node], centers: Array
    ) -> tuple[Integers, Array]:
        """Return the index of each node's basis, and the bases.

        The square of a distance is a quadratic form P for which
        `P = I + 3 * sum(J^T P' J)` over the symbols, so a step shortens it by a
        factor of at most 3^-1/2 where J is the Jacobian matrix of the step from
        h to h, averaged over the nodes that share the basis, and P' belongs to
        the basis after the step.
        """
        names = [node.window[-_SYMBOLS_OF_BASIS:] for node in nodes]
        order = {name: i for i, name in enumerate(sorted(set(names)))}
        basis = np.array([order[name] for name in names])
        successors = np.array([node.successors for node in nodes])
        rng = np.random.default_rng(0)
        chosen = np.concatenate(
            [
                rng.permutation(np.flatnonzero(basis == i))[:12]
                for i in range(len(order))
            ]
        )
        units = centers.shape[1]
        h = Form(
            centers[chosen],
            np.tile(1e-6 * np.eye(units), (len(chosen), 1, 1)),
            np.zeros((len(chosen), units)),
        )
        middle = np.array([nodes[i].points.mean(0)[units:] for i in chosen])
        steps = [
            read_symbol(
                self._network, h, Interval(middle, middle), symbol
            ).h.generators
            * 1e6
            for symbol in range(self._task.num_symbols)
        ]
        share = 1 / np.bincount(basis[chosen])[basis[chosen]]
        forms = np.tile(np.eye(units), (len(order), 1, 1))
        for _ in range(8):
            after = np.tile(np.eye(units), (len(order), 1, 1))
            for symbol, step in enumerate(steps):
                form = forms[basis[successors[chosen, symbol]]]
                pulled = np.swapaxes(step, 1, 2) @ form @ step
                np.add.at(
                    after,
                    basis[chosen],
                    3 * share[:, np.newaxis, np.newaxis] * pulled,
                )
            forms = after
        factors = np.swapaxes(np.linalg.cholesky(forms), 1, 2)
        return basis, np.round(np.linalg.inv(factors), 6)

    def run(
        self, progress: Callable[[int, int], None] | None
    ) -> EllipsoidProof | None:
        """Return the proof, to be checked; None if there is a `reason`."""
        count, symbols = len(self.proof.states), self._task.num_symbols
        units = self.proof.centers.shape[1]
        self._needed = np.zeros((symbols, count))
        self._needed_again = np.zeros(count)
        self._margins = np.zeros((symbols, count))
        self._c = Interval(*np.zeros((2, symbols, count, units)))
        self._update = [
            Interval(*np.zeros((2, count, units))) for _ in range(2)
        ]
        self._grown = np.zeros(count)
        self._to_noise = np.linalg.inv(self.proof.bases)[self.proof.basis]
        changed = np.ones(count, bool)
        end = time.perf_counter() + _MAX_SECONDS
        while self.rounds < _MAX_ROUNDS:
            self.rounds += 1
            self._push(np.flatnonzero(changed))
            # Sets only grow, and margins shrink.
            if self._margins.min() <= 0:
                self.reason = "a prediction could not be decided"
                return None
            changed = self._grow()
            if not changed.any():
                margin = float(self._margins.min()) * (1 - 1e-6)
                return dataclasses.replace(self.proof, margin=margin)
            if self.proof.radii.max() > _TOO_WIDE or time.perf_counter() > end:
                break
            if progress is not None:
                progress(self.rounds, _MAX_ROUNDS)
        self.reason = (
            f"after {self.rounds} rounds {changed.sum()} of {count} sets of "
            f"states still grew, the largest to {self.proof.radii.max():.3g}"
        )
        return None

    def _push(self, changed: Integers) -> None:
        """Propagate nodes through the network."""
        proof = self.proof
        for symbol in range(self._task.num_symbols):
            for first in range(0, len(changed), _ROWS):
                nodes = changed[first : first + _ROWS]
                after = read_nodes(self._network, proof, nodes, symbol)
                to = proof.successors[nodes, symbol]
                self._needed[symbol, nodes] = distances(
                    after.h, proof.centers[to], self._to_noise[to]
                )
                for kept, bound in zip(self._c, after.c.bounds, strict=True):
                    kept[symbol, nodes] = bound
                targets = np.array(self._task.output)[
                    proof.states[nodes], symbol
                ]
                self._margins[symbol, nodes] = smallest_margins(
                    self._network, after.h, targets
                )
                again = (proof.repeats[nodes] > 1) & (
                    proof.repeated[nodes] == symbol
                )
                rows = nodes[again]
                self._needed_again[rows] = distances(
                    Form(
                        after.h.middle[again],
                        after.h.generators[again],
                        after.h.error[again],
                    ),
                    proof.centers[rows],
                    self._to_noise[rows],
                )
                for kept_update, update in zip(
                    self._update, (after.forget, after.added), strict=True
                ):
                    for bound, new in zip(kept_update, update, strict=True):
                        bound[rows] = new[again]

    def _grow(self) -> Array:
        """Grow each node to hold what arrives; return which ones grew."""
        proof = self.proof
        radii = self._needed_again.copy()
        low, high = np.full(
            (2, *proof.centers.shape), [[[np.inf]], [[-np.inf]]]
        )
        low[0] = high[0] = radii[0] = 0.0
        for symbol in range(self._task.num_symbols):
            to = proof.successors[:, symbol]
            np.maximum.at(radii, to, self._needed[symbol])
            once = (proof.repeats == 1) | (proof.repeated != symbol)
            np.minimum.at(low, to[once], self._c.low[symbol, once])
            np.maximum.at(high, to[once], self._c.high[symbol, once])
        entry = Interval(low.copy(), high.copy())
        for chain in self._chains:
            for number in chain:
                self._repeat(number, entry, low, high)
        wide = radii * (1 + 1e-6) > proof.radii
        under, over = low < proof.c.low, high > proof.c.high
        grew = wide | under.any(1) | over.any(1)
        self._grown += grew
        # What keeps growing is given more room.
        room = (0.06 + 0.005 * np.minimum(self._grown, 20))[:, np.newaxis]
        new = np.where(wide, radii * (1 + room[:, 0]) + 5e-4, proof.radii)
        # Room would add up along a run, which keeps what a c holds.
        room = np.where(self._in_run[:, np.newaxis], 0.002, room)
        around = room * (high - low) + 1e-3
        around[0] = 0
        c = Interval(
            np.where(under, low - around - 1e-4 * np.abs(low), proof.c.low),
            np.where(over, high + around + 1e-4 * np.abs(high), proof.c.high),
        )
        inner = self._in_run[:, np.newaxis] & (proof.repeats > 1)[:, np.newaxis]
        entry = Interval(
            np.where(inner, entry.low, c.low),
            np.where(inner, entry.high, c.high),
        )
        self.proof = dataclasses.replace(proof, radii=new, c=c, entry=entry)
        return grew

    def _repeat(
        self, number: int, entry: Interval, low: Array, high: Array
    ) -> None:
        """Set bounds on c in a node that repeats a symbol, and after it."""
        proof = self.proof
        repeats = int(proof.repeats[number])
        if repeats == 1:
            return
        for bound, way in zip(entry, (-1, 1), strict=True):
            bound[number] += way * (1e-6 + 1e-6 * np.abs(bound[number]))
        symbol = proof.repeated[number]
        after = int(proof.successors[number, symbol])
        # Room for rounding in each step.
        forget = Interval(
            self._update[0].low[number] * (1 - 3e-7),
            np.minimum(self._update[0].high[number] * (1 + 3e-7), 1 - 1e-7),
        )
        ends = []
        for side, added in enumerate(self._update[1]):
            start = entry[side][number]
            slow, fast = forget if side else forget[::-1]
            ends.append(
                [
                    _update(start, slow, fast, added[number], n)
                    for n in (repeats - 1, repeats)
                ]
            )
        low[number] = np.minimum(entry.low[number], ends[0][0])
        high[number] = np.maximum(entry.high[number], ends[1][0])
        for bounds in (entry, Interval(low, high)):
            bounds.low[after] = np.minimum(bounds.low[after], ends[0][1])
            bounds.high[after] = np.maximum(bounds.high[after], ends[1][1])


def _update(
    start: Array, negative: Array, positive: Array, added: Array, times: int
) -> Array:
    """Return a bound after repeated updates, `c = forget * c + added`.

    Args:
        start: the bound before.
        negative: the forget gate to use where the bound is negative.
        positive: the forget gate to use where it is positive.
        added: what is added.
        times: number of updates.
    """
    limit = added / (1 - np.where(added >= 0, positive, negative))
    forget = np.where(start >= 0, positive, negative)
    toward = added / (1 - forget)
    same = (toward >= 0) == (start >= 0)
    beyond = np.where(limit >= 0, positive, negative)
    return np.where(
        same,
        toward + (start - toward) * forget**times,
        limit + (start - limit) * beyond**times,
    )
