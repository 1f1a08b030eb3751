"""The weights of a model whose layers are all supported here.

Checking a tree of prefixes, and proving a property of a network, compute with
the weights directly, so every layer's computation must be known. Only exact
stock types, with nothing replaced on the model, a layer or a cell, are
supported; `stock_model.py` then compares what a model computes with a stock
model built from these weights.
"""

import dataclasses
import functools
import hashlib
import itertools
from typing import Any, NamedTuple, TypeVar

import keras
import numpy as np
import numpy.typing as npt

# The class of `keras.Model(inputs, outputs)`, which has no public name.
from keras.src.models.functional import Functional

from keras_lstm.core.errors import InputError

Array = npt.NDArray[np.float32]
LayerClass = TypeVar("LayerClass", bound=type[keras.layers.Layer])

_INPUT_DTYPES = ("float32", "int32", "int64")
_IDLE_AT_INFERENCE = (
    keras.layers.InputLayer,
    keras.layers.Dropout,
    keras.layers.GaussianDropout,
    keras.layers.GaussianNoise,
    keras.layers.SpatialDropout1D,
)
# Reasons for which a layer is refused.
_QUANTIZED = "its weights are quantized"
_UNUSUAL = "it is not an LSTM with the usual settings"
_REPLACED = "its weights are not the float32 variables that it was built with"
# Methods that Keras itself wraps on each layer.
_WRAPPED_BY_KERAS = {"build", "quantize"}
# Attributes of a model that only training, evaluation and building use.
_TRAINING_ONLY = {
    *("_maybe_symbolic_build", "compile", "compute_loss", "compute_metrics"),
    *("evaluate", "fit", "loss", "make_test_function", "make_train_function"),
    *("test_step", "train_step"),
}
_identities_at_inference: set[type[keras.layers.Layer]] = set()


def identity_at_inference(cls: LayerClass) -> LayerClass:
    """Declare that a layer returns its input unless `training` is true.

    Use it as a decorator. The class itself is remembered, so that no other
    class can claim this by a name or an attribute.

    Args:
        cls: the class of the layer.

    Returns:
        The same class.
    """
    _identities_at_inference.add(cls)
    return cls


class LayerWeights(NamedTuple):
    """Weights of a stock LSTM layer.

    The last axis holds the input, forget, cell and output gates, in this order.

    Args:
        kernel: weights of the input, `(features, 4 * units)`.
        recurrent_kernel: weights of the state, `(units, 4 * units)`.
        bias: bias of the gates, `(4 * units,)`.
    """

    kernel: Array
    recurrent_kernel: Array
    bias: Array

    @property
    def units(self) -> int:
        """Size of h and of c."""
        return len(self.recurrent_kernel)


@dataclasses.dataclass(frozen=True)
class LSTMWeights:
    """Weights of an Embedding, stacked LSTM layers and a Dense layer.

    Args:
        embedding: a row for each symbol, `(num_symbols, embedding_dim)`.
        lstms: weights of the LSTM layers, first to last.
        kernel: kernel of the Dense layer, `(units, num_outputs)`.
        bias: bias of the Dense layer, `(num_outputs,)`.
        per_step: whether the head predicts at every time step.
        output_shape: shape of the logits, `(num_classes,)` for each time step,
            or for the last_state head `(num_bits, num_classes)`.
    """

    embedding: Array
    lstms: tuple[LayerWeights, ...]
    kernel: Array
    bias: Array
    per_step: bool
    output_shape: tuple[int, ...]

    def weights(self) -> list[Array]:
        """Return all arrays, in the order of the fields."""
        stacked = itertools.chain.from_iterable(self.lstms)
        return [self.embedding, *stacked, self.kernel, self.bias]

    def digest(self) -> str:
        """Return the SHA-256 hex digest of the weights and their shapes."""
        found = hashlib.sha256()
        for array in self.weights():
            found.update(repr(array.shape).encode())
            found.update(np.ascontiguousarray(array, "<f4").tobytes())
        return found.hexdigest()


