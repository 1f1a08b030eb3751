"""Inputs of a machine inside a tf.data pipeline: drawn, listed or stored.

The functions that make batches have no Python control flow, so they are kept
from AutoGraph, which takes time and would change nothing.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from keras_lstm.tasks.task import Split

# A machine's options that say which inputs to train and to validate on.
SAMPLING_OPTIONS = (
    *("sampling", "carry_fraction"),
    *("train_examples", "validation_examples"),
)
# Rows of a table of several digits: few enough for a core's cache.
_MAX_TABLE_ROWS = 2**12
# Maps symbols to their targets and to whether each input is in the domain.
_Transduce = Callable[[Any], tuple[Any, Any]]


def transduce_numbers(
    numbers: npt.NDArray[np.int64],
    num_digits: int,
    next_state: npt.ArrayLike,
    output: npt.ArrayLike,
) -> tuple[npt.NDArray[np.integer], npt.NDArray[np.integer]]:
    """Return the digits of numbers, and what a machine writes for them.

    Several digits are read at a time, from a table of all that there can be.

    Args:
        numbers: the inputs as numbers, `(num_examples,)`.
        num_digits: number of digits of an input.
        next_state: the machine's table, `(num_states, num_symbols)`; it
            starts in state 0.
        output: what it writes, likewise.

    Returns:
        The inputs and the targets, `(num_examples, num_digits)` each, the
        lowest digit first, in the smallest integer type.
    """
    next_state, output = np.asarray(next_state), np.asarray(output)
    output = output.astype(np.min_scalar_type(output.max()))
    num_states, num_symbols = next_state.shape
    digits = np.arange(num_symbols)
    digits = digits.astype(np.min_scalar_type(num_symbols - 1))
    inputs = np.empty((len(numbers), num_digits), digits.dtype)
    targets = np.empty(inputs.shape, output.dtype)
    states = np.zeros(len(numbers), np.int64)
    together = 1
    while num_states * num_symbols ** (together + 1) <= _MAX_TABLE_ROWS:
        together += 1
    for first in range(0, num_digits, together):
        span = slice(first, min(first + together, num_digits))
        count = span.stop - first
        # A machine of one state that writes what it reads.
        _, read = _in_one_go(digits[np.newaxis] * 0, digits[np.newaxis], count)
        ends, written = _in_one_go(next_state, output, count)
        numbers, lowest = np.divmod(numbers, num_symbols**count)
        inputs[:, span] = read[0, lowest]
        targets[:, span] = written[states, lowest]
        states = ends[states, lowest]
    return inputs, targets


def _in_one_go(next_state: Any, output: Any, num_digits: int) -> Any:
    """Return where a machine ends, and what it writes, for several digits.

    Args:
        next_state: its table, `(num_states, num_symbols)`.
        output: what it writes, likewise.
        num_digits: number of digits.

    Returns:
        The states, `(num_states, num_symbols ** num_digits)`, and the outputs,
        `(num_states, num_symbols ** num_digits, num_digits)`.
    """
    num_states, num_symbols = next_state.shape
    ends = np.arange(num_states)[:, np.newaxis]
    written = np.empty((num_states, 1, 0), output.dtype)
    for _ in range(num_digits):
        # The next digit is the same for as many numbers as there are of these.
        digit = np.repeat(np.arange(num_symbols), ends.shape[1])
        ends = np.tile(ends, num_symbols)
        last = output[ends, digit][..., np.newaxis]
        written = np.tile(written, (1, num_symbols, 1))
        written = np.concatenate([written, last], -1)
        ends = next_state[ends, digit]
    return ends, written


def stored_split(inputs: Any, targets: Any) -> Split:
    """Return a split that stores its examples in the smallest integer type.

    Args:
        inputs: input symbols, `(num_examples, num_bits)`.
        targets: output symbols, `(num_examples, num_bits)`.

    Returns:
        The split.
    """
    import tensorflow as tf

    inputs, targets = (
        tf.constant(np.asarray(x, np.min_scalar_type(np.max(x))))
        for x in (inputs, targets)
    )

    def batch(indices: Any) -> tuple[Any, Any]:
        symbols, outputs = (tf.gather(x, indices) for x in (inputs, targets))
        return tf.cast(symbols, tf.int32), tf.cast(outputs, tf.int32)

    without_autograph = tf.autograph.experimental.do_not_convert(batch)
    return Split(int(inputs.shape[0]), without_autograph)


def listed_split(
    numbers: npt.NDArray[np.int64],
    powers: list[int],
    num_symbols: int,
    transduce: _Transduce,
) -> Split:
    """Return a split that stores its inputs as numbers.

    Their symbols and targets are computed batch by batch.

    Args:
        numbers: the inputs as numbers, `(num_examples,)`.
        powers: powers of `num_symbols`, one for each digit, the lowest first.
        num_symbols: number of different input symbols.
        transduce: see `TransducerTask.transduce`.

    Returns:
        The split.
    """
    import tensorflow as tf

    listed, digits_of = tf.constant(numbers), tf.constant(powers, tf.int64)

    def batch(indices: Any) -> tuple[Any, Any]:
        chosen = tf.gather(listed, indices)[:, tf.newaxis]
        digits = chosen // digits_of % num_symbols
        symbols = tf.cast(digits, tf.int32)
        return symbols, transduce(symbols)[0]

    without_autograph = tf.autograph.experimental.do_not_convert(batch)
    return Split(int(listed.shape[0]), without_autograph)


def drawn_batch(
    seed: int,
    num_bits: int,
    num_symbols: int,
    draw_holds: Callable[[Any, Any], Any] | None,
    transduce: _Transduce,
    draw_lengths: bool = False,
) -> Callable[[Any], tuple[Any, Any]]:
    """Return the `batch` of a split whose inputs are drawn from a domain.

    Inputs outside the domain are drawn again.

    Args:
        seed: seed of the inputs.
        num_bits: number of symbols in an input.
        num_symbols: number of different input symbols.
        draw_holds: a function from `draw_holds_of`; None for uniform inputs.
        transduce: see `TransducerTask.transduce`.
        draw_lengths: whether to cut each batch to a length of its own, from 1
            to `num_bits`, whose logarithm is uniform. Defaults to False.

    Returns:
        A function for `Split.batch`. The examples depend on the seed, the
        first index and the number of indices alone.
    """
    import tensorflow as tf

    def batch(indices: Any) -> tuple[Any, Any]:
        indices = tf.cast(indices, tf.int64)
        batch_key = tf.random.experimental.stateless_fold_in(
            tf.constant([seed, 0], tf.int64), indices[0]
        )
        shape = (tf.size(indices), num_bits)

        def draw(attempt: Any) -> tuple[Any, Any, Any]:
            key = tf.random.experimental.stateless_fold_in(batch_key, attempt)
            symbols = tf.random.stateless_uniform(
                shape, key, 0, num_symbols, tf.int32
            )
            if draw_holds is not None:
                symbols = draw_holds(symbols, key)
            return symbols, *transduce(symbols)

        def outside(attempt: Any, symbols: Any, targets: Any, ok: Any) -> Any:
            return ~tf.reduce_all(ok)

        def redraw(attempt: Any, symbols: Any, targets: Any, ok: Any) -> Any:
            drawn = draw(attempt)
            keep = ok[:, tf.newaxis]
            # TensorFlow infers the size of a batch of one only before the loop.
            return (
                attempt + 1,
                tf.ensure_shape(
                    tf.where(keep, symbols, drawn[0]), symbols.shape
                ),
                tf.ensure_shape(
                    tf.where(keep, targets, drawn[1]), targets.shape
                ),
                tf.ensure_shape(ok | drawn[2], ok.shape),
            )

        first = (tf.constant(1, tf.int64), *draw(tf.constant(0, tf.int64)))
        _, symbols, targets, _ = tf.while_loop(outside, redraw, first)
        symbols = tf.ensure_shape(symbols, (None, num_bits))
        targets = tf.ensure_shape(targets, (None, num_bits))
        if draw_lengths:
            length = _draw_length(num_bits, batch_key)
            symbols, targets = symbols[:, :length], targets[:, :length]
        return symbols, targets

    return tf.autograph.experimental.do_not_convert(batch)


def _draw_length(num_bits: int, key: Any) -> Any:
    """Return a length whose logarithm is uniform: what is short comes often.

    From short sequences a network learns what a machine does at once, and
    from long ones what it must remember.
    """
    import tensorflow as tf

    key = tf.random.experimental.stateless_fold_in(key, 2**32)
    largest = math.log(num_bits + 1)
    drawn = tf.random.stateless_uniform((), key, 0.0, largest)
    return tf.clip_by_value(tf.cast(tf.exp(drawn), tf.int32), 1, num_bits)


def draw_holds_of(
    hold_symbols: list[int],
    leave_symbols: list[int],
    num_bits: int,
    share: float,
) -> Callable[[Any, Any], Any]:
    """Return a function that draws uniform hold lengths for inputs.

    Args:
        hold_symbols: the symbols that keep a machine in its start state.
        leave_symbols: the symbols that take it out of its start state.
        num_bits: number of symbols in an input.
        share: fraction of a batch to change, its first rows.

    Returns:
        A function of random symbols, `(batch_size, num_bits)`, and a key,
        int64 of shape `(2,)`, that returns the changed symbols.
    """
    import tensorflow as tf

    hold, leave = tf.constant(hold_symbols), tf.constant(leave_symbols)
    steps = tf.range(num_bits)

    def draw(symbols: Any, key: Any) -> Any:
        rows = tf.shape(symbols)[0]
        count = tf.round(share * tf.cast(rows, tf.float32))
        chosen = tf.range(rows) < tf.cast(count, tf.int32)
        chosen = chosen[:, tf.newaxis]
        key = tf.random.experimental.stateless_fold_in(key, 1)
        length = tf.random.stateless_uniform(
            tf.shape(chosen), key, 0, num_bits, tf.int32
        )
        # Random symbols, reduced modulo the number of choices, stay random.
        held = tf.gather(hold, symbols % tf.size(hold))
        left = tf.gather(leave, symbols % tf.size(leave))
        symbols = tf.where(chosen & (steps < length), held, symbols)
        return tf.where(chosen & (steps == length), left, symbols)

    return draw


def scan_states(next_state: Any, symbols: Any, num_bits: int) -> Any:
    """Return the machine's state after each symbol, without a loop over time.

    Each symbol maps states to states; these maps are composed over prefixes
    of doubling length (a parallel prefix scan; Hillis and Steele, "Data
    parallel algorithms", 1986).

    Args:
        next_state: the machine's table, `(num_states, num_symbols)`; it
            starts in state 0.
        symbols: int32 tensor, `(batch_size, num_bits)`.
        num_bits: number of symbols in an input.

    Returns:
        The states, int32, `(batch_size, num_bits)`.
    """
    import tensorflow as tf

    by_symbol = tf.constant(np.transpose(next_state), tf.int32)
    # after[b, t, s]: the state that symbols[b, :t + 1] lead to from s, once
    # `span` exceeds t.
    after = tf.gather(by_symbol, symbols)
    span = 1
    while span < num_bits:
        longer = tf.gather(after[:, span:], after[:, :-span], batch_dims=2)
        after = tf.concat([after[:, :span], longer], 1)
        span *= 2
    return after[:, :, 0]
