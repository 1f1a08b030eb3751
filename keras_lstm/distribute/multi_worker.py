"""Keras `fit` on several machines."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from keras_lstm.core.errors import InputError
from keras_lstm.distribute.strategies import (
    check_compiled,
    in_multi_worker_cluster,
    is_multi_worker,
)


def enable_multi_worker(model: keras.Model) -> keras.Model:
    """Make `fit`, `evaluate` and `predict` work with several workers.

    In Keras 3 they fail under `tf.distribute.MultiWorkerMirroredStrategy`
    (keras#20585): building averages a batch over the workers, and the metrics,
    which are scalars, are averaged over an axis that they do not have. This
    function changes how this model builds, and adds that axis.

    Every worker must pass the same datasets, of global batches. Datasets for
    training must be endless, with `steps_per_epoch`; those for `evaluate` and
    `predict` may end. Set `tf.data.experimental.AutoShardPolicy.DATA`, as
    `make_dataset` does, and compile with `jit_compile=False`. A loss must
    return one value per example, and `BatchNormalization` needs
    `synchronized=True`: Keras requires this with replicas of any kind.

    Args:
        model: any Keras model, made in the scope of the strategy. It is
            changed in place, unless the strategy is another one.

    Returns:
        The same model.

    Raises:
        InputError: if this process has a multi-worker strategy and `model` was
            not made in its scope. `fit` raises it if the model is compiled
            with an option that `check_compiled` refuses.

    Example:

    ```python
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    with strategy.scope():
        model = enable_multi_worker(keras.Sequential([...]))
        model.compile(..., jit_compile=False)
    model.fit(dataset, steps_per_epoch=100)
    ```
    """
    strategy = model.distribute_strategy
    if not is_multi_worker(strategy):
        if in_multi_worker_cluster():
            raise InputError(
                "`model` must be made in the scope of the strategy. Received: "
                f"{model.name}"
            )
        return model

    def build(iterator: Any = None, data_batch: Any = None) -> None:
        check_compiled(model)
        if iterator is not None:
            for _, _, batches in iterator:
                data_batch = keras.tree.map_structure(
                    lambda value: strategy.experimental_local_results(value)[0],
                    next(batches),
                )
                break
        with strategy.scope():
            model._symbolic_build(data_batch=data_batch)

    model._maybe_symbolic_build = build
    model.train_step = _add_axis(model.train_step)
    model.test_step = _add_axis(model.test_step)
    return model


def _add_axis(step: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def run(data: Any) -> Any:
        return keras.tree.map_structure(
            lambda value: tf.expand_dims(value, 0), step(data)
        )

    return run
