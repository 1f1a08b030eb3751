import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_lstm.config import ModelConfig
from keras_lstm.core.errors import InputError
from keras_lstm.models.build import build_model
from keras_lstm.models.gradient_clipping import clip_aggregated_gradients
from keras_lstm.models.gradient_norm import record_gradient_norm
from keras_lstm.tasks.datasets import make_dataset
from keras_lstm.tasks.increment import Increment

TASK = Increment(num_bits=6)
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def fit_two_steps(optimizer, precision="float32", strategy=None):
    """Return the recorded mean and maximum norm, and the expected ones."""
    dataset = make_dataset(TASK.splits(seed=0).train, 16, training=True)
    config = ModelConfig(units=4, num_layers=1, precision=precision)
    with (strategy or tf.distribute.get_strategy()).scope():
        model = build_model(TASK, config, seed=1)
        model.compile(optimizer(), LOSS, jit_compile=False)
        model.optimizer.build(model.trainable_variables)
    norms, first = record_gradient_norm(model.optimizer)
    assert first
    assert record_gradient_norm(model.optimizer) == (norms, False)
    alone = build_model(TASK, config, seed=1)
    expected = []
    # With a learning rate of 0, the weights do not change.
    for inputs, targets in dataset.take(2):
        with tf.GradientTape() as tape:
            loss = LOSS(targets, alone(inputs, training=True))
        gradients = tape.gradient(
            loss, [v.value for v in alone.trainable_variables]
        )
        dense = [tf.convert_to_tensor(gradient) for gradient in gradients]
        expected.append(float(tf.linalg.global_norm(dense)))
    model.fit(dataset, steps_per_epoch=2, shuffle=False, verbose=0)
    found = norms.take()
    # A second callback gets the same result.
    assert norms.take() == found
    norms.clear()
    assert norms.take() is None
    return found, (np.mean(expected), max(expected))


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda: keras.optimizers.SGD(0.0),
        lambda: keras.optimizers.SGD(0.0, global_clipnorm=1e-3),
        lambda: keras.optimizers.SGD(0.0, clipvalue=1e-3),
        lambda: clip_aggregated_gradients(
            keras.optimizers.SGD(0.0, global_clipnorm=1e-3)
        ),
    ],
    ids=["not clipped", "by norm", "by value", "after aggregation"],
)
def test_the_norm_is_that_of_the_gradient_before_it_is_clipped(optimizer):
    found, expected = fit_two_steps(optimizer)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize(
    "clipnorm", [pytest.param(None, marks=pytest.mark.slow), 1e-3]
)
def test_on_two_replicas_it_is_that_of_the_whole_batch(mirrored, clipnorm):
    def optimizer():
        made = keras.optimizers.SGD(0.0, global_clipnorm=clipnorm)
        return clip_aggregated_gradients(made) if clipnorm else made

    found, expected = fit_two_steps(optimizer, strategy=mirrored)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_scaled_loss_makes_no_difference():
    found, expected = fit_two_steps(
        lambda: keras.optimizers.LossScaleOptimizer(
            clip_aggregated_gradients(
                keras.optimizers.SGD(0.0, global_clipnorm=1e-3)
            )
        ),
        "mixed_float16",
    )
    np.testing.assert_allclose(found, expected, rtol=1e-2)


@pytest.mark.parametrize(
    ("accumulate", "per_call", "noted"), [(None, 1, 4), (2, 1, 2), (None, 2, 4)]
)
def test_the_mean_is_over_the_gradients_that_there_were(
    accumulate, per_call, noted
):
    model = build_model(TASK, ModelConfig(units=4, num_layers=1), seed=1)
    optimizer = keras.optimizers.SGD(
        0.0, gradient_accumulation_steps=accumulate
    )
    model.compile(optimizer, LOSS, steps_per_execution=per_call)
    norms, _ = record_gradient_norm(optimizer)
    dataset = make_dataset(TASK.splits(seed=0).train, 16, training=True)
    # With one batch and a learning rate of 0, all norms are equal.
    same = dataset.take(1).repeat()
    model.fit(same, steps_per_epoch=4, shuffle=False, verbose=0)
    mean, largest = norms.take()
    assert mean == pytest.approx(largest)
    assert norms.num_noted == noted


def test_clipping_twice_is_clipping_once():
    once = clip_aggregated_gradients(keras.optimizers.SGD(global_clipnorm=1.0))
    step = once._all_reduce_sum_gradients
    assert clip_aggregated_gradients(once)._all_reduce_sum_gradients is step


def test_only_an_optimizer_can_clip():
    with pytest.raises(InputError, match=r"object.* optimizer='adam'"):
        clip_aggregated_gradients("adam")
