"""A model's own layers, applied to some time steps from a given state."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from keras_lstm.core.errors import InputError
from keras_lstm.models.pointwise import (
    ACTIVATIONS,
    RECURRENT,
    take_activations,
    why_not_pointwise,
)
from keras_lstm.models.weights import has_input_alone

# From inputs and state to outputs and the next state.
_Step = Callable[[Any, Any], tuple[Any, Any]]


class LayerSteps:
    """A model's own layers, applied to some time steps from a given state.

    Args:
        model: a chain of stock layers; see `Stream`.
        batch_size: number of sequences to read in parallel.

    Attributes:
        start: the state before the first step, an item for each layer.
        step_shape: shape of the input at one step, of one sequence.
        num_symbols: number of symbols that an Embedding reads; None without.

    Raises:
        InputError: if `model` is not functional or Sequential, or a layer,
            which the message names, cannot be computed step by step.
    """

    def __init__(self, model: keras.Model, batch_size: int) -> None:
        check_chain(model)
        self.num_symbols: int | None = None
        self._dtype = model.inputs[0].dtype
        # Without the axes of batch and time.
        self.step_shape = tuple(model.input_shape[2:])
        steps: list[_Step] = []
        self.start: list[Any] = []
        per_step = True
        for layer in model.layers:
            if isinstance(layer, keras.layers.InputLayer):
                continue
            if type(layer) is keras.layers.Embedding:
                self.num_symbols = int(layer.input_dim)
            step, start = _step_of(layer, batch_size, per_step)
            if type(layer) in RECURRENT:
                per_step = per_step and layer.return_sequences
            steps.append(step)
            self.start.append(start)

        def advance(inputs: Any, states: Any) -> tuple[Any, Any]:
            x, following = inputs, []
            for step, state in zip(steps, states, strict=True):
                x, state = step(x, state)
                following.append(state)
            return x, following

        shape = (batch_size, None, *self.step_shape)
        specs = tf.nest.map_structure(
            lambda state: tf.TensorSpec(state.shape, state.dtype), self.start
        )
        self._advance = tf.function(
            advance,
            input_signature=[tf.TensorSpec(shape, self._dtype), specs],
        )

    def read(
        self, values: npt.NDArray[Any], states: list[Any]
    ) -> tuple[npt.NDArray[np.float32], list[Any]]:
        """Read time steps.

        Args:
            values: the steps, `(batch_size, timesteps, *step_shape)`.
            states: the state before them, as `start`.

        Returns:
            The logits, `(batch_size, timesteps, num_outputs)`, and the state
            after the steps.
        """
        if not values.shape[1]:
            # A convolution cannot read nothing: read a step, and forget it.
            one = np.zeros((len(values), 1, *values.shape[2:]), self._dtype)
            return self.read(one, states)[0][:, :0], states
        logits, states = self._advance(tf.constant(values, self._dtype), states)
        return logits.numpy(), states


def check_chain(model: keras.Model) -> None:
    """Check that each layer of a model reads the output of the one before.

    Args:
        model: any model.

    Raises:
        InputError: if one does not, or if the model computes something else.
    """  # noqa: DOC501 - `_not_streamed` returns an `InputError`.
    # A class of its own may compute anything in `call`.
    if (
        not getattr(model, "inputs", None)
        or not type(model).call.__module__.startswith("keras.")
        or len(model.inputs) != 1
    ):
        raise InputError(
            "`model` must be a functional or Sequential Keras model with one "
            f"input, and built. Received: {model.name} "
            f"({type(model).__name__})"
        )
    previous = model.inputs[0]
    for layer in model.layers:
        if isinstance(layer, keras.layers.InputLayer):
            continue
        # Said first: the next layer then reads the mask, too.
        masks = isinstance(layer, keras.layers.Masking) or getattr(
            layer, "mask_zero", False
        )
        if masks and (why := why_not_pointwise(layer, per_step=True)):
            raise _not_streamed(layer, why)
        # For a layer that is called twice, these are from its first call.
        if len(layer._inbound_nodes) != 1 or layer.input is not previous:
            raise _not_streamed(
                layer, "its input is not the previous layer's output alone"
            )
        if not has_input_alone(layer._inbound_nodes[0]):
            raise _not_streamed(layer, "it is called with more than its input")
        previous = layer.output
    if len(model.outputs) != 1 or model.outputs[0] is not previous:
        raise InputError(
            "`model` must return the output of its last layer. Received: "
            f"{model.name}"
        )


def _step_of(
    layer: keras.layers.Layer, batch_size: int, per_step: bool
) -> tuple[_Step, Any]:
    """Return a layer's step function, and its state before the first step."""
    if type(layer) in RECURRENT:
        return _recurrent_step(layer, batch_size)
    if type(layer) is keras.layers.Conv1D:
        return _convolution_step(layer, batch_size)
    apply: Any = layer
    if type(layer) is keras.layers.TimeDistributed:
        apply = _as_examples(layer.layer)
    elif not per_step:
        apply = _as_examples(layer)
    if why := why_not_pointwise(layer, per_step, apply):
        raise _not_streamed(layer, why)
    return lambda x, state: (apply(x, training=False), state), ()


