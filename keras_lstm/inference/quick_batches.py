"""Batches by NumPy, and by the model where rounding may decide.

What `quick_steps.py` says of steps holds for batches as well: an answer of
NumPy's is kept only if no other class comes within a tolerance of the best. The
tolerance is many times the largest difference in a trial: measured, not proved.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from keras_lstm.core.errors import InputError
from keras_lstm.inference.layer_steps import check_chain
from keras_lstm.models.cells import Array
from keras_lstm.models.chunk_reader import ChunkReader
from keras_lstm.models.numpy_stepper import (
    ChainWeights,
    is_bounded,
    read_chain,
)
from keras_lstm.models.weights import is_idle_at_inference, read_weights

# The trial: its sequences, and their steps if the model reads any length. What
# is longer is tried with the first inputs that are.
_TRIAL_SEQUENCES = 256
_TRIAL_STEPS = 32
# The largest difference allowed in a logit, where the largest logit is up to 1
# or beside it. How many times the difference in the trial is in doubt.
_LARGEST_DIFFERENCE = 1e-5
_SAFETY = 64
_UNIT = 2.0**-24

# From inputs to logits, as the model computes them.
Ask = Callable[[npt.NDArray[Any]], Array]


def make_quick_batches(
    model: keras.Model, ask: Ask | None = None
) -> "QuickBatches | None":
    """Return a model's batches by NumPy, if they are as good.

    Args:
        model: the model.
        ask: returns the model's logits for the inputs in doubt; None to trace
            the model. Defaults to None.

    Returns:
        The batches; None if NumPy cannot compute the model, or differs from
        Keras by more than rounding usually does.
    """
    reader = _make_reader(model)
    if reader is None:
        return None
    quick = QuickBatches(reader, model, ask)
    return quick if quick.is_reliable else None


class QuickBatches:
    """Batches by NumPy, and by the model where rounding may decide.

    Args:
        reader: reads the model's weights.
        model: the model.
        ask: as for `make_quick_batches`.

    Attributes:
        is_reliable: whether NumPy was never seen to differ from the model by
            more than rounding usually does; if not, the model is asked for
            everything.
        tolerance: a class whose logit comes this close to the largest is in
            doubt.
    """

    def __init__(
        self, reader: ChunkReader, model: keras.Model, ask: Ask | None
    ) -> None:
        self._reader = reader
        self._model = model
        self._ask = ask or _traced(model)
        self._shape = tuple(model.output_shape[1:])
        self.is_reliable = True
        self.tolerance = 0.0
        trial = _make_trial(model)
        self._longest = trial.shape[1]
        self._compare(self._read(trial), self._call(trial))

    def logits(self, inputs: npt.NDArray[Any]) -> Array:
        """Return the logits for a batch.

        Args:
            inputs: symbols, `(batch_size, timesteps)`, or rows of numbers,
                `(batch_size, timesteps, features)`.

        Returns:
            The logits, `(batch_size, *output_shape)`.
        """
        # The trial says nothing of larger numbers.
        if inputs.ndim > 2 and not np.max(np.abs(inputs)) <= 1:
            return self._ask(inputs)
        if self.is_reliable and inputs.shape[1] > self._longest:
            self._longest = inputs.shape[1]
            longer = inputs[:_TRIAL_SEQUENCES]
            self._compare(self._read(longer), self._ask(longer))
        if not self.is_reliable:
            return self._ask(inputs)
        found = self._read(inputs)
        if found.shape[-1] == 2:
            near = np.abs(found[..., 1] - found[..., 0]) <= self.tolerance
        else:
            best = found.max(-1, keepdims=True)
            near = (found >= best - self.tolerance).sum(-1) > 1
        doubtful = near.reshape(len(inputs), -1).any(-1)
        if doubtful.any():
            expected = self._ask(inputs[doubtful])
            self._compare(found[doubtful], expected)
            if not self.is_reliable:
                return self._ask(inputs)
            found[doubtful] = expected
        return found

    def _compare(self, found: Array, expected: Array) -> None:
        """Learn from the difference between NumPy's logits and the model's."""
        scale = float(np.max(np.abs(expected)))
        difference = float(np.max(np.abs(found - expected)))
        # Also if it is NaN.
        if not difference <= _LARGEST_DIFFERENCE * max(1.0, scale):
            self.is_reliable = False
        tolerance = _SAFETY * max(difference, _UNIT * scale)
        self.tolerance = max(self.tolerance, tolerance)

    def _read(self, inputs: npt.NDArray[Any]) -> Array:
        found = self._reader.logits(inputs)
        if found.ndim == 2:
            return found.reshape(len(inputs), *self._shape)
        return found

    def _call(self, inputs: npt.NDArray[Any]) -> Array:
        inputs = inputs.astype(self._model.inputs[0].dtype)
        return np.asarray(self._model(inputs, training=False))


def _traced(model: keras.Model) -> Ask:
    """Return the model as a traced function of any number of inputs."""
    inputs = model.inputs[0]
    traced = tf.function(
        lambda values: model(values, training=False),
        [tf.TensorSpec((None, *inputs.shape[1:]), inputs.dtype)],
        autograph=False,
    )
    return lambda values: traced(tf.constant(values, inputs.dtype)).numpy()


def _make_reader(model: keras.Model) -> ChunkReader | None:
    """Return a reader of a model's weights; None if it cannot read them."""
    layers = [x for x in model.layers if not is_idle_at_inference(x)]
    if not layers:
        return None
    try:
        if type(layers[0]) is keras.layers.Embedding:
            network = read_weights(model, int(layers[0].input_dim))
            weights = ChainWeights(
                network.embedding, network.lstms, network.kernel, network.bias
            )
            is_usable = is_bounded(weights)
            return ChunkReader(weights, network.per_step) if is_usable else None
        check_chain(model)
    except InputError:
        return None
    chain = read_chain(model)
    if chain is None or chain.embedding is not None:
        return None
    *lower, last = (x for x in layers if type(x) is keras.layers.LSTM)
    if not all(x.return_sequences for x in lower):
        return None
    return ChunkReader(chain, bool(last.return_sequences))


def _make_trial(model: keras.Model) -> npt.NDArray[Any]:
    rng = np.random.default_rng(0)
    length = model.input_shape[1] or _TRIAL_STEPS
    layers = [x for x in model.layers if type(x) is keras.layers.Embedding]
    if layers:
        shape = (_TRIAL_SEQUENCES, length)
        return rng.integers(layers[0].input_dim, size=shape, dtype=np.int32)
    shape = (_TRIAL_SEQUENCES, length, *model.input_shape[2:])
    return rng.random(shape, np.float32)
