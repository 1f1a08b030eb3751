"""A run's whole configuration: every option, checked, to and from YAML."""

import dataclasses
from collections.abc import Iterator
from typing import Any, Self

import yaml

from keras_lstm.core.errors import InputError
from keras_lstm.core.initializers import parse_initializer
from keras_lstm.core.options import (
    Options,
    check_known,
    declared_options,
    option,
)
from keras_lstm.tasks.registry import task_name
from keras_lstm.tasks.task import Task
from keras_lstm.tasks.transducer import get_machine

STRATEGIES = ("auto", "default", "mirrored", "multi_worker")
# What the command line has flags for beside the options.
_RESERVED = (
    *("config", "help", "init_from", "log_every_steps", "preset", "quiet"),
    *("print_config", "resume", "run_dir", "seed", "smoke", "task"),
)
# All inputs are checked after each epoch: a second or two for so many.
MAX_FED_BACK_INPUTS = 2**24
_INITIALIZER = (
    "a Keras initializer, with its value in parentheses if it takes one, "
    "such as glorot_uniform or truncated_normal(1.0)"
)


@dataclasses.dataclass(frozen=True)
class ModelConfig(Options):
    """The shape of the network and its initial values."""

    head: str = option(
        "per_step",
        "per_step answers at every time step; last_state once, from the last "
        "output",
        choices=("per_step", "last_state"),
    )
    units: int = option(
        32, "size of each LSTM's state", minimum=1, maximum=16384
    )
    num_layers: int = option(
        2, "LSTM layers on top of one another", minimum=1, maximum=64
    )
    embedding_dim: int = option(
        10, "size of a token's embedding", minimum=1, maximum=16384
    )
    encoder_units: int | None = option(
        None,
        "size of a causal Conv1D layer with ReLU before the first LSTM; none: "
        "no such layer",
        minimum=1,
        maximum=16384,
    )
    encoder_steps: int = option(
        1,
        "time steps that this layer sees: the one that is read, and those "
        "before it",
        minimum=1,
        maximum=4096,
    )
    dropout: float = option(
        0.0,
        "share dropped before the first and after the last LSTM",
        minimum=0.0,
        below=1.0,
    )
    input_noise: float = option(
        0.0,
        "standard deviation of the Gaussian noise before the first LSTM",
        minimum=0.0,
        maximum=1.0,
    )
    layer_noise: float = option(
        0.0,
        "standard deviation of the Gaussian noise between LSTMs",
        minimum=0.0,
        maximum=1.0,
    )
    embedding_initializer: str = option("random_uniform", _INITIALIZER)
    kernel_initializer: str = option("glorot_uniform", _INITIALIZER)
    recurrent_initializer: str = option("orthogonal", _INITIALIZER)
    forget_bias: float = option(
        1.0,
        "what the forget gates' bias starts at; far below 0 a cell forgets at "
        "once, and memory has to be a state that the network holds",
    )
    output_kernel_initializer: str = option("glorot_uniform", _INITIALIZER)
    output_bias_initializer: str = option("zeros", _INITIALIZER)
    precision: str = option(
        "float32",
        "what the layers compute in; the variables stay float32",
        choices=("float32", "mixed_float16", "mixed_bfloat16"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for field, _, _ in declared_options(type(self)):
            if field.name.endswith("_initializer"):
                parse_initializer(field.name, getattr(self, field.name))


@dataclasses.dataclass(frozen=True)
class TrainingConfig(Options):
    """How the network is trained."""

    batch_size: int = option(
        128,
        "examples in a step, over all replicas together",
        minimum=1,
        maximum=2**20,
    )
    epochs: int = option(1, "epochs at most", minimum=1)
    steps_per_epoch: int | None = option(
        None, "steps in an epoch; none: one pass over the data", minimum=1
    )
    optimizer: str = option(
        "adam", "Keras optimizer", choices=("adam", "adamw", "adagrad", "sgd")
    )
    learning_rate: float = option(
        0.001, "learning rate, at its highest", above=0.0
    )
    schedule: str = option(
        "constant",
        "constant, or a cosine that falls to zero over all epochs",
        choices=("constant", "cosine"),
    )
    warmup_fraction: float = option(
        0.0,
        "share of all steps over which the learning rate rises from 0, before "
        "the cosine",
        minimum=0.0,
        below=1.0,
    )
    global_clipnorm: float | None = option(
        None, "norm that the whole gradient is clipped to", above=0.0
    )
    weight_decay: float | None = option(
        None,
        "share of each weight taken off at a step, times the learning rate",
        minimum=0.0,
    )
    label_smoothing: float = option(
        0.0,
        "share of each target that the loss spreads over all classes",
        minimum=0.0,
        below=1.0,
    )
    ema_fraction: float | None = option(
        None,
        "validate with, and keep at the end, the exponential moving average "
        "of the weights over about this share of all steps; none: the last "
        "weights",
        above=0.0,
        maximum=1.0,
    )
    monitor: str | None = option(
        None,
        "stop when this is exactly 1: val_sequence_accuracy, or "
        "sequence_accuracy, the running average over the epoch; none: never",
        choices=("val_sequence_accuracy", "sequence_accuracy"),
    )
    start_from_epoch: int = option(
        0, "epochs that always run before the monitor may stop", minimum=0
    )
    counterexamples_from_epoch: int | None = option(
        None,
        "from this epoch on, counted from 0, check every input after each "
        "epoch, feed back what is wrong, and stop when nothing is; none: never",
        minimum=0,
    )
    counterexample_fraction: float = option(
        0.5,
        "share of a batch that is fed back",
        above=0.0,
        maximum=1.0,
    )
    early_prediction: float | None = option(
        None,
        "weight in the loss of answers before the last time step, against the "
        "last (last_state head, one label per example); none: not trained",
        above=0.0,
    )
    prove_from_epoch: int | None = option(
        None,
        "from this epoch on, counted from 0, train the network to stay within "
        "boxes, look for a proof after each epoch, and stop when there is "
        "one; none: never",
        minimum=0,
    )
    checkpoint_every_steps: int | None = option(
        None, "write a checkpoint after so many steps; none: by time", minimum=1
    )
    checkpoint_every_seconds: float | None = option(
        30.0,
        "write a checkpoint after so many seconds; none: not by time",
        above=0.0,
    )
    strategy: str = option(
        "auto",
        "where to train: multi_worker on all machines that TF_CONFIG names, "
        "mirrored on all GPUs of this one, default on one device; auto takes "
        "the first of these that there is",
        choices=STRATEGIES,
    )
    steps_per_execution: int = option(
        1,
        "steps in one call, on one device: faster where steps are short; "
        "callbacks, checkpoints and signals come between calls",
        minimum=1,
    )
    num_microbatches: int = option(
        1,
        "parts of a batch that are computed side by side, on one device: "
        "faster on a CPU, at best one for each core, or of 1,000 examples; "
        "learns the same but for rounding, noise, and, without clipnorm, "
        "how Keras's optimizers square an Embedding's gradients",
        minimum=1,
    )
    jit_compile: bool = option(
        False,
        "compile steps with XLA, on one device: faster on a CPU, after "
        "seconds of compiling; on a GPU it keeps cuDNN's LSTM from being used",
    )


# Whether a rule is kept; the rule; what was received.
_Rule = tuple[bool, str, str]


@dataclasses.dataclass(frozen=True)
class Config(Options):
    """A run's configuration.

    Args:
        preset: the name of the preset that it started from.
        task: what is learned.
        model: the shape of the network.
        training: how it is trained.
        seed: all randomness comes from it.
    """

    preset: str
    task: Task
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    seed: int = option(
        0, "all randomness comes from it", minimum=0, maximum=2**31 - 1
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        # What options ask of one another, as far as no data is needed.
        for rules in (self._rules(), self._rules_by_kind()):
            for is_kept, rule, received in rules:
                if not is_kept:
                    raise InputError(f"{rule}. Received: {received}")

    def _rules(self) -> Iterator[_Rule]:
        task, model, training = self.task, self.model, self.training
        per_step = model.head == "per_step"
        parts = (
            f"num_microbatches={training.num_microbatches}, "
            f"jit_compile={training.jit_compile}"
        )
        in_parts = training.num_microbatches > 1 or training.jit_compile
        num_examples = task.num_training_examples
        yield (
            not per_step or task.output_shape == task.input_shape[:1],
            "`head` must be last_state for a task that does not answer at "
            "every time step",
            f"head={model.head}",
        )
        yield (
            training.batch_size % training.num_microbatches == 0,
            "`num_microbatches` must divide `batch_size` "
            f"{training.batch_size}",
            f"num_microbatches={training.num_microbatches}",
        )
        yield (
            not in_parts or training.strategy in ("auto", "default"),
            "`strategy` must be default for `num_microbatches` above 1 or "
            "`jit_compile`",
            f"strategy={training.strategy}, {parts}",
        )
        yield (
            num_examples is None or training.batch_size <= num_examples,
            f"`batch_size` must be at most the {num_examples} training "
            "examples",
            f"batch_size={training.batch_size}",
        )
        yield (
            training.steps_per_epoch is not None or not task.draws_without_end,
            "`steps_per_epoch` must be given where training inputs are drawn "
            "without end",
            "steps_per_epoch=None",
        )
        steps = training.steps_per_epoch
        yield (
            steps is None or steps % training.steps_per_execution == 0,
            f"`steps_per_execution` must divide the {steps} steps of an epoch",
            f"steps_per_execution={training.steps_per_execution}",
        )
        yield (
            not training.warmup_fraction or training.schedule == "cosine",
            "`warmup_fraction` needs the schedule cosine",
            f"warmup_fraction={training.warmup_fraction}, "
            f"schedule={training.schedule}",
        )
        yield (
            training.monitor != "val_sequence_accuracy" or task.has_validation,
            "`monitor` needs a validation part, which this task has not got",
            f"monitor={training.monitor}",
        )

    def _rules_by_kind(self) -> Iterator[_Rule]:
        task, model, training = self.task, self.model, self.training
        machine, per_step = get_machine(task), model.head == "per_step"
        named = f"task={task.name}"
        parts = (
            f"num_microbatches={training.num_microbatches}, "
            f"jit_compile={training.jit_compile}"
        )
        in_parts = training.num_microbatches > 1 or training.jit_compile
        if training.counterexamples_from_epoch is not None:
            yield (
                machine is not None,
                "`counterexamples_from_epoch` needs a sequence task",
                named,
            )
            yield (
                machine is None or machine.num_sequences <= MAX_FED_BACK_INPUTS,
                f"`num_bits` must leave at most {MAX_FED_BACK_INPUTS} inputs "
                "to check during training",
                f"num_bits={machine.num_bits if machine else None}",
            )
        if training.prove_from_epoch is not None:
            yield (
                not in_parts,
                "`prove_from_epoch` counts steps in the model, which needs "
                "`num_microbatches` 1 and `jit_compile` False",
                parts,
            )
            yield (
                training.early_prediction is None,
                "`prove_from_epoch` and `early_prediction` are for different "
                "tasks",
                f"both, for {named}",
            )
            yield (
                training.ema_fraction is None,
                "`prove_from_epoch` proves the weights at the end of an epoch, "
                "`ema_fraction` keeps others",
                "both",
            )
            yield (
                machine is not None,
                "`prove_from_epoch` needs a sequence task",
                named,
            )
            yield (
                per_step,
                "`prove_from_epoch` needs the per_step head",
                f"head={model.head}",
            )
        yield (
            training.early_prediction is None
            or (not per_step and not task.output_shape),
            "`early_prediction` needs one label per example and the last_state "
            "head",
            f"{named}, head={model.head}",
        )

    def replace(self, task: type[Task] | None = None, /, **values: Any) -> Self:
        """Return a copy with options changed, whichever part they belong to.

        Args:
            task: the class of the copy's task, where it is another; what
                options the two share are kept.
            **values: options by name.

        Raises:
            InputError: if an option is unknown, or a value is bad.
        """
        task = task or type(self.task)
        owners = option_owners(task)
        parts: dict[str, dict[str, Any]] = {
            "task": {
                name: value
                for name, value in self.task.to_mapping().items()
                if owners.get(name, ("", None))[0] == "task"
            },
            "model": self.model.to_mapping(),
            "training": self.training.to_mapping(),
        }
        seed = values.pop("seed", self.seed)
        for name, value in values.items():
            check_known(name, [*owners, "seed"], f"option of {task.name}")
            parts[owners[name][0]][name] = value
        return type(self)(
            preset=self.preset,
            task=task(**parts["task"]),
            model=ModelConfig(**parts["model"]),
            training=TrainingConfig(**parts["training"]),
            seed=seed,
        )

    def to_yaml(self) -> str:
        """The configuration as YAML, every option written out."""
        mapping = {
            "preset": self.preset,
            "seed": self.seed,
            "task": {"name": task_name(type(self.task))}
            | self.task.to_mapping(),
            "model": self.model.to_mapping(),
            "training": self.training.to_mapping(),
        }
        return yaml.safe_dump(mapping, sort_keys=False)

    def to_flat(self) -> dict[str, Any]:
        """All options by name, with the preset and the task's name."""
        names = {"preset": self.preset, "seed": self.seed}
        names["task"] = task_name(type(self.task))
        parts = (self.task, self.model, self.training)
        for part in parts:
            names |= part.to_mapping()
        return names


def option_owners(task: type[Task]) -> dict[str, tuple[str, type[Options]]]:
    """The part of `Config` that each option belongs to, by option name.

    Raises:
        InputError: a task's option has the name of another.
    """
    taken = {
        field.name
        for cls in (ModelConfig, TrainingConfig)
        for field, _, _ in declared_options(cls)
    }
    for field, _, _ in declared_options(task):
        if field.name in taken or field.name in _RESERVED:
            raise InputError(
                f"`{field.name}` is taken: an option of a task needs a name "
                f"of its own. Received: task={task.__qualname__}"
            )
    parts = {"task": task, "model": ModelConfig, "training": TrainingConfig}
    return {
        field.name: (part, cls)
        for part, cls in parts.items()
        for field, _, _ in declared_options(cls)
    }
