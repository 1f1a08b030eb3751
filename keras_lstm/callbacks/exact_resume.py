"""Goes on with a training that was stopped, as if it never had been."""

import itertools
import math
import pathlib
import time
from collections.abc import Callable, Sequence
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
from keras_lstm.checkpoint.step_skipping import SkippedSteps
from keras_lstm.core.console import print_status
from keras_lstm.core.errors import InputError
from keras_lstm.distribute.strategies import is_chief, is_multi_worker
from keras_lstm.tasks.datasets import check_endless


class ExactResume(keras.callbacks.Callback):
    """Writes checkpoints during `fit`, and starts from the newest of them.

    A training that was stopped at any moment, by `kill -9` too, goes on when
    the same script runs again: on the same machine, thread count and versions
    its weights, metrics, callbacks and random numbers are bit for bit those of
    a training never stopped. One folder is for one training: where all epochs
    are done, `fit` returns at once.

    Keras's `BackupAndRestore` does this between epochs, without the state of
    callbacks and random layers, and not from within an epoch: `fit` cannot
    begin there. This lets it run over the steps that are done without doing
    them. What is resumed within an epoch needs `dataset`; without it, and with
    several workers, of which one writes, checkpoints are written between
    epochs only.

    Give it to `fit` as the first callback, and build the model first.

    Args:
        folder: where the checkpoints are; for nothing else.
        callbacks: those, among the ones given to `fit`, whose state is kept:
            Keras's own, and all with `get_state()`, which returns a mapping of
            numbers, texts and NumPy arrays, and `set_state(state)`. They do
            not see the steps that are run over.
        every_steps: write one after so many optimizer steps; None for no rule
            by steps.
        every_seconds: write one after so long; None for no rule by time.
        monitor: the entry of `logs` by which the best epoch is kept, the one
            where it is lowest.
        preemption: asked after each step whether to stop.
        verbose: whether to say, on standard error, where `fit` goes on.

    Attributes:
        step: optimizer steps done.
        resumed_step: the step that `fit` started from; None for the first.

    Raises:
        InputError: bad arguments, and in `fit` a folder of another training.

    Example:

    ```python
    resume = ExactResume("checkpoints", every_steps=100)
    dataset = resume.dataset(
        lambda step: make_dataset(split, 128, training=True, start_step=step)
    )
    model.fit(dataset, callbacks=[resume], steps_per_epoch=50, ...)
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
        self._interruption = preemption
        # Given by `dataset`.
        self._within_epochs = False
        self._found: Checkpoint | None = None

    @property
    def last_checkpoint(self) -> pathlib.Path | None:
        """The newest checkpoint that is whole; None while there is none."""
        return self._checkpoints.last

    def dataset(
        self, from_step: Callable[[int], tf.data.Dataset]
    ) -> tf.data.Dataset:
        """The dataset to give to `fit`, from where it goes on.

        Args:
            from_step: makes the dataset, without end, from a step on: what
                its first batch would be if so many had been drawn before.
                `lambda step: whole.skip(step)` does for one that always comes
                in the same order.

        Raises:
            InputError: the dataset ends.
        """
        self._found = self._checkpoints.newest()
        self._within_epochs = True
        step = 0
        if self._found is not None:
            step, state = self._found.step, self._found.state
            if state["calls"]:
                # The last call is done once more, see `SkippedSteps`.
                step -= state["steps_per_execution"]
        return check_endless(from_step(step), "from_step")

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Looks for a checkpoint, and has `fit` begin in its epoch."""
        model = self.model
        if not model.built:
            raise InputError(
                "`model` must be built before `fit`: give it an Input. "
                f"Received: {model.name}, not built"
            )
        if not model.optimizer.built:
            with model.distribute_strategy.scope():
                model.optimizer.build(model.trainable_variables)
        if not self._within_epochs:
            self._found = self._checkpoints.newest()
        self._calls = self.step = 0
        self._epoch = -1
        # The first one of a training never stopped; `fit` may be given it.
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
                "`fit` needs a dataset made by `ExactResume.dataset`: the "
                f"checkpoint is from within an epoch. Received: "
                f"{self.last_checkpoint}"
            )
        self._check_same_model(state)
        epochs = self.params["epochs"]
        if state["calls"] and state["epoch"] >= epochs:
            raise InputError(
                f"`epochs` must be at least {state['epoch'] + 1}, to end the "
                f"epoch of {self.last_checkpoint}. Received: epochs={epochs}"
            )
        if self.verbose:
            print_status(f"going on from {self.last_checkpoint}")
            if not self._within_epochs:
                print_status(
                    f"at the start of epoch {state['epoch'] + 1}: going on "
                    "within one needs `ExactResume.dataset`"
                )
        # As Keras's BackupAndRestore does it.
        model._initial_epoch = epochs if state["stopped"] else state["epoch"]

    def on_epoch_begin(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Goes on from the checkpoint; or, between epochs, writes one."""
        self._end_skipping()
        self._epoch = epoch
        if self._found is not None:
            self._go_on()
            return
        if self._first_epoch is None:
            self._first_epoch = epoch
        self._calls = 0
        if self.params["steps"]:
            # Keras rounds an epoch up to whole executions.
            calls = -(-self.params["steps"] // self.model.steps_per_execution)
            calls *= epoch - self._first_epoch
            self.step = calls * self.model.steps_per_execution
        self._note_best()
        self._write_or_stop(may_write=True)

    def on_train_batch_begin(
        self, batch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Writes a checkpoint where one is due.

        Here all callbacks have seen the steps before, and none this one.
        """
        if self._skipped is not None:
            if not self._skipped.num_left:
                self._end_skipping()
        elif self._calls:
            # Each worker has metrics of its own, of which one would be kept.
            several = is_multi_worker(self.model.distribute_strategy)
            self._write_or_stop(self._within_epochs and not several)

    def on_train_batch_end(
        self, batch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Counts the step."""
        if self._skipped is None:
            self._calls += 1
            self.step += self.model.steps_per_execution

    def on_epoch_end(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Notes whether this epoch is the best."""
        logs = logs or {}
        value = float(logs.get(self.monitor, logs.get("loss", math.inf)))
        if value < self._lowest:
            self._lowest, self._improved = value, True
        self._raw = None
        optimizer = self.model.optimizer
        if getattr(optimizer, "inner_optimizer", optimizer).use_ema:
            # At its end `fit` puts the averages in the place of the weights.
            self._raw = self._values(self.model.trainable_variables)

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Writes down that the training is done."""
        trainable = self.model.trainable_variables
        if self._found is not None:
            self._go_on()
        elif self._epoch >= 0:
            if self._raw is not None:
                self._assign(trainable, self._raw)
            self._epoch += 1
            self._calls = 0
            self._note_best()
            self._write(stopped=self.model.stop_training)
        self.model.optimizer.finalize_variable_values(trainable)
        self._seconds_before, self._began = self.seconds, None
        # For a later `fit`, which is another training.
        self.model._initial_epoch = None

    @property
    def seconds(self) -> float:
        """Time spent in `fit`, by those that came before as well."""
        if self._began is None:
            return self._seconds_before
        return self._seconds_before + time.monotonic() - self._began

    def _write_or_stop(self, may_write: bool) -> None:
        stop = self._interruption is not None and self._interruption.requested
        if may_write and (stop or self._due()):
            self._write()
        if self._interruption is not None:
            self._interruption.check()

    def _due(self) -> bool:
        if self._written_step is None:
            return True
        steps = self.step - self._written_step
        seconds = time.monotonic() - self._written
        return bool(
            (self.every_steps and steps >= self.every_steps)
            or (self.every_seconds and steps and seconds >= self.every_seconds)
        )

    def _note_best(self) -> None:
        """Keeps the state after the best epoch until it is written."""
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
        """All that a step changes; between epochs metrics hold nothing."""
        parts = {
            "model": self.model.variables,
            "optimizer": self.model.optimizer.variables,
            # Keras does not count them among the model's variables.
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
            own = [
                [(value.shape, value.dtype) for value in values]
                for values in self._values(variables)
            ]
            if saved != own:
                raise InputError(
                    f"`folder` must hold checkpoints of this training. "
                    f"Received: {self.last_checkpoint}, with other variables "
                    f"in its {part}"
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
                "`callbacks` must be those of the checkpoint: "
                f"{saved_callbacks}. Received: {callbacks}"
            )

    def _go_on(self) -> None:
        """Takes up the state; within an epoch, runs over the steps done."""
        found, self._found = cast(Checkpoint, self._found), None
        state = found.state
        self.resumed_step = self.step = self._written_step = found.step
        self._epoch, self._calls = state["epoch"], state["calls"]
        self._first_epoch, self._lowest = state["first_epoch"], state["lowest"]
        self._seconds_before = state["seconds"]
        for callback, (_, remembered) in zip(
            self._callbacks, state["callbacks"], strict=True
        ):
            set_callback_state(callback, remembered)
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
        """Each variable's value on each replica of this process."""
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
