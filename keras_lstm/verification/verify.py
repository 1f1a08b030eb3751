"""Check of every input of a domain, with a list of failures.

Inputs are checked by walking the tree of their prefixes (`prefix_tree.py`).
If a domain is too large for that, only inputs of several kinds are checked,
and the result says so.
"""

import contextlib
import dataclasses
import enum
import functools
import math
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import keras
import numpy as np
import numpy.typing as npt

from keras_lstm.core.errors import InputError
from keras_lstm.models.logits import predictions_of
from keras_lstm.models.stepper import LSTMStepper
from keras_lstm.models.text_input import check_reads_numbers
from keras_lstm.tasks.hard_inputs import hard_inputs, num_by_hold_length
from keras_lstm.tasks.transducer import TransducerTask
from keras_lstm.verification.agreement import (
    check_repeats,
    find_stepper,
    predict_logits,
)
from keras_lstm.verification.asked_inputs import (
    all_inputs,
    count_in_domain,
    in_parts,
    leave_wrong,
    recheck_close,
    symbols_of,
)
from keras_lstm.verification.prefix_tree import (
    CheckedInputs,
    RightInputs,
    UnmergedError,
    forecast_seconds,
    walk,
    walk_merged,
)
from keras_lstm.verification.proved_bounds import ProvedBounds
from keras_lstm.verification.rounding_bounds import DifferenceBounds

# Sequences from which on equal states are looked for.
_MANY_SEQUENCES = 2**14
# Weights times prefixes, of a walk that takes some seconds.
_LONG_WALK = 2**36
# States that are too many to walk for a domain that may be sampled: 3 s.
_MANY_STATES = 2**20
_MAX_FAILURES = 100_000
# Bounds the memory of the list if sequences are very long.
_MAX_FAILED_SYMBOLS = 2**24
_Part = TypeVar("_Part", bound=CheckedInputs | RightInputs)
# Prefixes are numbers of 64 bits, with a sign.
MOST_SEQUENCES = 2**62
MAX_WALKED_INPUTS = 2**30
DEFAULT_WALKED_INPUTS = 2**24


class Coverage(enum.Enum):
    """Inputs that were checked: all of a domain, or a sample."""

    ALL = enum.auto()
    SAMPLED = enum.auto()


class Method(enum.StrEnum):
    """Computation by which inputs were checked."""

    PREFIX_TREE = "prefix tree"
    PREDICT = "predict"


@dataclasses.dataclass(frozen=True)
class Failure:
    """A wrong prediction; sequences are least significant first.

    Args:
        symbols: the input, `(num_bits,)`.
        target: the right output, `(num_bits,)`.
        prediction: the model's output, `(num_bits,)`.
        hold_length: see `TransducerTask.hold_length`.
        margin: the target symbol's logit minus the largest other logit, at
            the position where this difference is smallest.
    """

    symbols: npt.NDArray[np.int32]
    target: npt.NDArray[np.int32]
    prediction: npt.NDArray[np.int32]
    hold_length: int
    margin: float


@dataclasses.dataclass(frozen=True)
class HoldCount:
    """Counts of the inputs with one hold length.

    Args:
        hold_length: see `TransducerTask.hold_length`.
        num_wrong: number of these inputs with any symbol predicted wrong.
        num_examples: number of these inputs.
    """

    hold_length: int
    num_wrong: int
    num_examples: int


