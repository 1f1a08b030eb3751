"""Steps of a stream by NumPy, and by the model where rounding may decide.

NumPy and Keras round differently. So an answer of NumPy's is kept only if no
other class comes within a tolerance of the best. Otherwise the model's own
layers read the last few hundred steps again, all of them if there are no more,
and the answer is theirs.

The tolerance is many times the largest difference in a trial, in which both
read the same random steps. It is measured, not proved: over streams of any
length, no useful bound can be (`verification/rounding_bounds.py` bounds the
difference over a task's few symbols). So whenever the model reads again, the
difference is measured again, and NumPy is given up if it has grown.
"""

from typing import Any, NamedTuple

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from keras_lstm.inference.layer_steps import LayerSteps
from keras_lstm.models.numpy_stepper import (
    CHUNK_STEPS,
    LARGEST_PRODUCT,
    Array,
    ChainWeights,
    NumpyStepper,
    State,
    read_chain,
)

# Steps that the model reads again before those in doubt.
_STEPS_BEFORE = 2 * CHUNK_STEPS
# The trial: its steps, for how many of them an input is held at most, and
# by how much rows of numbers are multiplied at most.
_TRIAL_STEPS = 512
_MIN_TRIAL_STEPS = 32
_MAX_HELD = 32
_LARGEST_FACTOR = 2.0**10
# The largest difference allowed in a logit, where the largest logit is up to 1
# or beside it. How many times the difference in the trial is in doubt.
_LARGEST_DIFFERENCE = 1e-5
_SAFETY = 64
_UNIT = 2.0**-24


class _Segment(NamedTuple):
    """Steps that were read, in order, and the state before the first."""

    state: State
    steps: list[Any]


def make_quick_steps(
    model: keras.Model, layers: LayerSteps, num_streams: int | None
) -> "QuickSteps | None":
    """Return a model's steps by NumPy, if they are faster and as good.

    This is the only place that decides between NumPy and Keras.

    Args:
        model: the model.
        layers: its own layers.
        num_streams: as for `Stream`.

    Returns:
        The steps; None if NumPy cannot compute the model, is slower, or
        differs from Keras by more than rounding usually does.
    """
    weights = read_chain(model)
    if weights is None:
        return None
    # Above, TensorFlow's threads are worth their while, and NumPy's are not.
    if weights.largest * (num_streams or 1) > LARGEST_PRODUCT:
        return None
    quick = QuickSteps(weights, layers, num_streams)
    return quick if quick.is_reliable else None


