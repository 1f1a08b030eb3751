"""Models of stock Keras layers, built from a task and a configuration."""

import math

import keras

from keras_lstm.config import ModelConfig
from keras_lstm.core.errors import InputError
from keras_lstm.core.initializers import INITIALIZERS, parse_initializer
from keras_lstm.core.seeds import derive_seed
from keras_lstm.tasks.task import Task


def build_model(task: Task, config: ModelConfig, seed: int = 0) -> keras.Model:
    """Build an uncompiled model for a task.

    Symbols are embedded; features are masked if the task has a `mask_value`,
    and standardized if it has `statistics`. A causal Conv1D layer follows if
    `config.encoder_units` is set. Then come the LSTM layers, each later one
    reading the whole output sequence of the one before, and a Dense layer,
    applied at every time step or to the last output. With
    `config.bidirectional`, another LSTM beside each reads from the end.

    Args:
        task: the task to learn.
        config: the shape of the network and its initial values.
        seed: seed of the initial values, the noise and the dropout, which
            depend on nothing else. Defaults to 0.

    Returns:
        A functional model from inputs, `(batch_size, *input_shape)`, to
        logits, `(batch_size, *output_shape, num_classes)`. With the per_step
        head, the model reads any number of time steps.

    Raises:
        InputError: if `config.head` is per_step and the task does not have
            one target per time step.

    Example:

    >>> build_model(Increment(), ModelConfig(units=8)).output_shape
    (None, None, 2)
    """
    per_step = config.head == "per_step"
    if per_step and task.output_shape != task.input_shape[:1]:
        raise InputError(
            "`head` must be last_state for a task without one target per time "
            f"step. Received: head={config.head}"
        )
    make = _LayerMaker(config, seed)
    inputs = keras.Input(
        (None, *task.input_shape[1:]) if per_step else task.input_shape,
        dtype="float32" if task.num_symbols is None else "int32",
        name="inputs",
    )
    x = inputs
    if task.num_symbols is not None:
        x = make.embedding(task.num_symbols, task.pads)(x)
    if task.mask_value is not None:
        x = make.masking(task.mask_value)(x)
    if task.statistics is not None:
        x = make.normalization(*task.statistics)(x)
    if config.encoder_units is not None:
        x = make.encoder()(x)
    x = make.dropout("input_dropout")(x) if config.dropout else x
    for layer in range(1, config.num_layers + 1):
        stddev = config.input_noise if layer == 1 else config.layer_noise
        x = make.noise(stddev, f"noise_{layer}")(x) if stddev else x
        sequences = per_step or layer < config.num_layers
        x = make.recurrent(f"lstm_{layer}", sequences)(x)
    x = make.dropout("output_dropout")(x) if config.dropout else x
    shape = _logits_shape(task, config)
    x = make.logits(math.prod(shape))(x)
    if len(shape) > 1:
        x = keras.layers.Reshape(shape, name="per_output")(x)
    model = keras.Model(inputs, x, name=task.name.replace("-", "_"))
    for layer in model.layers:
        both = [layer]
        if isinstance(layer, keras.layers.Bidirectional):
            both = [layer.forward_layer, layer.backward_layer]
        for each in both:
            if isinstance(each, keras.layers.LSTM):
                _set_forget_bias(each, config.forget_bias)
    return model


def count_parameters(task: Task, config: ModelConfig) -> int:
    """Return the number of weights that a model has, without building it.

    Args:
        task: the task to learn.
        config: the shape of the network.

    Returns:
        The number of values in all weights of `build_model(task, config)`.

    Example:

    >>> model = build_model(Increment(), ModelConfig(units=8))
    >>> count_parameters(Increment(), ModelConfig(units=8))
    1190
    >>> model.count_params()
    1190
    """
    count = 0
    size = _features(task)
    if task.num_symbols is not None:
        size = config.embedding_dim
        count += task.num_symbols * size
    if config.encoder_units is not None:
        count += (config.encoder_steps * size + 1) * config.encoder_units
        size = config.encoder_units
    directions = 2 if config.bidirectional else 1
    for _ in range(config.num_layers):
        count += 4 * config.units * (size + config.units + 1) * directions
        size = config.units * directions
    return count + (size + 1) * math.prod(_logits_shape(task, config))


def _features(task: Task) -> int:
    """Return the number of features of a time step."""
    return math.prod(size or 1 for size in task.input_shape[1:])


def _logits_shape(task: Task, config: ModelConfig) -> tuple[int, ...]:
    """Return the shape of what the last Dense layer puts out at once."""
    outputs = () if config.head == "per_step" else task.output_shape
    return (*(size or 1 for size in outputs), task.num_classes)


