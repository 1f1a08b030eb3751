"""Every input of a domain, checked, and what is wrong.

Inputs are checked by walking the tree of their prefixes (`prefix_tree.py`).
Where a domain is too large for that, inputs of several kinds are asked
instead, and the result says so.
"""

import dataclasses
import enum
import time
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from keras_lstm.core.errors import InputError
from keras_lstm.models.logits import margins_of, predictions_of
from keras_lstm.models.stepper import LSTMStepper
from keras_lstm.tasks.datasets import without_autotuning
from keras_lstm.tasks.hard_inputs import hard_inputs
from keras_lstm.tasks.transducer import TransducerTask
from keras_lstm.verification.prefix_tree import Answers, forecast_seconds, walk

# Inputs looked at at once where there is no tree to walk.
_PART = 2**13
_PREDICT_BATCH = 4096
# Weights times sequences: some seconds, that one would like to know of before.
_LONG_WALK = 2**36
_MAX_FAILURES = 100_000
# Of very long sequences fewer are listed, so that the list stays small.
_MAX_FAILED_SYMBOLS = 2**24
# Symbols in one call of `predict`: what the layers return for them is kept.
_PREDICT_SYMBOLS = 2**21
MAX_WALKED_INPUTS = 2**30
DEFAULT_WALKED_INPUTS = 2**24


class Coverage(enum.Enum):
    """Which inputs were checked."""

    ALL = enum.auto()
    SAMPLED = enum.auto()


class Method(enum.StrEnum):
    """How inputs were checked."""

    PREFIX_TREE = "prefix tree"
    STEP_BY_STEP = "step by step"
    PREDICT = "predict"


@dataclasses.dataclass(frozen=True)
class Failure:
    """A wrong answer; sequences are least significant first.

    Args:
        symbols: the input, `(num_bits,)`.
        target: what is right, `(num_bits,)`.
        prediction: what the model says, `(num_bits,)`.
        hold_length: see `TransducerTask.hold_length`.
        margin: the smallest over the positions of the right symbol's logit
            minus the largest other.
    """

    symbols: npt.NDArray[np.int32]
    target: npt.NDArray[np.int32]
    prediction: npt.NDArray[np.int32]
    hold_length: int
    margin: float


@dataclasses.dataclass(frozen=True)
class HoldCount:
    """How many inputs have a run of this length, and how many are wrong."""

    hold_length: int
    num_wrong: int
    num_examples: int


@dataclasses.dataclass(frozen=True)
class Verification:
    """What was checked and what was wrong.

    Args:
        coverage: which inputs were checked.
        kinds: of sampled inputs, in words; empty where all were checked.
        method: how they were checked.
        num_examples: inputs checked.
        num_wrong: those with any symbol wrong.
        num_tokens: symbols checked.
        num_wrong_tokens: those wrong.
        min_margin: the smallest margin over everything checked.
        min_margin_input: where it occurs, `(num_bits,)`.
        by_hold_length: the counts, by run length.
        failures: the wrong answers, worst first, 100,000 at most, of
            sequences above 167 symbols fewer.
        test_num_examples: inputs that were held out from training, if any.
        test_num_wrong: those of them that are wrong.
        seconds: how long it took.
    """

    coverage: Coverage
    kinds: str
    method: Method
    num_examples: int
    num_wrong: int
    num_tokens: int
    num_wrong_tokens: int
    min_margin: float
    min_margin_input: npt.NDArray[np.int32]
    by_hold_length: list[HoldCount]
    failures: list[Failure]
    test_num_examples: int | None
    test_num_wrong: int | None
    seconds: float

    @property
    def checked(self) -> str:
        """What was checked, in words."""
        if self.coverage is Coverage.ALL:
            return "all inputs"
        return f"{self.num_examples:,} inputs of these kinds: {self.kinds}"


