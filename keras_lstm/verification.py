"""Every input of a domain, checked, and what is wrong.

Inputs are checked by walking the tree of prefixes. After t symbols a network
has one state for each of the `num_symbols ** t` prefixes, whatever follows.
Computing each of them once takes about `2 ** (num_bits + 1)` steps of the cell
for bits, where running every input takes `num_bits * 2 ** num_bits`. The walk
goes depth-first in blocks, so that memory does not grow with the domain. Where
a domain is too large for that, inputs of several kinds are asked instead, and
the result says so.
"""

import dataclasses
import time
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from keras_lstm.options import InputError
from keras_lstm.seeds import derive_seed
from keras_lstm.tasks.transducer import TransducerTask

# Where a margin is closer to zero than rounding may move it, `predict` is
# asked: the walk groups the same sums differently.
_CLOSE_MARGIN = 1e-4
# Nodes in a block: few enough for a processor's cache, enough to keep it busy.
_BLOCK_NODES = 2**14
_PREDICT_BATCH = 4096
_MAX_FAILURES = 100_000
# Symbols in one call of `predict`: what the layers return for them is kept.
_PREDICT_SYMBOLS = 2**21
MAX_WALKED_INPUTS = 2**30
_DEFAULT_WALKED_INPUTS = 2**24


@dataclasses.dataclass(frozen=True)
class Failure:
    """A wrong answer; sequences are least significant first.

    Args:
        symbols: the input, `(num_bits,)`.
        answer: what is right, `(num_bits,)`.
        prediction: what the model says, `(num_bits,)`.
        run_length: see `TransducerTask.run_length`.
        margin: the smallest over the positions of the right symbol's logit
            minus the largest other.
    """

    symbols: npt.NDArray[np.int32]
    answer: npt.NDArray[np.int32]
    prediction: npt.NDArray[np.int32]
    run_length: int
    margin: float


@dataclasses.dataclass(frozen=True)
class RunCount:
    """How many inputs have a run of this length, and how many are wrong."""

    run_length: int
    num_wrong: int
    num_examples: int


@dataclasses.dataclass(frozen=True)
class Verification:
    """What was checked and what was wrong.

    Args:
        checked: how it is known, such as "all inputs".
        num_examples: inputs checked.
        num_wrong: those with any symbol wrong.
        num_tokens: symbols checked.
        num_wrong_tokens: those wrong.
        min_margin: the smallest margin over everything checked.
        min_margin_input: where it occurs, `(num_bits,)`.
        by_run_length: the counts, by run length.
        failures: the wrong answers, worst first, 100,000 at most.
        test_num_examples: inputs that were held out from training, if any.
        test_num_wrong: those of them that are wrong.
        seconds: how long it took.
    """

    checked: str
    num_examples: int
    num_wrong: int
    num_tokens: int
    num_wrong_tokens: int
    min_margin: float
    min_margin_input: npt.NDArray[np.int32]
    by_run_length: list[RunCount]
    failures: list[Failure]
    test_num_examples: int | None
    test_num_wrong: int | None
    seconds: float


def verify(
    model: keras.Model,
    task: TransducerTask,
    *,
    held_out: npt.NDArray[np.int64] | None = None,
    max_walked_inputs: int = _DEFAULT_WALKED_INPUTS,
    progress: Callable[[int, int], None] | None = None,
) -> Verification:
    """Checks a model on every input of a task's domain.

    It gives what `model.predict` gives: where a margin is within 1e-4 of zero
    the input is asked again with `predict` itself. A model of other layers
    than Embedding, LSTM and Dense (and those that do nothing at inference) is
    asked input by input.

    Args:
        model: from symbols, `(batch_size, num_bits)`, to logits,
            `(batch_size, num_bits, num_classes)`.
        task: what is right, and for how many bits.
        held_out: inputs to count separately, as numbers.
        max_walked_inputs: of more sequences than this (2^30 at most) only
            inputs of several kinds are asked: every run length in random
            contexts, constant and alternating ones, long runs at many places.
        progress: called with how many inputs are done, and of how many.

    Example:

    >>> model = build_model(Parity(num_bits=3), ModelConfig(units=4))
    >>> verify(model, Parity(num_bits=3)).num_examples
    8
    """
    if not 0 <= max_walked_inputs <= MAX_WALKED_INPUTS:
        raise InputError(
            f"`max_walked_inputs` must be at most {MAX_WALKED_INPUTS}. "
            f"Received: max_walked_inputs={max_walked_inputs}"
        )
    start = time.perf_counter()
    total = task.num_symbols**task.num_bits
    network = _Network.of(model)
    if total > max_walked_inputs:
        inputs, kinds = _inputs_of_kinds(task)
        leaves, total = _ask_inputs(model, task, inputs), len(inputs)
        checked = f"{total:,} inputs of these kinds: {kinds}"
    elif network is None:
        leaves = _ask_all(model, task)
        checked = "all inputs, one by one"
    else:
        leaves = _walk(network, model, task)
        checked = "all inputs"
    tally = _Tally(task, held_out)
    done = 0
    for visited, found in leaves:
        tally.add(found)
        done += visited
        if progress is not None:
            progress(done, total)
    return tally.result(model, checked, start)


