"""Training of models that predict before the last time step."""

from typing import Any

import keras
from keras import ops

from keras_lstm.core.errors import InputError


class EarlyPrediction(keras.layers.Layer):
    """Pass on the last step's logits, and train earlier steps to agree.

    Apply the layer to the output of a model that predicts at every time step
    (see `build_stepwise_model`), and train the resulting model on one label per
    example. The layer adds to the loss the cross-entropy of each earlier
    prediction against the last one, through which no gradient flows. Step t of
    T, counted from 1, has the weight `weight * t / T`; the loss is the mean
    over the examples and the T - 1 earlier steps.

    Args:
        weight: limit of the weights, above 0.

    Raises:
        InputError: if `weight` is not above 0.

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
        """Return the last step's logits.

        Args:
            logits: logits at every step, `(batch_size, timesteps,
                num_classes)`.
            training: whether to add to the loss. Defaults to False.

        Returns:
            The logits of the last step, `(batch_size, num_classes)`.
        """
        last = logits[:, -1]
        if training:
            target = ops.softmax(ops.stop_gradient(last))[:, None]
            logs = ops.log_softmax(logits[:, :-1])
            by_step = -ops.mean(ops.sum(target * logs, -1), 0)
            steps = logits.shape[1]
            weights = ops.arange(1, steps, dtype="float32") / steps
            self.add_loss(self.weight * ops.mean(weights * by_step))
        return last


def build_stepwise_model(model: keras.Model) -> keras.Model:
    """Copy a model so that it predicts at every time step, not only the last.

    Args:
        model: a model with the last_state head and one label per example.

    Returns:
        A model with a copy of the weights, whose output is the logits at every
        time step, `(batch_size, timesteps, num_classes)`.
    """
    config = model.get_config()
    lstms = [x for x in config["layers"] if x["class_name"] == "LSTM"]
    lstms[-1]["config"]["return_sequences"] = True
    copy = keras.Model.from_config(config)
    copy.set_weights(model.get_weights())
    return copy
