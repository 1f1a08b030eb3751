"""Time 60 steps of `fit`, in batches of 512, of the tutorial's increment.

Command: python scripts/benchmarks/measure_strategy.py
    default|mirrored|multi_worker

`mirrored` is two replicas, on two logical devices of one CPU; `multi_worker`
must be started by scripts/local_cluster.py. Used by
scripts/benchmarks/benchmark.py.
"""

import sys
import time

import keras
import tensorflow as tf

from keras_lstm.distribute.multi_worker import enable_multi_worker
from keras_lstm.distribute.strategies import get_strategy, is_chief
from keras_lstm.models.build import build_model
from keras_lstm.models.gradient_clipping import clip_aggregated_gradients
from keras_lstm.models.metrics import SequenceAccuracy
from keras_lstm.presets import get_preset
from keras_lstm.tasks.datasets import make_dataset


def main() -> None:
    """Train, and print the seconds."""
    name = sys.argv[1]
    if name == "mirrored":
        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0],
            [tf.config.LogicalDeviceConfiguration()] * 2,
        )
    strategy = get_strategy(name)
    config = get_preset("increment-tutorial")
    with strategy.scope():
        model = enable_multi_worker(build_model(config.task, config.model))
        model.compile(
            clip_aggregated_gradients(
                keras.optimizers.Adam(0.01, global_clipnorm=1.0)
            ),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=[SequenceAccuracy()],
            jit_compile=False,
        )
    dataset = make_dataset(config.task.splits(seed=0).train, 512, training=True)
    for steps in (5, 60):
        start = time.perf_counter()
        model.fit(dataset, steps_per_epoch=steps, shuffle=False, verbose=0)
    if is_chief(strategy):
        print("seconds", time.perf_counter() - start)


if __name__ == "__main__":
    main()