@dataclasses.dataclass(frozen=True)
class _Leaves:
    """Whole inputs, as arrays of the same length.

    They are given as numbers, or as symbols where they are too long for that.
    """

    inputs: npt.NDArray[np.integer[Any]]
    run_lengths: npt.NDArray[np.int16]
    wrong_tokens: npt.NDArray[np.int16]
    margins: npt.NDArray[np.float32]


class _Tally:
    """Adds up what is found, block by block."""

    def __init__(
        self, task: TransducerTask, held_out: npt.NDArray[np.int64] | None
    ) -> None:
        self._task = task
        self._counts = np.zeros((task.num_bits + 1, 2), np.int64)
        self._wrong_tokens = 0
        self._min_margin = np.inf
        self._min_input: Any = 0
        self._failures: tuple[Any, Any] | None = None
        self._held_out: npt.NDArray[np.bool_] | None = None
        self._held_out_wrong = 0
        if held_out is not None:
            size = task.num_symbols**task.num_bits
            self._held_out = np.zeros(size, np.bool_)
            self._held_out[held_out] = True

    def add(self, found: _Leaves) -> None:
        if not len(found.inputs):
            return
        wrong = found.wrong_tokens > 0
        size = len(self._counts)
        self._counts[:, 0] += np.bincount(found.run_lengths[wrong], None, size)
        self._counts[:, 1] += np.bincount(found.run_lengths, None, size)
        self._wrong_tokens += int(found.wrong_tokens.sum(dtype=np.int64))
        least = int(found.margins.argmin())
        if found.margins[least] < self._min_margin:
            self._min_margin = float(found.margins[least])
            self._min_input = found.inputs[least]
        if not wrong.any():
            return
        inputs, margins = found.inputs[wrong], found.margins[wrong]
        if self._held_out is not None:
            self._held_out_wrong += int(self._held_out[inputs].sum())
        if self._failures is not None:
            inputs = np.concatenate([self._failures[0], inputs])
            margins = np.concatenate([self._failures[1], margins])
        worst = np.argsort(margins, kind="stable")[:_MAX_FAILURES]
        self._failures = inputs[worst], margins[worst]

    def result(
        self, model: keras.Model, checked: str, start: float
    ) -> Verification:
        num_wrong, num_examples = (int(n) for n in self._counts.sum(0))
        held_out = self._held_out
        return Verification(
            checked=checked,
            num_examples=num_examples,
            num_wrong=num_wrong,
            num_tokens=num_examples * self._task.num_bits,
            num_wrong_tokens=self._wrong_tokens,
            min_margin=self._min_margin,
            min_margin_input=_symbols(self._task, self._min_input),
            by_run_length=[
                RunCount(length, int(wrong), int(examples))
                for length, (wrong, examples) in enumerate(self._counts)
                if examples
            ],
            failures=self._decode_failures(model),
            test_num_examples=(
                None if held_out is None else int(held_out.sum())
            ),
            test_num_wrong=None if held_out is None else self._held_out_wrong,
            seconds=time.perf_counter() - start,
        )

    def _decode_failures(self, model: keras.Model) -> list[Failure]:
        if self._failures is None:
            return []
        inputs, margins = self._failures
        symbols = _symbols(self._task, inputs)
        rows = zip(
            symbols,
            self._task.answer(symbols),
            _predict(model, symbols).argmax(-1).astype(np.int32),
            self._task.run_length(symbols).tolist(),
            margins.tolist(),
            strict=True,
        )
        return [Failure(*row) for row in rows]


def _symbols(task: TransducerTask, inputs: Any) -> npt.NDArray[np.int32]:
    """The symbols of inputs that may be numbers."""
    inputs = np.asarray(inputs)
    if inputs.dtype == np.int64:
        return task.symbols_of(inputs)
    return inputs.astype(np.int32)