def _as_examples(layer: keras.layers.Layer) -> Any:
    """Return a function that applies a layer to time steps as to examples."""

    def apply(x: Any, training: bool) -> Any:
        steps = tf.shape(x)[:2]
        y = layer(tf.reshape(x, [-1, *x.shape[2:]]), training=training)
        y = tf.reshape(y, tf.concat([steps, tf.shape(y)[1:]], 0))
        return y

    return apply


def _recurrent_step(
    layer: keras.layers.Layer, batch_size: int
) -> tuple[_Step, Any]:
    if layer.go_backwards:
        raise _not_streamed(layer, "it reads backwards")
    if layer.return_state:
        raise _not_streamed(layer, "it returns its state")
    copy = _copied(
        layer,
        return_sequences=True,
        return_state=True,
        stateful=False,
        unroll=False,
    )
    zeros = tf.zeros([batch_size, layer.units], layer.compute_dtype)
    start = [zeros] * (2 if type(layer) is keras.layers.LSTM else 1)

    def step(x: Any, state: Any) -> tuple[Any, Any]:
        outputs, *state = copy(x, initial_state=state, training=False)
        return outputs, list(state)

    return step, start


def _convolution_step(
    convolution: keras.layers.Conv1D, batch_size: int
) -> tuple[_Step, Any]:
    if convolution.padding != "causal" or convolution.strides != (1,):
        raise _not_streamed(convolution, "it is not causal with stride 1")
    if convolution.data_format != "channels_last":
        raise _not_streamed(convolution, "its last axis is that of time")
    copy = _copied(convolution, padding="valid")
    (size,), (dilation,) = convolution.kernel_size, convolution.dilation_rate
    kept = (size - 1) * dilation
    features = convolution.input.shape[-1]
    start = tf.zeros([batch_size, kept, features], convolution.compute_dtype)

    def step(x: Any, state: Any) -> tuple[Any, Any]:
        x = tf.concat([state, tf.cast(x, state.dtype)], 1)
        following = x[:, tf.shape(x)[1] - kept :]
        following = tf.ensure_shape(following, state.shape)
        return copy(x, training=False), following

    return step, start


def _copied(layer: keras.layers.Layer, **settings: Any) -> keras.layers.Layer:
    """Return a copy of a layer with other settings and the same weights.

    A configuration has the names of functions, and another function may have
    the same name.
    """
    config = layer.get_config() | settings
    for name in config:
        if name.endswith(("_regularizer", "_constraint")):
            config[name] = None
        elif name.endswith("_initializer"):
            config[name] = "zeros"
        elif name in ACTIVATIONS:
            config[name] = "linear"
    copy = type(layer).from_config(config)
    copy.build(layer.input.shape)
    copy.set_weights(layer.get_weights())
    take_activations(copy, layer)
    return copy


def _not_streamed(layer: keras.layers.Layer, why: str) -> InputError:
    return InputError(
        "`model` must be a chain of layers that can be computed step by step. "
        f"Received: layer `{layer.name}` ({type(layer).__name__}): {why}"
    )
