"""The contract between a task and everything else.

To add a kind of task, subclass `Task` in one file; its docstring lists what
the subclass must define and what it may override. For a task that a
finite-state machine defines, subclass `TransducerTask` instead.
"""

import abc
import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from keras_lstm.core.errors import InputError
from keras_lstm.core.options import Options
from keras_lstm.tasks.notation import ArrayNotation, Notation, SymbolNotation
from keras_lstm.tasks.tokens import SYMBOLS, Vocabulary


@dataclasses.dataclass(frozen=True)
class Split:
    """A set of examples, addressed by index.

    `make_dataset` turns a split into batches.

    Args:
        num_examples: number of examples, addressed from 0; None for an
            endless stream that is drawn from the seed.
        batch: returns the examples at an int64 tensor of indices, of shape
            `(batch_size,)`: the inputs, `(batch_size, *input_shape)`, int32
            for symbols and float32 for features, and the targets,
            `(batch_size, *output_shape)`, int32. Traced into a tf.data
            pipeline, and also called eagerly. The indices of a stream are
            consecutive; those of a finite split may be any.
        augment: returns randomly changed inputs of the same shape and type,
            given the inputs of a batch and an int64 key of shape `(2,)` that
            differs at every step. Traced into the pipeline of training
            batches only; the result must depend on the arguments alone. None
            for no augmentation.
        lengths: number of time steps of each example, `(num_examples,)`, of
            which a batch has the most: examples of similar length then share
            a batch. None if all examples have the same number.
        lines: number of each example's line in the file that it is from,
            `(num_examples,)`; None if there is none.
    """

    num_examples: int | None
    batch: Callable[[Any], tuple[Any, Any]]
    augment: Callable[[Any, Any], Any] | None = None
    lengths: npt.NDArray[np.int64] | None = None
    lines: npt.NDArray[np.int64] | None = None

    @property
    def in_order(self) -> npt.NDArray[np.int64]:
        """The indices in the order of evaluation: shorter examples first."""
        if self.lengths is None:
            return np.arange(self.num_examples or 0)
        return np.argsort(self.lengths, kind="stable")


@dataclasses.dataclass(frozen=True)
class Splits:
    """The examples of a task: to train, to validate and to test on.

    Args:
        train: the examples to train on.
        validation: the examples to measure after each epoch, which callbacks
            may see; None for none.
        test: the examples held out for the final figure. None only for a
            `TransducerTask`, whose models are checked on every input.
    """

    train: Split
    validation: Split | None = None
    test: Split | None = None


