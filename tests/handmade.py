"""Networks made by hand, without training."""

import numpy as np

from keras_lstm.config import ModelConfig
from keras_lstm.models.build import build_model

# Options of an exact run that is made in a moment: its weights are set from
# the machine.
CONSTRUCTED = {
    "fallback": "construction",
    "prove_from_epoch": None,
    "epochs": 1,
    "steps_per_epoch": 1,
}
# The input of the first unit for a symbol, by its next states from 0 and 1.
_FIRST = {(0, 0): -100, (0, 1): -22, (1, 1): 22}


def make_network(task):
    """Return a network that is right for a machine at every length.

    The machine has two states, and no symbol leads from 0 to 1 and from 1 to 0.
    The h of the first unit is 0 or about 0.76, like the state. Each other unit
    is 0 unless it has just read its own symbol in its own state.
    """
    num_states, num_symbols = np.shape(task.next_state)
    units = 1 + num_states * num_symbols
    config = ModelConfig(units=units, num_layers=1, embedding_dim=num_symbols)
    model = build_model(task, config)
    kernel = np.zeros((num_symbols, 4, units))
    recurrent = np.zeros((units, 4, units))
    bias = np.zeros((4, units))
    # Forget at once; what is added and shown is the input gate alone.
    bias[1:] = np.array([-30, 30, 30])[:, np.newaxis]
    kernel[:, 0, 0] = [
        _FIRST[tuple(column)] for column in np.transpose(task.next_state)
    ]
    recurrent[0, 0, 0] = 60
    kernel[:, 0, 1:] = -200
    for unit in range(1, units):
        state, symbol = divmod(unit - 1, num_symbols)
        sign = 1 if state else -1
        kernel[symbol, 0, unit] = -sign * 22
        recurrent[0, 0, unit] = sign * 60
    output = np.zeros((units, task.num_classes))
    output[np.arange(1, units), np.ravel(task.output)] = 10
    model.set_weights(
        [
            np.eye(num_symbols),
            kernel.reshape(num_symbols, -1),
            recurrent.reshape(units, -1),
            bias.reshape(-1),
            output,
            np.zeros(task.num_classes),
        ]
    )
    return model


def copier_with_sums(task, forgotten=(), added=()):
    """Return a copier beside units that sum up what they do not forget.

    Args:
        task: the task.
        forgotten: biases of the other units' forget gates.
        added: biases of their input gates.
    """
    units = 1 + len(forgotten)
    model = build_model(
        task, ModelConfig(units=units, num_layers=1, embedding_dim=1)
    )
    # Gates: input, forget, cell, output.
    kernel, bias = np.zeros((2, 4, units))
    kernel[2] = 4.0
    bias[:, 0] = 5.0, -5.0, 0.0, 5.0
    bias[0, 1:], bias[1, 1:] = added, forgotten
    dense = np.zeros((units, 2))
    dense[0] = -1.0, 1.0
    model.set_weights(
        [
            np.array([[-1.0], [1.0]]),
            kernel.reshape(1, -1),
            np.zeros((units, 4 * units)),
            bias.reshape(-1),
            dense,
            np.zeros(2),
        ]
    )
    return model
