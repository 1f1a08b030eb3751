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

from keras_lstm.callbacks.stop_at_non_finite import check_weights
from keras_lstm.checkpoints import Checkpoint, CheckpointFolder
from keras_lstm.console import say
from keras_lstm.interruption import Interruption
from keras_lstm.options import InputError

# What Keras's own callbacks remember. Others say so with `get_state` and
# `set_state`.
_REMEMBERED: dict[type, tuple[str, ...]] = {
    keras.callbacks.EarlyStopping: (
        *("best", "best_epoch", "best_weights", "stopped_epoch", "wait"),
    ),
    keras.callbacks.ModelCheckpoint: (
        *("best", "_batches_seen_since_last_saving", "_last_batch_seen"),
    ),
    keras.callbacks.ReduceLROnPlateau: ("best", "cooldown_counter", "wait"),
    keras.callbacks.SwapEMAWeights: ("_ema_weights_in_model",),
}
# What is not called again in an epoch that is taken up within.
_STEP_HOOKS = ("on_epoch_begin", "on_train_batch_begin", "on_train_batch_end")


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
    them. What is resumed within an epoch needs `dataset`; without it
    checkpoints are written between epochs only.

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
        interruption: asked after each step whether to stop.
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
        interruption: Interruption | None = None,
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
        self._interruption = interruption
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
                # The last call is done once more, see `_run_over`.
                step -= state["steps_per_execution"]
        dataset = from_step(step)
        # What `make_dataset` makes for training is as good as endless.
        if 0 <= int(dataset.cardinality()) < 2**31:
            raise InputError(
                "`from_step` must make a dataset without end: use repeat(). "
                f"Received: {int(dataset.cardinality())} batches"
            )
        return dataset

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
        # Calls of the train function to run over; None when that is done.
        self._left: int | None = None
        self._lowest = math.inf
        self._improved = False
        self._best: Checkpoint | None = None
        self._raw: list[list[np.ndarray]] | None = None
        self._seconds_before = 0.0
        self._began = self._written = time.monotonic()
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
        if self.verbose:
            say(f"going on from {self.last_checkpoint}")
            if not self._within_epochs:
                say(
                    f"at the start of epoch {state['epoch'] + 1}: going on "
                    "within one needs `ExactResume.dataset`"
                )
        # As Keras's BackupAndRestore does it.
        model._initial_epoch = (
            self.params["epochs"] if state["stopped"] else state["epoch"]
        )

    def on_epoch_begin(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Goes on from the checkpoint; or, between epochs, writes one."""
        self._see_steps()
        self._epoch = epoch
        if self._found is not None:
            self._go_on()
            return
        self._calls = 0
        if self.params["steps"]:
            # Keras rounds an epoch up to whole executions.
            calls = -(-self.params["steps"] // self.model.steps_per_execution)
            self.step = epoch * calls * self.model.steps_per_execution
        self._note_best()
        self._write_or_stop(may_write=True)

    def on_train_batch_begin(
        self, batch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Writes a checkpoint where one is due.

        Here all callbacks have seen the steps before, and none this one.
        """
        if self._left == 0:
            self._see_steps()
        elif self._left is None and self._calls:
            self._write_or_stop(may_write=self._within_epochs)

    def on_train_batch_end(
        self, batch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Counts the step."""
        if self._left is None:
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
        else:
            if self._raw is not None:
                self._assign(trainable, self._raw)
            self._epoch += 1
            self._calls = 0
            self._note_best()
            self._write(stopped=self.model.stop_training)
        self.model.optimizer.finalize_variable_values(trainable)

    @property
    def seconds(self) -> float:
        """Time spent in `fit`, by those that came before as well."""
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
                "calls": self._calls,
                "steps_per_execution": self.model.steps_per_execution,
                "stopped": stopped,
                "seconds": self.seconds,
                "lowest": self._lowest,
                "epochs_seen": self.model.history.epoch,
                "history": self.model.history.history,
                "callbacks": [_remembered(each) for each in self._callbacks],
                "variables": variables,
            },
        )

    def _variables(self, with_metrics: bool) -> dict[str, list[Any]]:
        """All that a step changes; between epochs metrics hold nothing."""
        parts = {
            "model": self.model.variables,
            "optimizer": self.model.optimizer.variables,
        }
        if with_metrics:
            parts["metrics"] = self.model.metrics_variables
        return parts

    def _check_same_model(self, state: dict[str, Any]) -> None:
        for part, variables in self._variables(with_metrics=False).items():
            saved = [
                [(value.shape, value.dtype) for value in values]
                for values in state["variables"][part]
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
        self._lowest = state["lowest"]
        self._seconds_before = state["seconds"]
        for callback, (_, remembered) in zip(
            self._callbacks, state["callbacks"], strict=True
        ):
            _remind(callback, remembered)
        history = self.model.history
        history.epoch = state["epochs_seen"]
        history.history = state["history"]
        if self._calls:
            self._run_over(state["variables"])
        else:
            self._restore(state["variables"])

    def _restore(self, saved: dict[str, Any]) -> None:
        for part, variables in self._variables("metrics" in saved).items():
            self._assign(variables, saved[part])

    def _run_over(self, saved: dict[str, Any]) -> None:
        """Has `fit` run over the steps that are done.

        The last of them is trained on once more, so that Keras makes all the
        variables that it makes in a first step; then they get their values.
        """
        model = self.model
        train_function = model.train_function
        self._left = left = self._calls

        def run_over(iterator: Any) -> Any:
            nonlocal left
            self._left = left = left - 1
            if left:
                return {}
            train_function(iterator)
            model.train_function = train_function
            self._restore(saved)
            return model.get_metrics_result()

        model.train_function = run_over
        for callback in self._callbacks:
            for name in _STEP_HOOKS:
                setattr(callback, name, _see_nothing)

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

    def _see_steps(self) -> None:
        if self._left is not None:
            self._left = None
            for callback in self._callbacks:
                for name in _STEP_HOOKS:
                    delattr(callback, name)


def _see_nothing(*arguments: Any, **named: Any) -> None:
    """Stands in for a callback's hook."""


def _remembered(callback: keras.callbacks.Callback) -> tuple[str, Any]:
    names = _attributes(callback)
    state = (
        callback.get_state()
        if hasattr(callback, "get_state")
        else {name: getattr(callback, name, None) for name in names}
    )
    return type(callback).__name__, state


def _remind(callback: keras.callbacks.Callback, state: dict[str, Any]) -> None:
    if hasattr(callback, "set_state"):
        callback.set_state(state)
        return
    for name in _attributes(callback):
        setattr(callback, name, state[name])


def _attributes(callback: keras.callbacks.Callback) -> Sequence[str]:
    for kind, names in _REMEMBERED.items():
        if isinstance(callback, kind):
            return names
    return ()