def verify(
    model: keras.Model,
    task: TransducerTask,
    *,
    held_out: npt.NDArray[np.int64] | None = None,
    max_walked_inputs: int = DEFAULT_WALKED_INPUTS,
    progress: Callable[[int, int], None] | None = None,
    forecast: Callable[[float], None] | None = None,
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
        forecast: called first, with the seconds that a walk will take, where
            these are more than a few.

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
    cells = LSTMStepper.from_model(model, task.num_symbols)
    found: Iterator[tuple[int, Answers]]
    coverage, kinds = Coverage.ALL, ""
    if total > max_walked_inputs:
        inputs, kinds = hard_inputs(task)
        total = len(inputs)
        coverage = Coverage.SAMPLED
        parts = (inputs[i : i + _PART] for i in range(0, total, _PART))
        if cells is not None and cells.per_step:
            method = Method.STEP_BY_STEP
            found = ((len(p), _followed(cells, task, p)) for p in parts)
        else:
            method = Method.PREDICT
            found = ((len(p), _asked(model, task, p)) for p in parts)
    elif cells is None:
        method = Method.PREDICT
        found = (
            (looked_at, _asked(model, task, numbers))
            for looked_at, numbers in _all_inputs(task)
        )
    else:
        method = Method.PREFIX_TREE
        if forecast is not None and total * cells.num_weights > _LONG_WALK:
            forecast(forecast_seconds(cells, task))
        found = walk(cells, task)
    tally = _Tally(task, held_out)
    done = 0
    for looked_at, answers in found:
        tally.add(_settle(model, task, answers))
        done += looked_at
        if progress is not None:
            progress(done, total)
    return tally.result(model, coverage, kinds, method, start)


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
        self._failures: list[tuple[Any, Any]] = []
        self._kept = min(_MAX_FAILURES, _MAX_FAILED_SYMBOLS // task.num_bits)
        self._held_out: npt.NDArray[np.bool_] | None = None
        self._held_out_wrong = 0
        if held_out is not None:
            size = task.num_symbols**task.num_bits
            self._held_out = np.zeros(size, np.bool_)
            self._held_out[held_out] = True

    def add(self, found: Answers) -> None:
        if not len(found.inputs):
            return
        wrong = found.wrong_tokens > 0
        size = len(self._counts)
        self._counts[:, 0] += np.bincount(found.hold_lengths[wrong], None, size)
        self._counts[:, 1] += np.bincount(found.hold_lengths, None, size)
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
        self._failures.append((inputs, margins))
        if sum(len(each) for each, _ in self._failures) > 4 * self._kept:
            self._failures = [self._worst()]

    def _worst(self) -> tuple[Any, Any]:
        """The failures to list, worst first."""
        inputs, margins = (
            np.concatenate(parts) for parts in zip(*self._failures, strict=True)
        )
        worst = np.argsort(margins, kind="stable")[: self._kept]
        return inputs[worst], margins[worst]

    def result(
        self,
        model: keras.Model,
        coverage: Coverage,
        kinds: str,
        method: Method,
        start: float,
    ) -> Verification:
        num_wrong, num_examples = (int(n) for n in self._counts.sum(0))
        held_out = self._held_out
        return Verification(
            coverage=coverage,
            kinds=kinds,
            method=method,
            num_examples=num_examples,
            num_wrong=num_wrong,
            num_tokens=num_examples * self._task.num_bits,
            num_wrong_tokens=self._wrong_tokens,
            min_margin=self._min_margin,
            min_margin_input=_symbols(self._task, self._min_input),
            by_hold_length=[
                HoldCount(length, int(wrong), int(examples))
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
        if not self._failures:
            return []
        inputs, margins = self._worst()
        symbols = _symbols(self._task, inputs)
        rows = zip(
            symbols,
            self._task.targets(symbols),
            predictions_of(_predict(model, symbols)),
            self._task.hold_length(symbols).tolist(),
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
    return model.predict(without_autotuning(dataset), verbose=0)


def _ask(
    model: keras.Model, task: TransducerTask, inputs: Any
) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.float32]]:
    """Wrong tokens and the smallest margin of inputs, by `predict`."""
    if not len(inputs):
        return np.zeros(0, np.int16), np.zeros(0, np.float32)
    symbols = _symbols(task, inputs)
    logits = _predict(model, symbols)
    targets = task.targets(symbols)
    wrong = predictions_of(logits) != targets
    margins = margins_of(tf.constant(logits), targets).numpy()
    return wrong.sum(-1, dtype=np.int16), margins.min(-1)


def _settle(
    model: keras.Model, task: TransducerTask, answers: Answers
) -> Answers:
    """The answers, with those that are too close to call asked again."""
    again = np.flatnonzero(answers.close)
    if not len(again):
        return answers
    wrong_tokens, margins = answers.wrong_tokens.copy(), answers.margins.copy()
    wrong_tokens[again], margins[again] = _ask(
        model, task, answers.inputs[again]
    )
    return dataclasses.replace(
        answers, wrong_tokens=wrong_tokens, margins=margins
    )


def _all_inputs(task: TransducerTask) -> Iterator[tuple[int, Any]]:
    """The domain as numbers, part by part, and how many were looked at."""
    total = task.num_symbols**task.num_bits
    for first in range(0, total, _PART):
        numbers = np.arange(first, min(total, first + _PART))
        states = task.states(task.symbols_of(numbers))[:, -1]
        yield len(numbers), numbers[task.in_domain(states)]


def _asked(model: keras.Model, task: TransducerTask, inputs: Any) -> Answers:
    """The answers to inputs, by `predict` alone."""
    runs = task.hold_length(_symbols(task, inputs)).astype(np.int16)
    wrong_tokens, margins = _ask(model, task, inputs)
    return Answers(
        inputs, runs, wrong_tokens, margins, np.zeros(len(inputs), np.bool_)
    )


def _followed(cells: LSTMStepper, task: TransducerTask, inputs: Any) -> Answers:
    """The answers to inputs, without keeping what each layer returns."""
    symbols = inputs.astype(np.int32)
    runs = task.hold_length(symbols).astype(np.int16)
    found = cells.scan(symbols, task.targets(symbols))
    wrong_tokens, margins, close = (each.numpy() for each in found)
    return Answers(inputs, runs, wrong_tokens, margins, close)
