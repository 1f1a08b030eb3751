"""Configuration of a run: every option, declared once and checked."""

import dataclasses
from collections.abc import Iterator
from typing import Any, Self

from keras_lstm.config_rules import (
    Execution,
    Rule,
    may_prove,
    rules_of_any,
    rules_of_best,
    rules_of_construction,
    rules_of_counterexamples,
    rules_of_labels,
    rules_of_lengths,
    rules_of_parts,
    rules_of_proof,
)
from keras_lstm.core.errors import InputError
from keras_lstm.core.initializers import parse_initializer
from keras_lstm.core.options import (
    AUTO,
    Options,
    check_known,
    declared_options,
    option,
)
from keras_lstm.core.yaml_text import write_yaml
from keras_lstm.tasks.make import make_task
from keras_lstm.tasks.registry import task_name
from keras_lstm.tasks.task import Task

STRATEGIES = ("auto", "default", "mirrored", "multi_worker")
# Command-line flags that are not options of a task, model or training.
_RESERVED = (
    *("config", "help", "init_from", "log_every_steps", "preset", "quiet"),
    *("print_config", "resume", "run_dir", "seed", "smoke", "task"),
)
_INITIALIZER = "Keras initializer, such as zeros or truncated_normal(1.0)"


@dataclasses.dataclass(frozen=True)
class ModelConfig(Options):
    """Shape of the network and its initial values."""

    head: str = option(
        "per_step",
        "per_step: predict at every time step; last_state: predict once, from "
        "the last LSTM output",
        choices=("per_step", "last_state"),
    )
    units: int = option(32, "units of each LSTM", minimum=1, maximum=16384)
    num_layers: int = option(2, "stacked LSTM layers", minimum=1, maximum=64)
    bidirectional: bool = option(
        False,
        "read each sequence backwards as well, with as many units: predictions "
        "then depend on what comes later",
    )
    embedding_dim: int = option(
        10, "dimension of a symbol's embedding", minimum=1, maximum=16384
    )
    encoder_units: int | None = option(
        None,
        "filters of a causal Conv1D layer with ReLU before the first LSTM "
        "(none: no such layer)",
        minimum=1,
        maximum=16384,
    )
    encoder_steps: int = option(
        1,
        "kernel size of that Conv1D layer, in time steps up to the current one",
        minimum=1,
        maximum=4096,
    )
    dropout: float = option(
        0.0,
        "fraction of values dropped before the first and after the last LSTM",
        minimum=0.0,
        below=1.0,
    )
    input_noise: float = option(
        0.0,
        "standard deviation of Gaussian noise before the first LSTM",
        minimum=0.0,
        maximum=1.0,
    )
    layer_noise: float = option(
        0.0,
        "standard deviation of Gaussian noise between LSTM layers",
        minimum=0.0,
        maximum=1.0,
    )
    embedding_initializer: str = option("random_uniform", _INITIALIZER)
    kernel_initializer: str = option("glorot_uniform", _INITIALIZER)
    recurrent_initializer: str = option("orthogonal", _INITIALIZER)
    forget_bias: float = option(
        1.0,
        "initial bias of the forget gates; far below 0, cells forget at once, "
        "and the recurrent state must hold the memory",
    )
    output_kernel_initializer: str = option("glorot_uniform", _INITIALIZER)
    output_bias_initializer: str = option("zeros", _INITIALIZER)
    precision: str = option(
        "float32",
        "Keras dtype policy of the layers; variables are always float32",
        choices=("float32", "mixed_float16", "mixed_bfloat16"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for field, _, _ in declared_options(type(self)):
            if field.name.endswith("_initializer"):
                parse_initializer(field.name, getattr(self, field.name))


@dataclasses.dataclass(frozen=True)
class TrainingConfig(Options):
    """Options of the training."""

    batch_size: int = option(
        128, "examples per step, over all replicas", minimum=1, maximum=2**20
    )
    epochs: int = option(1, "maximum number of epochs", minimum=1)
    steps_per_epoch: int | None = option(
        None, "steps per epoch (none: one pass over the data)", minimum=1
    )
    optimizer: str = option(
        "adam", "Keras optimizer", choices=("adam", "adamw", "adagrad", "sgd")
    )
    learning_rate: float = option(0.001, "peak learning rate", above=0.0)
    schedule: str = option(
        "constant",
        "learning rate schedule; cosine decays to 0 over all epochs",
        choices=("constant", "cosine"),
    )
    warmup_fraction: float = option(
        0.0,
        "fraction of all steps in which the learning rate first rises linearly "
        "from 0 (schedule cosine)",
        minimum=0.0,
        below=1.0,
    )
    global_clipnorm: float | None = option(
        None, "clip the whole gradient to this norm (none: never)", above=0.0
    )
    weight_decay: float | None = option(
        None,
        "fraction of each weight subtracted per step, times the learning rate",
        minimum=0.0,
    )
    label_smoothing: float = option(
        0.0,
        "fraction of each target that the loss spreads over all classes",
        minimum=0.0,
        below=1.0,
    )
    ema_fraction: float | None = option(
        None,
        "validate and finish with an exponential moving average of the weights "
        "over about this fraction of all steps (none: use the last weights)",
        above=0.0,
        maximum=1.0,
    )
    monitor: str | None = option(
        None,
        "stop when this metric is exactly 1; sequence_accuracy is a running "
        "average over the training epoch (none: never)",
        choices=("val_sequence_accuracy", "sequence_accuracy"),
    )
    start_from_epoch: int = option(
        0, "epochs before the monitor may stop training", minimum=0
    )
    patience: int | None = option(
        None,
        "stop after this many epochs without a better val_sequence_accuracy "
        "(none: never)",
        minimum=1,
    )
    keep_best: bool = option(
        False,
        "finish with the weights of the epoch with the best "
        "val_sequence_accuracy, rather than the last",
    )
    suspicious: bool = option(
        False,
        "measure the margins of training examples after each epoch, and list "
        "the lowest means, of mislabelled ones above all, in suspicious.csv",
    )
    balance: bool = option(
        False,
        "weigh examples in the loss so that all classes count the same (one "
        "label per example)",
    )
    counterexamples_from_epoch: int | None = option(
        None,
        "from this epoch on, counted from 0, check every input, or training "
        "example, after each epoch, and train on the wrong ones; sequence "
        "tasks stop when all are right (none: never)",
        minimum=0,
    )
    counterexample_fraction: float = option(
        0.5, "fraction of counterexamples in a batch", above=0.0, maximum=1.0
    )
    early_prediction: float | None = option(
        None,
        "weight of a loss that trains earlier predictions to agree with the "
        "last (last_state head, one label per example; none: no such loss)",
        above=0.0,
    )
    prove_from_epoch: int | None = option(
        None,
        "from this epoch on, counted from 0, train the states to stay within "
        "boxes, search for a proof after each epoch, and stop when one is "
        "found (none: never)",
        minimum=0,
    )
    fallback: str | None = option(
        None,
        "what to do with a network that is not proved (none: keep it): "
        "construction sets its weights from the machine, so that it is",
        choices=("construction",),
    )
    prove_wait_steps: int = option(
        0,
        "steps for which those boxes wait, at most, until the network answers "
        "right from all their centers",
        minimum=0,
    )
    prove_ramp_steps: int = option(
        300,
        "steps over which those boxes grow to their full size",
        minimum=1,
    )
    prove_radius: float = option(
        0.1, "half the width of those boxes at their full size", above=0.0
    )
    prove_containment_weight: float = option(
        1.0, "weight of a loss for states that leave their boxes", minimum=0.0
    )
    prove_forget_weight: float = option(
        1.0, "weight of a loss for forget gates that are open", minimum=0.0
    )
    checkpoint_every_steps: int | None = option(
        None, "steps between checkpoints (none: by time)", minimum=1
    )
    checkpoint_every_seconds: float | None = option(
        30.0, "seconds between checkpoints (none: by steps)", above=0.0
    )
    track: str | None = option(
        None,
        "send metrics, options and files of the run to this tracker, as its "
        "own settings say where (none: to no tracker)",
        choices=("mlflow", "trackio", "wandb"),
    )
    strategy: str = option(
        "auto",
        "train on all workers in TF_CONFIG (multi_worker), all GPUs of this "
        "machine (mirrored) or one device (default); auto: the first available",
        choices=STRATEGIES,
    )
    worker_timeout: float = option(
        600.0, "seconds to wait for all workers in TF_CONFIG", above=0.0
    )
    steps_per_execution: int | str = option(
        AUTO,
        "steps per call, on one device: faster if steps are short, but "
        "callbacks, checkpoints and signals must wait for the end of a call "
        "(auto: chosen by size when a run starts, as the next two)",
        minimum=1,
        may_be_auto=True,
    )
    num_microbatches: int | str = option(
        AUTO,
        "parts of a batch to compute in parallel, on one device; on a CPU, one "
        "per core is fastest, or several, of 128 to 512 examples each; "
        "affects only rounding and noise",
        minimum=1,
        may_be_auto=True,
    )
    jit_compile: bool | str = option(
        AUTO,
        "compile steps with XLA, on one device, with all inputs of an LSTM "
        "multiplied at once: faster on a CPU, after some seconds of "
        "compilation; on a GPU, cuDNN's LSTM is then not used",
        may_be_auto=True,
    )

    @property
    def execution(self) -> Execution:
        """How steps are computed; what is left to be chosen is plain."""
        return Execution.from_mapping(self.to_mapping())


@dataclasses.dataclass(frozen=True)
class Config(Options):
    """Configuration of a run.

    Args:
        preset: name of the preset that it is based on.
        task: the task to learn.
        model: the shape of the network and its initial values.
        training: the options of the training.
        seed: seed of all randomness.

    Raises:
        InputError: if a value, or a combination of values, is not allowed.
    """

    preset: str
    task: Task
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    seed: int = option(
        0, "seed of all randomness", minimum=0, maximum=2**31 - 1
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        # Rules across options, as far as they need no data.
        for is_kept, rule, received in self._rules():
            if not is_kept:
                raise InputError(f"{rule}. Received: {received}")

    def _rules(self) -> Iterator[Rule]:
        task, model, training = self.task, self.model, self.training
        options = model.to_mapping() | training.to_mapping()
        yield from rules_of_any(task, options)
        yield from rules_of_counterexamples(task, options)
        yield from rules_of_lengths(task, options)
        yield from rules_of_construction(task, options)
        if training.prove_from_epoch is not None:
            yield from rules_of_proof(task, options)
        yield from rules_of_labels(task, options)
        yield from rules_of_parts(options)
        yield from rules_of_best(task, options)

    def replace(self, task: type[Task] | None = None, /, **values: Any) -> Self:
        """Return a copy with options of any part changed.

        The copy keeps `prove_from_epoch` if its other options allow a proof;
        if they do not and it is not in `values`, it becomes None.

        Args:
            task: another class for the copy's task, which keeps the values of
                the options that both classes have; None for the same class.
            **values: new values by option name.

        Raises:
            InputError: if an option is unknown, or a value is not allowed.
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
        changed = make_task(task, parts["task"])
        model = ModelConfig(**parts["model"])
        training = TrainingConfig(**parts["training"])
        options = model.to_mapping() | training.to_mapping()
        if "prove_from_epoch" not in values and not may_prove(changed, options):
            training = dataclasses.replace(training, prove_from_epoch=None)
        return type(self)(
            preset=self.preset,
            task=changed,
            model=model,
            training=training,
            seed=seed,
        )

    @property
    def left_to_choose(self) -> frozenset[str]:
        """The options of `Execution` that are `AUTO`."""
        options = self.training.to_mapping()
        return frozenset(k for k in Execution._fields if options[k] == AUTO)

    def with_execution(self, execution: Execution) -> Self:
        """Return a copy that computes steps so, where it is left open.

        Args:
            execution: values for those of its options that are `AUTO`.

        Raises:
            InputError: if they do not go with the other options.
        """
        chosen = execution._asdict()
        values = {name: chosen[name] for name in self.left_to_choose}
        training = dataclasses.replace(self.training, **values)
        return dataclasses.replace(self, training=training)

    def to_yaml(self) -> str:
        """Return the configuration as YAML, with every option."""
        mapping = {
            "preset": self.preset,
            "seed": self.seed,
            "task": {"name": task_name(type(self.task))}
            | self.task.to_mapping(),
            "model": self.model.to_mapping(),
            "training": self.training.to_mapping(),
        }
        return write_yaml(mapping)

    def to_flat(self) -> dict[str, Any]:
        """Return all values by option name, with the preset and the task."""
        names = {"preset": self.preset, "seed": self.seed}
        names["task"] = task_name(type(self.task))
        for part in (self.task, self.model, self.training):
            names |= part.to_mapping()
        return names


def option_owners(task: type[Task]) -> dict[str, tuple[str, type[Options]]]:
    """Return the part of `Config` to which each option belongs.

    Args:
        task: a class of tasks.

    Returns:
        By option name: "task", "model" or "training", and the part's class.

    Raises:
        InputError: if an option of the task has the name of another flag.
    """
    taken = {
        field.name
        for cls in (ModelConfig, TrainingConfig)
        for field, _, _ in declared_options(cls)
    }
    for field, _, _ in declared_options(task):
        if field.name in taken or field.name in _RESERVED:
            raise InputError(
                f"`{field.name}` is taken: an option of a task must have an "
                f"unused name. Received: task={task.__qualname__}"
            )
    parts = {"task": task, "model": ModelConfig, "training": TrainingConfig}
    return {
        field.name: (part, cls)
        for part, cls in parts.items()
        for field, _, _ in declared_options(cls)
    }
