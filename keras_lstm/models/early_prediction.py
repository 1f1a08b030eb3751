"""Training of models that predict before the last time step."""

from typing import Any

import keras
from keras import ops

from keras_lstm.core.errors import InputError
from keras_lstm.models.pointwise import (
    RECURRENT,
    take_activations,
    why_not_pointwise,
)


@keras.saving.register_keras_serializable("keras_lstm")
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
        name: name of the layer. Defaults to "early_prediction".
        dtype: dtype of the layer. Defaults to "float32", also where others
            compute with less precision.
        **kwargs: further arguments of `keras.layers.Layer`.

    Raises:
        InputError: if `weight` is not above 0, or the layer is called with
            sequences of any length.

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

    # What it adds is a mean over examples (see `distribute.partial_losses`).
    adds_means = True

    def __init__(
        self,
        weight: float,
        name: str = "early_prediction",
        dtype: Any = "float32",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, dtype=dtype, **kwargs)
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

        Raises:
            InputError: if the number of time steps is not fixed.
        """
        last = logits[:, -1]
        steps = logits.shape[1]
        if steps is None:
            raise InputError(
                "`EarlyPrediction` must get a fixed number of time steps. "
                f"Received: logits of shape {logits.shape}"
            )
        # There is nothing before a single step.
        if training and steps > 1:
            target = ops.softmax(ops.stop_gradient(last))[:, None]
            logs = ops.log_softmax(logits[:, :-1])
            by_step = -ops.mean(ops.sum(target * logs, -1), 0)
            weights = ops.arange(1, steps, dtype="float32") / steps
            self.add_loss(self.weight * ops.mean(weights * by_step))
        return last

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return super().get_config() | {"weight": self.weight}


def build_stepwise_model(model: keras.Model) -> keras.Model:
    """Copy a model so that it predicts at every time step, not only the last.

    Args:
        model: a chain of layers with an LSTM, GRU or SimpleRNN after which
            each layer can be applied to every time step, such as a model with
            the last_state head and one label per example.

    Returns:
        A model with a copy of the weights, whose output is the logits at every
        time step, `(batch_size, timesteps, num_classes)`.

    Raises:
        InputError: if `model` is not such a chain.
    """
    if not getattr(model, "inputs", None) or not type(
        model
    ).call.__module__.startswith("keras."):
        raise InputError(
            "`model` must be a functional or Sequential Keras model, and "
            f"built. Received: {model.name} ({type(model).__name__})"
        )
    recurrent = [x for x in model.layers if type(x) in RECURRENT]
    if not recurrent:
        raise InputError(
            "`model` must have an LSTM, GRU or SimpleRNN. Received: "
            f"{model.name} with {', '.join(x.name for x in model.layers)}"
        )
    last = recurrent[-1]
    for layer in model.layers[model.layers.index(last) + 1 :]:
        why = why_not_pointwise(layer, last.return_sequences)
        if why is not None:
            raise InputError(
                "`model` must apply its last layers to each time step. "
                f"Received: layer `{layer.name}` ({type(layer).__name__}): "
                f"{why}"
            )
    config = model.get_config()
    for each in config["layers"]:
        if each["config"].get("name") == last.name:
            each["config"]["return_sequences"] = True
    try:
        copy = type(model).from_config(config)
    except (TypeError, ValueError) as error:
        raise InputError(
            "`model` must be one that Keras can copy from its configuration. "
            f"Received: {model.name}: {str(error).splitlines()[0][:200]}"
        ) from None
    copy.set_weights(model.get_weights())
    for copied, layer in zip(copy.layers, model.layers, strict=True):
        take_activations(copied, layer)
    return copy
