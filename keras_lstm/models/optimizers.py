"""Optimizer, loss and learning rate of a configuration."""

from typing import Any

import keras

from keras_lstm.config import Config, TrainingConfig
from keras_lstm.models.gradient_clipping import clip_aggregated_gradients
from keras_lstm.models.losses import SmoothedSparseCategoricalCrossentropy


def make_optimizer(config: Config, steps_per_epoch: int) -> Any:
    """Make the optimizer, with its learning rate schedule.

    Args:
        config: the run's configuration.
        steps_per_epoch: number of steps in an epoch.

    Returns:
        A Keras optimizer; a `LossScaleOptimizer` for mixed_float16.
    """
    training = config.training
    optimizer_config: dict[str, Any] = {
        "learning_rate": make_schedule(training, steps_per_epoch),
        "global_clipnorm": training.global_clipnorm,
        "weight_decay": training.weight_decay,
    }
    # Keras's AdamW refuses None.
    if training.optimizer == "adamw" and training.weight_decay is None:
        optimizer_config["weight_decay"] = 0.0
    if training.ema_fraction is not None:
        steps = round(training.ema_fraction * training.epochs * steps_per_epoch)
        optimizer_config["use_ema"] = True
        optimizer_config["ema_momentum"] = 1 - 1 / max(2, steps)
    optimizer = keras.optimizers.get(
        {"class_name": training.optimizer, "config": optimizer_config}
    )
    if training.global_clipnorm is not None:
        optimizer = clip_aggregated_gradients(optimizer)
    # Keras scales the loss by itself only if the global dtype policy is
    # mixed_float16.
    if config.model.precision == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer


def make_loss(training: TrainingConfig) -> keras.losses.Loss:
    """Make the loss of logits against class numbers."""
    if training.label_smoothing:
        return SmoothedSparseCategoricalCrossentropy(training.label_smoothing)
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def make_schedule(training: TrainingConfig, steps_per_epoch: int) -> Any:
    """Make the learning rate schedule.

    Args:
        training: the options of the training.
        steps_per_epoch: number of steps in an epoch.

    Returns:
        A number if the learning rate is constant, else a Keras schedule.
    """
    if training.schedule == "constant":
        return training.learning_rate
    steps = training.epochs * steps_per_epoch
    warmup = round(training.warmup_fraction * steps)
    if not warmup:
        return keras.optimizers.schedules.CosineDecay(
            training.learning_rate, steps
        )
    return keras.optimizers.schedules.CosineDecay(
        0.0,
        max(1, steps - warmup),
        warmup_target=training.learning_rate,
        warmup_steps=warmup,
    )