def _predict(model: keras.Model, symbols: Any) -> npt.NDArray[np.float32]:
    batch_size = min(_PREDICT_BATCH, -(-_PREDICT_SYMBOLS // symbols.shape[-1]))
    dataset = tf.data.Dataset.from_tensor_slices(symbols).batch(batch_size)
    return model.predict(dataset, verbose=0)


def _ask(
    model: keras.Model,
    task: TransducerTask,
    symbols: npt.NDArray[np.int32],
) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.float32]]:
    """Wrong tokens and the smallest margin of inputs, by `predict`."""
    logits = _predict(model, symbols)
    targets = task.answer(symbols)
    wrong = logits.argmax(-1) != targets
    margins = _margins(tf.constant(logits), targets).numpy()
    return wrong.sum(-1, dtype=np.int16), margins.min(-1)


def _ask_all(
    model: keras.Model, task: TransducerTask
) -> Iterator[tuple[int, _Leaves]]:
    total = task.num_symbols**task.num_bits
    for first in range(0, total, _BLOCK_NODES):
        numbers = np.arange(first, min(total, first + _BLOCK_NODES))
        symbols = task.symbols_of(numbers)
        inside = task.in_domain(task.states(symbols)[:, -1])
        numbers, symbols = numbers[inside], symbols[inside]
        runs = task.run_length(symbols).astype(np.int16)
        found = _Leaves(numbers, runs, *_ask(model, task, symbols))
        yield len(inside), found


