"""Gates and states inside an LSTM layer while it reads."""

import itertools
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from keras_lstm.models.stepper import lstm_cell, numpy_sigmoid
from keras_lstm.models.weights import why_not_stock_lstm

Array = npt.NDArray[np.float32]

# In the order of a stock LSTM's kernel.
GATES = ("input gate", "forget gate", "candidate", "output gate")


def lstm_layers(model: keras.Model) -> list[keras.layers.LSTM]:
    """Return a model's LSTM layers with stock settings, first to last.

    Args:
        model: any model.

    Returns:
        The layers; none unless `model` is functional and has one input.
    """
    if len(getattr(model, "inputs", None) or []) != 1:
        return []
    return [
        layer
        for layer in model.layers
        if why_not_stock_lstm(layer) is None
        and len(layer._inbound_nodes) == 1
        and len(layer._inbound_nodes[0].input_tensors) == 1
    ]


def activations(
    model: keras.Model, layer: keras.layers.LSTM, inputs: Any
) -> dict[str, Array]:
    """Return the gates and states of an LSTM layer at every time step.

    Keras computes the layers before it. The layer itself is computed here,
    because Keras does not return its gates.

    Args:
        model: model that contains the layer.
        layer: one of `lstm_layers(model)`.
        inputs: inputs of the model, `(batch_size, ...)`.

    Returns:
        Mapping from each name in `GATES`, "c" and "h" to an array,
        `(batch_size, timesteps, units)`.
    """
    # A Sequential model has `inputs` but no `input`.
    before = keras.Model(model.inputs[0], layer.input)
    sequences = keras.ops.convert_to_numpy(before(inputs, training=False))
    kernel, recurrent_kernel, bias = layer.get_weights()
    from_input = sequences.astype(np.float32) @ kernel + bias
    batch_size, timesteps, _ = from_input.shape
    h = np.zeros((batch_size, layer.units), np.float32)
    c = np.zeros_like(h)
    names = (*GATES, "c", "h")
    shape = (batch_size, timesteps, layer.units)
    found = {name: np.empty(shape, np.float32) for name in names}
    for t in range(timesteps):
        z = from_input[:, t] + h @ recurrent_kernel
        step = lstm_cell(
            z, c, split=np.split, sigmoid=numpy_sigmoid, tanh=np.tanh
        )
        *_, c, h = step
        for name, values in zip(names, step, strict=True):
            found[name][:, t] = values
    return found


def logits_by_step(model: keras.Model, h: Array) -> Array | None:
    """Return the logits of the model's Dense layer after every time step.

    Args:
        model: model that predicts from the last state of its last LSTM layer.
        h: h of that layer at every step, `(batch_size, timesteps, units)`.

    Returns:
        The logits, `(batch_size, timesteps, num_classes)`; None unless the
        layer after the LSTM, Dropout aside, is a Dense layer of logits and no
        layer after it has weights.
    """
    layers: list[Any] = list(model.layers)
    after = layers[layers.index(lstm_layers(model)[-1]) + 1 :]
    after = [x for x in after if not isinstance(x, keras.layers.Dropout)]
    if not after:
        return None
    dense = after[0]
    if (
        type(dense) is not keras.layers.Dense
        or dense.activation is not keras.activations.linear
        or len(dense.weights) != 2
        or any(getattr(x, "weights", None) for x in after[1:])
    ):
        return None
    kernel, bias = dense.get_weights()
    return h @ kernel + bias


def most_correlated_unit(
    states: dict[str, Array], labels: npt.NDArray[np.integer[Any]]
) -> tuple[str, int, int, float]:
    """Return the unit that correlates best with a state of a machine.

    Args:
        states: mapping from names to arrays, `(batch_size, timesteps, units)`.
        labels: the machine's state at each step, `(batch_size, timesteps)`.

    Returns:
        The name, the unit, the label that its value correlates with, and
        Pearson's correlation coefficient; 0 if nothing varies.
    """
    best = (next(iter(states)), 0, int(labels.flat[0]), 0.0)
    for (name, values), label in itertools.product(
        states.items(), np.unique(labels)
    ):
        units = values.reshape(-1, values.shape[-1]).astype(np.float64)
        units = units - units.mean(0)
        is_label = (labels.reshape(-1) == label).astype(np.float64)
        is_label -= is_label.mean()
        scale = np.sqrt((units**2).sum(0) * (is_label**2).sum())
        varies = scale > 1e-12
        found = np.zeros(units.shape[-1])
        np.divide(is_label @ units, scale, out=found, where=varies)
        unit = int(np.abs(found).argmax())
        if abs(found[unit]) > abs(best[3]):
            best = (name, unit, int(label), float(found[unit]))
    return best