@dataclasses.dataclass(frozen=True)
class Task(Options, abc.ABC):
    """Base class of tasks: what is learned, and the examples of it.

    A new kind of task is one subclass in one file. Decorate it with
    `@dataclasses.dataclass(frozen=True)` and declare its fields with
    `option(...)`: each becomes a command-line flag and a key of
    `config.yaml`, and is checked when an instance is made. Checks across
    options belong in `__post_init__`, which must call that of `super()`.

    A subclass must define `name` and `default_preset`; `num_symbols`,
    `num_classes`, `input_shape` and `output_shape`; and `splits`, with a test
    split. It may override the other members, whose defaults suit a finite set
    of labelled sequences, of symbols or of features. Each member below names
    the part of the package that uses it; no code outside `tasks/` checks a
    task's class.

    Import TensorFlow inside the methods that need it: the command line makes
    tasks to check options before it loads TensorFlow.

    `keras-lstm train my_module:MyTask` trains a task from any module. To give
    it a short name, add it to `TASKS` in `tasks/registry.py`.

    Attributes:
        name: required; the task's name for the command line, in reports, and
            of its models: lower-case letters, digits, `-` and `_`.
        default_preset: required; the preset to train with if none is given
            and none has the task's name. A preset accepts every task whose
            `default_preset` equals that of its own task.
        objectives: the objectives that `tune` accepts, a choice of
            "accuracy" (of validation), "cost" and "smallest"; the first is
            the default.
        data_options: names of the options that select the data. `evaluate`
            may replace them, and states the value of the first.
        training_options: names of the options that change neither the inputs
            that a model is checked on nor their targets. `compare` names the
            inputs that one run gets right and another does not if their tasks
            differ in no other option.
        example_label: noun for an example in the results of a check; an "s"
            is appended for the plural.
        step_label: noun for a time step in the results of `evaluate`;
            likewise.
        has_baselines: true if the final check compares the model with simple
            methods.
        pads: true if inputs of different lengths are padded at the end with
            the symbol 0, which then is masked.

    Example:

    >>> from keras_lstm.core.options import option
    >>> from keras_lstm.core.seeds import derive_seed
    >>> @dataclasses.dataclass(frozen=True)
    ... class First(Task):
    ...     "Name the first of a sequence of three different symbols."
    ...     name = "first"
    ...     default_preset = "image-rows"
    ...     num_symbols = 3
    ...     num_classes = 3
    ...     output_shape = ()
    ...     length: int = option(7, "symbols in a sequence", minimum=1)
    ...
    ...     @property
    ...     def input_shape(self):
    ...         return (self.length,)
    ...
    ...     def splits(self, seed):
    ...         rng = np.random.default_rng(derive_seed(seed, "symbols"))
    ...         shape = (900, self.length)
    ...         symbols = rng.integers(3, size=shape, dtype=np.int32)
    ...         parts = symbols[:500], symbols[500:700], symbols[700:]
    ...         return Splits(*map(self._split, parts))
    ...
    ...     def _split(self, symbols):
    ...         import tensorflow as tf
    ...         def batch(indices):
    ...             inputs = tf.gather(symbols, indices)
    ...             return inputs, inputs[:, 0]
    ...         return Split(len(symbols), batch)
    >>> splits = First(length=5).splits(seed=0)
    >>> inputs, targets = splits.test.batch(np.arange(4))
    >>> inputs.shape, targets.shape
    (TensorShape([4, 5]), TensorShape([4]))
    """

    name: ClassVar[str]
    default_preset: ClassVar[str]
    objectives: ClassVar[tuple[str, ...]] = ("accuracy",)
    data_options: ClassVar[tuple[str, ...]] = ()
    training_options: ClassVar[tuple[str, ...]] = ()
    example_label: ClassVar[str] = "example"
    step_label: ClassVar[str] = "step"
    has_baselines: ClassVar[bool] = False
    pads: ClassVar[bool] = False

    @property
    def inputs_are_images(self) -> bool:
        """True if an input is `(rows, columns)` of numbers from 0 to 1.

        TensorBoard and pages show it as an image. Defaults to false.
        """
        return False

    # Required. `build_model` derives the layers from the first four.

    @property
    @abc.abstractmethod
    def num_symbols(self) -> int | None:
        """Number of different input symbols; None if inputs are features.

        Symbols are embedded; features go to the network unchanged unless
        `statistics` says otherwise.
        """

    @property
    @abc.abstractmethod
    def num_classes(self) -> int:
        """Number of classes that an output is one of: 0 to this minus 1."""

    @property
    @abc.abstractmethod
    def input_shape(self) -> tuple[int | None, ...]:
        """Shape of one input: `(timesteps,)` or `(timesteps, features)`.

        None for `timesteps` if inputs have different lengths.
        """

    @property
    @abc.abstractmethod
    def output_shape(self) -> tuple[int | None, ...]:
        """Shape of one target: `(timesteps,)`, or `()` for one label.

        The per_step head, which reads sequences of any length, needs
        `(timesteps,)`; one label needs the last_state head.
        """

    @abc.abstractmethod
    def splits(self, seed: int) -> Splits:
        """Return the task's examples.

        Training, resuming and evaluation each call this with the run's seed:
        the same options and seed must give the same examples.

        Args:
            seed: the only source of randomness; pass it through
                `derive_seed`.

        Returns:
            The training, validation and test splits. Without a test split
            only a `TransducerTask` can be trained.

        Raises:
            InputError: if the data cannot be read.
        """

    # Layers before the network, for features.

    @property
    def mask_value(self) -> float | None:
        """Value of every feature of a step after the end of a sequence.

        Such steps are masked. None (the default) if all sequences have the
        same number of steps.
        """
        return None

    @property
    def statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
        """Means and variances of the features, or one of each for all.

        The model standardizes features by them. None (the default) to read
        features as they are.
        """
        return None

    # Facts about `splits` that the options alone determine. `Config` uses
    # them to refuse bad options before any data is read.

    @property
    def draws_without_end(self) -> bool:
        """True if the training split is endless (default: false).

        `Config` then requires `steps_per_epoch`.
        """
        return False

    @property
    def num_training_examples(self) -> int | None:
        """Size of the training split; None (the default) if unknown.

        `Config` refuses a larger `batch_size`; where it is unknown, training
        does so once the data is read.
        """
        return None

    @property
    def has_validation(self) -> bool:
        """True (the default) if there is a validation split.

        If false, `Config` refuses to monitor `val_sequence_accuracy`.
        """
        return True

    @property
    def num_first_tested(self) -> int | None:
        """Number of first test examples to report separately.

        The final check uses it, to compare with results published for part
        of a test set. None (the default) for no such figure.
        """
        return None

    def recommended(self) -> dict[str, Any]:
        """Return options that suit this task better than its preset's.

        The command uses them where neither a file nor a flag gives others. By
        default there are none.
        """
        return {}

    def to_evaluate(self, **data: Any) -> "Task":
        """Return the task whose test split is other data.

        Args:
            **data: new values for some of `data_options`.

        Returns:
            The task.

        Raises:
            InputError: if the data cannot be used.
        """
        return dataclasses.replace(self, **data)

    def remarks(self) -> list[str]:
        """Return what to know of the data before training, a line each."""
        return []

    def training_remarks(self, trained: "Task") -> list[str]:
        """Return what to know if a model was trained on the same data.

        Args:
            trained: the task that the model was trained on.
        """
        return []

    def defects(self) -> list[str]:
        """Return what may be wrong with the data, a line each."""
        return []

    def suggested(self) -> dict[str, str]:
        """Return options to train with first, for `keras-lstm data`."""
        return {}

    def summary(self) -> list[str]:
        """Return what the data holds, for `keras-lstm data`, as lines."""
        raise InputError(
            f"`task` must read data of your own. Received: task={self.name}"
        )

    # Text that people write and read.

    @property
    def token_kind(self) -> str | None:
        """What a token of a text is; None (the default) without texts.

        One of `tokens.TOKENS`, or "symbols" for names of all symbols: a saved
        model then reads texts or lists of tokens, and knows the tokens in
        `known_tokens`.
        """
        return None

    @property
    def known_tokens(self) -> Vocabulary:
        """The tokens that have numbers of their own; by default none."""
        return Vocabulary(())

    @property
    def max_tokens(self) -> int | None:
        """Number of tokens after which a text is cut; None for no such."""
        return None

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Names of the classes; None (the default) for their numbers."""
        return None

    def notation(self, any_length: bool) -> Notation:
        """Return the text form of inputs and outputs.

        Used by `predict`. By default, symbols are numbers separated by
        spaces, and features come from `.npy` files.

        Args:
            any_length: whether the model reads sequences of any length.

        Returns:
            The notation.
        """
        if self.num_symbols is None:
            return ArrayNotation(self.input_shape)
        steps = None if any_length else self.input_shape[0]
        return SymbolNotation(self.num_symbols, steps)

    def sketch(self, inputs: npt.NDArray[Any]) -> list[str]:
        """Return an input as lines of text.

        Used by `evaluate`, to show the most confident mistakes. By default,
        symbols are one line of numbers, and features are not shown.

        Args:
            inputs: one input, `input_shape`.

        Returns:
            The lines; empty to show nothing.
        """
        if self.num_symbols is None:
            return []
        return [" ".join(map(str, inputs.tolist()))]

    # Exported models.

    @property
    def input_label(self) -> str:
        """Name of an exported model's input tensor: "symbols" or "rows"."""
        return "rows" if self.num_symbols is None else "symbols"

    def random_inputs(
        self, rng: "np.random.Generator", shape: tuple[int, ...]
    ) -> npt.NDArray[Any]:
        """Return random inputs to compare an exported model on.

        Used by `export_model`, which refuses a model whose outputs differ
        from those of Keras. Override it if inputs have another range.

        Args:
            rng: the generator to draw from.
            shape: `(batch_size, timesteps)` for symbols,
                `(batch_size, timesteps, features)` for features.

        Returns:
            Inputs of this shape: int32 symbols, or float32 features from 0
            to 1.
        """
        if self.num_symbols is None:
            return rng.random(shape, np.float32)
        if self.pads:
            return rng.integers(1, self.num_symbols, shape, dtype=np.int32)
        return rng.integers(self.num_symbols, size=shape, dtype=np.int32)

    def random_texts(
        self, rng: "np.random.Generator", num_texts: int, num_tokens: int
    ) -> npt.NDArray[Any]:
        """Return random texts, as `random_inputs`, for a task with texts.

        Args:
            rng: the generator to draw from.
            num_texts: number of texts.
            num_tokens: number of tokens in each, some of them unknown.

        Returns:
            Strings, `(num_texts,)`, or lists of tokens, `(num_texts,
            num_tokens)`.
        """
        kind = self.token_kind
        unknown = () if kind == SYMBOLS else ("\N{SNOWMAN}",)
        names = np.array([*self.known_tokens.tokens, *unknown], object)
        tokens = names[rng.integers(len(names), size=(num_texts, num_tokens))]
        if kind in ("list", SYMBOLS):
            return tokens
        between = "" if kind == "characters" else " "
        return np.array([between.join(each) for each in tokens], object)
