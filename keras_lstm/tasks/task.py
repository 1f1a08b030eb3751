"""The contract between a task and everything else."""

import abc
import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

from keras_lstm.options import Options


@dataclasses.dataclass(frozen=True)
class Split:
    """A set of examples, addressed by index.

    Args:
        num_examples: how many there are; None for a stream without end that
            is drawn from the seed.
        batch: called inside a tf.data pipeline with an int64 tensor of shape
            `(batch_size,)`, consecutive indices for a stream and any for the
            rest; returns the inputs, `(batch_size, *input_shape)`, and the
            targets, `(batch_size, *output_shape)`.
        augment: for training only, called there with inputs and a key, int64
            of shape `(2,)`, that is another at each step; returns inputs
            changed by chance. None for none.
    """

    num_examples: int | None
    batch: Callable[[Any], tuple[Any, Any]]
    augment: Callable[[Any, Any], Any] | None = None


@dataclasses.dataclass(frozen=True)
class Splits:
    """What a task trains on, chooses by, and is measured on at the end.

    Args:
        train: the examples to learn from.
        validation: the examples that callbacks may look at; None for none.
        test: the examples kept for the final figure; None where every input
            is checked instead.
    """

    train: Split
    validation: Split | None = None
    test: Split | None = None


@dataclasses.dataclass(frozen=True)
class Task(Options, abc.ABC):
    """What is learned. A subclass's fields are its options.

    Attributes:
        name: what the command line calls it.
        default_preset: the preset it is trained with where none is named.
    """

    name: ClassVar[str]
    default_preset: ClassVar[str]

    @property
    @abc.abstractmethod
    def num_symbols(self) -> int | None:
        """How many different input tokens there are; None for features."""

    @property
    @abc.abstractmethod
    def num_classes(self) -> int:
        """How many different values an output can take."""

    @property
    @abc.abstractmethod
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input: `(timesteps,)` or `(timesteps, features)`."""

    @property
    @abc.abstractmethod
    def output_shape(self) -> tuple[int, ...]:
        """Shape of one target: `(timesteps,)`, or `()` for one label."""

    @abc.abstractmethod
    def splits(self, seed: int) -> Splits:
        """The task's examples.

        Args:
            seed: what is drawn or cut by chance depends on this alone.

        Raises:
            InputError: the data cannot be had.
        """