@dataclasses.dataclass(frozen=True)
class Verification:
    """Result of a check by `verify`.

    Args:
        coverage: the inputs checked: all or a sample.
        kinds: description of the sampled inputs; empty if all were checked.
        method: the computation by which they were checked.
        num_predicted: number of inputs checked by `predict`: all of them with
            that method; with the prefix tree, those whose margins are too
            close to call.
        num_examples: number of inputs checked.
        num_wrong: number of inputs with any symbol predicted wrong.
        num_tokens: number of symbols checked.
        num_wrong_tokens: number of symbols predicted wrong.
        min_margin: smallest margin over all symbols checked.
        min_margin_input: the input with this margin, `(num_bits,)`.
        by_hold_length: the counts for each hold length that occurs.
        failures: the wrong predictions, smallest margin first: at most
            100,000, and fewer for sequences of more than 167 symbols.
        test_num_examples: number of inputs checked that were held out from
            training; None if none were given.
        test_num_wrong: number of these with any symbol predicted wrong;
            likewise.
        seconds: duration of the check, in seconds.
    """

    coverage: Coverage
    kinds: str
    method: Method
    num_predicted: int
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
        """Description of the checked inputs for reports."""
        if self.coverage is Coverage.ALL:
            return "all inputs"
        return f"{self.num_examples:,} inputs of these kinds: {self.kinds}"


def verify(
    model: keras.Model,
    task: TransducerTask,
    *,
    held_out: npt.NDArray[np.int64] | None = None,
    max_walked_inputs: int = DEFAULT_WALKED_INPUTS,
    is_proved: bool = False,
    progress: Callable[[int, int], None] | None = None,
    forecast: Callable[[float], None] | None = None,
) -> Verification:
    """Check a model on every input of a task's domain.

    The result is that of `model.predict`. A model of Embedding, LSTM, Dense
    and layers that are idle at inference is walked over the prefixes of the
    inputs; of those after which it is in the same state, bit for bit, over one,
    as long as nothing is wrong. An input is asked again by `predict` if a
    margin is so close to zero that float32 rounding could change the answer, by
    the bounds in `rounding_bounds.py`. If they say nothing, or the model has
    other layers, `predict` is asked for every input.

    Args:
        model: from symbols, `(batch_size, num_bits)`, to logits,
            `(batch_size, num_bits, num_classes)`.
        task: the task, at the length to check.
        held_out: inputs to count separately, as numbers, `(num_held_out,)`.
        max_walked_inputs: largest number of sequences to check in full, up to
            2^30, however long it takes. More, up to 2^62, are checked in full
            where that takes seconds, since the network comes to few states;
            else a sample is: every hold length in random contexts, constant
            and alternating ones, long holds at many places.
        is_proved: whether a proof about this model and machine was checked: of
            what is walked, only wrong answers are then asked again.
        progress: called as `progress(num_done, num_sequences)`.
        forecast: called before a walk over every prefix that will take more
            than a few seconds, with the estimate in seconds.

    Returns:
        The counts, the smallest margin and the failures.

    Raises:
        InputError: if `max_walked_inputs` is out of range; `held_out` is out
            of range, or passed for a domain of which only a sample is checked;
            no input of the sample is in the domain; or `model` returns logits
            of another shape or one class, or others each time (dropout on).

    Example:

    >>> model = build_model(Parity(num_bits=3), ModelConfig(units=4))
    >>> verify(model, Parity(num_bits=3)).num_examples
    8
    """
    if not 0 <= max_walked_inputs <= MAX_WALKED_INPUTS:
        raise InputError(
            f"`max_walked_inputs` must be from 0 to {MAX_WALKED_INPUTS}. "
            f"Received: max_walked_inputs={max_walked_inputs}"
        )
    start = time.perf_counter()
    total = task.num_symbols**task.num_bits
    sampled = total > max_walked_inputs
    method, kinds = Method.PREDICT, ""
    if sampled and held_out is not None:
        raise InputError(
            "`held_out` must be None if only a sample is checked. Received: "
            f"{len(held_out)} of {total} inputs"
        )
    new_tally = functools.partial(_Tally, model, task, held_out, is_proved)
    tally = None
    if total <= MOST_SEQUENCES and (stepper := find_stepper(model, task)):
        bounds = ProvedBounds if is_proved else DifferenceBounds
        walked = stepper, bounds(stepper.network), task
        tally = _walk(walked, new_tally, sampled, progress, forecast)
    if tally is not None:
        method, sampled = Method.PREFIX_TREE, False
    else:
        parts = all_inputs(task)
        if sampled:
            inputs, kinds = hard_inputs(task)
            parts, total = in_parts(task, inputs), len(inputs)
        tally = new_tally().add_all(_counted(parts, total, progress))
    return tally.result(sampled, kinds, method, start)


