"""Weights set from a machine, for networks that examples did not teach."""

from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from keras_lstm.core.errors import InputError
from keras_lstm.models.weights import supported_layers
from keras_lstm.tasks.transducer import TransducerTask

# A gate is this far from 0 on either side.
_SURE = 12.0
# h of a unit that is on: its input gate, candidate and output gate are 1.
_ON = float(np.tanh(1.0))
# Difference between the logit of the right output and the others.
_MARGIN = 10.0

Weights = list[npt.NDArray[np.float32]]


def construct_weights(model: keras.Model, task: TransducerTask) -> None:
    """Set a network's weights so that it computes a machine exactly.

    After each symbol, one unit of every LSTM is on, with an h of tanh(1), and
    all others are near 0. The unit stands for one of `task.codes`: a next state
    of the machine, the symbol that led to it, and the output. A unit of the
    first LSTM turns on if its symbol is read AND a unit of one of the states
    was on from which this symbol leads to its code; an input gate can tell
    that, because it is a threshold of a sum. Forget gates are shut. Each
    further LSTM copies the one below; the Dense layer reads the output off.

    Args:
        model: model of Embedding, LSTM and Dense layers with the per_step
            head, with at least one unit for each code, and an embedding of at
            least one dimension for each symbol. It is changed in place.
        task: the machine.

    Raises:
        InputError: if `model` is too small, or has other layers.
    """
    encoding, *lstms, dense = supported_layers(model, task.num_symbols)
    codes, count = task.codes, task.num_symbols
    smallest = min(lstm.units for lstm in lstms)
    if smallest < len(codes):
        raise InputError(
            f"`model` must have at least {len(codes)} units, one for each "
            "state, symbol and output that can follow one another. Received: "
            f"units={smallest}"
        )
    if isinstance(encoding, keras.layers.Embedding):
        if encoding.output_dim < count:
            raise InputError(
                f"`model` must have an embedding of at least {count} "
                "dimensions, one for each symbol. Received: "
                f"embedding_dim={encoding.output_dim}"
            )
        shape = encoding.embeddings.shape
        encoding.set_weights([np.eye(*shape, dtype=np.float32)])
    first, *others = lstms
    first.set_weights(_first_layer(task, *_shape(first)))
    for lstm in others:
        lstm.set_weights(_copying_layer(len(codes), *_shape(lstm)))
    kernel = np.zeros(dense.kernel.shape, np.float32)
    for unit, (_, _, output) in enumerate(codes):
        kernel[unit, output] = _MARGIN / _ON
    dense.set_weights([kernel, np.zeros(dense.units, np.float32)])


def _shape(lstm: Any) -> tuple[int, int]:
    return int(lstm.cell.kernel.shape[0]), lstm.units


def _first_layer(task: TransducerTask, inputs: int, units: int) -> Weights:
    """Return the kernel, recurrent kernel and bias of the first LSTM."""
    kernel, recurrent, bias = _closed(inputs, units)
    states = np.array([state for state, _, _ in task.codes])
    for unit, code in enumerate(task.codes):
        symbol = code[1]
        before = [
            state
            for state, (ends, outputs) in enumerate(
                zip(task.next_state, task.output, strict=True)
            )
            if (ends[symbol], symbol, outputs[symbol]) == code
        ]
        led_from = np.flatnonzero(np.isin(states, before))
        others = np.flatnonzero(~np.isin(states, before))
        kernel[symbol, unit] = 2 * _SURE
        # Before the first symbol no unit is on, and the state is 0.
        if 0 in before:
            recurrent[others, unit] = -2 * _SURE / _ON
            bias[unit] = -_SURE
        else:
            recurrent[led_from, unit] = 2 * _SURE / _ON
            bias[unit] = -3 * _SURE
    return [kernel, recurrent, bias]


def _copying_layer(count: int, inputs: int, units: int) -> Weights:
    """Return the arrays of an LSTM whose units follow those below."""
    kernel, recurrent, bias = _closed(inputs, units)
    for unit in range(count):
        kernel[unit, unit] = 2 * _SURE / _ON
        bias[unit] = -_SURE
    return [kernel, recurrent, bias]


def _closed(inputs: int, units: int) -> Weights:
    """Return arrays with which units stay off."""
    # Gates are in the order i, f, g, o.
    kernel = np.zeros((inputs, 4 * units), np.float32)
    recurrent = np.zeros((units, 4 * units), np.float32)
    bias = np.repeat(
        np.array([-_SURE, -2 * _SURE, _SURE, _SURE], np.float32), units
    )
    return [kernel, recurrent, bias]
