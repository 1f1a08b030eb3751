"""Rules between options, as far as they need no data."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Self

from keras_lstm.core.options import AUTO
from keras_lstm.tasks.task import Task
from keras_lstm.tasks.transducer import get_machine

# True if the rule is kept; the rule; the values received.
Rule = tuple[bool, str, str]

# Each box and symbol adds an LSTM step to a training step, as 20 do for each
# example.
_MAX_BOXED_STEPS = 2**12
# Checking this many inputs after each epoch takes a second or two.
MAX_FED_BACK_INPUTS = 2**24


class Execution(NamedTuple):
    """How training steps are computed; affects only rounding and noise.

    Args:
        num_microbatches: parts of a batch that are computed in parallel.
        jit_compile: whether steps are compiled with XLA.
        steps_per_execution: steps per call.
    """

    num_microbatches: int = 1
    jit_compile: bool = False
    steps_per_execution: int = 1

    @classmethod
    def from_mapping(cls, options: Mapping[str, Any]) -> Self:
        """Return the execution that options ask for, plain where `AUTO`.

        Args:
            options: options of the training, by name.
        """
        given = {name: options[name] for name in cls._fields}
        return cls(**{k: v for k, v in given.items() if v != AUTO})


def rules_of_any(task: Task, options: Mapping[str, Any]) -> Iterator[Rule]:
    """Yield the rules of all runs.

    Args:
        task: the task to learn.
        options: options of the model and the training, by name.

    Yields:
        Each rule: whether it is kept, its text, and the values received.
    """
    head, schedule = options["head"], options["schedule"]
    per_step = head == "per_step"
    num_examples = task.num_training_examples
    yield (
        not per_step or task.output_shape == task.input_shape[:1],
        "`head` must be last_state for a task without one target per time step",
        f"head={head}",
    )
    machine = get_machine(task)
    yield (
        machine is None or machine.num_classes > 1,
        "`task` must write at least two different symbols",
        f"task={task.name}, which writes 0 only",
    )
    yield (
        per_step or None not in task.output_shape,
        "`head` must be per_step for a task of targets of any length",
        f"head={head}",
    )
    yield (
        num_examples is None or options["batch_size"] <= num_examples,
        f"`batch_size` must be at most the {num_examples} training examples",
        f"batch_size={options['batch_size']}",
    )
    yield (
        options["steps_per_epoch"] is not None or not task.draws_without_end,
        "`steps_per_epoch` must be given if training inputs are drawn "
        "without end",
        "steps_per_epoch=None",
    )
    steps = options["steps_per_epoch"]
    together = Execution.from_mapping(options).steps_per_execution
    yield (
        steps is None or steps % together == 0,
        f"`steps_per_execution` must divide the {steps} steps of an epoch",
        f"steps_per_execution={together}",
    )
    yield (
        not options["warmup_fraction"] or schedule == "cosine",
        "`warmup_fraction` needs the schedule cosine",
        f"warmup_fraction={options['warmup_fraction']}, schedule={schedule}",
    )
    yield (
        options["monitor"] != "val_sequence_accuracy" or task.has_validation,
        "`monitor` needs a validation part, which this task lacks",
        f"monitor={options['monitor']}",
    )


def rules_of_counterexamples(
    task: Task, options: Mapping[str, Any]
) -> Iterator[Rule]:
    """Yield the rules of a run that trains on what it gets wrong.

    Args:
        task: the task to learn.
        options: options of the model and the training, by name.

    Yields:
        Each rule: whether it is kept, its text, and the values received.
    """
    if options["counterexamples_from_epoch"] is None:
        return
    machine = get_machine(task)
    yield (
        machine is not None
        or not (task.draws_without_end or options["early_prediction"]),
        "`counterexamples_from_epoch` needs a finite-state machine, or "
        "training examples that are stored and no `early_prediction`",
        f"task={task.name}, early_prediction={options['early_prediction']}",
    )
    yield (
        machine is None or machine.num_sequences <= MAX_FED_BACK_INPUTS,
        f"`num_bits` must leave at most {MAX_FED_BACK_INPUTS} inputs to check "
        "during training",
        f"num_bits={machine.num_bits if machine else None}",
    )


def rules_of_parts(options: Mapping[str, Any]) -> Iterator[Rule]:
    """Yield the rules of a run that computes a batch in parts, or by XLA.

    Args:
        options: options of the model and the training, by name.

    Yields:
        Each rule: whether it is kept, its text, and the values received.
    """
    count, jit_compile, _ = Execution.from_mapping(options)
    strategy = options["strategy"]
    yield (
        options["batch_size"] % count == 0,
        f"`num_microbatches` must divide `batch_size` {options['batch_size']}",
        f"num_microbatches={count}",
    )
    yield (
        not (count > 1 or jit_compile) or strategy in ("auto", "default"),
        "`strategy` must be default for `num_microbatches` above 1 or "
        "`jit_compile`",
        f"strategy={strategy}, num_microbatches={count}, "
        f"jit_compile={jit_compile}",
    )


def rules_of_labels(task: Task, options: Mapping[str, Any]) -> Iterator[Rule]:
    """Yield the rules of options for tasks with one label per example.

    Args:
        task: the task to learn.
        options: options of the model and the training, by name.

    Yields:
        Each rule: whether it is kept, its text, and the values received.
    """
    head, bidirectional = options["head"], options["bidirectional"]
    yield (
        options["early_prediction"] is None
        or not (
            head == "per_step"
            or task.output_shape
            or task.input_shape[0] is None
            or bidirectional
        ),
        "`early_prediction` needs one label per example, inputs of one length, "
        "and the last_state head, not bidirectional",
        f"task={task.name}, head={head}, bidirectional={bidirectional}",
    )
    yield (
        not options["suspicious"]
        or not (task.draws_without_end or options["early_prediction"]),
        "`suspicious` needs training examples that are stored, and no "
        "`early_prediction`",
        f"task={task.name}, early_prediction={options['early_prediction']}",
    )
    yield (
        not options["balance"] or not task.output_shape,
        "`balance` needs one label per example",
        f"balance=True, task={task.name}",
    )


def rules_of_best(task: Task, options: Mapping[str, Any]) -> Iterator[Rule]:
    """Yield the rules of a run that watches the validation accuracy.

    Args:
        task: the task to learn.
        options: options of the model and the training, by name.

    Yields:
        Each rule: whether it is kept, its text, and the values received.
    """
    keep_best, patience = options["keep_best"], options["patience"]
    yield (
        not (keep_best or patience is not None) or task.has_validation,
        "`keep_best` and `patience` need a validation part, which this task "
        "lacks",
        f"keep_best={keep_best}, patience={patience}",
    )
    yield (
        not keep_best or options["ema_fraction"] is None,
        "`keep_best` and `ema_fraction` keep different weights",
        "both",
    )


def rules_of_proof(task: Task, options: Mapping[str, Any]) -> Iterator[Rule]:
    """Yield the rules of a run that is to be proved.

    Args:
        task: the task to learn.
        options: options of the model and the training, by name.

    Yields:
        Each rule: whether it is kept, its text, and the values received.
    """
    named = f"task={task.name}"
    count, jit_compile, _ = Execution.from_mapping(options)
    yield (
        (count, jit_compile) == (1, False),
        "`prove_from_epoch` counts steps in the model, which needs "
        "`num_microbatches` 1 and `jit_compile` False",
        f"num_microbatches={count}, jit_compile={jit_compile}",
    )
    yield (
        options["early_prediction"] is None,
        "`prove_from_epoch` and `early_prediction` are for different tasks",
        f"both, for {named}",
    )
    yield (
        options["ema_fraction"] is None,
        "`prove_from_epoch` proves the last weights of an epoch, but "
        "`ema_fraction` keeps others",
        "both",
    )
    yield (
        get_machine(task) is not None,
        "`prove_from_epoch` needs a finite-state machine",
        named,
    )
    yield from _rules_of_network("prove_from_epoch", options)


def rules_of_lengths(task: Task, options: Mapping[str, Any]) -> Iterator[Rule]:
    """Yield the rules of a run on sequences of different lengths.

    Args:
        task: the task to learn.
        options: options of the model and the training, by name.

    Yields:
        Each rule: whether it is kept, its text, and the values received.
    """
    # Conv1D passes no mask on.
    yield (
        options["encoder_units"] is None
        or not (task.pads or task.mask_value is not None),
        "`encoder_units` needs sequences of one length, without padding",
        f"task={task.name}, encoder_units={options['encoder_units']}",
    )
    machine = get_machine(task)
    if machine is None or machine.sampling != "lengths":
        return
    yield (
        options["head"] == "per_step",
        "`sampling` lengths needs the per_step head",
        f"head={options['head']}",
    )
    yield (
        options["counterexamples_from_epoch"] is None,
        "`counterexamples_from_epoch` mixes inputs of one length, so "
        "`sampling` must not be lengths",
        "both",
    )


def rules_of_construction(
    task: Task, options: Mapping[str, Any]
) -> Iterator[Rule]:
    """Yield the rules of a run whose weights may be set from the machine.

    Args:
        task: the task to learn.
        options: options of the model and the training, by name.

    Yields:
        Each rule: whether it is kept, its text, and the values received.
    """
    if options["fallback"] is None:
        return
    machine = get_machine(task)
    yield (
        machine is not None,
        "`fallback` needs a finite-state machine",
        f"task={task.name}",
    )
    yield from _rules_of_network("fallback", options)
    if machine is None:
        return
    for name, needed in (
        ("units", len(machine.codes)),
        ("embedding_dim", machine.num_symbols),
    ):
        yield (
            options[name] >= needed,
            f"`fallback` needs `{name}` of at least {needed} for this machine",
            f"{name}={options[name]}",
        )


def _rules_of_network(name: str, options: Mapping[str, Any]) -> Iterator[Rule]:
    """Yield the rules of networks that can be proved."""
    for option, needed, text in (
        ("head", "per_step", "the per_step head"),
        ("encoder_units", None, "a model without `encoder_units`"),
        ("bidirectional", False, "a model that is not `bidirectional`"),
        ("precision", "float32", "the precision float32"),
    ):
        yield (
            options[option] == needed,
            f"`{name}` needs {text}",
            f"{option}={options[option]}",
        )


def may_prove(task: Task, options: Mapping[str, Any]) -> bool:
    """Return whether a run can be proved, at about the cost of training.

    Args:
        task: the task to learn.
        options: options of the model and the training, by name.
    """
    machine = get_machine(task)
    if machine is None:
        return False
    table = machine.next_state
    boxes = {place for row in table for place in enumerate(row)}
    return len(boxes) * len(table[0]) <= _MAX_BOXED_STEPS and all(
        is_kept for is_kept, *_ in rules_of_proof(task, options)
    )