class QuickSteps:
    """Steps of a stream by NumPy, and by the model where rounding may decide.

    Args:
        weights: the model's weights.
        layers: the model's own layers.
        num_streams: as for `Stream`.

    Attributes:
        is_reliable: whether NumPy was never seen to differ from the model by
            more than rounding usually does.
        tolerance: a class whose logit comes this close to the largest is in
            doubt.
    """

    def __init__(
        self,
        weights: ChainWeights,
        layers: LayerSteps,
        num_streams: int | None,
    ) -> None:
        self._layers = layers
        self._embedding = weights.embedding
        # Indexing a list takes less time than indexing an array.
        self._rows = [] if weights.embedding is None else [*weights.embedding]
        self._is_one = num_streams is None
        columns = () if num_streams is None else (num_streams,)
        self._stepper = NumpyStepper(weights, columns)
        self._start = self._stepper.state
        trial = _make_trial(layers, columns)
        found, _ = self._scan(trial)
        logits, _ = layers.read(self._by_stream(trial), layers.start)
        expected = self._by_step(logits)
        scale = float(np.max(np.abs(expected)))
        difference = float(np.max(np.abs(found - expected)))
        self._largest_difference = _LARGEST_DIFFERENCE * max(1.0, scale)
        # Also if it is NaN.
        self.is_reliable = difference <= self._largest_difference
        self.tolerance = _SAFETY * max(difference, _UNIT * scale)
        # Rows of larger numbers are left to the model.
        self._largest_square = float(np.max(_squares(trial)))
        self.reset()

    def reset(self) -> None:
        """Reset the state to that before the first step."""
        self._restart(self._start)

    @property
    def states(self) -> list[Any]:
        """The state, as the model's own layers take it."""
        return self._states_of(self._stepper.state)

    def read_one(self, step: Any) -> Array:
        """Read one step of one stream.

        Args:
            step: the symbol, or the row, `(features,)`, float32.

        Returns:
            The logits, `(num_outputs,)`.
        """
        if self._embedding is not None:
            row = self._rows[step]
        elif _squares(step) <= self._largest_square:
            row = step = step.copy()
        else:
            return self._read_by_model(step[np.newaxis])[0]
        logits = self._stepper.step(row)
        steps = self._segments[-1].steps
        steps.append(step)
        # A few numbers are sorted sooner than NumPy is called.
        ordered = sorted(logits.tolist())
        if len(ordered) > 1 and ordered[-2] >= ordered[-1] - self.tolerance:
            last = len(self._segments) - 1
            return self._ask(last, last + 1, logits[np.newaxis])[0]
        if len(steps) >= CHUNK_STEPS:
            self._append(_Segment(self._stepper.state, []))
        return logits.copy()

    def read(self, values: npt.NDArray[Any]) -> Array:
        """Read some steps.

        Args:
            values: the steps, `(timesteps, *step_shape)`, or of several
                streams, `(timesteps, num_streams, *step_shape)`.

        Returns:
            The logits, `(timesteps, num_outputs)`, or `(timesteps,
            num_streams, num_outputs)`.
        """
        if not len(values) or not np.all(
            _squares(values) <= self._largest_square
        ):
            return self._read_by_model(values)
        logits, states = self._scan(values)
        first = len(self._segments)
        kept = values.copy()
        self._segments += [
            _Segment(state, [*kept[at * CHUNK_STEPS : (at + 1) * CHUNK_STEPS]])
            for at, state in enumerate(states)
        ]
        limit = logits.max(-1, keepdims=True) - self.tolerance
        near = ((logits >= limit).sum(-1) > 1).reshape(len(logits), -1).any(-1)
        if near.any():
            chunks = np.flatnonzero(near) // CHUNK_STEPS
            start, end = chunks[0] * CHUNK_STEPS, (chunks[-1] + 1) * CHUNK_STEPS
            logits[start:end] = self._ask(
                first + chunks[0], first + chunks[-1] + 1, logits[start:end]
            )
        self._append(_Segment(self._stepper.state, []))
        return logits

    def _scan(self, values: npt.NDArray[Any]) -> tuple[Array, list[State]]:
        rows = values if self._embedding is None else self._embedding[values]
        if self._is_one:
            return self._stepper.scan(rows)
        logits, states = self._stepper.scan(np.ascontiguousarray(rows.mT))
        return logits.mT, states

    def _ask(self, first: int, end: int, found: Array) -> Array:
        """Let the model read some segments again, and return its logits.

        Args:
            first: the first segment.
            end: the segment after the last.
            found: NumPy's logits at the last of these steps.

        Returns:
            The model's logits at the same steps.
        """
        before = 0
        while first and before < _STEPS_BEFORE:
            first -= 1
            before += len(self._segments[first].steps)
        segments = self._segments[first:end]
        steps = [step for segment in segments for step in segment.steps]
        logits, states = self._layers.read(
            self._by_stream(np.asarray(steps)),
            self._states_of(segments[0].state),
        )
        expected = self._by_step(logits)[-len(found) :]
        difference = np.max(np.abs(found - expected))
        # Also if it is NaN.
        if not difference <= self._largest_difference:
            self.is_reliable = False
        if end == len(self._segments):
            self._restart(self._state_of(states))
        return expected

    def _read_by_model(self, values: npt.NDArray[Any]) -> Array:
        logits, states = self._layers.read(self._by_stream(values), self.states)
        self._restart(self._state_of(states))
        return self._by_step(logits)

    def _restart(self, state: State) -> None:
        self._stepper.state = state
        self._segments = [_Segment(state, [])]

    def _append(self, segment: _Segment) -> None:
        """Begin a segment, and forget those that no doubt will need."""
        kept = 0
        for at in reversed(range(len(self._segments))):
            if kept >= _STEPS_BEFORE:
                del self._segments[: at + 1]
                break
            kept += len(self._segments[at].steps)
        self._segments.append(segment)

    def _by_stream(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return steps with the streams first, as the model reads them."""
        return values[np.newaxis] if self._is_one else values.swapaxes(0, 1)

    def _by_step(self, logits: Array) -> Array:
        """Return logits with the time steps first."""
        return logits[0] if self._is_one else logits.swapaxes(0, 1)

    def _states_of(self, state: State) -> list[Any]:
        """Return NumPy's state as the model's layers take it."""
        arrays = iter(state)
        return [
            [
                tf.constant(np.atleast_2d(next(arrays).T), tf.float32)
                for _ in start
            ]
            if isinstance(start, list)
            else start
            for start in self._layers.start
        ]

    def _state_of(self, states: list[Any]) -> State:
        """Return the state of the model's layers as NumPy takes it."""
        arrays = (each.numpy() for each in tf.nest.flatten(states))
        return [each[0] if self._is_one else each.T for each in arrays]


def _make_trial(
    layers: LayerSteps, columns: tuple[int, ...]
) -> npt.NDArray[Any]:
    """Return random steps, each held for a while."""
    rng = np.random.default_rng(0)
    num_steps = max(_MIN_TRIAL_STEPS, _TRIAL_STEPS // (*columns, 1)[0])
    held = _MAX_HELD ** rng.random(num_steps)
    at = np.repeat(np.arange(num_steps), held.astype(int))[:num_steps]
    shape = (num_steps, *columns)
    if layers.num_symbols is not None:
        return rng.integers(layers.num_symbols, size=shape)[at]
    rows = rng.normal(size=(*shape, *layers.step_shape))
    factors = _LARGEST_FACTOR ** rng.random((num_steps, *[1] * (rows.ndim - 1)))
    return (rows * factors).astype(np.float32)[at]


def _squares(values: npt.NDArray[Any]) -> Any:
    """Return the sums of squares of rows, 0 for symbols."""
    if values.dtype != np.float32:
        return np.zeros(())
    return np.einsum("...i,...i", values, values)