def supported_layers(
    model: keras.Model, num_symbols: int
) -> list[keras.layers.Layer]:
    """Return the layers of a supported model, first to last.

    Args:
        model: a chain of an Embedding (or a one-hot CategoryEncoding), LSTM
            layers and a Dense layer of logits, with a Reshape at the end for
            the last_state head. Layers that do nothing at inference may be
            between them.
        num_symbols: number of different symbols that the model reads.

    Returns:
        The Embedding (or CategoryEncoding), the LSTM layers, the Dense layer,
        and for the last_state head the Reshape.

    Raises:
        InputError: if `model` is not such a chain; the message names the layer.
    """  # noqa: DOC501 (`_unsupported` returns an InputError)
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
    for layer in (encoding, *lstms, dense):
        if not _computes_with_its_weights(layer):
            raise _unsupported(layer, _REPLACED)
    for lstm in lstms:
        sequences = per_step or lstm is not lstms[-1]
        if why := why_not_stock_lstm(lstm, return_sequences=sequences):
            raise _unsupported(lstm, why)
    if (
        type(dense) is not keras.layers.Dense
        or dense.activation is not keras.activations.linear
        or not dense.use_bias
        or len(dense.weights) != 2
    ):
        raise _unsupported(dense, "it is not a Dense layer of logits")
    if not per_step and None in model.output_shape[1:]:
        raise _unsupported(found[-1], "its output shape is not fixed")
    return found


class TrainingCall(functools.partial):  # type: ignore[type-arg]
    """A layer's `call` that computes as before, but for training."""


def why_not_stock_lstm(
    layer: keras.layers.Layer,
    *,
    computed_by_keras: bool = False,
    return_sequences: bool | None = None,
) -> str | None:
    """Return why a layer is not a stock LSTM with the usual settings.

    Args:
        layer: any layer.
        computed_by_keras: whether Keras computes the layer, or a copy of it
            that is passed the state. The computation of the cell, and whether
            the layer is stateful or forces cuDNN, then do not matter. Defaults
            to False.
        return_sequences: the value that this setting must have, in which case
            the layer must not return its state either; None to allow any
            output. Defaults to None.

    Returns:
        The reason, a clause to append to "Received: ..."; None if the layer is
        a stock LSTM.
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
        return _QUANTIZED
    usual = (
        type(layer.cell) is keras.layers.LSTMCell
        and not _is_patched(layer.cell)
        and layer.use_cudnn is not True
        and layer.activation is keras.activations.tanh
        and layer.recurrent_activation is keras.activations.sigmoid
        and layer.use_bias
        and not layer.stateful
        and len(layer.weights) == 3
    )
    return None if usual else _UNUSUAL


def read_weights(model: keras.Model, num_symbols: int) -> LSTMWeights:
    """Read the weights of a supported model.

    Args:
        model: a model whose layers `supported_layers` returns.
        num_symbols: number of different symbols that the model reads.

    Returns:
        The weights, with `num_symbols` rows in the embedding.

    Raises:
        InputError: if `model` is not supported; the message names the layer.
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
    """Refuse models for reasons beyond the chain of layers."""
    if type(model) not in (keras.Sequential, Functional):
        raise InputError(
            "`model` must be a functional or Sequential Keras model. "
            f"Received: {type(model).__name__}, which may override `call`"
        )
    if patched := _patched_names(model) - _WRAPPED_BY_KERAS - _TRAINING_ONLY:
        raise InputError(
            "`model` must compute as its class does. Received: "
            f"{model.name}, whose `{min(patched)}` is replaced"
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
            "`model` must read integers or float32, be built, and return the "
            f"output of its last layer. Received: {model.name}"
        )
    for layer in model.layers:
        # A quantized layer has other weights.
        if layer.quantization_mode:
            raise _unsupported(layer, _QUANTIZED)
        parts = [layer, getattr(layer, "cell", layer)]
        if not isinstance(layer, keras.layers.InputLayer) and any(
            part.compute_dtype != "float32"
            or type(part.dtype_policy) is not keras.DTypePolicy
            for part in parts
        ):
            raise _unsupported(layer, "it does not compute in float32")
        if isinstance(layer, keras.layers.Bidirectional):
            raise _unsupported(layer, "it reads backwards as well")
        if _is_patched(layer):
            raise _unsupported(layer, "one of its methods is replaced")
        if not all(map(has_input_alone, layer._inbound_nodes)):
            raise _unsupported(layer, "it is called with more than its input")


