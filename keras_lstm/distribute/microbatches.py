"""Training steps that compute a batch as several microbatches in parallel.

An LSTM is a long chain of small operations. If the operations of a single chain
are spread over the cores of a CPU, each of them waits for the slowest core;
with one chain per core, the cores wait for one another once per step.
"""

# Long because a step, its losses and what it refuses belong together.

import functools
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework.config import is_op_determinism_enabled

from keras_lstm.core.errors import InputError, check_integer
from keras_lstm.distribute.early_compilation import (
    can_compile_early,
    compile_early,
)
from keras_lstm.distribute.partial_losses import (
    Part,
    added_losses,
    check_own_methods,
    check_scalar_losses,
    count_mask,
    mark_total,
    masked_outputs,
    may_mask,
    part_loss,
)
from keras_lstm.distribute.sparse_gradients import (
    is_shared,
    mean_of_parts,
    split_reads,
)
from keras_lstm.models.large_products import has_large_products

# Difference between the seeds of successive microbatches. It is odd, so that no
# two of them get the same seed.
_SEED_STRIDE = 2654435761


def enable_microbatches(
    model: keras.Model,
    num_microbatches: int,
    *,
    jit_compile: bool = False,
    scalar_losses: str | None = None,
) -> keras.Model:
    """Make `fit` compute each batch as parallel microbatches, faster on a CPU.

    Gradients, losses and metrics are those of the whole batch up to rounding,
    also with masks, sample weights, class weights, several outputs, `add_loss`
    and a smaller last batch. Noise and dropout are drawn per microbatch.

    It pays for LSTMs of a few hundred units at most, with some hundred examples
    per microbatch. It does not pay for small batches, nor for layers whose
    operations keep all cores busy, such as convolutions: measure it.

    Args:
        model: a compiled model, with `jit_compile=False`, Keras's own
            `train_step` and `compute_loss`, and no strategy; changed in place.
            Its forward pass may change only seeds (BatchNormalization changes
            its averages, a stateful layer its state).
        num_microbatches: number of microbatches, of equal size if it divides
            the batch. A batch must have as many examples. One per core is
            fastest, or several, with some hundred examples each.
        jit_compile: whether to compile microbatches with XLA. (Keras's own
            makes one program, which runs them in sequence.) If layers and
            losses are Keras's, a call with zeros starts it early.
        scalar_losses: "mean" or "sum", what those losses are over the examples
            that a loss function of your own, or `add_loss`, returns as a
            scalar. Defaults to None, which refuses such losses.

    Returns:
        The same model.

    Raises:
        InputError: if `model` is unsuitable (its forward pass and losses are
            checked in the first step), or another argument is out of range.

    Example:

    ```python
    model.compile("adam", loss, jit_compile=False)
    enable_microbatches(model, 2, jit_compile=True).fit(dataset)
    ```
    """
    _check(model, num_microbatches, jit_compile)
    check_scalar_losses(scalar_losses)

    model.train_step = functools.partial(
        _train_step, model, num_microbatches, jit_compile, scalar_losses
    )
    # An earlier `fit` may have traced the step that is replaced.
    model.train_function = None
    return model


def microbatches_of(model: keras.Model) -> tuple[int, bool]:
    """Return how a model's training step was changed, if it was.

    Args:
        model: a model.

    Returns:
        The number of microbatches, and whether they are compiled with XLA: 1
        and False without `enable_microbatches`.
    """
    step = vars(model).get("train_step")
    if not isinstance(step, functools.partial) or step.func is not _train_step:
        return 1, False
    _, num_microbatches, jit_compile, _ = step.args
    return num_microbatches, jit_compile


# Keras traces this again if what it calls has changed, as by `compile`; the
# inner functions are made here so that they are traced again, too.
def _train_step(
    model: keras.Model,
    num_microbatches: int,
    jit_compile: bool,
    scalar_losses: str | None,
    batch: Any,
) -> Any:
    """Train on a batch, and return the metrics."""
    # It may have been compiled again.
    _check_not_jit_compiled(model)
    is_early = jit_compile and can_compile_early(model)
    _build(model, batch)
    seeds = _seed_states(model)
    # For each read of an Embedding; known when microbatches are traced.
    shared: list[bool] = []

    def traced(function: Any, jit_compile: bool = False) -> Any:
        if model.run_eagerly:
            return function
        return tf.function(
            function, jit_compile=jit_compile or None, autograph=False
        )

    @functools.partial(traced, jit_compile=jit_compile)
    def gradients_of_microbatch(
        batch: Any, seed_values: Any, share: Any, totals: Any
    ) -> Any:
        part = Part(
            num_microbatches, scalar_losses, share, num_microbatches, 1.0
        )
        found = _gradients(model, part, batch, seeds, seed_values, totals)
        shared[:] = [
            is_shared(read, batch)
            for reads in found[0]
            if isinstance(reads, list)
            for read in reads
        ]
        return found

    # All but what the masks need is pruned from this function.
    def masks_of_batch(batch: Any) -> Any:
        with _scope(model, seeds, [seed.value for seed in seeds]):
            y_pred = _forward(model, batch)
        masked = masked_outputs(y_pred)
        outputs = keras.tree.flatten(y_pred)
        return (
            [getattr(output, "_keras_mask", None) for output in outputs],
            [count_mask(output) for output in masked],
        )

    masks, totals = (
        traced(masks_of_batch)(batch) if may_mask(model) else (None, [])
    )
    parts, shares = _split(batch, num_microbatches)
    moved = _moved(seeds, num_microbatches)
    calls = [(*each, totals) for each in zip(parts, moved, shares, strict=True)]
    if is_early:
        compile_early(gradients_of_microbatch, *calls[0])
    found = [gradients_of_microbatch(*args) for args in calls]
    for seed, value in zip(seeds, found[0][3], strict=True):
        seed.assign(value)
    return _update(model, batch, *_join(found, shared), masks)


