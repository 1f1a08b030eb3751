"""Where to train: one device, or all of a machine's."""

import tensorflow as tf

from keras_lstm.config import STRATEGIES
from keras_lstm.options import InputError


def get_strategy(name: str = "auto") -> tf.distribute.Strategy:
    """Gets a distribution strategy by name.

    Build and compile the model in its `scope()`. A process should make no
    more than one mirrored strategy.

    Args:
        name: "mirrored" copies the model to all GPUs or, where there is none,
            to all logical CPU devices; "default" trains on one device; "auto"
            takes "mirrored" where there is a GPU, "default" elsewhere.

    Raises:
        InputError: an unknown name.

    Example:

    >>> get_strategy("default").num_replicas_in_sync
    1
    """
    if name not in STRATEGIES:
        raise InputError(
            f"`strategy` must be one of {', '.join(STRATEGIES)}. "
            f"Received: strategy={name}"
        )
    gpus = tf.config.list_logical_devices("GPU")
    if name == "default" or (name == "auto" and not gpus):
        return tf.distribute.get_strategy()
    devices = gpus or tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy([device.name for device in devices])


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
