"""Layers whose output at a time step depends on that step's input alone."""

import warnings
from typing import Any

import keras
import numpy as np

# Layers whose state Keras takes and returns.
RECURRENT = (keras.layers.LSTM, keras.layers.GRU, keras.layers.SimpleRNN)
# Whether their settings keep steps apart is tried out, see `mixes_steps`.
_POINTWISE = (
    keras.layers.Activation,
    keras.layers.ActivityRegularization,
    keras.layers.AlphaDropout,
    keras.layers.BatchNormalization,
    keras.layers.Dense,
    keras.layers.Dropout,
    keras.layers.ELU,
    keras.layers.Embedding,
    keras.layers.GaussianDropout,
    keras.layers.GaussianNoise,
    keras.layers.Identity,
    keras.layers.LayerNormalization,
    keras.layers.LeakyReLU,
    keras.layers.Normalization,
    keras.layers.PReLU,
    keras.layers.ReLU,
    keras.layers.Rescaling,
    keras.layers.Softmax,
    keras.layers.SpatialDropout1D,
    keras.layers.TimeDistributed,
    keras.layers.UnitNormalization,
)
_NUM_STEPS = 5
# Attributes that are functions, of a layer or of its cell.
ACTIVATIONS = ("activation", "recurrent_activation")


def why_not_pointwise(
    layer: keras.layers.Layer, per_step: bool, apply: Any = None
) -> str | None:
    """Return why a layer cannot be applied to time steps one by one.

    Args:
        layer: any layer that was called on a single input.
        per_step: whether the model applies it to all time steps, rather than
            to the last state alone.
        apply: function that applies the layer to several time steps, `(1,
            steps, ...)`; None to call it. Defaults to None.

    Returns:
        The reason, a clause to append to "Received: ..."; None if the layer can
        be applied to each step alone.
    """
    if getattr(layer, "mask_zero", False) or isinstance(
        layer, keras.layers.Masking
    ):
        return "it masks time steps, which the layers after it then skip"
    if type(layer) in _POINTWISE:
        return _try(layer, per_step, apply or layer)
    if not type(layer).__module__.startswith("keras.") or isinstance(
        layer, keras.layers.Lambda
    ):
        return "what it computes at a time step may depend on other steps"
    if hasattr(layer, "cell") or "ConvLSTM" in type(layer).__name__:
        return "its state is not followed here"
    return "it needs the whole sequence"


def take_activations(
    copy: keras.layers.Layer, layer: keras.layers.Layer
) -> None:
    """Give a copy of a layer the layer's own activation functions.

    A configuration has their names, and another function may have the same.

    Args:
        copy: the copy, made from a configuration.
        layer: the layer.
    """
    copied, owner = (getattr(x, "cell", x) for x in (copy, layer))
    for name in ACTIVATIONS:
        if hasattr(owner, name):
            setattr(copied, name, getattr(owner, name))


def _try(layer: keras.layers.Layer, per_step: bool, apply: Any) -> str | None:
    """Return why settings such as an axis or an activation mix steps.

    The layer is applied to random steps together, and one by one, as the model
    would.
    """
    sizes = layer.input.shape
    length = (sizes[1] if per_step else None) or _NUM_STEPS
    shape = (1, length, *(x or 1 for x in sizes[2 if per_step else 1 :]))
    rng = np.random.default_rng(0)
    x: Any = rng.normal(size=shape).astype(np.float32)
    if isinstance(layer, keras.layers.Embedding):
        x = rng.integers(layer.input_dim, size=shape)

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            whole = keras.ops.convert_to_numpy(apply(x, training=False))
            for at in sorted({0, length // 2, length - 1}):
                one = x[:, at : at + 1] if per_step else x[:, at]
                alone = keras.ops.convert_to_numpy(layer(one, training=False))
                if per_step and alone.shape[1] != 1:
                    return "it has a weight for each time step"
                alone = alone[:, 0] if per_step else alone
                if not np.allclose(alone, whole[:, at], rtol=1e-3, atol=1e-4):
                    return "its output at a time step depends on other steps"
    # A layer with a weight for each step fails in any way.
    except Exception as error:
        reason = (str(error).strip() or repr(error)).splitlines()[0][:100]
        return f"it cannot be applied to several time steps ({reason})"
    return None
