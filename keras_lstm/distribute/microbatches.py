"""Training steps that compute a batch as several microbatches in parallel.

An LSTM is a long chain of small operations. If the operations of a single chain
are spread over the cores of a CPU, each of them waits for the slowest core;
with one chain per core, the cores wait for one another once per step.
"""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_lstm.core.errors import InputError

# Difference between the seeds of successive microbatches. It is odd, so that no
# two of them get the same seed.
_SEED_STRIDE = 2654435761


def enable_microbatches(
    model: keras.Model, num_microbatches: int, *, jit_compile: bool = False
) -> keras.Model:
    """Make `fit` compute each batch as parallel microbatches, faster on a CPU.

    Gradients, loss and metrics are those of the whole batch up to rounding.
    Noise and dropout are drawn per microbatch. Gradients of an Embedding are
    summed per symbol; unless it clips gradients, Keras leaves that to the
    optimizer, and one that squares them, such as Adam, squares each summand.

    Args:
        model: a built and compiled model, with `jit_compile=False`, a loss that
            is a mean over examples, and no strategy; changed in place. Its
            forward pass may change only seeds (BatchNormalization changes
            its averages).
        num_microbatches: number of microbatches, of equal size. It must divide
            the size of every batch (use `drop_remainder`). One per core is
            fastest, or more with some 1,000 examples each.
        jit_compile: whether to compile microbatches, and the update, with XLA.
            (Keras's own makes one program, which runs them in sequence.)

    Returns:
        The same model.

    Raises:
        InputError: if `model` is unsuitable (its forward pass is checked in
            the first step), or `num_microbatches` is below 1.

    Example:

    ```python
    model.compile("adam", loss, jit_compile=False)
    enable_microbatches(model, 2, jit_compile=True).fit(dataset)
    ```
    """
    _check(model, num_microbatches, jit_compile)

    # Keras traces this again if what it calls has changed, as by `compile`; the
    # inner functions are made here so that they are traced again, too.
    def train_step(batch: Any) -> Any:
        seeds = _seed_states(model)

        def compiled(function: Any) -> Any:
            if model.run_eagerly:
                return function
            return tf.function(
                function, jit_compile=jit_compile or None, autograph=False
            )

        @compiled
        def gradients_of_microbatch(batch: Any, seed_values: Any) -> Any:
            return _gradients(model, batch, seeds, seed_values)

        @compiled
        def update_after_microbatches(
            batch: Any, gradients: Any, losses: Any, y_preds: Any
        ) -> Any:
            return _update(model, batch, gradients, losses, y_preds)

        leaves = [
            # `fit` passes None for sample weights that are not given.
            [x] * num_microbatches
            if x is None
            else tf.split(x, num_microbatches)
            for x in keras.tree.flatten(batch)
        ]
        found = []
        for index, tensors in enumerate(zip(*leaves, strict=True)):
            microbatch = keras.tree.pack_sequence_as(batch, tensors)
            change = np.array([index * _SEED_STRIDE, 0])
            found.append(
                gradients_of_microbatch(microbatch, [x + change for x in seeds])
            )
        gradients, losses, y_preds, drawn = zip(*found, strict=True)
        for seed, value in zip(seeds, drawn[0], strict=True):
            seed.assign(value)
        return update_after_microbatches(batch, gradients, losses, y_preds)

    model.train_step = train_step
    return model


def _seed_states(model: keras.Model) -> list[keras.Variable]:
    """Return the variables that are not weights: the states of the seeds."""
    weights = {id(weight) for weight in model.weights}
    return [x for x in model.non_trainable_variables if id(x) not in weights]


def _gradients(
    model: keras.Model, batch: Any, seeds: Any, seed_values: Any
) -> tuple[Any, Any, Any, Any]:
    """Return a microbatch's gradients, loss and outputs, and the next seeds."""
    # Nothing is assigned: microbatches that assign the same variables would
    # wait for one another.
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(batch)
    weights = model.trainable_weights
    with tf.GradientTape() as tape:
        # Keras also reads the weights from this scope to regularize them.
        known = [(weight, weight.value) for weight in weights]
        known += zip(seeds, seed_values, strict=True)
        with keras.StatelessScope(known, collect_losses=True) as scope:
            y_pred = model(x, training=True)
            loss = model.compute_loss(x, y, y_pred, sample_weight)
            scaled = model.optimizer.scale_loss(loss)
    if set(scope.state_mapping) != {id(variable) for variable, _ in known}:
        raise InputError(
            "`num_microbatches` must be 1 and `jit_compile` False for a model "
            f"whose forward pass changes variables. Received: {model.name}"
        )
    for output in keras.tree.flatten(y_pred):
        if getattr(output, "_keras_mask", None) is not None:
            raise InputError(
                "`num_microbatches` must be 1 and `jit_compile` False for a "
                f"model whose outputs have masks. Received: {model.name}"
            )
    gradients = tape.gradient(scaled, weights, unconnected_gradients="zero")
    drawn = [scope.get_current_value(seed) for seed in seeds]
    return [tf.convert_to_tensor(x) for x in gradients], loss, y_pred, drawn


def _update(
    model: keras.Model, batch: Any, gradients: Any, losses: Any, y_preds: Any
) -> Any:
    """Update the weights and metrics after all microbatches."""
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(batch)
    model._loss_tracker.update_state(
        tf.reduce_mean(losses),
        sample_weight=tf.shape(keras.tree.flatten(x)[0])[0],
    )
    means = [tf.reduce_mean(each, 0) for each in zip(*gradients, strict=True)]
    model.optimizer.apply_gradients(
        zip(means, model.trainable_weights, strict=True)
    )
    y_pred = keras.tree.map_structure(
        lambda *parts: tf.concat(parts, 0), *y_preds
    )
    return model.compute_metrics(x, y, y_pred, sample_weight)


def _check(
    model: keras.Model, num_microbatches: int, jit_compile: bool
) -> None:
    if num_microbatches < 1:
        raise InputError(
            "`num_microbatches` must be at least 1. Received: "
            f"num_microbatches={num_microbatches}"
        )
    if not (model.built and model.compiled):
        raise InputError(
            "`model` must be built and compiled. Received: "
            f"built={model.built}, compiled={model.compiled}"
        )
    if isinstance(
        model.distribute_strategy,
        tf.distribute.MirroredStrategy
        | tf.distribute.MultiWorkerMirroredStrategy,
    ):
        raise InputError(
            "`strategy` must be default for `num_microbatches` above 1 or "
            "`jit_compile`. Received: "
            f"{type(model.distribute_strategy).__name__} with "
            f"num_microbatches={num_microbatches}, jit_compile={jit_compile}"
        )
    if model.jit_compile:
        raise InputError(
            "`model` must be compiled with jit_compile=False. Received: "
            f"jit_compile={model.jit_compile}"
        )
    for loss in keras.tree.flatten(model.loss):
        reduction = getattr(loss, "reduction", "mean")
        if reduction not in ("mean", "sum_over_batch_size"):
            raise InputError(
                "`loss` must be a mean over examples. Received: "
                f"reduction={reduction}"
            )
