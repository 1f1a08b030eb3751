"""Training so that a model may be asked before the last time step."""

from typing import Any

import keras
from keras import ops

from keras_lstm.core.errors import InputError


class EarlyPrediction(keras.layers.Layer):
    """Passes the last step's logits on; teaches the steps before it to agree.

    Put it behind a model that answers after every time step, and train the
    model that results on one label per example. To the loss is added the
    cross-entropy of each earlier answer against what the model says at the
    end (which it does not move), with weights that grow evenly from 0 at the
    start to `weight` at the end.

    Args:
        weight: see above.

    Example:

    >>> task = ImageRows(dataset="digits")
    >>> model = build_model(task, ModelConfig(head="last_state", units=8))
    >>> every = build_stepwise_model(model)
    >>> training_model = keras.Model(
    ...     every.input, EarlyPrediction(0.3)(every.output)
    ... )
    >>> training_model.output_shape
    (None, 10)
    """

    def __init__(self, weight: float) -> None:
        super().__init__(name="early_prediction", dtype="float32")
        if not weight > 0:
            raise InputError(
                f"`weight` must be above 0. Received: weight={weight}"
            )
        self.weight = weight

    def call(self, logits: Any, training: bool = False) -> Any:
        """The last step's logits, `(batch_size, num_classes)`.

        Args:
            logits: `(batch_size, timesteps, num_classes)`.
            training: whether to add to the loss.
        """
        last = logits[:, -1]
        if training:
            share = ops.softmax(ops.stop_gradient(last))[:, None]
            logs = ops.log_softmax(logits[:, :-1])
            by_step = -ops.mean(ops.sum(share * logs, -1), 0)
            steps = logits.shape[1]
            weights = ops.arange(1, steps, dtype="float32") / steps
            self.add_loss(self.weight * ops.mean(weights * by_step))
        return last


def build_stepwise_model(model: keras.Model) -> keras.Model:
    """A copy that answers after every time step, not only the last.

    Returns:
        A model to logits of shape `(batch_size, timesteps, num_classes)`.
    """
    config = model.get_config()
    lstms = [x for x in config["layers"] if x["class_name"] == "LSTM"]
    lstms[-1]["config"]["return_sequences"] = True
    copy = keras.Model.from_config(config)
    copy.set_weights(model.get_weights())
    return copy
