"""Keras's `fit` on several machines."""

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
    """Lets `fit`, `evaluate` and `predict` run under several workers.

    With Keras 3 they fail under `tf.distribute.MultiWorkerMirroredStrategy`
    (keras#20585): building takes the mean over workers of a batch, and the
    metrics, which are scalars, are averaged over an axis that they have not
    got. This changes how this one model builds, and adds that axis.

    Datasets are to give global batches, each worker the same ones; all but
    those for `predict` and `evaluate` without end, with `steps_per_epoch`. Set
    `tf.data.experimental.AutoShardPolicy.DATA`, as `make_dataset` does, and
    compile with `jit_compile=False`. A loss has to return a value for each
    example, and `BatchNormalization` needs `synchronized=True`: Keras asks for
    that with replicas of any kind.

    Args:
        model: any Keras model, made in the scope of the strategy. Under
            another strategy nothing is changed.

    Returns:
        The same model.

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
    model.train_step = _with_an_axis(model.train_step)
    model.test_step = _with_an_axis(model.test_step)
    return model


def _with_an_axis(step: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def run(data: Any) -> Any:
        return keras.tree.map_structure(
            lambda value: tf.expand_dims(value, 0), step(data)
        )

    return run
