"""Division of a network's states into the nodes of a proof by ellipsoids.

A network forgets: states after the same last symbols are close. So there is a
node for each machine state and last symbols, the *window*. A run of one symbol
is the exception, as long as a c counts it. A run longer than the window has a
node for each part of its length, and so has what follows it, until the states
after different lengths are close.

Nothing here is part of the trusted base: a bad division proves nothing.
"""

import dataclasses
import itertools
from typing import Any

import numpy as np

from keras_lstm.models.weights import LSTMWeights
from keras_lstm.proof.intervals import Array
from keras_lstm.tasks.transducer import TransducerTask

_SEQUENCES, _STEPS = 1000, 32
_MAX_POINTS = 24
_SIMULATED_RUN = 300

MAX_NODES = 6000

Word = tuple[int, ...]
Key = tuple[Any, ...]


class PartitionError(Exception):
    """Error for a network whose states need too many nodes."""


@dataclasses.dataclass
class Node:
    """A part of the states that a network can reach.

    Args:
        state: the machine state.
        window: the last symbols read.
        points: some states inside, h and c of all layers in turn,
            `(points, 2 * units)`.
        successors: index of the node that each symbol leads to.
        repeats: how often at most `repeated` is read in the node.
        repeated: that symbol.
        in_run: whether the node is a part of a run that `partition` divided.
    """

    state: int
    window: Word
    points: Array
    successors: list[int]
    repeats: int = 1
    repeated: int = 0
    in_run: bool = False


@dataclasses.dataclass(frozen=True)
class Fineness:
    """How finely to divide states.

    Args:
        window: number of last symbols that distinguish nodes.
        ratio: lengths of a run within this factor share a node, once the run
            is somewhat longer than the window.
        width: largest distance from the center at which states after runs of
            different lengths share a node.
    """

    window: int
    ratio: float
    width: float


