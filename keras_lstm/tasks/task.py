"""The contract between a task and everything else."""

import abc
import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from keras_lstm.core.options import Options
from keras_lstm.tasks.notation import ArrayNotation, Notation, SymbolNotation


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

    A kind of task is one file: shapes and examples have to be given; the rest
    of this contract, which training, checking, prediction, tuning and export
    ask, has defaults that suit labelled sequences of symbols or features. A
    task that a finite-state machine defines derives from `TransducerTask`.

    Attributes:
        name: what the command line calls it.
        default_preset: the preset it is trained with where none is named.
        objectives: what a search may minimize for it; the first is the
            default.
        data_options: options that name the data, which `evaluate` may
            replace.
        example_label: what an example is called in texts.
        step_label: what a time step is called there.
        inputs_are_images: whether an input, `(rows, columns)` of numbers from
            0 to 1, can be shown as a picture.
    """

    name: ClassVar[str]
    default_preset: ClassVar[str]
    objectives: ClassVar[tuple[str, ...]] = ("accuracy",)
    data_options: ClassVar[tuple[str, ...]] = ()
    example_label: ClassVar[str] = "example"
    step_label: ClassVar[str] = "step"
    inputs_are_images: ClassVar[bool] = False

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
        """Return the task's examples.

        Args:
            seed: what is drawn or cut by chance depends on this alone.

        Returns:
            The parts to train, validate and test on.

        Raises:
            InputError: if the data cannot be read.
        """

    # What the options alone tell, so that rules are checked before any data
    # is read.

    @property
    def draws_without_end(self) -> bool:
        """Whether training examples are drawn from a stream without end."""
        return False

    @property
    def num_training_examples(self) -> int | None:
        """How many training examples there are, if options alone tell."""
        return None

    @property
    def has_validation(self) -> bool:
        """Whether there is a validation part."""
        return True

    @property
    def num_first_tested(self) -> int | None:
        """How many of the first test examples are reported apart, if any."""
        return None

    # What people write and read.

    def notation(self, any_length: bool) -> Notation:
        """Return how inputs and outputs are written.

        Args:
            any_length: whether the model reads sequences of any length.

        Returns:
            The notation that `predict` uses.
        """
        if self.num_symbols is None:
            return ArrayNotation(self.input_shape)
        steps = None if any_length else self.input_shape[0]
        return SymbolNotation(self.num_symbols, steps)

    def sketch(self, inputs: npt.NDArray[Any]) -> list[str]:
        """Return lines of text that show one input; none for features.

        Args:
            inputs: `input_shape`.
        """
        if self.num_symbols is None:
            return []
        return [" ".join(map(str, inputs.tolist()))]

    @property
    def input_label(self) -> str:
        """What an exported model's input is called."""
        return "rows" if self.num_symbols is None else "symbols"

    def random_inputs(
        self, rng: np.random.Generator, shape: tuple[int, ...]
    ) -> npt.NDArray[Any]:
        """Draw inputs, to compare models with.

        Args:
            rng: where they are drawn from.
            shape: `(batch_size, timesteps)`, with the features for features.

        Returns:
            Symbols as int32, or float32 numbers from 0 to 1, of that shape.
        """
        if self.num_symbols is None:
            return rng.random(shape, np.float32)
        return rng.integers(self.num_symbols, size=shape, dtype=np.int32)
