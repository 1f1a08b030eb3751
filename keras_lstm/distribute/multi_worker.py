"""Keras `fit` on several machines."""

import functools
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from keras_lstm.core.errors import InputError
from keras_lstm.distribute.partial_losses import (
    Part,
    added_losses,
    check_own_methods,
    check_scalar_losses,
    count_mask,
    mark_total,
    masked_outputs,
    part_loss,
)
from keras_lstm.distribute.sparse_gradients import (
    is_shared,
    join_reads,
    split_reads,
    sum_over_replicas,
)
from keras_lstm.distribute.strategies import (
    check_compiled,
    in_multi_worker_cluster,
    is_multi_worker,
)


def enable_multi_worker(
    model: keras.Model,
    *,
    scalar_losses: str | None = None,
    trust_own_steps: bool = False,
) -> keras.Model:
    """Make `fit`, `evaluate` and `predict` work with several workers.

    In Keras 3 they fail under `tf.distribute.MultiWorkerMirroredStrategy`
    (keras#20585): building averages a batch over the workers, and the metrics,
    which are scalars, are averaged over an axis that they do not have. This
    function changes how this model builds and adds that axis. Gradients,
    losses and metrics are those of the whole batch on one device up to
    rounding, also with masks, sample weights, class weights, several outputs,
    `add_loss` and a smaller last batch. Noise and dropout are drawn per
    worker.

    Every worker must pass the same datasets, of global batches. Datasets for
    training must be endless, with `steps_per_epoch`; those for `evaluate` and
    `predict` may end. Set `tf.data.experimental.AutoShardPolicy.DATA`, as
    `make_dataset` does, and compile with `jit_compile=False`. A layer of your
    own that changes variables in its forward pass must change them alike on
    all workers.

    Args:
        model: any Keras model, made in the scope of the strategy. It is
            changed in place, unless the strategy is another one.
        scalar_losses: "mean" or "sum", what those losses are over the examples
            that a loss function of your own, or `add_loss`, returns as a
            scalar. Defaults to None, which refuses such losses.
        trust_own_steps: whether to keep a `train_step`, `test_step` or
            `compute_loss` of the model's class. It must divide its loss by the
            number of replicas. Defaults to False, which refuses such models.

    Returns:
        The same model.

    Raises:
        InputError: if this process has a multi-worker strategy and `model` was
            not made in its scope, or the model has steps of its own. `fit`
            raises it if the model is compiled with an option that
            `check_compiled` refuses, or has a layer or loss that would differ
            from one device.

    Example:

    ```python
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    with strategy.scope():
        model = enable_multi_worker(keras.Sequential([...]))
        model.compile(..., jit_compile=False)
    model.fit(dataset, steps_per_epoch=100)
    ```
    """
    check_scalar_losses(scalar_losses)
    strategy = model.distribute_strategy
    if not is_multi_worker(strategy):
        if in_multi_worker_cluster():
            raise InputError(
                "`model` must be made in the scope of the strategy. Received: "
                f"{model.name}"
            )
        return model

    if not trust_own_steps:
        sum_losses_over_replicas(model, scalar_losses)
    model._maybe_symbolic_build = functools.partial(_build, model)
    for name in ("train_step", "test_step"):
        setattr(model, name, _add_axis(getattr(model, name)))
    # An earlier `fit` may have traced the steps that are replaced.
    model.train_function = model.test_function = None
    return model


def _build(
    model: keras.Model, iterator: Any = None, data_batch: Any = None
) -> None:
    """Build the model for this worker's part of a batch."""
    check_compiled(model)
    strategy = model.distribute_strategy
    if iterator is not None:
        data_batch = _symbolic_batch(model, iterator)
        if data_batch is None:
            for _, _, batches in iterator:
                data_batch = keras.tree.map_structure(
                    lambda value: strategy.experimental_local_results(value)[0],
                    next(batches),
                )
                break
    with strategy.scope():
        model._symbolic_build(data_batch=data_batch)


def _symbolic_batch(model: keras.Model, iterator: Any) -> Any:
    """Return a batch without values; None if the model needs one to build.

    A batch that is read from the iterator would be missing: a dataset that is
    shuffled then has another order than on one device.
    """
    specs = iterator._distributed_dataset.element_spec
    leaves = tf.nest.flatten(specs)
    leaves = [getattr(x, "_value_specs", [x])[0] for x in leaves]
    if not all(isinstance(x, tf.TensorSpec) and x.shape.rank for x in leaves):
        return None
    if not all(layer.built for layer in model._flatten_layers()) and any(
        None in x.shape.as_list()[1:] for x in leaves
    ):
        return None
    return tf.nest.pack_sequence_as(
        specs, [keras.KerasTensor(x.shape, x.dtype.name) for x in leaves]
    )


