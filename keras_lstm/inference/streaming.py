"""Predictions while an input is still arriving."""

from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from keras_lstm.core.errors import InputError, shown
from keras_lstm.inference.layer_steps import LayerSteps
from keras_lstm.inference.quick_steps import make_quick_steps
from keras_lstm.models.logits import predictions_of
from keras_lstm.models.text_input import check_reads_numbers


class Stream:
    """Model that reads inputs as they arrive and keeps state between calls.

    A model with the per_step head predicts after each symbol, in streams of
    any length. A model that predicts an image's class from its last row
    predicts the class so far after each row. Each prediction is the model's
    for the whole sequence up to that step: small LSTMs are computed by NumPy,
    which takes microseconds where TensorFlow takes most of a millisecond, and
    where two classes are as close as rounding, the model's layers read the last
    steps again (see `quick_steps.py`). What rounding can do is measured, not
    proved: of a network that never forgets, such as a counter, errors add up
    over tens of thousands of steps, and may then decide.

    Args:
        model: a chain of stock layers: LSTM, GRU, SimpleRNN, causal Conv1D,
            and layers that process each time step on its own. Make another
            stream after its weights have changed.
        num_streams: number of sequences to read in parallel; None for one
            sequence, whose inputs and predictions have no axis for streams.

    Raises:
        InputError: if `num_streams` is below 1, `model` is not functional or
            Sequential, or a layer, which the message names, cannot be computed
            step by step.

    Example:

    ```python
    stream = Stream(model)
    for bit in bits:  # least significant first
        print(stream.feed(bit))
    ```
    """

    def __init__(
        self, model: keras.Model, num_streams: int | None = None
    ) -> None:
        if num_streams is not None and (
            isinstance(num_streams, bool)
            or not isinstance(num_streams, int | np.integer)
            or not 1 <= num_streams < 2**31
        ):
            raise InputError(
                "`num_streams` must be an integer of at least 1, or None. "
                f"Received: num_streams={shown(num_streams)}"
            )
        check_reads_numbers(model)
        self._num_streams = num_streams
        self._layers = LayerSteps(model, num_streams or 1)
        self._num_symbols = self._layers.num_symbols
        self._step_shape = self._layers.step_shape
        self._quick: Any = make_quick_steps(model, self._layers, num_streams)
        # Only one stream reads its symbols without arrays.
        is_quick = self._quick is not None and num_streams is None
        self._num_quick_symbols = self._num_symbols or 0 if is_quick else 0
        self.reset()

    def reset(self) -> None:
        """Reset the state to that before the first time step."""
        self._states = self._layers.start
        if self._quick is not None:
            self._quick.reset()

    def feed(self, inputs: npt.ArrayLike) -> npt.NDArray[np.int32]:
        """Read one or several time steps, and predict after each.

        Args:
            inputs: one step, `step_shape`, or several, `(steps,
                *step_shape)`; for several streams `(num_streams, *step_shape)`
                or `(num_streams, steps, *step_shape)`. `step_shape` is `()`
                for symbols, `(features,)` for rows.

        Returns:
            The prediction after each step: `()` or `(steps,)`; for several
            streams `(num_streams,)` or `(num_streams, steps)`.

        Raises:
            InputError: if `inputs` has another shape or unknown symbols, or the
                model outputs one class.
        """
        logits = self.feed_logits(inputs)
        if logits.ndim > 1 or len(logits) == 1:
            return predictions_of(logits)
        # The same for one step, by fewer calls. The largest is NaN if any is.
        best = logits.argmax()
        unknown = np.isnan(logits[best])
        return np.array(-1 if unknown else best, np.int32)

    def feed_logits(self, inputs: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Read one or several time steps, and return logits after each.

        Args:
            inputs: see `feed`.

        Returns:
            The logits, of the shape that `feed` returns with an axis of
            `num_classes` appended.

        Raises:
            InputError: if `inputs` has another shape or unknown symbols.
        """
        # To check an array takes longer than to read a symbol.
        if (
            type(inputs) is int or isinstance(inputs, np.integer)
        ) and 0 <= inputs < self._num_quick_symbols:
            logits = self._quick.read_one(inputs)
            if not self._quick.is_reliable:
                self._leave_numpy()
            return logits
        try:
            values = np.asarray(inputs)
        except ValueError:
            raise InputError(
                "`inputs` must be an array. Received: lists of different "
                f"lengths, inputs={shown(inputs)}"
            ) from None
        self._check(values)
        several = self._num_streams is not None
        one_step = values.ndim == len(self._step_shape) + several
        if not several:
            values = values[np.newaxis]
        if one_step:
            values = values[:, np.newaxis]
        found = self._read(values)
        if one_step:
            found = found[:, 0]
        return found if several else found[0]

    def _read(self, values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Read steps with axes for streams and time."""
        if not values.shape[1]:
            return self._layers.read(values, self._layers.start)[0]
        if self._quick is None:
            logits, self._states = self._layers.read(values, self._states)
            return logits
        if self._num_symbols is None:
            values = values.astype(np.float32)
        if self._num_streams is not None:
            found = self._quick.read(values.swapaxes(0, 1)).swapaxes(0, 1)
        elif values.shape[1] == 1:
            found = self._quick.read_one(values[0, 0])[np.newaxis, np.newaxis]
        else:
            found = self._quick.read(values[0])[np.newaxis]
        if not self._quick.is_reliable:
            self._leave_numpy()
        return found

    def _leave_numpy(self) -> None:
        """Let the model compute everything from here on."""
        self._states = self._quick.states
        self._quick, self._num_quick_symbols = None, 0

    def _check(self, values: npt.NDArray[Any]) -> None:
        streams = () if self._num_streams is None else (self._num_streams,)
        rest = values.shape[len(streams) :]
        if values.shape[: len(streams)] != streams or not (
            rest == self._step_shape or rest[1:] == self._step_shape
        ):
            shape = ", ".join(map(str, (*streams, "steps", *self._step_shape)))
            raise InputError(
                f"`inputs` must have shape ({shape}), or without steps. "
                f"Received: inputs of shape {values.shape}"
            )
        if self._num_symbols is None and values.dtype.kind not in "fiub":
            raise InputError(
                "`inputs` must be numbers. Received: inputs of dtype "
                f"{values.dtype}"
            )
        if (
            self._num_symbols is not None
            and values.size
            and not (
                values.dtype.kind in "iu"
                and (values >= 0).all()
                and (values < self._num_symbols).all()
            )
        ):
            raise InputError(
                "`inputs` must be symbols from 0 to "
                f"{self._num_symbols - 1}. Received: "
                f"inputs={shown(values.tolist())}"
            )