class Partition:
    """Nodes for every state that a network can reach; the start is the first.

    Args:
        network: the weights.
        task: the machine.
        fineness: how finely to divide.

    Raises:
        PartitionError: if more than `MAX_NODES` nodes are needed.
    """

    def __init__(
        self, network: LSTMWeights, task: TransducerTask, fineness: Fineness
    ) -> None:
        self._network = network
        self._task = task
        self._fineness = fineness
        self._units = sum(lstm.units for lstm in network.lstms)
        self._index: dict[Key, int] = {}
        self._pending: list[tuple[int, int, Key]] = []
        self.nodes: list[Node] = []
        self.chains: list[list[int]] = []
        self._samples = self._simulate()
        start = np.zeros((1, 2 * self._units))
        self._divide_run(0, self._symbol_at_start(), start, 0, ("start",))
        while self._pending:
            number, symbol, key = self._pending.pop()
            points = self.step(self.nodes[number].points, symbol)
            place = (*key, self._bucket(key, points))
            if place not in self._index:
                if place[-1] == 0:
                    points = self._samples.get(key, points)
                self._add_missing(place, points)
            self.nodes[number].successors[symbol] = self._index[place]

    def _bucket(self, key: Key, points: Array) -> int:
        """Return how far each c is from those that the key usually has.

        A c that counted a long run, and was not forgotten at once, is an
        offset in all that is counted after it.
        """
        if key not in self._samples:
            return 0
        usual = np.split(self._samples[key], 2, axis=1)[1]
        c = np.split(points, 2, axis=1)[1]
        low, high = usual.min(0), usual.max(0)
        beyond = np.maximum(low - c.min(0), c.max(0) - high).max()
        return max(
            0, 1 + int(np.floor(np.log(max(beyond, 1e-9) / 0.3) / np.log(3)))
        )

    def _add_missing(self, place: Key, points: Array) -> None:
        """Add the nodes of a place: what `_key` returned, and a bucket."""
        name, state, last, _ = place
        if name == "run":
            self._divide_run(state, last, points, self._fineness.window, place)
            return
        symbols = range(self._task.num_symbols)
        number = self._add(
            place, Node(state, last, points, [-1] * len(symbols))
        )
        for symbol in symbols:
            after = self._task.next_state[state][symbol]
            self._pending.append(
                (number, symbol, self._key(after, (*last[1:], symbol)))
            )

    def step(self, points: Array, symbol: int) -> Array:
        """Return the states after a symbol."""
        return self._read(points, symbol)[0]

    def _read(self, points: Array, symbol: int) -> tuple[Array, Array, Array]:
        """Return states after a symbol, the forget gate and what it adds."""
        h, c = np.split(points, 2, axis=1)
        x = np.tile(self._network.embedding[symbol], (len(points), 1))
        after, first = [], 0
        for lstm in self._network.lstms:
            part = slice(first, first + lstm.units)
            z = x @ lstm.kernel + h[:, part] @ lstm.recurrent_kernel + lstm.bias
            z_i, z_f, z_g, z_o = np.split(z, 4, axis=1)
            forget, added = _sigmoid(z_f), _sigmoid(z_i) * np.tanh(z_g)
            new = forget * c[:, part] + added
            x = _sigmoid(z_o) * np.tanh(new)
            after.append((x, new, forget, added))
            first += lstm.units
        h, c, forget, added = (
            np.concatenate(parts, 1) for parts in zip(*after, strict=True)
        )
        return np.concatenate([h, c], 1), forget, added

    def _symbol_at_start(self) -> int:
        """Return a symbol on which the start state stays, -1 for none."""
        stays = [n == 0 for n in self._task.next_state[0]]
        return stays.index(True) if any(stays) else -1

    def _key(self, state: int, window: Word) -> Key:
        symbol = window[0]
        if (
            len(set(window)) == 1
            and self._task.next_state[state][symbol] == state
        ):
            return "run", state, symbol
        return "window", state, window

    def _simulate(self) -> dict[Key, Array]:
        """Return states by window, and those where a run gets a node."""
        size, count = self._fineness.window, _SEQUENCES
        rng = np.random.default_rng(0)
        symbols = rng.integers(self._task.num_symbols, size=(count, _STEPS))
        next_state = np.array(self._task.next_state)
        points = np.zeros((count, 2 * self._units))
        states = np.zeros(count, int)
        at_start = self._symbol_at_start()
        starting = np.ones(count, bool)
        run, since = np.zeros(count, int), np.zeros(count, int)
        found: dict[Key, list[Array]] = {}
        for t in range(_STEPS):
            read = symbols[:, t]
            for symbol in range(self._task.num_symbols):
                rows = read == symbol
                points[rows] = self.step(points[rows], symbol)
            states = next_state[states, read]
            starting &= read == at_start
            run = (
                np.where(read == symbols[:, t - 1], run + 1, 1)
                if t
                else run + 1
            )
            divided = (run >= size) & (next_state[states, read] == states)
            # Nodes after the start, or after a run, are made there.
            since = np.where(divided | starting, 0, since + 1)
            for row in np.flatnonzero(
                (since >= size) | (divided & (run == size) & ~starting)
            ):
                window = tuple(symbols[row, t - size + 1 : t + 1].tolist())
                key = self._key(int(states[row]), window)
                if (key[0] == "run") == bool(divided[row]):
                    found.setdefault(key, []).append(points[row].copy())
        return {key: _extremes(np.array(some)) for key, some in found.items()}

    def _divide_run(
        self, state: int, symbol: int, points: Array, length: int, place: Key
    ) -> None:
        """Add nodes for the lengths of a run, and for what follows it."""
        chain: list[int] = []
        for first, last, some in self._lengths(symbol, points, length):
            window = (symbol,) * min(first, self._fineness.window)
            node = Node(state, window, some, [-1] * self._task.num_symbols)
            node.in_run = True
            chain.append(
                self._add(("part", object()) if chain else place, node)
            )
            if last is not None:
                node.repeats, node.repeated = last - first + 1, symbol
        self.chains.append(chain)
        if symbol >= 0:
            for number, after in zip(
                chain, [*chain[1:], chain[-1]], strict=True
            ):
                self.nodes[number].successors[symbol] = after
        level: dict[Word, list[int]] = {(): chain}
        for _ in range(self._fineness.window):
            level = {
                (*word, read): self._follow(numbers, read, (*word, read))
                for word, numbers in level.items()
                for read in range(self._task.num_symbols)
                if word or read != symbol
            }

    def _lengths(
        self, symbol: int, points: Array, length: int
    ) -> list[tuple[int, int | None, Array]]:
        """Return first and last length of each part of a run, and states."""
        if symbol < 0:
            return [(0, 0, points)]
        states = [points]
        for _ in range(_SIMULATED_RUN):
            state, forget, added = self._read(states[-1], symbol)
            states.append(state)
        rest = np.maximum(1 - forget, 1e-7)
        limit = added / rest

        def at(n: int) -> Array:
            beyond = n - length - _SIMULATED_RUN
            if beyond <= 0:
                return states[n - length]
            h, c = np.split(states[-1], 2, axis=1)
            c = limit + (c - limit) * (1 - rest) ** beyond
            return np.concatenate([h, c], 1)

        firsts = list(range(length, self._fineness.window + 8))
        while firsts[-1] < max(60, 2.3 / rest.min()):
            firsts.append(
                max(firsts[-1] + 1, int(firsts[-1] * self._fineness.ratio))
            )
        parts = [
            (first, after - 1, np.concatenate([at(first), at(after - 1)]))
            for first, after in itertools.pairwise(firsts)
        ]
        ends = [at(firsts[-1]), at(100 * firsts[-1])]
        return [*parts, (firsts[-1], None, np.concatenate(ends))]

    def _follow(self, numbers: list[int], symbol: int, word: Word) -> list[int]:
        """Add nodes for what follows others, in order, on a symbol."""
        if not numbers or self._leave(numbers, symbol, word):
            return []
        made: list[int] = []
        group: Array | None = None
        for number in numbers:
            before = self.nodes[number]
            state = self._task.next_state[before.state][symbol]
            points = self.step(before.points, symbol)
            joined = (
                points if group is None else np.concatenate([group, points])
            )
            if group is None or not self._are_close(joined):
                window = (*before.window, symbol)[-self._fineness.window :]
                node = Node(
                    state, window, points, [-1] * self._task.num_symbols
                )
                made.append(self._add(("part", object()), node))
                joined = points
            group = _extremes(joined)
            self.nodes[made[-1]].points = group
            before.successors[symbol] = made[-1]
        return made

    def _leave(self, numbers: list[int], symbol: int, word: Word) -> bool:
        """Return whether a run is forgotten: nodes of windows follow then."""
        keys, points = set(), []
        size = self._fineness.window
        for number in numbers:
            node = self.nodes[number]
            window = (*node.window, symbol)[-size:]
            if len(window) < size:
                return False
            state = self._task.next_state[node.state][symbol]
            keys.add(self._key(state, window))
            points.append(self.step(node.points, symbol))
        if len(word) < size:
            if len(keys) > 1 or not keys <= self._samples.keys():
                return False
            points.append(self._samples[next(iter(keys))])
            if not self._are_close(np.concatenate(points)):
                return False
        for number in numbers:
            node = self.nodes[number]
            state = self._task.next_state[node.state][symbol]
            window = (*node.window, symbol)[-size:]
            self._pending.append((number, symbol, self._key(state, window)))
        return True

    def _are_close(self, points: Array) -> bool:
        low, high = points.min(0), points.max(0)
        h, c = np.split((high - low) / 2, 2)
        size = np.split(np.abs(high + low) / 2, 2)[1]
        width = self._fineness.width
        return bool(
            np.linalg.norm(h) <= width and np.all(c <= width * (0.5 + size))
        )

    def _add(self, key: Key, node: Node) -> int:
        if len(self.nodes) == MAX_NODES:
            raise PartitionError
        self._index[key] = len(self.nodes)
        self.nodes.append(node)
        return self._index[key]


def _extremes(points: Array) -> Array:
    """Return a few states with the same bounds as many."""
    if len(points) <= _MAX_POINTS:
        return points
    chosen = {*points.argmin(0).tolist(), *points.argmax(0).tolist()}
    return points[sorted(chosen)][:: 1 + len(chosen) // _MAX_POINTS]


def _sigmoid(x: Array) -> Array:
    return 0.5 + 0.5 * np.tanh(0.5 * x)
