"""Optimizer, loss and learning rate, from a configuration."""

from typing import Any

import keras

from keras_lstm.config import Config, TrainingConfig
from keras_lstm.models.gradient_clipping import clip_aggregated_gradients
from keras_lstm.models.losses import SmoothedSparseCategoricalCrossentropy


def make_optimizer(config: Config, steps_per_epoch: int) -> Any:
    """The optimizer, with its learning rate's schedule."""
    training = config.training
    optimizer_config: dict[str, Any] = {
        "learning_rate": make_schedule(training, steps_per_epoch),
        "global_clipnorm": training.global_clipnorm,
        "weight_decay": training.weight_decay,
    }
    if training.ema_fraction is not None:
        steps = round(training.ema_fraction * training.epochs * steps_per_epoch)
        optimizer_config["use_ema"] = True
        optimizer_config["ema_momentum"] = 1 - 1 / max(2, steps)
    optimizer = keras.optimizers.get(
        {"class_name": training.optimizer, "config": optimizer_config}
    )
    if training.global_clipnorm is not None:
        optimizer = clip_aggregated_gradients(optimizer)
    # Keras does this by itself only where the global policy asks for it.
    if config.model.precision == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer


def make_loss(training: TrainingConfig) -> keras.losses.Loss:
    """The loss of logits against class numbers."""
    if training.label_smoothing:
        return SmoothedSparseCategoricalCrossentropy(training.label_smoothing)
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def make_schedule(training: TrainingConfig, steps_per_epoch: int) -> Any:
    """Return the learning rate: a number, or a schedule of Keras's."""
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
