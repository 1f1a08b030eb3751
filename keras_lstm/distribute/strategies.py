"""Where to train: one device, all of a machine's, or several machines."""

import gc
import signal
import threading
import zlib
from typing import Any

import keras
import tensorflow as tf

from keras_lstm.config import STRATEGIES
from keras_lstm.core.errors import InputError
from keras_lstm.distribute.cluster import read_cluster


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
            tf.distribute.MultiWorkerMirroredStrategy, _joined_cluster
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


def _joined_cluster() -> tf.distribute.Strategy:
    """The strategy of several workers, when all of them are there.

    TensorFlow waits for them without end, where Python hears no signal; it
    takes SIGTERM for itself, but Ctrl-C can end the process at once.
    """
    in_main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGINT)
    try:
        if in_main:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        return tf.distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as error:
        raise InputError(
            "`strategy` multi_worker must be asked for before TensorFlow does "
            f"anything else. Received: {error}"
        ) from None
    finally:
        if in_main:
            signal.signal(signal.SIGINT, before)


def assert_same_on_all_workers(
    strategy: tf.distribute.Strategy, text: str
) -> None:
    """Checks that all workers are about to do the same.

    Args:
        strategy: with other strategies there is nothing to check.
        text: what has to be the same on all of them.

    Raises:
        InputError: it is not, on all workers alike.
    """
    if not is_multi_worker(strategy):
        return
    own = zlib.crc32(text.encode()) >> 1
    value = strategy.run(lambda: tf.constant([own], tf.int32))
    if len(set(strategy.gather(value, axis=0).numpy().tolist())) > 1:
        raise InputError(
            "all workers must have the same options and see the same run "
            f"folder. Received: others than here, where it is {text}"
        )


_INSTEAD = {
    "gradient_accumulation_steps": ": use a greater batch size instead",
    "ema_overwrite_frequency": ": use SwapEMAWeights instead",
}
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


def in_multi_worker_cluster() -> bool:
    """Whether this process has been given a strategy of several workers."""
    return tf.distribute.MultiWorkerMirroredStrategy in _made


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
        ("ema_overwrite_frequency", optimizer.ema_overwrite_frequency, None),
        (
            "gradient_accumulation_steps",
            optimizer.gradient_accumulation_steps,
            None,
        ),
    ):
        if value != fine:
            raise InputError(
                f"`{name}` must be {fine} with {replicas} replicas"
                f"{_INSTEAD.get(name, '')}. Received: {name}={value}"
            )