def _patched_names(part: Any) -> set[str]:
    """Return the attributes of the class that an instance replaces.

    Those that compute the same outside of training do not count.
    """
    cls = type(part)
    return {
        name
        for name, value in vars(part).items()
        if hasattr(cls, name) and not isinstance(value, TrainingCall)
    }


def _is_patched(layer: Any) -> bool:
    return not _patched_names(layer) <= _WRAPPED_BY_KERAS


def has_input_alone(node: Any) -> bool:
    """Return whether a layer was called with at most its input.

    Args:
        node: one of a layer's inbound nodes.
    """
    return len(node.arguments.args) <= 1 and all(
        value is None or isinstance(value, bool)
        for value in node.arguments.kwargs.values()
    )


def _computes_with_its_weights(layer: keras.layers.Layer) -> bool:
    """Return whether the weights of a layer are those that it computes with.

    Assigning another array to `layer.kernel`, say, changes what the layer
    computes, but not `layer.weights`.
    """
    names = {
        keras.layers.Embedding: ("embeddings",),
        keras.layers.LSTM: ("kernel", "recurrent_kernel", "bias"),
        keras.layers.Dense: ("kernel", "bias"),
    }.get(type(layer), ())
    owner: Any = getattr(layer, "cell", layer)
    return len(names) == len(layer.weights) and all(
        getattr(owner, name) is weight
        and keras.backend.standardize_dtype(weight.dtype) == "float32"
        for name, weight in zip(names, layer.weights, strict=True)
    )


def _chain(model: keras.Model) -> list[keras.layers.Layer]:
    """Return the layers with an effect at inference, if they form a chain."""
    for before, after in itertools.pairwise(model.layers):
        # For a layer that is called twice, these are from its first call.
        try:
            follows = after.input is before.output
        except AttributeError:
            follows = False
        if not follows:
            raise _unsupported(
                after, f"its input is not the output of `{before.name}` alone"
            )
    layers = [
        layer for layer in model.layers if not is_idle_at_inference(layer)
    ]
    if not layers:
        raise InputError(
            "`model` must have layers with an effect at inference. Received: "
            "none"
        )
    return layers


def is_idle_at_inference(layer: keras.layers.Layer) -> bool:
    """Return whether a layer does nothing at inference."""
    return type(layer) in {*_IDLE_AT_INFERENCE, *_identities_at_inference}


def _check_encoding(layer: keras.layers.Layer, num_symbols: int) -> None:
    if type(layer) is keras.layers.CategoryEncoding:
        if (
            layer.output_mode != "one_hot"
            or layer.sparse
            or layer.num_tokens < num_symbols
        ):
            raise _unsupported(layer, "it is not one-hot for every symbol")
    elif (
        type(layer) is not keras.layers.Embedding
        or layer.mask_zero
        or layer.input_dim < num_symbols
        or len(layer.weights) != 1
    ):
        raise _unsupported(layer, "it is not an Embedding of every symbol")


def _unsupported(layer: keras.layers.Layer, why: str) -> InputError:
    return InputError(
        "`model` must be a chain of an Embedding, LSTM layers and a Dense "
        f"layer. Received: layer `{layer.name}` ({type(layer).__name__}): {why}"
    )
