"""Program of each worker in tests/distribute/test_multi_worker.py.

`python tests/workers.py OUT [--all]` writes its results to OUT.<index>.npz;
with `--all`, those of a model of another make and of stock Keras as well.
"""

import json
import os
import sys

import keras
import numpy as np
import tensorflow as tf

from keras_lstm.config import ModelConfig
from keras_lstm.distribute.multi_worker import enable_multi_worker
from keras_lstm.distribute.strategies import get_strategy, is_chief
from keras_lstm.models.build import build_model
from keras_lstm.models.gradient_clipping import clip_aggregated_gradients
from keras_lstm.models.metrics import SequenceAccuracy
from keras_lstm.tasks.datasets import make_dataset
from keras_lstm.tasks.increment import Increment


def fit(strategy, enable=True):
    """Fit 50 steps of a model that learns the same under any strategy."""
    # 101 examples: the last batch of 32 has 5.
    task = Increment(num_bits=4, validation_examples=101)
    splits = task.splits(seed=0)
    with strategy.scope():
        model = build_model(task, ModelConfig(units=8), seed=0)
        if enable:
            enable_multi_worker(model)
        model.compile(
            clip_aggregated_gradients(
                # Low enough to clip at every step.
                keras.optimizers.Adam(0.003, global_clipnorm=0.1)
            ),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=[SequenceAccuracy(), "accuracy"],
            jit_compile=False,
        )
    validation = make_dataset(splits.validation, 32)
    history = model.fit(
        make_dataset(splits.train, 36, training=True),
        validation_data=validation,
        steps_per_epoch=10,
        epochs=5,
        shuffle=False,
        verbose=0,
    ).history
    return {
        "weights": model.get_weights(),
        "history": history,
        "evaluated": model.evaluate(validation, verbose=0, return_dict=True),
        "predicted": model.predict(validation, verbose=0),
    }


def fit_sequential(strategy):
    """Fit a model that this package did not build."""
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(96, 5, 3)).astype("float32")
    targets = inputs.sum(1)
    options = tf.data.Options()
    policy = tf.data.experimental.AutoShardPolicy.DATA
    options.experimental_distribute.auto_shard_policy = policy
    dataset = tf.data.Dataset.from_tensor_slices((inputs, targets))
    dataset = dataset.repeat().batch(24).with_options(options)
    with strategy.scope():
        keras.utils.set_random_seed(0)
        model = enable_multi_worker(
            keras.Sequential(
                [
                    keras.Input((5, 3)),
                    keras.layers.Bidirectional(keras.layers.GRU(4)),
                    keras.layers.Dense(3),
                ]
            )
        )
        model.compile(
            "sgd",
            "huber",
            metrics=["mae", "cosine_similarity"],
            jit_compile=False,
        )
    history = model.fit(
        dataset, steps_per_epoch=8, epochs=2, shuffle=False, verbose=0
    ).history
    return {"weights": model.get_weights(), "history": history}


def main(out, *options):
    strategy = get_strategy("multi_worker")
    found = fit(strategy)
    stock, other = "not tried", {"weights": [], "history": {}}
    if "--all" in options:
        other = fit_sequential(strategy)
        try:
            fit(strategy, enable=False)
            stock = "none"
        except Exception as error:
            stock = type(error).__name__
    index = json.loads(os.environ["TF_CONFIG"])["task"]["index"]
    np.savez(
        f"{out}.{index}.npz",
        stock=stock,
        chief=is_chief(strategy),
        predicted=found["predicted"],
        logs=json.dumps(
            {
                "history": found["history"],
                "evaluated": found["evaluated"],
                "other": other["history"],
            }
        ),
        **{f"weight_{i}": w for i, w in enumerate(found["weights"])},
        **{f"other_{i}": w for i, w in enumerate(other["weights"])},
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
