"""The weights of a model, where its layers are the ones understood here.

What walks a tree of prefixes, or proves something about a network, computes
with the weights and has to know what the layers do with them.
"""

import dataclasses
import hashlib
import itertools
from typing import Any, NamedTuple

import keras
import numpy as np
import numpy.typing as npt

from keras_lstm.core.errors import InputError

Array = npt.NDArray[np.float32]

_INPUT_DTYPES = ("float32", "int32", "int64")
_IDLE_AT_INFERENCE = (
    keras.layers.InputLayer,
    keras.layers.Dropout,
    keras.layers.GaussianDropout,
    keras.layers.GaussianNoise,
    keras.layers.SpatialDropout1D,
)
# Reasons why a layer is refused.
_QUANTISED = "its weights are quantised"
_UNUSUAL = "it is no LSTM with the usual settings"


class LayerWeights(NamedTuple):
    """A stock LSTM layer's; its gates are input, forget, cell, output.

    Args:
        kernel: `(features, 4 * units)`.
        recurrent_kernel: `(units, 4 * units)`.
        bias: `(4 * units,)`.
    """

    kernel: Array
    recurrent_kernel: Array
    bias: Array

    @property
    def units(self) -> int:
        """The size of h, and of c."""
        return len(self.recurrent_kernel)


@dataclasses.dataclass(frozen=True)
class LSTMWeights:
    """Tokens to vectors, stacked LSTM layers, one Dense layer.

    Args:
        embedding: a row for each symbol, `(num_symbols, embedding_dim)`.
        lstms: first to last.
        kernel: the Dense layer's, `(units, num_outputs)`.
        bias: `(num_outputs,)`.
        per_step: whether the head answers at every time step.
        output_shape: of one answer: `(num_classes,)` at each step, or for
            the last_state head `(num_bits, num_classes)` at the end.
    """

    embedding: Array
    lstms: tuple[LayerWeights, ...]
    kernel: Array
    bias: Array
    per_step: bool
    output_shape: tuple[int, ...]

    def weights(self) -> list[Array]:
        """All arrays, in the order of the fields."""
        stacked = itertools.chain.from_iterable(self.lstms)
        return [self.embedding, *stacked, self.kernel, self.bias]

    def digest(self) -> str:
        """SHA-256 of the weights and their shapes, in hexadecimal."""
        found = hashlib.sha256()
        for array in self.weights():
            found.update(repr(array.shape).encode())
            found.update(np.ascontiguousarray(array, "<f4").tobytes())
        return found.hexdigest()


def supported_layers(
    model: keras.Model, num_symbols: int
) -> list[keras.layers.Layer]:
    """The layers of a model that this module understands, first to last.

    Args:
        model: a chain of Embedding (or CategoryEncoding, one-hot), LSTM layers
            and Dense, with any layers between them that do nothing at
            inference; a Reshape at the end for the last_state head.
        num_symbols: how many different symbols it is asked.

    Returns:
        Embedding (or CategoryEncoding), the LSTM layers, Dense, and for the
        last_state head Reshape.

    Raises:
        InputError: it is not such a model; the layer is named.
    """
    _check_model(model)
    layers = found = _chain(model)
    per_step = type(layers[-1]) is not keras.layers.Reshape
    if not per_step:
        layers = layers[:-1]
    if len(layers) < 3:
        raise InputError(
            "`model` must have an Embedding, at least one LSTM and a Dense "
            f"layer. Received: {', '.join(layer.name for layer in layers)}"
        )
    encoding, *lstms, dense = layers
    _check_encoding(encoding, num_symbols)
    for layer in (encoding, dense):
        # Quantised layers have other weights.
        if layer.quantization_mode:
            raise _not_understood(layer, _QUANTISED)
    for lstm in lstms:
        sequences = per_step or lstm is not lstms[-1]
        if why := why_not_stock_lstm(lstm, return_sequences=sequences):
            raise _not_understood(lstm, why)
    if (
        type(dense) is not keras.layers.Dense
        or dense.activation is not keras.activations.linear
        or not dense.use_bias
        or len(dense.weights) != 2
    ):
        raise _not_understood(dense, "it is no Dense layer of logits")
    if not per_step and None in model.output_shape[1:]:
        raise _not_understood(found[-1], "its shape is open")
    return found