class _LayerMaker:
    """Maker of a configuration's layers, each with its own seed."""

    def __init__(self, config: ModelConfig, seed: int) -> None:
        self._config = config
        self._seed = seed

    def _initializer(self, option: str, purpose: str) -> keras.Initializer:
        text = getattr(self._config, option)
        seed = derive_seed(self._seed, purpose)
        return _make_initializer(option, text, seed)

    def embedding(self, num_symbols: int, mask_zero: bool) -> keras.Layer:
        return keras.layers.Embedding(
            num_symbols,
            self._config.embedding_dim,
            embeddings_initializer=self._initializer(
                "embedding_initializer", "embedding"
            ),
            mask_zero=mask_zero,
            dtype=self._config.precision,
            name="embedding",
        )

    # Raw features may be larger than float16 holds, whatever the precision.

    def masking(self, value: float) -> keras.Layer:
        return keras.layers.Masking(value, dtype="float32", name="masking")

    def normalization(
        self, mean: tuple[float, ...], variance: tuple[float, ...]
    ) -> keras.Layer:
        return keras.layers.Normalization(
            mean=list(mean),
            variance=list(variance),
            dtype="float32",
            name="normalization",
        )

    def encoder(self) -> keras.Layer:
        return keras.layers.Conv1D(
            self._config.encoder_units,
            self._config.encoder_steps,
            padding="causal",
            activation="relu",
            kernel_initializer=self._initializer(
                "kernel_initializer", "encoder/kernel"
            ),
            dtype=self._config.precision,
            name="encoder",
        )

    def dropout(self, name: str) -> keras.Layer:
        return keras.layers.Dropout(
            self._config.dropout,
            seed=derive_seed(self._seed, name),
            dtype=self._config.precision,
            name=name,
        )

    def noise(self, stddev: float, name: str) -> keras.Layer:
        return keras.layers.GaussianNoise(
            stddev,
            seed=derive_seed(self._seed, name),
            dtype=self._config.precision,
            name=name,
        )

    def recurrent(self, name: str, return_sequences: bool) -> keras.Layer:
        if not self._config.bidirectional:
            return self.lstm(name, return_sequences)
        return keras.layers.Bidirectional(
            self.lstm(name, return_sequences),
            backward_layer=self.lstm(
                f"{name}_backward", return_sequences, go_backwards=True
            ),
            dtype=self._config.precision,
            name=name,
        )

    def lstm(
        self, name: str, return_sequences: bool, go_backwards: bool = False
    ) -> keras.Layer:
        return keras.layers.LSTM(
            self._config.units,
            return_sequences=return_sequences,
            kernel_initializer=self._initializer(
                "kernel_initializer", f"{name}/kernel"
            ),
            recurrent_initializer=self._initializer(
                "recurrent_initializer", f"{name}/recurrent"
            ),
            unit_forget_bias=False,
            go_backwards=go_backwards,
            seed=derive_seed(self._seed, name),
            dtype=self._config.precision,
            name=name,
        )

    def logits(self, num_outputs: int) -> keras.Layer:
        return keras.layers.Dense(
            num_outputs,
            kernel_initializer=self._initializer(
                "output_kernel_initializer", "logits/kernel"
            ),
            bias_initializer=self._initializer(
                "output_bias_initializer", "logits/bias"
            ),
            # The loss and the margins need float32, whatever the precision.
            dtype="float32",
            name="logits",
        )


def copy_weights(
    source: keras.Model, target: keras.Model, argument: str = "model"
) -> None:
    """Copy weights between layers of the same name.

    Args:
        source: the model to copy from. It must have every layer of `target`
            that has weights, and may have others.
        target: the model to copy to.
        argument: the name of `source` in error messages. Defaults to "model".

    Raises:
        InputError: if a layer is missing in `source`, or has weights of other
            shapes.
    """
    layers = {layer.name: layer for layer in source.layers}
    for layer in target.layers:
        expected = [tuple(weight.shape) for weight in layer.weights]
        found = layers.get(layer.name)
        weights = [] if found is None else found.get_weights()
        if expected and [weight.shape for weight in weights] != expected:
            shapes = [weight.shape for weight in weights]
            raise InputError(
                f"`{argument}` must hold a model whose layer `{layer.name}` "
                f"has weights of shapes {expected}. Received: "
                f"{'no such layer' if found is None else shapes}"
            )
        if expected:
            layer.set_weights(weights)


def _set_forget_bias(lstm: keras.layers.LSTM, value: float) -> None:
    """Set the bias of the forget gates, for which Keras offers only 0 and 1."""
    # The order of the gates in a bias: input, forget, cell, output.
    kernel, recurrent_kernel, bias = lstm.get_weights()
    bias[lstm.units : 2 * lstm.units] = value
    lstm.set_weights([kernel, recurrent_kernel, bias])


# The Keras class of each initializer, and the default of its number.
_INITIALIZERS: dict[str, tuple[type[keras.Initializer], float]] = {
    "constant": (keras.initializers.Constant, 0.0),
    "glorot_normal": (keras.initializers.GlorotNormal, 0.0),
    "glorot_uniform": (keras.initializers.GlorotUniform, 0.0),
    "orthogonal": (keras.initializers.Orthogonal, 1.0),
    "random_normal": (keras.initializers.RandomNormal, 0.05),
    "random_uniform": (keras.initializers.RandomUniform, 0.05),
    "truncated_normal": (keras.initializers.TruncatedNormal, 0.05),
    "zeros": (keras.initializers.Zeros, 0.0),
}


def _make_initializer(option: str, text: str, seed: int) -> keras.Initializer:
    """Make the initializer that an option describes."""
    name, number = parse_initializer(option, text)
    cls, default = _INITIALIZERS[name]
    parameter = INITIALIZERS[name]
    arguments = {}
    if parameter is not None:
        arguments[parameter] = default if number is None else number
    if parameter == "maxval":
        arguments["minval"] = -arguments["maxval"]
    if cls not in (keras.initializers.Constant, keras.initializers.Zeros):
        arguments["seed"] = seed
    return cls(**arguments)