def sum_losses_over_replicas(
    model: keras.Model, scalar_losses: str | None = None
) -> None:
    """Make the replicas' losses add up to that of the whole batch.

    Keras divides each replica's loss by the number of replicas, which is right
    for means over equally many examples or positions only.

    Args:
        model: a model made in the scope of a strategy; changed in place.
        scalar_losses: see `enable_multi_worker`.

    Raises:
        InputError: if the model has steps of its own.
    """
    check_own_methods(
        model,
        ("train_step", "test_step", "compute_loss"),
        "pass trust_own_steps=True if it divides its loss by the number of "
        "replicas",
    )

    def forward(data: Any, training: bool) -> tuple[Any, Any, Any]:
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        first = next(x for x in keras.tree.flatten(x) if x is not None)
        has_argument = model._call_has_training_arg
        y_pred = model(x, training=training) if has_argument else model(x)
        # Other replicas may run next, and replace the losses in the layers.
        added = added_losses(model)
        count, part = _share(model, first, y_pred, scalar_losses)
        loss, losses = part_loss(
            model,
            part,
            added,
            (x, y, sample_weight),
            y_pred,
            training=training,
        )
        replicas = part.num_parts
        model._loss_tracker.update_state(loss * replicas, sample_weight=count)
        if losses:
            size = keras.tree.flatten(y_pred)[0].shape[0]
            for metric, value in zip(
                model._compile_loss.metrics, losses, strict=True
            ):
                # Keras has multiplied it by the number of replicas.
                metric.update_state(value, sample_weight=size)
        return (x, y, sample_weight), y_pred, loss

    def train_step(data: Any) -> Any:
        _check_layers(model)
        with tf.GradientTape() as tape:
            (x, y, sample_weight), y_pred, loss = forward(data, training=True)
            loss = model.optimizer.scale_loss(loss)
        weights = model.trainable_weights
        gradients = [
            _share_rows(each, data) for each in tape.gradient(loss, weights)
        ]
        model.optimizer.apply_gradients(zip(gradients, weights, strict=True))
        return model.compute_metrics(x, y, y_pred, sample_weight)

    def test_step(data: Any) -> Any:
        (x, y, sample_weight), y_pred, _ = forward(data, training=False)
        return model.compute_metrics(x, y, y_pred, sample_weight)

    model.train_step = train_step
    model.test_step = test_step


def _share_rows(gradient: Any, batch: Any) -> Any:
    """Make a row that all examples read one summand for all replicas."""
    reads = split_reads(gradient)
    if not isinstance(reads, list):
        return gradient
    return join_reads(
        [
            sum_over_replicas(read) if is_shared(read, batch) else read
            for read in reads
        ]
    )


def _share(
    model: keras.Model, first: Any, y_pred: Any, scalar_losses: str | None
) -> tuple[Any, Part]:
    """Return what this replica's loss counts for, and its part of the batch.

    Masked predictions are marked with the whole batch's number of positions.
    """
    context = tf.distribute.get_replica_context()
    replicas = context.num_replicas_in_sync
    masked = masked_outputs(y_pred)
    count: Any = first.shape[0]
    share = None
    counts = [count_mask(output) for output in masked]
    if count is None:
        size = tf.cast(tf.shape(first)[0], "float32")
        counts.append(size)
    if counts:
        totals = context.all_reduce("SUM", tf.stack(counts))
        for index, output in enumerate(masked):
            mark_total(output, totals[index])
        if count is None:
            count = totals[-1] / replicas
            share = tf.math.divide_no_nan(size * replicas, totals[-1])
    return count, Part(replicas, scalar_losses, share, 1.0, 1.0 / replicas)


def _check_layers(model: keras.Model) -> None:
    """Check that no layer sees only its replica's part of the batch."""
    for layer in model._flatten_layers():
        if (
            isinstance(layer, keras.layers.BatchNormalization)
            and layer.trainable
            and not layer.synchronized
        ):
            raise InputError(
                "`BatchNormalization` must have synchronized=True with "
                "several replicas: otherwise each normalizes its own part of "
                f"the batch. Received: layer `{layer.name}`, "
                "synchronized=False"
            )
        if getattr(layer, "stateful", False):
            raise InputError(
                "`stateful` must be False with several replicas: each reads "
                f"other examples. Received: layer `{layer.name}`, stateful=True"
            )


def _add_axis(step: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def run(data: Any) -> Any:
        return keras.tree.map_structure(
            lambda value: tf.expand_dims(value, 0), step(data)
        )

    return run
