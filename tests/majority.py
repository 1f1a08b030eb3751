"""A kind of task that the package does not have: labelled token sequences.

One file, as it would be in `tasks/`, for `tests/cli/test_third_kind.py`.
"""

import dataclasses
from typing import ClassVar

import numpy as np

from keras_lstm.core.options import option
from keras_lstm.core.seeds import derive_seed
from keras_lstm.tasks.notation import SymbolNotation, refused
from keras_lstm.tasks.task import Split, Splits, Task

_LETTERS = "abc"


class _Letters(SymbolNotation):
    """Inputs written as letters, such as `aabac`."""

    def read(self, text):
        if not text or text.strip(_LETTERS):
            raise refused(f"letters of {_LETTERS}", text)
        digits = " ".join(str(_LETTERS.index(letter)) for letter in text)
        (query,) = super().read(digits)
        return [dataclasses.replace(query, text=text)]


@dataclasses.dataclass(frozen=True)
class Majority(Task):
    """Name the token that occurs most often: abbcb becomes 1, for b."""

    name = "majority"
    default_preset: ClassVar[str] = "image-rows"
    example_label = "word"

    length: int = option(7, "tokens in a word", minimum=1, maximum=100)

    @property
    def num_symbols(self):
        """Number of letters."""
        return len(_LETTERS)

    @property
    def num_classes(self):
        """Number of classes, one for each letter."""
        return len(_LETTERS)

    @property
    def input_shape(self):
        """Shape of an input, `(length,)`."""
        return (self.length,)

    @property
    def output_shape(self):
        """Shape of a target, `()`: one label."""
        return ()

    def splits(self, seed):
        """Draw random words and split them."""
        rng = np.random.default_rng(derive_seed(seed, "words"))
        words = rng.integers(3, size=(1500, self.length), dtype=np.int32)
        counts = (words[:, :, np.newaxis] == np.arange(3)).sum(1)
        labels = counts.argmax(1).astype(np.int32)
        cuts = [slice(0, 1000), slice(1000, 1250), slice(1250, 1500)]
        return Splits(*(_split(words[cut], labels[cut]) for cut in cuts))

    def notation(self, any_length):
        """Return the notation as letters."""
        return _Letters(3, None if any_length else self.length)


def _split(words, labels):
    import tensorflow as tf

    def batch(indices):
        return tf.gather(words, indices), tf.gather(labels, indices)

    return Split(len(words), batch)