def why_not_stock_lstm(
    layer: keras.layers.Layer,
    *,
    computed_by_keras: bool = False,
    return_sequences: bool | None = None,
) -> str | None:
    """Return why a layer is not a stock LSTM with the usual settings.

    Args:
        layer: any layer.
        computed_by_keras: whether Keras applies the layer, or a copy of it
            with the state passed in. What the cell computes, and whether the
            layer is stateful, does not matter then.
        return_sequences: the setting that the layer must have, and return no
            state; None if it does not matter what the layer returns.

    Returns:
        The reason, to be put after "Received: ..."; None if it is one.
    """
    if type(layer) is not keras.layers.LSTM:
        return _UNUSUAL
    if layer.go_backwards:
        return "it reads backwards"
    if return_sequences is not None and (
        layer.return_state or layer.return_sequences != return_sequences
    ):
        return _UNUSUAL
    if computed_by_keras:
        return None
    if layer.quantization_mode:
        return _QUANTISED
    usual = (
        layer.activation is keras.activations.tanh
        and layer.recurrent_activation is keras.activations.sigmoid
        and layer.use_bias
        and not layer.stateful
        and len(layer.weights) == 3
    )
    return None if usual else _UNUSUAL


def read_weights(model: keras.Model, num_symbols: int) -> LSTMWeights:
    """Reads a model's weights.

    Args:
        model: see `supported_layers`.
        num_symbols: how many different symbols it is asked.

    Raises:
        InputError: it is no model of such layers; the layer is named.
    """
    layers = supported_layers(model, num_symbols)
    per_step = type(layers[-1]) is not keras.layers.Reshape
    encoding, *lstms, dense = layers if per_step else layers[:-1]
    if type(encoding) is keras.layers.CategoryEncoding:
        embedding = np.eye(num_symbols, encoding.num_tokens, dtype=np.float32)
    else:
        embedding = encoding.get_weights()[0][:num_symbols]
    shape = tuple(model.output_shape[1:])
    kernel, bias = dense.get_weights()
    return LSTMWeights(
        embedding=embedding,
        lstms=tuple(LayerWeights(*lstm.get_weights()) for lstm in lstms),
        kernel=kernel,
        bias=bias,
        per_step=per_step,
        output_shape=shape if not per_step else (int(dense.units),),
    )


def _check_model(model: keras.Model) -> None:
    """Refuses what the layers alone do not show."""
    if not type(model).__module__.startswith("keras."):
        raise InputError(
            "`model` must be a functional or Sequential Keras model. "
            f"Received: {type(model).__name__}, whose call may be another"
        )
    last = model.layers[-1] if model.layers else None
    if (
        last is None
        or not model.built
        or len(model.outputs) != 1
        or model.outputs[0] is not last.output
        or model.inputs[0].dtype not in _INPUT_DTYPES
    ):
        raise InputError(
            "`model` must read integers, or float32, and give what its last "
            f"layer does. Received: {model.name}"
        )
    for layer in model.layers:
        parts = [layer, getattr(layer, "cell", layer)]
        if not isinstance(layer, keras.layers.InputLayer) and any(
            part.compute_dtype != "float32" for part in parts
        ):
            raise _not_understood(layer, "it does not compute in float32")
        if not all(map(_is_plain, layer._inbound_nodes)):
            raise _not_understood(
                layer, "it is called with more than its input"
            )


def _is_plain(node: Any) -> bool:
    """Whether a layer was called with at most its input."""
    return len(node.arguments.args) <= 1 and all(
        value is None or isinstance(value, bool)
        for value in node.arguments.kwargs.values()
    )


def _chain(model: keras.Model) -> list[keras.layers.Layer]:
    """The layers that do something at inference, if each follows the last."""
    for before, after in itertools.pairwise(model.layers):
        # Of a layer that is called twice these are of its first call.
        try:
            follows = after.input is before.output
        except AttributeError:
            follows = False
        if not follows:
            raise _not_understood(
                after, f"it does not simply follow `{before.name}`"
            )
    layers = [
        layer
        for layer in model.layers
        if type(layer) not in _IDLE_AT_INFERENCE
        and not getattr(layer, "is_identity_at_inference", False)
    ]
    if not layers:
        raise InputError("`model` must have layers. Received: none")
    return layers


def _check_encoding(layer: keras.layers.Layer, num_symbols: int) -> None:
    if type(layer) is keras.layers.CategoryEncoding:
        if layer.output_mode != "one_hot" or layer.num_tokens < num_symbols:
            raise _not_understood(layer, "it is not one-hot for every symbol")
    elif (
        type(layer) is not keras.layers.Embedding
        or layer.mask_zero
        or layer.input_dim < num_symbols
        or len(layer.weights) != 1
    ):
        raise _not_understood(layer, "it is no Embedding of every symbol")


def _not_understood(layer: keras.layers.Layer, why: str) -> InputError:
    return InputError(
        "`model` must be an Embedding, LSTM layers and a Dense layer, each "
        f"after the other. Received: layer `{layer.name}` "
        f"({type(layer).__name__}): {why}"
    )
