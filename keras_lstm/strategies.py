"""Where to train: one device, all of a machine's, or several machines."""

import gc
from typing import Any

import keras
import tensorflow as tf

from keras_lstm.cluster import read_cluster
from keras_lstm.config import STRATEGIES
from keras_lstm.options import InputError


def get_strategy(name: str = "auto") -> tf.distribute.Strategy:
    """Gets a distribution strategy by name.

    Build and compile the model in its `scope()`. A process can have one
    mirrored strategy: asked again, this returns the same.

    Args:
        name: "multi_worker" copies the model to all processes that TF_CONFIG
            names; ask for it before TensorFlow does anything else.
            "mirrored" copies it to all GPUs or, where there is none, to all
            logical CPU devices. "default" trains on one device. "auto" takes
            "multi_worker" where TF_CONFIG names more than one worker, else
            "mirrored" where there is a GPU, else "default".

    Raises:
        InputError: an unknown name, a malformed TF_CONFIG, or a process that
            has a mirrored strategy already.

    Example:

    >>> get_strategy("default").num_replicas_in_sync
    1
    """
    if name not in STRATEGIES:
        raise InputError(
            f"`strategy` must be one of {', '.join(STRATEGIES)}. "
            f"Received: strategy={name}"
        )
    if read_cluster(name) is not None:
        return _made_once(
            tf.distribute.MultiWorkerMirroredStrategy,
            tf.distribute.MultiWorkerMirroredStrategy,
        )
    gpus = tf.config.list_logical_devices("GPU")
    if name == "default" or (name == "auto" and not gpus):
        return tf.distribute.get_strategy()
    devices = gpus or tf.config.list_logical_devices("CPU")
    return _made_once(
        tf.distribute.MirroredStrategy,
        lambda: tf.distribute.MirroredStrategy(
            [device.name for device in devices]
        ),
    )


_made: dict[type, tf.distribute.Strategy] = {}


def _made_once(kind: type, make: Any) -> tf.distribute.Strategy:
    if kind not in _made:
        # A second one fails, or hangs, in the middle of training.
        if any(isinstance(each, kind) for each in gc.get_objects()):
            raise InputError(
                f"a process can have one {kind.__name__}: use the one that "
                "was made before, or strategy=default"
            )
        _made[kind] = make()
    return _made[kind]


def is_multi_worker(strategy: tf.distribute.Strategy) -> bool:
    """Whether other processes train along."""
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process is the one that writes files."""
    cluster = read_cluster("auto") if is_multi_worker(strategy) else None
    return cluster is None or cluster.is_chief


def check_batch_size(batch_size: int, strategy: tf.distribute.Strategy) -> None:
    """Refuses a batch size that the replicas do not divide.

    Raises:
        InputError: some replica would get fewer examples than the others.
    """
    replicas = strategy.num_replicas_in_sync
    if batch_size % replicas:
        raise InputError(
            f"`batch_size` must be a multiple of the {replicas} replicas. "
            f"Received: batch_size={batch_size}"
        )


def check_compiled(model: keras.Model) -> None:
    """Refuses what Keras cannot do with more than one replica.

    Without this it fails in the middle of `fit`, or trains something else
    (keras#19246, keras#20763, keras#20582).

    Args:
        model: compiled.

    Raises:
        InputError: so it is compiled.
    """
    replicas = model.distribute_strategy.num_replicas_in_sync
    if replicas == 1:
        return
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    for name, value, fine in (
        ("steps_per_execution", model.steps_per_execution, 1),
        ("jit_compile", model.jit_compile, False),
        (
            "gradient_accumulation_steps",
            optimizer.gradient_accumulation_steps,
            None,
        ),
    ):
        if value != fine:
            raise InputError(
                f"`{name}` must be {fine} with {replicas} replicas: use a "
                f"greater batch size instead. Received: {name}={value}"
                if name == "gradient_accumulation_steps"
                else f"`{name}` must be {fine} with {replicas} replicas: "
                f"compile with {name}={fine}. Received: {name}={value}"
            )
