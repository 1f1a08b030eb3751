"""The model to fit, built and compiled from a configuration."""

import keras

from keras_lstm.config import Config, TrainingConfig
from keras_lstm.config_rules import Execution
from keras_lstm.core.console import print_status
from keras_lstm.core.errors import InputError
from keras_lstm.core.options import MAX_INT
from keras_lstm.distribute.microbatches import enable_microbatches
from keras_lstm.distribute.multi_worker import enable_multi_worker
from keras_lstm.distribute.strategies import get_strategy
from keras_lstm.models.build import build_model
from keras_lstm.models.early_prediction import (
    EarlyPrediction,
    build_stepwise_model,
)
from keras_lstm.models.large_products import enable_large_products
from keras_lstm.models.metrics import SequenceAccuracy, TokenAccuracy
from keras_lstm.models.optimizers import make_loss, make_optimizer
from keras_lstm.proof.regularization import ProofRegularization
from keras_lstm.runs.folder import RunFolder
from keras_lstm.tasks.make import make_splits
from keras_lstm.tasks.task import Splits
from keras_lstm.tasks.transducer import get_machine
from keras_lstm.training.execution import (
    choose_execution,
    execution_of,
    execution_text,
)
from keras_lstm.training.run_callbacks import ProgressOptions


def compiled_model(config: Config, splits: Splits | None = None) -> keras.Model:
    """Build and compile the model to fit.

    Args:
        config: the run's configuration.
        splits: the task's examples; None to make them here.

    Returns:
        The model: the layers of `build_model`, followed by layers that only
        add to the loss.

    Raises:
        InputError: if parts of the configuration do not fit together.
    """
    splits = splits or make_splits(config.task, config.seed)
    steps_per_epoch = count_steps_per_epoch(config.training, splits)
    config = choose_execution(config, steps_per_epoch)
    training = config.training
    execution = training.execution
    with get_strategy(training.strategy).scope():
        built = build_model(config.task, config.model, config.seed)
        model = _with_additions(built, config, steps_per_epoch)
        model.compile(
            optimizer=make_optimizer(config, steps_per_epoch),
            loss=make_loss(training),
            metrics=[SequenceAccuracy(), TokenAccuracy()],
            steps_per_execution=execution.steps_per_execution,
            jit_compile=False,
        )
        # Variables that are made by the first step have it traced twice.
        model.optimizer.build(model.trainable_variables)
    count, jit_compile, _ = execution
    if jit_compile:
        enable_large_products(model)
    if count > 1 or jit_compile:
        enable_microbatches(model, count, jit_compile=jit_compile)
    return enable_multi_worker(model)


def settle_execution(
    config: Config,
    splits: Splits,
    model: keras.Model | None,
    folder: RunFolder,
    progress: ProgressOptions,
) -> Config:
    """Choose how steps are computed, where the options leave it open.

    Args:
        config: the run's configuration.
        splits: the task's examples.
        model: a model that is compiled already, which settles it; or None.
        folder: the run folder: a run that it holds settles it.
        progress: the progress to show; a line every so many steps, and a
            profile of some, need steps one by one.

    Returns:
        The configuration, without `AUTO`.

    Raises:
        InputError: as for `RunFolder.read_config` and `count_steps_per_epoch`.
    """
    if model is not None:
        return config.with_execution(execution_of(model))
    config = folder.settle(config)
    if not config.left_to_choose:
        return config
    steps_per_epoch = count_steps_per_epoch(config.training, splits)
    one_by_one = bool(progress.log_every_steps or progress.profile_steps)
    chosen = choose_execution(config, steps_per_epoch, one_by_one=one_by_one)
    execution = chosen.training.execution
    if execution != Execution() and not progress.quiet:
        print_status(execution_text(execution))
    return chosen


def count_steps_per_epoch(training: TrainingConfig, splits: Splits) -> int:
    """Return the number of steps in an epoch.

    Args:
        training: the options of the training.
        splits: the task's examples.

    Returns:
        `steps_per_epoch`; if that is None, one pass over the training split.

    Raises:
        InputError: if `steps_per_epoch` is None and the training split has no
            end, if all epochs have 2^63 steps or more, or if
            `steps_per_execution` does not divide the number.
    """
    steps = training.steps_per_epoch
    if steps is None:
        if splits.train.num_examples is None:
            raise InputError(
                "`steps_per_epoch` must be given if training inputs are drawn "
                "without end. Received: steps_per_epoch=None"
            )
        steps = -(-splits.train.num_examples // training.batch_size)
    if training.epochs * steps > MAX_INT:
        raise InputError(
            "`epochs` must leave fewer than 2^63 steps. Received: "
            f"epochs={training.epochs}, of {steps} steps each"
        )
    together = training.execution.steps_per_execution
    if steps % together:
        raise InputError(
            f"`steps_per_execution` must divide the {steps} steps of an epoch. "
            f"Received: steps_per_execution={together}"
        )
    return steps


def _with_additions(
    model: keras.Model, config: Config, steps_per_epoch: int
) -> keras.Model:
    """Return the model with the layers that only add to the loss."""
    training = config.training
    machine = get_machine(config.task)
    added: keras.layers.Layer
    if training.prove_from_epoch is not None and machine is not None:
        added = ProofRegularization(
            model,
            machine,
            warmup_steps=training.prove_from_epoch * steps_per_epoch,
            wait_steps=training.prove_wait_steps,
            ramp_steps=training.prove_ramp_steps,
            radius=training.prove_radius,
            containment_weight=training.prove_containment_weight,
            forget_weight=training.prove_forget_weight,
        )
    elif training.early_prediction is not None:
        model = build_stepwise_model(model)
        added = EarlyPrediction(training.early_prediction)
    else:
        return model
    return keras.Model(model.input, added(model.output), name=model.name)
