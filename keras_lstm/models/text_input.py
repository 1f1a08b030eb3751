"""Models that read texts as people write them, by stock layers."""

import keras

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
    names = keras.Input(model.input_shape[1:], dtype="string", name="symbols")
    outputs = keras.layers.StringLookup(
        vocabulary=list(task.known_tokens.tokens),
        # Without them, a name that is unknown is an error.
        num_oov_indices=0,
        name="names",
    )(names)
    # One layer after the other, so that the file stays a plain chain.
    for layer in model.layers[1:]:
        outputs = layer(outputs)
    return keras.Model(names, outputs, name=model.name)