def _walk(
    walked: tuple[LSTMStepper, DifferenceBounds, TransducerTask],
    new_tally: "Callable[[], _Tally]",
    is_large: bool,
    progress: Callable[[int, int], None] | None,
    forecast: Callable[[float], None] | None,
) -> "_Tally | None":
    """Return the results of a walk, over as few prefixes as will do.

    None if the domain is too large, unless few prefixes will do.
    """
    stepper, _, task = walked
    total = task.num_symbols**task.num_bits
    if stepper.per_step and total >= _MANY_SEQUENCES:
        most = min(_LONG_WALK // stepper.num_weights, _MANY_STATES)
        parts = walk_merged(*walked, most if is_large else math.inf)
        with contextlib.suppress(UnmergedError):
            return new_tally().add_merged(_counted(parts, total, progress))
    if is_large:
        return None
    if forecast is not None and total * stepper.num_weights > _LONG_WALK:
        forecast(forecast_seconds(*walked))
    return new_tally().add_all(_counted(walk(*walked), total, progress))


def _counted(
    parts: Iterable[_Part],
    total: int,
    progress: Callable[[int, int], None] | None,
) -> Iterator[_Part]:
    """Yield the parts of a check, and show progress after each."""
    done = 0
    for part in parts:
        yield part
        done += part.num_visited
        if progress is not None:
            progress(done, total)


class _Tally:
    """Sum of the results of all blocks."""

    def __init__(
        self,
        model: keras.Model,
        task: TransducerTask,
        held_out: npt.NDArray[np.int64] | None,
        is_proved: bool,
    ) -> None:
        check_reads_numbers(model)
        self._is_proved = is_proved
        self._model = model
        self._task = task
        self._num_predicted = 0
        self._counts = np.zeros((task.num_bits + 1, 2), np.int64)
        self._wrong_tokens = 0
        self._min_margin = np.inf
        self._min_input: Any = 0
        self._failures: list[tuple[Any, Any]] = []
        self._kept = min(_MAX_FAILURES, _MAX_FAILED_SYMBOLS // task.num_bits)
        self._held_out: npt.NDArray[np.bool_] | None = None
        self._num_held_out = self._held_out_wrong = 0
        if held_out is not None:
            size = task.num_symbols**task.num_bits
            numbers = np.asarray(held_out)
            if numbers.size and numbers.dtype.kind not in "iu":
                raise InputError(
                    "`held_out` must be integers. Received: "
                    f"dtype={numbers.dtype}"
                )
            outside = numbers[(numbers < 0) | (numbers >= size)]
            if len(outside):
                raise InputError(
                    f"`held_out` must be inputs from 0 to {size - 1:,}. "
                    f"Received: {int(outside[0])}"
                )
            self._held_out = np.zeros(size, np.bool_)
            self._held_out[held_out] = True

    def add_all(self, blocks: Iterable[CheckedInputs]) -> "_Tally":
        for block in blocks:
            self.add(block)
        return self

    def add(self, block: CheckedInputs) -> None:
        if not len(block.inputs):
            return
        if self._is_proved:
            block = leave_wrong(block)
        num_close = int(block.close.sum())
        if num_close:
            if not self._num_predicted:
                inputs = block.inputs[block.close]
                check_repeats(self._model, symbols_of(self._task, inputs))
            self._num_predicted += num_close
            block = recheck_close(self._model, self._task, block)
        wrong = block.wrong_tokens > 0
        size = len(self._counts)
        self._counts[:, 0] += np.bincount(block.hold_lengths[wrong], None, size)
        self._counts[:, 1] += np.bincount(block.hold_lengths, None, size)
        self._wrong_tokens += int(block.wrong_tokens.sum(dtype=np.int64))
        least = block.margins.min()
        inputs = block.inputs[block.margins == least]
        first = inputs.min() if inputs.ndim == 1 else inputs[0]
        self._add_margin(float(least), first)
        if self._held_out is not None:
            self._num_held_out += int(self._held_out[block.inputs].sum())
        if not wrong.any():
            return
        inputs, margins = block.inputs[wrong], block.margins[wrong]
        if self._held_out is not None:
            self._held_out_wrong += int(self._held_out[inputs].sum())
        self._failures.append((inputs, margins))
        if sum(len(each) for each, _ in self._failures) > 4 * self._kept:
            self._failures = [self._worst()]

    def add_merged(
        self, parts: Iterable[RightInputs | CheckedInputs]
    ) -> "_Tally":
        """Add all parts of a domain."""
        num_right = 0
        for part in parts:
            if isinstance(part, CheckedInputs):
                self.add(part)
            else:
                self._add_margin(part.margin, np.int64(part.number))
                num_right += part.num_inputs
        count = num_right + self._counts[:, 1].sum()
        # Nodes that stand for several prefixes do not know their hold lengths.
        self._counts[:, 1] = num_by_hold_length(self._task)
        if count != self._counts[:, 1].sum():
            raise RuntimeError(f"{count} inputs were walked, not all of them")
        if self._held_out is not None:
            numbers = np.flatnonzero(self._held_out)
            self._num_held_out = count_in_domain(self._task, numbers)
        return self

    def _add_margin(self, margin: float, at: Any) -> None:
        # Blocks of a walk come in any order, and what is reported must not
        # depend on it.
        if margin < self._min_margin or (
            margin == self._min_margin and at.ndim == 0 and at < self._min_input
        ):
            self._min_margin, self._min_input = margin, at

    def _worst(self) -> tuple[Any, Any]:
        """Return the failures to list, smallest margin first."""
        inputs, margins = (
            np.concatenate(parts) for parts in zip(*self._failures, strict=True)
        )
        keys = (inputs, margins) if inputs.ndim == 1 else (margins,)
        worst = np.lexsort(keys)[: self._kept]
        return inputs[worst], margins[worst]

    def result(
        self,
        sampled: bool,
        kinds: str,
        method: Method,
        start: float,
    ) -> Verification:
        num_wrong, num_examples = (int(n) for n in self._counts.sum(0))
        held_out = self._held_out
        return Verification(
            coverage=Coverage.SAMPLED if sampled else Coverage.ALL,
            kinds=kinds,
            method=method,
            num_predicted=self._num_predicted,
            num_examples=num_examples,
            num_wrong=num_wrong,
            num_tokens=num_examples * self._task.num_bits,
            num_wrong_tokens=self._wrong_tokens,
            min_margin=self._min_margin,
            min_margin_input=symbols_of(self._task, self._min_input),
            by_hold_length=[
                HoldCount(length, int(wrong), int(examples))
                for length, (wrong, examples) in enumerate(self._counts)
                if examples
            ],
            failures=self._decode_failures(),
            test_num_examples=(
                None if held_out is None else self._num_held_out
            ),
            test_num_wrong=None if held_out is None else self._held_out_wrong,
            seconds=time.perf_counter() - start,
        )

    def _decode_failures(self) -> list[Failure]:
        if not self._failures:
            return []
        inputs, margins = self._worst()
        symbols = symbols_of(self._task, inputs)
        rows = zip(
            symbols,
            self._task.targets(symbols),
            predictions_of(predict_logits(self._model, symbols)),
            self._task.hold_length(symbols).tolist(),
            margins.tolist(),
            strict=True,
        )
        return [Failure(*row) for row in rows]