def _ask_inputs(
    model: keras.Model,
    task: TransducerTask,
    inputs: npt.NDArray[np.int8],
) -> Iterator[tuple[int, _Leaves]]:
    batch_size = -(-_PREDICT_SYMBOLS // task.num_bits)
    for first in range(0, len(inputs), batch_size):
        part = inputs[first : first + batch_size]
        symbols = part.astype(np.int32)
        runs = task.run_length(symbols).astype(np.int16)
        yield len(part), _Leaves(part, runs, *_ask(model, task, symbols))


def _inputs_of_kinds(
    task: TransducerTask,
) -> tuple[npt.NDArray[np.int8], str]:
    """Inputs that a network is likely to fail on, and what they are.

    Returns:
        The inputs, `(num_examples, num_bits)`, all in the domain, and their
        kinds in words.
    """
    length, num_symbols = task.num_bits, task.num_symbols
    rng = np.random.default_rng(derive_seed(0, "kinds"))
    steps = np.arange(length)

    def random(rows: int) -> npt.NDArray[np.int8]:
        return rng.integers(num_symbols, size=(rows, length), dtype=np.int8)

    contexts = int(np.clip(2**15 // length, 4, 64))
    parts = [random(1024)]
    kinds = ["1,024 uniformly random"]
    if task.hold_symbols and task.leave_symbols:
        runs = np.repeat(steps, contexts)[:, np.newaxis]
        inputs = random(len(runs))
        hold, leave = (
            np.array(symbols, np.int8)
            for symbols in (task.hold_symbols, task.leave_symbols)
        )
        held = hold[inputs % len(hold)]
        left = leave[inputs % len(leave)]
        inputs = np.where(steps < runs, held, inputs)
        parts.append(np.where(steps == runs, left, inputs))
        kinds.append(
            f"every {task.run_name} length from 0 to {length - 1:,}, each in "
            f"{contexts} random contexts"
        )
    constant = np.arange(num_symbols, dtype=np.int8)[:, np.newaxis]
    constant = np.repeat(constant, length, -1)
    other = (constant + 1) % num_symbols
    last = steps == length - 1
    parts += [
        constant,
        np.where(last, other, constant),
        np.where(steps % 2 == 0, constant, other),
    ]
    kinds.append("constant, constant but the last, alternating")
    for run in (length // 8, length // 2):
        starts = np.linspace(0, length - run, 32).astype(int)[:, np.newaxis]
        inside = (starts <= steps) & (steps < starts + run)
        parts += [
            np.where(inside, np.int8(symbol), random(len(starts)))
            for symbol in range(num_symbols)
        ]
    kinds.append(f"runs of {length // 8:,} and {length // 2:,} at 32 places")
    inputs = np.concatenate(parts)
    inputs = inputs[task.in_domain(task.states(inputs)[:, -1])]
    return np.unique(inputs, axis=0), "; ".join(kinds)


@dataclasses.dataclass(frozen=True)
class _Block:
    """Prefixes of the same length, and where network and machine are."""

    length: int
    cells: list[Any]
    """For each LSTM layer its h and its c, `(nodes, units)`."""
    states: npt.NDArray[np.int32]
    numbers: npt.NDArray[np.int64]
    answers: npt.NDArray[np.int64]
    run_lengths: npt.NDArray[np.int16]
    wrong_tokens: npt.NDArray[np.int16]
    margins: npt.NDArray[np.float32]
    close: npt.NDArray[np.bool_]

    def parts(self) -> Iterator["_Block"]:
        for first in range(0, len(self.numbers), _BLOCK_NODES):
            part = slice(first, first + _BLOCK_NODES)
            yield _Block(
                self.length,
                [cell[part] for cell in self.cells],
                self.states[part],
                self.numbers[part],
                self.answers[part],
                self.run_lengths[part],
                self.wrong_tokens[part],
                self.margins[part],
                self.close[part],
            )


def _walk(
    network: "_Network", model: keras.Model, task: TransducerTask
) -> Iterator[tuple[int, _Leaves]]:
    """Visits every prefix once, and gives the whole inputs block by block."""
    stack = [
        _Block(
            length=0,
            cells=network.start(),
            states=np.zeros(1, np.int32),
            numbers=np.zeros(1, np.int64),
            answers=np.zeros(1, np.int64),
            run_lengths=np.zeros(1, np.int16),
            wrong_tokens=np.zeros(1, np.int16),
            margins=np.full(1, np.inf, np.float32),
            close=np.zeros(1, np.bool_),
        )
    ]
    while stack:
        block = _grow(network, task, stack.pop())
        if block.length == task.num_bits:
            yield len(block.numbers), _leaves(network, model, task, block)
        else:
            stack.extend(block.parts())


def _grow(network: "_Network", task: TransducerTask, block: _Block) -> _Block:
    """Every prefix of a block followed by every symbol, symbol by symbol."""
    next_state = np.asarray(task.next_state, np.int32)
    output = np.asarray(task.output, np.int32)
    place = block.length

    def follow(values: Any) -> Any:
        return np.tile(values, task.num_symbols)

    outputs = output[block.states].T.reshape(-1)
    states = next_state[block.states].T.reshape(-1)
    symbols = np.repeat(np.arange(task.num_symbols), len(block.numbers))
    run_lengths = follow(block.run_lengths)
    run_lengths = run_lengths + ((run_lengths == place) & (states == 0))
    cells, margins = network.step(block.cells, outputs)
    wrong_tokens, least = follow(block.wrong_tokens), follow(block.margins)
    close = follow(block.close)
    if network.per_step:
        margins = margins.numpy()
        wrong_tokens = wrong_tokens + (margins < 0)
        least = np.minimum(least, margins)
        close = close | (np.abs(margins) < _CLOSE_MARGIN)
    return _Block(
        length=place + 1,
        cells=cells,
        states=states,
        numbers=follow(block.numbers) + symbols * task.num_symbols**place,
        answers=follow(block.answers)
        + outputs.astype(np.int64) * task.num_classes**place,
        run_lengths=run_lengths.astype(np.int16),
        wrong_tokens=wrong_tokens.astype(np.int16),
        margins=least,
        close=close,
    )


def _leaves(
    network: "_Network",
    model: keras.Model,
    task: TransducerTask,
    block: _Block,
) -> _Leaves:
    wrong_tokens, margins = block.wrong_tokens, block.margins
    close = block.close
    if not network.per_step:
        powers = task.num_classes ** np.arange(task.num_bits)
        targets = block.answers[:, np.newaxis] // powers % task.num_classes
        each = network.leaf_margins(block.cells, targets).numpy()
        wrong_tokens = (each < 0).sum(-1, dtype=np.int16)
        margins = each.min(-1)
        close = (np.abs(each) < _CLOSE_MARGIN).any(-1)
    inside = task.in_domain(block.states)
    again = np.flatnonzero(close & inside)
    if len(again):
        symbols = task.symbols_of(block.numbers[again])
        wrong_tokens, margins = wrong_tokens.copy(), margins.copy()
        wrong_tokens[again], margins[again] = _ask(model, task, symbols)
    return _Leaves(
        block.numbers[inside],
        block.run_lengths[inside],
        wrong_tokens[inside],
        margins[inside],
    )


def _margins(logits: Any, targets: Any) -> Any:
    """The target's logit minus the largest other.

    Args:
        logits: `(..., num_classes)`.
        targets: class numbers, `(...)`.
    """
    chosen = tf.one_hot(targets, logits.shape[-1], True, False)
    right = tf.reduce_max(tf.where(chosen, logits, -np.inf), -1)
    return right - tf.reduce_max(tf.where(chosen, -np.inf, logits), -1)


class _Network:
    """A model's own weights, applied one time step at a time."""

    def __init__(
        self,
        embedding: keras.layers.Embedding,
        lstms: list[keras.layers.LSTM],
        dense: keras.layers.Dense,
        output_shape: tuple[int, ...],
        per_step: bool,
    ) -> None:
        self.per_step = per_step
        self._units = [lstm.units for lstm in lstms]
        weights = [
            [tf.constant(w) for w in lstm.get_weights()] for lstm in lstms
        ]
        kernel, bias = [tf.constant(w) for w in dense.get_weights()]
        embedded = tf.constant(embedding.get_weights()[0])
        num_symbols = embedded.shape[0]
        # The first layer's input is one of few: its product, once for each.
        table = embedded @ weights[0][0] + weights[0][2]

        def step(cells: Any, targets: Any) -> Any:
            following: list[Any] = []
            x = None
            for layer, (into, recurrent, bias_) in enumerate(weights):
                h, c = cells[2 * layer], cells[2 * layer + 1]
                z = h @ recurrent
                if x is None:
                    z = table[:, tf.newaxis] + z
                    z = tf.reshape(z, [-1, table.shape[-1]])
                else:
                    z = x @ into + tf.tile(z, [num_symbols, 1]) + bias_
                i, f, g, o = tf.split(z, 4, -1)
                c = tf.sigmoid(f) * tf.tile(c, [num_symbols, 1])
                c += tf.sigmoid(i) * tf.tanh(g)
                x = tf.sigmoid(o) * tf.tanh(c)
                following += [x, c]
            if not per_step:
                return following, ()
            return following, _margins(x @ kernel + bias, targets)

        def leaf_margins(cells: Any, targets: Any) -> Any:
            logits = cells[-2] @ kernel + bias
            logits = tf.reshape(logits, [-1, *output_shape])
            return _margins(logits, targets)

        cells = [
            tf.TensorSpec([None, units], tf.float32)
            for units in self._units
            for _ in range(2)
        ]
        node = tf.TensorSpec([None], tf.int32)
        leaf = tf.TensorSpec([None, None], tf.int64)
        self.step = tf.function(step, input_signature=[cells, node])
        self.leaf_margins = tf.function(
            leaf_margins, input_signature=[cells, leaf]
        )

    def start(self) -> list[Any]:
        """Each LSTM layer's h and c before the first symbol."""
        return [tf.zeros([1, u]) for u in self._units for _ in range(2)]

    @classmethod
    def of(cls, model: keras.Model) -> "_Network | None":
        """The network of a model; None if it has layers not known here."""
        layers = _chain(model)
        if layers is None or len(layers) < 3:
            return None
        reshape = None
        if type(layers[-1]) is keras.layers.Reshape:
            reshape = layers.pop()
        embedding, *lstms, dense = layers
        known = (
            type(embedding) is keras.layers.Embedding
            and not embedding.mask_zero
            and all(_is_stock_lstm(lstm) for lstm in lstms)
            and all(lstm.return_sequences for lstm in lstms[:-1])
            and lstms[-1].return_sequences == (reshape is None)
            and type(dense) is keras.layers.Dense
            and dense.activation is keras.activations.linear
            and dense.use_bias
            and all(layer.compute_dtype == "float32" for layer in layers)
        )
        if not known:
            return None
        shape = reshape.target_shape if reshape else (dense.units,)
        return cls(embedding, lstms, dense, shape, reshape is None)


def _chain(model: keras.Model) -> list[keras.layers.Layer] | None:
    """The layers that do something at inference, if each follows the last."""
    idle = (
        keras.layers.InputLayer,
        keras.layers.Dropout,
        keras.layers.GaussianDropout,
        keras.layers.GaussianNoise,
        keras.layers.SpatialDropout1D,
    )
    try:
        follow = all(
            after.input is before.output
            for before, after in zip(
                model.layers, model.layers[1:], strict=False
            )
        )
    # A layer that is shared or not part of a graph has no such attribute.
    except AttributeError:
        return None
    if not follow:
        return None
    return [layer for layer in model.layers if type(layer) not in idle]


def _is_stock_lstm(layer: keras.layers.Layer) -> bool:
    return (
        type(layer) is keras.layers.LSTM
        and layer.activation is keras.activations.tanh
        and layer.recurrent_activation is keras.activations.sigmoid
        and layer.use_bias
        and not layer.go_backwards
        and not layer.stateful
        and not layer.return_state
    )
