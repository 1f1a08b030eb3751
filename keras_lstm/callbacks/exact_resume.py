"""Exact continuation of a training that was stopped."""

import itertools
import math
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import keras
import numpy as np
import tensorflow as tf

from keras_lstm.callbacks.raise_on_non_finite import check_weights
from keras_lstm.checkpoint.callback_state import (
    get_callback_state,
    set_callback_state,
)
from keras_lstm.checkpoint.checkpoints import Checkpoint, CheckpointFolder
from keras_lstm.checkpoint.preemption import PreemptionHandler
from keras_lstm.checkpoint.state_check import check_training_state
from keras_lstm.checkpoint.step_skipping import SkippedSteps
from keras_lstm.core.console import print_status
from keras_lstm.core.errors import InputError
from keras_lstm.distribute.strategies import is_chief, is_multi_worker
from keras_lstm.tasks.datasets import check_endless


class ExactResume(keras.callbacks.Callback):
    """Write checkpoints during `fit`, and resume exactly from the newest.

    If training is stopped at any moment, even by `kill -9`, run the same script
    again to resume it. With the same machine, thread count and versions, the
    weights, metrics, callback states and random numbers are then, bit for bit,
    those of a training that was never stopped. Use one folder per training: if
    all its epochs are done, `fit` restores the weights and returns at once.

    Keras's `BackupAndRestore` resumes only at the start of an epoch, and does
    not restore the state of callbacks and random layers. This callback also
    resumes within an epoch: `fit` then skips the steps that are done. That
    requires a dataset made by `dataset`. Without it, and with more than one
    worker, checkpoints are written between epochs only.

    Build the model before `fit`, and place this callback before those in
    `callbacks`.

    Args:
        folder: path of the folder for the checkpoints. Use it for nothing else.
        callbacks: the callbacks passed to `fit` whose state to save. Supported
            are Keras's `EarlyStopping`, `ModelCheckpoint`, `ReduceLROnPlateau`
            and `SwapEMAWeights`, and all with `get_state()`, which returns a
            mapping of numbers, strings and NumPy arrays, and
            `set_state(state)`. They do not see skipped steps. Defaults to ().
        every_steps: number of optimizer steps between checkpoints. If None,
            only `every_seconds` applies. Defaults to None.
        every_seconds: time between checkpoints, in seconds. If None, only
            `every_steps` applies. Defaults to 30.0.
        monitor: entry of `logs` whose lowest value marks the best epoch, of
            which a checkpoint is kept as well; the loss if there is no such
            entry. Defaults to "val_loss".
        preemption: handler that is checked after each step. After a signal, a
            checkpoint is written, if that is possible at this step, and
            `TrainingInterrupted` is raised. Defaults to None.
        options: mapping of strings to values that JSON can hold, which each
            checkpoint states, see `newest_options`. Defaults to None.
        verbose: 0 or 1. With 1, print the checkpoint that `fit` resumes from to
            standard error. Defaults to 1.

    Attributes:
        step: number of optimizer steps done.
        resumed_step: step that `fit` resumed from; None if it did not resume.

    Raises:
        InputError: if `every_steps` or `every_seconds` is not above 0. During
            `fit`, if the model is not built, or the checkpoint does not match
            the model, the callbacks or the arguments of `fit`.

    Example:

    ```python
    resume = ExactResume("checkpoints", every_steps=100)
    dataset = resume.dataset(
        lambda step: make_dataset(split, 128, training=True, start_step=step)
    )
    model.fit(dataset, epochs=20, steps_per_epoch=50, callbacks=[resume])
    ```
    """

    def __init__(
        self,
        folder: str | pathlib.Path,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        every_steps: int | None = None,
        every_seconds: float | None = 30.0,
        monitor: str = "val_loss",
        preemption: PreemptionHandler | None = None,
        options: Mapping[str, Any] | None = None,
        verbose: int = 1,
    ) -> None:
        super().__init__()
        for name, value in (
            ("every_steps", every_steps),
            ("every_seconds", every_seconds),
        ):
            if value is not None and not value > 0:
                raise InputError(
                    f"`{name}` must be above 0, or None. Received: "
                    f"{name}={value}"
                )
        self.every_steps = every_steps
        self.every_seconds = every_seconds
        self.monitor = monitor
        self.verbose = verbose
        self.resumed_step: int | None = None
        self.step = 0
        self._checkpoints = CheckpointFolder(pathlib.Path(folder))
        self._callbacks = list(callbacks)
        self._preemption = preemption
        self._options = dict(options or {})
        # Set by `dataset`.
        self._within_epochs = False
        self._found: Checkpoint | None = None

    @property
    def last_checkpoint(self) -> pathlib.Path | None:
        """Path of the newest intact checkpoint; None if there is none yet."""
        return self._checkpoints.last

    def dataset(
        self, from_step: Callable[[int], tf.data.Dataset]
    ) -> tf.data.Dataset:
        """Make the dataset for `fit`, starting at the step to resume from.

        Args:
            from_step: function from a number of steps to an endless dataset
                without its first batches, one for each of these steps. For a
                dataset that always has the same order, pass `dataset.skip`.

        Returns:
            The dataset to pass to `fit`.

        Raises:
            InputError: if the dataset is not endless, or if `folder` has
                checkpoints but none of them is intact.
        """
        self._found = self._read_newest()
        self._within_epochs = True
        step = 0
        if self._found is not None:
            step, state = self._found.step, self._found.state
            if state["calls"]:
                # `SkippedSteps` trains on the last call again.
                step -= state["steps_per_execution"]
        return check_endless(from_step(step), "from_step")

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Read the newest checkpoint, and make `fit` start in its epoch."""
        model = self.model
        if not model.built:
            raise InputError(
                "`model` must be built before `fit`: give it an Input. "
                f"Received: model={model.name}, which is not built"
            )
        if not model.optimizer.built:
            with model.distribute_strategy.scope():
                model.optimizer.build(model.trainable_variables)
        if not self._within_epochs:
            self._found = self._read_newest()
        self._calls = self.step = 0
        self._epoch = -1
        # The epoch that the whole training starts with: `initial_epoch`.
        self._first_epoch: int | None = None
        self._skipped: SkippedSteps | None = None
        self._lowest = math.inf
        self._improved = False
        self._best: Checkpoint | None = None
        self._raw: list[list[np.ndarray]] | None = None
        self._seconds_before = 0.0
        self._began: float | None = time.monotonic()
        self._written = self._began
        self._written_step: int | None = None
        self.resumed_step = None
        if self._found is None:
            return
        state = self._found.state
        if state["calls"] and not self._within_epochs:
            raise InputError(
                "`fit` must get a dataset made by `ExactResume.dataset`, "
                "because the checkpoint was written within an epoch. "
                f"Received: {self.last_checkpoint}"
            )
        self._check_same_model(state)
        epochs = self.params["epochs"]
        if state["calls"] and state["epoch"] >= epochs:
            raise InputError(
                f"`epochs` must be at least {state['epoch'] + 1}, to finish "
                f"the epoch of {self.last_checkpoint}. Received: "
                f"epochs={epochs}"
            )
        if self.verbose:
            print_status(f"going on from {self.last_checkpoint}")
            if not self._within_epochs:
                print_status(
                    f"at the start of epoch {state['epoch'] + 1}: resuming "
                    "within an epoch needs `ExactResume.dataset`"
                )
        # As in Keras's BackupAndRestore.
        model._initial_epoch = epochs if state["stopped"] else state["epoch"]

    def on_epoch_begin(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Restore the checkpoint, or write one if it is due."""
        self._end_skipping()
        self._epoch = epoch
        if self._found is not None:
            self._resume()
            return
        if self._first_epoch is None:
            self._first_epoch = epoch
        self._calls = 0
        if self.params["steps"]:
            # Keras rounds the steps of an epoch up to whole executions.
            calls = -(-self.params["steps"] // self.model.steps_per_execution)
            calls *= epoch - self._first_epoch
            self.step = calls * self.model.steps_per_execution
        self._keep_best()
        self._write_or_stop(may_write=True)

    def on_train_batch_begin(
        self, batch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Write a checkpoint if one is due.

        At this point all callbacks have seen the previous step, and none has
        seen this one.
        """
        if self._skipped is not None:
            if not self._skipped.num_left:
                self._end_skipping()
        elif self._calls:
            # Each worker has its own metrics; a checkpoint holds only one's.
            several = is_multi_worker(self.model.distribute_strategy)
            self._write_or_stop(self._within_epochs and not several)

    def on_train_batch_end(
        self, batch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Count the step."""
        if self._skipped is None:
            self._calls += 1
            self.step += self.model.steps_per_execution

    def on_epoch_end(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Check whether this epoch is the best."""
        logs = logs or {}
        value = float(logs.get(self.monitor, logs.get("loss", math.inf)))
        if value < self._lowest:
            self._lowest, self._improved = value, True
        self._raw = None
        optimizer = self.model.optimizer
        if getattr(optimizer, "inner_optimizer", optimizer).use_ema:
            # At the end of `fit`, Keras replaces the weights by averages.
            self._raw = self._values(self.model.trainable_variables)

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Write the checkpoint of the finished training."""
        trainable = self.model.trainable_variables
        if self._found is not None:
            self._resume()
        elif self._epoch >= 0:
            if self._raw is not None:
                self._assign(trainable, self._raw)
            self._epoch += 1
            self._calls = 0
            self._keep_best()
            self._write(stopped=self.model.stop_training)
        self.model.optimizer.finalize_variable_values(trainable)
        self._seconds_before, self._began = self.seconds, None
        # A later `fit` of this model is another training.
        self.model._initial_epoch = None

    @property
    def seconds(self) -> float:
        """Time spent in `fit`, in seconds, before resuming included."""
        if self._began is None:
            return self._seconds_before
        return self._seconds_before + time.monotonic() - self._began

    def _read_newest(self) -> Checkpoint | None:
        found = self._checkpoints.newest()
        if found is not None:
            check_training_state(found, f"`folder` {self.last_checkpoint}")
        return found

    def _write_or_stop(self, may_write: bool) -> None:
        stop = self._preemption is not None and self._preemption.requested
        if may_write and (stop or self._is_due()):
            self._write()
        if self._preemption is not None:
            self._preemption.check()

    def _is_due(self) -> bool:
        if self._written_step is None:
            return True
        steps = self.step - self._written_step
        seconds = time.monotonic() - self._written
        return bool(
            (self.every_steps and steps >= self.every_steps)
            or (self.every_seconds and steps and seconds >= self.every_seconds)
        )

    def _keep_best(self) -> None:
        """Hold a checkpoint of the best epoch until the next write."""
        if self._improved:
            self._improved = False
            self._best = self._checkpoint(stopped=False)

    def _write(self, stopped: bool = False) -> None:
        if is_chief(self.model.distribute_strategy):
            self._checkpoints.write(self._checkpoint(stopped), self._best)
        self._best = None
        self._written_step, self._written = self.step, time.monotonic()

    def _checkpoint(self, stopped: bool) -> Checkpoint:
        variables = {
            part: self._values(each)
            for part, each in self._variables(self._calls > 0).items()
        }
        check_weights(self.model, itertools.chain(*variables["model"]))
        return Checkpoint(
            self.step,
            {
                "options": self._options,
                "epoch": self._epoch,
                "first_epoch": self._first_epoch,
                "calls": self._calls,
                "steps_per_execution": self.model.steps_per_execution,
                "stopped": stopped,
                "seconds": self.seconds,
                "lowest": self._lowest,
                "epochs_seen": self.model.history.epoch,
                "history": self.model.history.history,
                "callbacks": [
                    [type(callback).__name__, get_callback_state(callback)]
                    for callback in self._callbacks
                ],
                "variables": variables,
            },
        )

    def _variables(self, with_metrics: bool) -> dict[str, list[Any]]:
        """Return the variables to save; metrics only within an epoch."""
        parts = {
            "model": self.model.variables,
            "optimizer": self.model.optimizer.variables,
            # `model.variables` does not include them.
            "stateful layers": [
                state
                for layer in self.model._flatten_layers()
                if getattr(layer, "stateful", False)
                for state in keras.tree.flatten(layer.states)
            ],
        }
        if with_metrics:
            parts["metrics"] = self.model.metrics_variables
        return parts

    def _check_same_model(self, state: dict[str, Any]) -> None:
        for part, variables in self._variables(with_metrics=False).items():
            saved = [
                [(value.shape, value.dtype) for value in values]
                for values in state["variables"].get(part, [])
            ]
            current = [
                [(value.shape, value.dtype) for value in values]
                for values in self._values(variables)
            ]
            if saved != current:
                raise InputError(
                    f"`folder` must contain checkpoints of this training. "
                    f"Received: {self.last_checkpoint}, with different "
                    f"variables in its {part}"
                )
        expected = state["steps_per_execution"]
        steps = self.model.steps_per_execution
        if steps != expected:
            raise InputError(
                f"`steps_per_execution` must be {expected}, as in "
                f"{self.last_checkpoint}. Received: steps_per_execution={steps}"
            )
        callbacks = [type(callback).__name__ for callback in self._callbacks]
        saved_callbacks = [name for name, _ in state["callbacks"]]
        if saved_callbacks != callbacks:
            raise InputError(
                "`callbacks` must be of the types saved in the checkpoint: "
                f"{saved_callbacks}. Received: callbacks={callbacks}"
            )

    def _resume(self) -> None:
        """Restore the checkpoint; within an epoch, skip the steps done."""
        found, self._found = cast(Checkpoint, self._found), None
        state = found.state
        self.resumed_step = self.step = self._written_step = found.step
        self._epoch, self._calls = state["epoch"], state["calls"]
        self._first_epoch, self._lowest = state["first_epoch"], state["lowest"]
        self._seconds_before = state["seconds"]
        for callback, (_, callback_state) in zip(
            self._callbacks, state["callbacks"], strict=True
        ):
            set_callback_state(callback, callback_state)
        history = self.model.history
        history.epoch = state["epochs_seen"]
        history.history = state["history"]
        if self._calls:
            self._skipped = SkippedSteps(
                self.model,
                self._calls,
                self._callbacks,
                lambda: self._restore(state["variables"]),
            )
        else:
            self._restore(state["variables"])

    def _end_skipping(self) -> None:
        if self._skipped is not None:
            self._skipped.end()
            self._skipped = None

    def _restore(self, saved: dict[str, Any]) -> None:
        for part, variables in self._variables("metrics" in saved).items():
            self._assign(variables, saved[part])

    def _values(self, variables: Sequence[Any]) -> list[list[np.ndarray]]:
        """Return each variable's value on each replica of this process."""
        local = self.model.distribute_strategy.experimental_local_results
        return [
            [np.array(value) for value in local(variable.value)]
            for variable in variables
        ]

    def _assign(
        self, variables: Sequence[Any], saved: list[list[np.ndarray]]
    ) -> None:
        local = self.model.distribute_strategy.experimental_local_results
        for variable, values in zip(variables, saved, strict=True):
            for each, value in zip(local(variable.value), values, strict=True):
                each.assign(value)
