"""How to compute training steps fast: in parts, with XLA, several in a call.

The choice is made from sizes alone, so that a configuration gets the same on
machines with as many cores, whatever else they do. It affects only rounding:
models that draw noise are computed as they come, since in parts or with XLA
they would draw another.
"""

import dataclasses
import math
import os
from collections.abc import Iterator

import keras
import tensorflow as tf

from keras_lstm.config import Config
from keras_lstm.config_rules import Execution
from keras_lstm.core.cores import num_cores
from keras_lstm.distribute.cluster import read_cluster
from keras_lstm.distribute.microbatches import microbatches_of

# If sequences differ in length.
_TYPICAL_STEPS = 20
# Smaller parts take nearly as long as one of this size.
_SMALLEST_PART = 32
# Parts of this size take less time than larger ones if they fit a core's cache;
# if they do not, larger ones take as long, and fewer are sooner compiled.
_CACHED_PART = 128
_LARGEST_PART = 512
# Values of a part, one for each output of an LSTM's unit, that fit the cache.
_CACHED_VALUES = 2**18
# For each core: what more of them would save is less than what they cost at the
# start.
_MOST_PARTS = 16
# With more steps in a call, there is little left to save.
_MOST_STEPS = 16
# Callbacks, checkpoints and signals wait for the end of a call.
_LONGEST_CALL = 0.2
# Other ways of computing must save this fraction of the training, and as many
# seconds, as predicted.
_LEAST_SAVED = 0.1
_SECONDS_SAVED = 1.0


@dataclasses.dataclass(frozen=True)
class _Costs:
    """What a way of computing a training step costs, on a CPU.

    Args:
        start: seconds before the first step, most of them of compilation.
        part: seconds before the first step that each part adds.
        call: seconds of Python in each call.
        step: seconds of each time step of each LSTM.
        product: seconds of each multiplication of the forward pass.
        value: seconds of each output of an LSTM's unit.
    """

    start: float
    part: float
    call: float
    step: float
    product: float
    value: float


# Plainly, and in parts that XLA compiles, as fitted to what
# `scripts/benchmarks/execution.py` measured on 2 cores.
_PLAIN = _Costs(1.0, 0.0, 1e-3, 2.4e-4, 2.9e-11, 1.2e-8)
_COMPILED = _Costs(2.5, 0.04, 1e-3, 2.4e-5, 2.7e-11, 9e-9)


def choose_execution(
    config: Config,
    steps_per_epoch: int,
    cores: int | None = None,
    *,
    one_by_one: bool = False,
) -> Config:
    """Return a configuration that says how steps are computed.

    Args:
        config: the run's configuration.
        steps_per_epoch: the number of training steps in an epoch.
        cores: number of cores of the CPU; None for those of this process.
        one_by_one: whether something happens at certain steps, so that several
            in a call are out of question. Defaults to False.

    Returns:
        The configuration, with what is predicted to be fastest in place of
        each option that is `AUTO`; `config` itself if there is none.
    """
    if not config.left_to_choose:
        return config
    total = steps_per_epoch * config.training.epochs

    def seconds(execution: Execution) -> float:
        start, step = predict_seconds(config, execution)
        return start + total * step

    plain, *others = [
        config.with_execution(candidate).training.execution
        for candidate in _candidates(config, steps_per_epoch, cores)
        if not one_by_one or candidate.steps_per_execution == 1
    ]
    best = min((plain, *others), key=seconds)
    before = seconds(plain)
    if before - seconds(best) < max(_SECONDS_SAVED, _LEAST_SAVED * before):
        best = plain
    return config.with_execution(best)


def predict_seconds(
    config: Config, execution: Execution
) -> tuple[float, float]:
    """Predict how long training takes on a CPU of two cores or more.

    Args:
        config: the run's configuration.
        execution: how steps are computed.

    Returns:
        The seconds before the first step, and of a step.
    """
    count, jit_compile, together = execution
    costs = _COMPILED if jit_compile else _PLAIN
    model, task = config.model, config.task
    time_steps, values = _sizes(config)
    size = model.embedding_dim
    if task.num_symbols is None:
        size = math.prod(size or 1 for size in task.input_shape[1:])
    products = 0
    if model.encoder_units is not None:
        products = model.encoder_steps * size * model.encoder_units
        size = model.encoder_units
    directions = 2 if model.bidirectional else 1
    for _ in range(model.num_layers):
        products += 4 * model.units * (size + model.units) * directions
        size = model.units * directions
    examples = config.training.batch_size * time_steps
    seconds = (
        costs.call / together
        + costs.step * time_steps * model.num_layers * directions
        + costs.product * examples * products
        + costs.value * examples * values
    )
    return costs.start + costs.part * count, seconds


