"""Training steps whose batch is computed in several parts at once."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_lstm.options import InputError

# From one part's seed to the next's: odd, so that no two meet.
_SEED_STRIDE = 2654435761


def train_in_shards(
    model: keras.Model, num_shards: int, *, jit_compile: bool = False
) -> keras.Model:
    """Has `fit` compute each batch in parts, side by side.

    An LSTM is a long chain of small operations. One chain whose operations
    are spread over the cores of a CPU waits for the slowest core at every
    link; a chain for each core waits once a step. Gradient, loss and metrics
    are those of the whole batch but for rounding; noise and dropout are drawn
    for each part. (An Embedding's gradient is summed up for each symbol.
    Keras leaves that to the optimizer, and those that square gradients, such
    as Adam, square each summand; only with clipping does it sum.)

    Args:
        model: built and compiled, with `jit_compile=False`, on one device,
            with a loss that is a mean over examples, and no variables that
            its steps change but weights and seeds (BatchNormalization has).
        num_shards: how many parts, of equal size: it divides the batch size.
            Fastest is one for each core, or more of some 1,000 examples.
        jit_compile: compile with XLA what a part does, and what follows.
            (Keras's own `jit_compile` makes one program of a step, in which
            parts would be computed one after another.)

    Returns:
        The same model.

    Raises:
        InputError: the model is not of this kind.

    Example:

    ```python
    model.compile("adam", loss, jit_compile=False)
    train_in_shards(model, 2, jit_compile=True).fit(dataset)
    ```
    """
    _check(model, num_shards, jit_compile)
    # What Keras counts as a variable and not as a weight.
    weights = {id(weight) for weight in model.weights}
    seeds = [x for x in model.non_trainable_variables if id(x) not in weights]

    def compiled(function: Any) -> Any:
        return tf.function(
            function, jit_compile=jit_compile or None, autograph=False
        )

    @compiled
    def gradients_of_shard(batch: Any, seed_values: Any) -> Any:
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(batch)
        # Parts that write the same variables would wait for one another.
        scope = keras.StatelessScope(zip(seeds, seed_values, strict=True))
        with tf.GradientTape() as tape, scope:
            y_pred = model(x, training=True)
            if getattr(y_pred, "_keras_mask", None) is not None:
                raise InputError(
                    "`shards` must be 1 for a model whose outputs have masks. "
                    f"Received: {model.name}"
                )
            loss = model.compute_loss(x, y, y_pred, sample_weight)
            scaled = model.optimizer.scale_loss(loss)
        gradients = tape.gradient(
            scaled, model.trainable_weights, unconnected_gradients="zero"
        )
        gradients = [tf.convert_to_tensor(gradient) for gradient in gradients]
        drawn = [scope.get_current_value(seed) for seed in seeds]
        return gradients, loss, y_pred, drawn

    @compiled
    def update_after_shards(
        batch: Any, gradients: Any, losses: Any, y_preds: Any
    ) -> Any:
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(batch)
        model._loss_tracker.update_state(
            tf.reduce_mean(losses),
            sample_weight=tf.shape(keras.tree.flatten(x)[0])[0],
        )
        means = [
            tf.reduce_mean(each, 0) for each in zip(*gradients, strict=True)
        ]
        model.optimizer.apply_gradients(
            zip(means, model.trainable_weights, strict=True)
        )
        y_pred = keras.tree.map_structure(
            lambda *parts: tf.concat(parts, 0), *y_preds
        )
        return model.compute_metrics(x, y, y_pred, sample_weight)

    def train_step(batch: Any) -> Any:
        leaves = [
            # Of three, `fit` gives None for the weights that are not there.
            [x] * num_shards if x is None else tf.split(x, num_shards)
            for x in keras.tree.flatten(batch)
        ]
        found = []
        for shard, tensors in enumerate(zip(*leaves, strict=True)):
            part = keras.tree.pack_sequence_as(batch, tensors)
            change = np.array([shard * _SEED_STRIDE, 0])
            found.append(gradients_of_shard(part, [x + change for x in seeds]))
        gradients, losses, y_preds, drawn = zip(*found, strict=True)
        for seed, value in zip(seeds, drawn[0], strict=True):
            seed.assign(value)
        return update_after_shards(batch, gradients, losses, y_preds)

    model.train_step = train_step
    return model


def _check(model: keras.Model, num_shards: int, jit_compile: bool) -> None:
    replicas = model.distribute_strategy.num_replicas_in_sync
    if replicas > 1:
        raise InputError(
            "`shards` must be 1 and `jit_compile` False with "
            f"{replicas} replicas. Received: shards={num_shards}, "
            f"jit_compile={jit_compile}"
        )
    if model.jit_compile:
        raise InputError(
            "`model` must be compiled with jit_compile=False. Received: "
            f"jit_compile={model.jit_compile}"
        )
    if model.non_trainable_weights:
        raise InputError(
            "`shards` must be 1 for a model whose steps change more than what "
            "is trained. Received: "
            f"{', '.join(x.path for x in model.non_trainable_weights)}"
        )
