"""Networks made by hand: every machine, without training."""

import numpy as np

from keras_lstm.config import ModelConfig
from keras_lstm.models.build import build_model


def make_network(task):
    """Return a network that is right for a machine at every length.

    It has a unit for each machine state and symbol, which is 1 after reading
    the symbol in the state, and otherwise 0.
    """
    shape = np.shape(task.next_state)
    config = ModelConfig(
        units=shape[0] * shape[1],
        num_layers=1,
        embedding_dim=shape[1],
    )
    model = build_model(task, config)
    leads_to = np.ravel(task.next_state)
    kernel = np.zeros((shape[1], 4, config.units))
    recurrent = np.zeros((config.units, 4, config.units))
    bias = np.zeros((4, config.units))
    # Forget at once; what is added and shown is the input gate alone.
    bias[1:] = np.array([-30, 30, 30])[:, np.newaxis]
    for unit in range(config.units):
        state, symbol = divmod(unit, shape[1])
        # At the start, no unit is 1, and the machine is in state 0.
        sign = 1 if state else -1
        lead = leads_to == state if state else leads_to != 0
        recurrent[lead, 0, unit] = sign * 60
        bias[0, unit] = -sign * 22
        kernel[:, 0, unit] = -200
        kernel[symbol, 0, unit] = 0
    output = np.zeros((config.units, task.num_classes))
    output[np.arange(config.units), np.ravel(task.output)] = 10
    model.set_weights(
        [
            np.eye(shape[1]),
            kernel.reshape(shape[1], -1),
            recurrent.reshape(config.units, -1),
            bias.reshape(-1),
            output,
            np.zeros(task.num_classes),
        ]
    )
    return model
