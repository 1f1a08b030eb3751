"""Distribution strategies: one device, one machine, or several machines."""

import gc
import os
import signal
import threading
import zlib
from typing import Any

import keras
import tensorflow as tf

from keras_lstm.config import STRATEGIES
from keras_lstm.core.errors import InputError
from keras_lstm.distribute.cluster import (
    Cluster,
    read_cluster,
    wait_for_workers,
)
from keras_lstm.distribute.slurm import tf_config_from_slurm
from keras_lstm.models.gradient_clipping import clips_aggregated_gradients


def get_strategy(
    name: str = "auto", worker_timeout: float = 600.0
) -> tf.distribute.Strategy:
    """Return a distribution strategy by name.

    Build and compile the model in its `scope()`. A process can have only one
    strategy of each mirrored kind, so later calls return the same object.

    Args:
        name: "multi_worker" copies the model to all processes that TF_CONFIG
            names or, without TF_CONFIG, to all tasks of a Slurm step; request
            it before TensorFlow does anything else. "mirrored"
            copies it to all GPUs or, without a GPU, to all logical CPU
            devices. "default" trains on one device. "auto" selects
            "multi_worker" if TF_CONFIG names more than one worker, else
            "mirrored" if there is a GPU, else "default". Defaults to "auto".
        worker_timeout: the longest time to wait for the other workers, in
            seconds. Defaults to 600.0.

    Returns:
        The strategy.

    Raises:
        InputError: if `name` is unknown, TF_CONFIG is malformed or missing,
            multi_worker is requested too late, or the process has a strategy
            of this kind that was made without this function; or if the port
            of this worker is in use.
        RunError: if workers are missing after `worker_timeout`.

    Example:

    >>> get_strategy("default").num_replicas_in_sync
    1
    """
    if name not in STRATEGIES:
        raise InputError(
            f"`strategy` must be one of {', '.join(STRATEGIES)}. "
            f"Received: strategy={name}"
        )
    cluster = read_cluster(name)
    if cluster is not None and not os.environ.get("TF_CONFIG"):
        # From here on, the process is as if someone had set it.
        os.environ["TF_CONFIG"] = tf_config_from_slurm()
        cluster = read_cluster(name)
    if cluster is not None:
        return _make_once(
            tf.distribute.MultiWorkerMirroredStrategy,
            lambda: _join_cluster(cluster, worker_timeout),
        )
    gpus = tf.config.list_logical_devices("GPU")
    if name == "default" or (name == "auto" and not gpus):
        return tf.distribute.get_strategy()
    devices = gpus or tf.config.list_logical_devices("CPU")
    return _make_once(
        tf.distribute.MirroredStrategy,
        lambda: tf.distribute.MirroredStrategy(
            [device.name for device in devices]
        ),
    )


def _join_cluster(cluster: Cluster, timeout: float) -> tf.distribute.Strategy:
    """Wait for all workers and return their strategy."""
    wait_for_workers(cluster, timeout)
    # TensorFlow waits for them again; should one die now, without a time
    # limit. Python handles no signals meanwhile. TensorFlow itself handles
    # SIGTERM, but the default handler of SIGINT lets Ctrl-C end the process.
    in_main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGINT)
    try:
        if in_main:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        return tf.distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as error:
        raise InputError(
            "`strategy` multi_worker must be requested before TensorFlow does "
            f"anything else. Received: {error}"
        ) from None
    finally:
        if in_main:
            signal.signal(signal.SIGINT, before)


def assert_same_on_all_workers(
    strategy: tf.distribute.Strategy, text: str
) -> None:
    """Check that all workers pass the same text.

    Args:
        strategy: any strategy; without several workers, nothing is checked.
        text: the values that must be the same on all workers.

    Raises:
        InputError: if the texts differ; raised on every worker.
    """
    if not is_multi_worker(strategy):
        return
    checksum = zlib.crc32(text.encode()) >> 1
    value = strategy.run(lambda: tf.constant([checksum], tf.int32))
    if len(set(strategy.gather(value, axis=0).numpy().tolist())) > 1:
        raise InputError(
            "all workers must have the same options and see the same run "
            f"folder. Received: different values; this worker has {text}"
        )


_INSTEAD = {
    "gradient_accumulation_steps": ": use a larger batch size instead",
    "ema_overwrite_frequency": ": use SwapEMAWeights instead",
} | dict.fromkeys(
    ("clipnorm", "clipvalue", "global_clipnorm"),
    ", unless clip_aggregated_gradients(optimizer) is used",
)
_made: dict[type, tf.distribute.Strategy] = {}


def _make_once(kind: type, make: Any) -> tf.distribute.Strategy:
    if kind not in _made:
        # With a second strategy, training fails or hangs midway.
        if any(isinstance(each, kind) for each in gc.get_objects()):
            raise InputError(
                f"a process can have one {kind.__name__}. Received: a second; "
                "use the existing one, or strategy=default"
            )
        _made[kind] = make()
    return _made[kind]


def is_multi_worker(strategy: tf.distribute.Strategy) -> bool:
    """Return whether a strategy spans several workers."""
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def in_multi_worker_cluster() -> bool:
    """Return whether this process has made a multi-worker strategy."""
    return tf.distribute.MultiWorkerMirroredStrategy in _made


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Return whether this process is the one that writes files."""
    cluster = read_cluster("auto") if is_multi_worker(strategy) else None
    return cluster is None or cluster.is_chief


def check_batch_size(batch_size: int, strategy: tf.distribute.Strategy) -> None:
    """Check that all replicas get the same number of examples.

    Args:
        batch_size: number of examples in a batch, over all replicas.
        strategy: the strategy to train under.

    Raises:
        InputError: if `batch_size` is not a multiple of the number of replicas.
    """
    replicas = strategy.num_replicas_in_sync
    if batch_size % replicas:
        raise InputError(
            f"`batch_size` must be a multiple of the {replicas} replicas. "
            f"Received: batch_size={batch_size}"
        )


def check_compiled(model: keras.Model) -> None:
    """Check that Keras supports a model's options with several replicas.

    Without this check, `fit` fails midway, or trains differently than on one
    device (keras#19246, keras#20763, keras#20582).

    Args:
        model: a compiled model.

    Raises:
        InputError: if there are several replicas and the model is compiled
            with `steps_per_execution` above 1, `jit_compile`,
            `ema_overwrite_frequency`, `gradient_accumulation_steps`, or
            clipping without `clip_aggregated_gradients`.
    """
    replicas = model.distribute_strategy.num_replicas_in_sync
    if replicas == 1:
        return
    settings: list[tuple[str, Any, Any]] = [
        ("steps_per_execution", model.steps_per_execution, 1),
        ("jit_compile", model.jit_compile, False),
    ]
    # A MultiOptimizer has several.
    for outer in getattr(model.optimizer, "optimizers", [model.optimizer]):
        optimizer = getattr(outer, "inner_optimizer", outer)
        settings += [
            (name, getattr(optimizer, name, None), None)
            for name in _INSTEAD
            if "clip" not in name or not clips_aggregated_gradients(optimizer)
        ]
    for name, value, supported in settings:
        if value != supported:
            raise InputError(
                f"`{name}` must be {supported} with {replicas} replicas"
                f"{_INSTEAD.get(name, '')}. Received: {name}={value}"
            )
