"""Models that read texts as people write them, by stock layers."""

import keras

from keras_lstm.core.errors import InputError
from keras_lstm.tasks.task import Task
from keras_lstm.tasks.tokens import SYMBOLS

# Classes of the layers that make numbers of text.
TEXT_LAYERS = ("StringLookup", "TextVectorization")
# For each kind of token: `standardize` and `split` of `TextVectorization`.
_SETTINGS = {
    "characters": (None, "character"),
    "spaces": (None, "whitespace"),
    "words": ("lower_and_strip_punctuation", "whitespace"),
}


def with_text_input(model: keras.Model, task: Task) -> keras.Model:
    """Return a model that makes numbers of text, and applies another model.

    Args:
        model: a model from token numbers, `(batch_size, timesteps)`.
        task: the model's task.

    Returns:
        A model from strings to the same outputs: texts, `(batch_size,)`, by a
        `TextVectorization` layer, or tokens, `(batch_size, timesteps)`, by a
        `StringLookup` layer, padded by empty ones. `model` itself if the task
        has no texts.
    """
    kind = task.token_kind
    if kind is None:
        return model
    if kind == SYMBOLS:
        return _with_symbol_names(model, task)
    vocabulary = list(task.known_tokens.tokens)
    lookup: keras.Layer
    if kind in _SETTINGS:
        standardize, split = _SETTINGS[kind]
        shape: tuple[int | None, ...] = ()
        lookup = keras.layers.TextVectorization(
            standardize=standardize,
            split=split,
            vocabulary=vocabulary,
            # Shorter texts are padded, and padding is masked.
            output_sequence_length=task.max_tokens,
            name="tokens",
        )
    else:
        shape = (None,)
        lookup = keras.layers.StringLookup(
            mask_token="", vocabulary=vocabulary, name="tokens"
        )
    text = keras.Input(shape, dtype="string", name="text")
    outputs = model(lookup(text))
    return keras.Model(text, outputs, name=f"{model.name}_of_text")


def _with_symbol_names(model: keras.Model, task: Task) -> keras.Model:
    """Return a model whose inputs are names of symbols, all of them known."""
    names = keras.layers.StringLookup(
        vocabulary=list(task.known_tokens.tokens),
        # Without them, a name that is unknown is an error.
        num_oov_indices=0,
        name="names",
    )
    return _chained(model, "string", [names, *_copies(model.layers[1:])])


def _copies(layers: list[keras.Layer]) -> list[keras.Layer]:
    return [type(layer).from_config(layer.get_config()) for layer in layers]


def _chained(
    model: keras.Model, dtype: str, layers: list[keras.Layer]
) -> keras.Model:
    """Return a plain chain of layers with the weights of a model."""
    outputs = inputs = keras.Input(
        model.input_shape[1:], dtype=dtype, name="symbols"
    )
    for layer in layers:
        outputs = layer(outputs)
    chain = keras.Model(inputs, outputs, name=model.name)
    chain.set_weights(model.get_weights())
    return chain


def without_symbol_names(model: keras.Model) -> keras.Model:
    """Return a saved model of a machine that reads numbers instead of names.

    `verify`, `find_proof`, `check_proof` and `Stream` take such models.

    Args:
        model: a model from names of symbols, as in the `model.keras` of a run.

    Returns:
        A copy from the numbers of symbols, int32, `(batch_size, timesteps)`.

    Raises:
        InputError: if the model does not read names by a `StringLookup`.
    """
    names, *others = model.layers[1:]
    if not isinstance(names, keras.layers.StringLookup):
        raise InputError(
            "`model` must read names of symbols by a StringLookup layer. "
            f"Received: {model.name}"
        )
    return _chained(model, "int32", _copies(others))


def check_reads_numbers(model: keras.Model) -> None:
    """Refuse a model that reads strings.

    Args:
        model: any model.

    Raises:
        InputError: if its input is strings.
    """
    # A subclassed model has no `inputs`.
    inputs = getattr(model, "inputs", None) or ()
    if any(each.dtype == "string" for each in inputs):
        raise InputError(
            "`model` must read numbers of symbols, as from "
            "`keras_lstm.models.without_symbol_names`. Received: "
            f"{model.name}, which reads strings"
        )