def _build(model: keras.Model, batch: Any) -> None:
    """Build the model and its losses, which Keras does in its own step."""
    loss = model._compile_loss
    _, y, _ = keras.utils.unpack_x_y_sample_weight(batch)
    # `_gradients` builds the loss if there is a single one.
    is_single = _has_one_output(model) and not keras.tree.is_nested(y)
    if all(layer.built for layer in model._flatten_layers()) and (
        loss is None or loss.built or is_single
    ):
        return
    symbolic = keras.tree.map_structure(
        lambda x: x if x is None else keras.KerasTensor(x.shape, x.dtype.name),
        batch,
    )
    with tf.init_scope():
        model._symbolic_build(data_batch=symbolic)


def _has_one_output(model: keras.Model) -> bool:
    outputs = getattr(model, "outputs", None)
    return (
        outputs is not None
        and len(outputs) == 1
        and not keras.tree.is_nested(model.loss)
    )


def _split(batch: Any, num_microbatches: int) -> tuple[list[Any], list[Any]]:
    """Return the microbatches, and for each its share of the examples.

    Args:
        batch: the batch.
        num_microbatches: number of microbatches.

    Returns:
        The microbatches, and for each `num_microbatches` times its share of
        the examples; None if the shares are known to be equal.

    Raises:
        InputError: if there are fewer examples than microbatches.
    """
    leaves = keras.tree.flatten(batch)
    first = next(x for x in leaves if x is not None)
    size = first.shape[0]
    message = (
        "`num_microbatches` must be at most the number of examples in every "
        "batch"
    )
    if size is not None and size < num_microbatches:
        raise InputError(
            f"{message}. Received: num_microbatches={num_microbatches}, a "
            f"batch of {size}"
        )
    sizes: Any = num_microbatches
    shares: list[Any] = [None] * num_microbatches
    if size is None or size % num_microbatches:
        total = tf.shape(first)[0]
        check = tf.debugging.assert_greater_equal(
            total, num_microbatches, message
        )
        with tf.control_dependencies([] if check is None else [check]):
            smaller, larger = (
                total // num_microbatches,
                total % num_microbatches,
            )
        sizes = [
            smaller + tf.cast(index < larger, smaller.dtype)
            for index in range(num_microbatches)
        ]
        shares = [
            num_microbatches * tf.cast(x, "float32") / tf.cast(total, "float32")
            for x in sizes
        ]
    split = [
        # `fit` passes None for sample weights that are not given.
        [x] * num_microbatches
        if x is None
        else tf.split(x, sizes, num=num_microbatches)
        for x in leaves
    ]
    parts = [
        keras.tree.pack_sequence_as(batch, tensors)
        for tensors in zip(*split, strict=True)
    ]
    return parts, shares


def _seed_states(model: keras.Model) -> list[keras.Variable]:
    """Return the states of the seeds, which are no weights."""
    others = {id(each) for each in [*model.weights, *model.metrics_variables]}
    return [
        variable
        for variable in model.non_trainable_variables
        if id(variable) not in others
        and "int" in variable.dtype
        and tuple(variable.shape) == (2,)
    ]


def _moved(seeds: list[keras.Variable], num_microbatches: int) -> list[Any]:
    """Return the states of the seeds for each microbatch."""
    changes = np.zeros([num_microbatches, 2], np.int64)
    changes[:, 0] = _SEED_STRIDE * np.arange(num_microbatches)
    moved = [tf.unstack(seed + changes) for seed in seeds]
    return [[states[i] for states in moved] for i in range(num_microbatches)]


def _scope(
    model: keras.Model, seeds: Any, seed_values: Any
) -> keras.StatelessScope:
    """Return a scope in which microbatches read the same variables.

    Nothing is assigned: microbatches that assign the same variables would wait
    for one another. Keras also reads the weights from this scope to regularize
    them.
    """
    known = [(weight, weight.value) for weight in model.trainable_weights]
    known += zip(seeds, seed_values, strict=True)
    return keras.StatelessScope(known, collect_losses=True)


def _forward(model: keras.Model, batch: Any) -> Any:
    x, _, _ = keras.utils.unpack_x_y_sample_weight(batch)
    if model._call_has_training_arg:
        return model(x, training=True)
    return model(x)