def _sizes(config: Config) -> tuple[int, int]:
    """Return the time steps of an example, and the outputs of units in each."""
    model = config.model
    directions = 2 if model.bidirectional else 1
    return (
        config.task.input_shape[0] or _TYPICAL_STEPS,
        model.units * model.num_layers * directions,
    )


def execution_of(model: keras.Model) -> Execution:
    """Return how a compiled model computes its training steps.

    Args:
        model: a compiled model.
    """
    count, parts_compiled = microbatches_of(model)
    compiled = parts_compiled or bool(model.jit_compile)
    return Execution(count, compiled, model.steps_per_execution)


def execution_text(execution: Execution) -> str:
    """Return a line that says how training steps are computed.

    Args:
        execution: how steps are computed.
    """
    count, jit_compile, together = execution
    parts = [
        f"in {count} parts" if count > 1 else "in one part",
        "compiled by XLA" if jit_compile else "without XLA",
        f"{together} in a call",
    ]
    return f"training steps: {', '.join(parts)}"


def _candidates(
    config: Config, steps_per_epoch: int, cores: int | None
) -> Iterator[Execution]:
    """Yield ways of computing that differ by rounding alone, plain first."""
    yield Execution()
    if not _on_cpu(config.training.strategy):
        return
    for execution in _same_but_for_rounding(config, cores or _num_threads()):
        yield execution
        together = _steps_together(config, steps_per_epoch, execution)
        yield execution._replace(steps_per_execution=together)


def _same_but_for_rounding(config: Config, cores: int) -> Iterator[Execution]:
    yield Execution()
    model, training, task = config.model, config.training, config.task
    if (
        training.prove_from_epoch is not None
        # Took longer when tried: `increment-last-state`.
        or training.counterexamples_from_epoch is not None
        or any((model.dropout, model.input_noise, model.layer_noise))
        or model.precision != "float32"
        # Keras's own LSTM by XLA is slower than without.
        or model.bidirectional
        or task.mask_value is not None
        # XLA compiles again for each length.
        or None in task.input_shape
    ):
        return
    batch = training.batch_size
    most = min(cores, batch // _SMALLEST_PART)
    equal = [n for n in range(2, most + 1) if batch % n == 0]
    if not equal:
        return
    # Some of them for each core, if they would be large.
    counts = [n * equal[-1] for n in range(1, _MOST_PARTS + 1)]
    counts = [count for count in counts if batch % count == 0]
    largest = _largest_part(config)
    small = [count for count in counts if batch // count <= largest]
    count = small[0] if small else counts[-1]
    if batch // count <= _LARGEST_PART:
        yield Execution(count, jit_compile=True)


def _largest_part(config: Config) -> int:
    """Return how many examples a part should have at most."""
    is_cached = _CACHED_PART * math.prod(_sizes(config)) <= _CACHED_VALUES
    return _CACHED_PART if is_cached else _LARGEST_PART


def _on_cpu(strategy: str) -> bool:
    """Return whether a strategy trains on this machine's CPU alone."""
    return (
        strategy in ("auto", "default")
        and read_cluster(strategy) is None
        and not tf.config.list_physical_devices("GPU")
    )


def _steps_together(
    config: Config, steps_per_epoch: int, execution: Execution
) -> int:
    """Return how many steps may be computed in a call."""
    if config.training.checkpoint_every_steps is not None:
        return 1
    _, seconds = predict_seconds(config, execution)
    most = int(min(_MOST_STEPS, steps_per_epoch, _LONGEST_CALL / seconds))
    return max(
        (n for n in range(1, most + 1) if steps_per_epoch % n == 0), default=1
    )


def _num_threads() -> int:
    """Return the number of cores that TensorFlow may use."""
    cores = num_cores()
    limit = tf.config.threading.get_intra_op_parallelism_threads()
    text = os.environ.get("TF_NUM_INTRAOP_THREADS", "")
    # As TensorFlow does, leave out what is no number.
    if not limit and text.isdecimal():
        limit = int(text)
    return min(limit or cores, cores)
