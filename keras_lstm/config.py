"""A run's whole configuration: every option, checked, to and from YAML."""

import dataclasses
from typing import Any, Self

import yaml

from keras_lstm.options import (
    InputError,
    Options,
    check_keys,
    check_known,
    declared_options,
    option,
)
from keras_lstm.tasks import get_task, task_name
from keras_lstm.tasks.task import Task

STRATEGIES = ("auto", "default", "mirrored", "multi_worker")
# What the command line has flags for beside the options.
_RESERVED = (
    *("config", "help", "init_from", "log_every_steps", "preset", "quiet"),
    *("print_config", "resume", "run_dir", "seed", "smoke", "task"),
)
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
    warmup: float = option(
        0.0,
        "share of all steps over which the learning rate rises from 0, before "
        "the cosine",
        minimum=0.0,
        below=1.0,
    )
    clipnorm: float | None = option(
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
    ema_share: float | None = option(
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
    counterexamples_from: int | None = option(
        None,
        "from this epoch on, counted from 0, check every input after each "
        "epoch, feed back what is wrong, and stop when nothing is; none: never",
        minimum=0,
    )
    counterexample_share: float = option(
        0.5,
        "share of a batch that is fed back",
        above=0.0,
        maximum=1.0,
    )
    early_answers: float | None = option(
        None,
        "weight in the loss of answers before the last time step, against the "
        "last (last_state head, one label per example); none: not trained",
        above=0.0,
    )
    prove_from: int | None = option(
        None,
        "from this epoch on, counted from 0, train the network to stay within "
        "boxes, look for a proof after each epoch, and stop when there is "
        "one; none: never",
        minimum=0,
    )
    checkpoint_steps: int | None = option(
        None, "write a checkpoint after so many steps; none: by time", minimum=1
    )
    checkpoint_seconds: float | None = option(
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
    shards: int = option(
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

    def replace(self, task: type[Task], **values: Any) -> Self:
        """A copy with options changed, whichever part they belong to.

        Args:
            task: the class of the copy's task; what options it shares with
                this one's task are kept.
            **values: options by name.

        Raises:
            InputError: an unknown option, or a bad value.
        """
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


@dataclasses.dataclass(frozen=True)
class ConfigFile:
    """What a configuration file says; it may leave anything out.

    Args:
        preset: the name of a preset.
        task: the class of the task.
        values: options by name, for `Config.replace`.
    """

    preset: str | None
    task: type[Task] | None
    values: dict[str, Any]


def read_config(text: str, default_task: type[Task]) -> ConfigFile:
    """Reads YAML as `Config.to_yaml` writes it, or a part of it.

    Args:
        text: the YAML.
        default_task: whose options they are where the text names no task.

    Raises:
        InputError: no YAML, or an unknown key. Values are checked by
            `Config.replace`.
    """
    try:
        mapping = yaml.safe_load(text) or {}
    # Bad dates and deep nesting are reported as these.
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        problem = " ".join(str(error).split())
        raise InputError(
            f"`config` must be YAML. Received: {problem}"
        ) from None
    if not isinstance(mapping, dict):
        raise InputError(
            f"`config` must be a mapping. Received: config={mapping!r}"
        )
    known = ["preset", "seed", "task", "model", "training"]
    for key in mapping:
        check_known(key, known, "key of `config`")
    values = {"seed": mapping["seed"]} if "seed" in mapping else {}
    task = None
    parts: dict[str, type] = {
        "model": ModelConfig,
        "training": TrainingConfig,
        "task": default_task,
    }
    if isinstance(mapping.get("task"), dict) and "name" in mapping["task"]:
        name = mapping["task"].pop("name")
        parts["task"] = task = get_task(str(name))
    for key, cls in parts.items():
        given = mapping.get(key, {})
        check_keys(cls, given, key)
        values |= {
            name: _number(cls, name, value) for name, value in given.items()
        }
    preset = mapping.get("preset")
    return ConfigFile(None if preset is None else str(preset), task, values)


def _number(cls: type, name: str, value: Any) -> Any:
    """A value from YAML, where 1e-3 is a string: YAML wants a point in it."""
    kinds = {field.name: kind for field, kind, _ in declared_options(cls)}
    if kinds[name] is not float or not isinstance(value, str):
        return value
    try:
        return float(value)
    except ValueError:
        return value