def _gradients(
    model: keras.Model,
    part: Part,
    batch: Any,
    seeds: Any,
    seed_values: Any,
    totals: Any,
) -> tuple[Any, Any, Any, Any]:
    """Return a microbatch's gradients, losses and outputs, and the next seeds.

    The first of the losses is the sum, the others are those of several outputs.
    The gradient of an Embedding is a list, one for each read.

    Raises:
        InputError: if the model or its loss does not allow microbatches.
    """
    weights = model.trainable_weights
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(batch)
    with (
        tf.GradientTape() as tape,
        _scope(model, seeds, seed_values) as scope,
    ):
        y_pred = _forward(model, batch)
        masked = masked_outputs(y_pred)
        if len(masked) != len(totals):
            raise InputError(
                "`model` must make its masks in layers. Received: "
                f"{model.name}, whose outputs have masks"
            )
        for output, total in zip(masked, totals, strict=True):
            mark_total(output, total)
        if model._compile_loss is not None and not model._compile_loss.built:
            model._compile_loss.build(y, y_pred)
        loss, losses = part_loss(
            model,
            part,
            added_losses(model),
            (x, y, sample_weight),
            y_pred,
            training=True,
        )
        scaled = model.optimizer.scale_loss(loss)
    known = {id(variable) for variable in [*weights, *seeds]}
    _check_unchanged(model, set(scope.state_mapping) - known)
    gradients = [split_reads(x) for x in tape.gradient(scaled, weights)]
    drawn = [scope.get_current_value(seed) for seed in seeds]
    return gradients, [loss, *losses], y_pred, drawn


def _check_unchanged(model: keras.Model, changed: set[int]) -> None:
    """Check that the forward pass has changed no variables but seeds."""
    if not changed:
        return
    names = sorted(x.path for x in model.variables if id(x) in changed)
    raise InputError(
        "`model` must not change variables in its forward pass: each "
        "microbatch would see its own. Use LayerNormalization or "
        "GroupNormalization for BatchNormalization, no stateful layers, or "
        "train without microbatches. "
        f"Received: {model.name}, which changes {', '.join(names) or 'some'}"
    )


def _join(found: Any, shared: list[bool]) -> tuple[Any, Any, Any]:
    """Return the batch's gradients, losses and outputs."""
    gradients, losses, y_preds, _ = zip(*found, strict=True)
    are_shared = iter(shared)
    return (
        [mean_of_parts(x, are_shared) for x in zip(*gradients, strict=True)],
        [tf.reduce_mean(values) for values in zip(*losses, strict=True)],
        keras.tree.map_structure(lambda *x: tf.concat(x, 0), *y_preds),
    )


def _update(
    model: keras.Model,
    batch: Any,
    gradients: Any,
    losses: Any,
    y_pred: Any,
    masks: Any,
) -> Any:
    """Update the weights and metrics after all microbatches."""
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(batch)
    loss, *each_loss = losses
    first = next(x for x in keras.tree.flatten(x) if x is not None)
    model._loss_tracker.update_state(loss, sample_weight=tf.shape(first)[0])
    model.optimizer.apply_gradients(
        zip(gradients, model.trainable_weights, strict=True)
    )
    outputs = keras.tree.flatten(y_pred)
    for output, mask in zip(outputs, masks or (), strict=False):
        if mask is not None:
            output._keras_mask = mask
    if each_loss:
        for metric, value in zip(
            model._compile_loss.metrics, each_loss, strict=True
        ):
            # As Keras does, which reads the static size.
            metric.update_state(value, sample_weight=outputs[0].shape[0])
    return model.compute_metrics(x, y, y_pred, sample_weight)


def _check_not_jit_compiled(model: keras.Model) -> None:
    if model.jit_compile:
        raise InputError(
            "`model` must be compiled with jit_compile=False. Received: "
            f"jit_compile={model.jit_compile}"
        )


def _check(
    model: keras.Model, num_microbatches: int, jit_compile: bool
) -> None:
    check_integer("num_microbatches", num_microbatches, 1)
    if not model.compiled:
        raise InputError("`model` must be compiled. Received: compiled=False")
    check_own_methods(
        *(model, ("train_step", "compute_loss")), "train without microbatches"
    )
    if isinstance(
        model.distribute_strategy,
        tf.distribute.MirroredStrategy
        | tf.distribute.MultiWorkerMirroredStrategy,
    ):
        raise InputError(
            "`model` must be made outside the scope of a strategy: replicas "
            "and microbatches do not go together. Received: "
            f"{type(model.distribute_strategy).__name__}"
        )
    _check_not_jit_compiled(model)
    convolutions = [
        layer.name
        for layer in model._flatten_layers()
        if "Conv" in type(layer).__name__ and not has_large_products(layer)
    ]
    if jit_compile and convolutions and is_op_determinism_enabled():
        raise InputError(
            "`jit_compile` must be False for convolutions while TensorFlow's "
            "operations are deterministic: XLA has no deterministic ones. "
            f"Received: jit_compile=True, layer `{convolutions[0]}`"
        )
