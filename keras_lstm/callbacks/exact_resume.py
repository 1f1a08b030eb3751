"""Exact continuation of a training that was stopped."""

# Long because resuming is one protocol over the hooks of `fit`: each hook goes
# on from what another one has left. What can stand alone is in `checkpoint/`.

import itertools
import math
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import keras
import numpy as np
import tensorflow as tf

from keras_lstm.callbacks.final_weights import averaging_optimizers
from keras_lstm.callbacks.raise_on_non_finite import check_weights
from keras_lstm.checkpoint.checkpoints import Checkpoint, CheckpointFolder
from keras_lstm.checkpoint.data_position import read_order, skip_elements
from keras_lstm.checkpoint.fit_calls import (
    FitCalls,
    fit_calls,
    is_of_another_model,
    note_finished,
)
from keras_lstm.checkpoint.fit_data import FitData
from keras_lstm.checkpoint.kept_callbacks import KeptCallbacks
from keras_lstm.checkpoint.model_state import ModelState
from keras_lstm.checkpoint.preemption import PreemptionHandler
from keras_lstm.checkpoint.settings import (
    describe_changes,
    read_settings,
    set_learning_rates,
)
from keras_lstm.checkpoint.state_check import check_training_state
from keras_lstm.checkpoint.step_check import check_step
from keras_lstm.checkpoint.step_skipping import (
    SkippedSteps,
    WatchedTrainFunction,
    try_first_step,
)
from keras_lstm.core.console import print_status
from keras_lstm.core.errors import InputError, shown
from keras_lstm.distribute.strategies import is_chief, is_multi_worker
from keras_lstm.tasks.datasets import check_endless


class ExactResume(keras.callbacks.Callback):
    """Write checkpoints during `fit`, and resume exactly from the newest.

    If training is stopped at any moment, even by `kill -9`, run the same script
    again to resume it. With the same machine, thread count and versions, the
    weights, metrics, callback states and random numbers are then, bit for bit,
    those of a training that was never stopped. What cannot be resumed in this
    way is refused.

    Use one folder per model, also for models of one script, such as those of
    several folds: another model would go on from what is there. If all epochs
    are done, `fit` restores the weights and returns at once. If a script calls
    `fit` several times, each call is resumed in its turn: those that are done
    return at once, with their history and the weights of the newest checkpoint.

    Keras's `BackupAndRestore` resumes only at the start of an epoch, and does
    not restore the state of callbacks and random layers. This callback also
    resumes within an epoch: `fit` then skips the steps that are done. That
    requires a dataset made by `dataset`. Without it, and with more than one
    worker, checkpoints are written between epochs only.

    During `fit`, this callback moves itself to the front of the callbacks. They
    do not see skipped steps.

    Args:
        folder: path of the folder for the checkpoints. Use it for nothing else.
        callbacks: callbacks whose state to save. Supported are Keras's
            `EarlyStopping`, `ModelCheckpoint`, `ReduceLROnPlateau` and
            `SwapEMAWeights`, and all with `get_state()`, which returns a
            mapping of numbers, strings and NumPy arrays, and
            `set_state(state)`. If None, all callbacks that `fit` gets. Those
            whose state cannot be saved are named. Defaults to None.
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
        verbose: 0 or 1. With 1, print to standard error the checkpoint that
            `fit` resumes from, callbacks whose state cannot be saved, and
            settings of the optimizer that have changed. Defaults to 1.
        restore_learning_rate: whether a learning rate that is a number is
            restored. If False, that of the script applies. Defaults to True.

    Attributes:
        step: number of training steps done, in all calls of `fit`. A call of
            the compiled step counts `steps_per_execution` of them, also the
            last one of an epoch.
        resumed_step: step that `fit` resumed from; None if it did not resume.
        not_kept: types of the callbacks whose state cannot be saved.

    Raises:
        InputError: if `every_steps` or `every_seconds` is not above 0. During
            `fit`, if the checkpoint does not match the model, the callbacks,
            the dataset or the arguments of `fit`, or a training step changes
            something that no checkpoint would hold.

    Example:

    ```python
    resume = ExactResume("checkpoints")
    model.fit(resume.dataset(dataset), epochs=20, callbacks=[resume, stop])
    ```
    """

    def __init__(
        self,
        folder: str | pathlib.Path,
        callbacks: Sequence[keras.callbacks.Callback] | None = None,
        every_steps: int | None = None,
        every_seconds: float | None = 30.0,
        monitor: str = "val_loss",
        preemption: PreemptionHandler | None = None,
        options: Mapping[str, Any] | None = None,
        verbose: int = 1,
        *,
        restore_learning_rate: bool = True,
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
        self.restore_learning_rate = restore_learning_rate
        self.resumed_step: int | None = None
        self.step = 0
        self.not_kept: list[str] = []
        self._checkpoints = CheckpointFolder(pathlib.Path(folder))
        self._given = None if callbacks is None else list(callbacks)
        self._preemption = preemption
        self._options = dict(options or {})
        # Set by `dataset`.
        self._data: FitData | None = None
        self._found: Checkpoint | None = None
        self._was_read = False
        # Set by `on_train_begin`.
        self._calls_of_fit: FitCalls | None = None

    @property
    def last_checkpoint(self) -> pathlib.Path | None:
        """Path of the newest intact checkpoint; None if there is none yet."""
        return self._checkpoints.last

    def dataset(
        self, dataset: tf.data.Dataset | Callable[[int], tf.data.Dataset]
    ) -> tf.data.Dataset:
        """Make the dataset for `fit`, so that `fit` can resume in an epoch.

        Args:
            dataset: a dataset whose elements are the same whenever the script
                is started (shuffled ones need a seed); checkpoints hold the
                state of its iterator, shuffle buffers included. With several
                replicas or with random operations, batches are made again and
                dropped instead. Or, cheapest, a function from a number of steps
                to an endless dataset without its first batches, one for each
                of these steps, such as `dataset.skip`; call this method before
                each `fit` then.

        Returns:
            The dataset to pass to `fit`.

        Raises:
            InputError: if the dataset cannot be resumed, or if `folder` has
                checkpoints but none of them is intact.
        """
        self._found, self._was_read = self._read_newest(), True
        if isinstance(dataset, tf.data.Dataset):
            self._data = FitData(dataset, read_order(dataset))
            return dataset
        if not callable(dataset):
            raise InputError(
                "`dataset` must be a tf.data.Dataset, or a function that makes "
                f"one from a number of steps. Received: {shown(dataset)}"
            )
        start = 0
        number = 0
        if self._calls_of_fit is not None:
            number = len(self._calls_of_fit.histories)
        if self._found is not None:
            state = self._found.state
            if state.get("fit", 0) == number:
                start = self._found.step - state.get("first_step", 0)
            if start and state["calls"]:
                # `SkippedSteps` trains on the last call again.
                start -= state["steps_per_execution"]
        made = check_endless(dataset(start), "dataset")
        self._data = FitData(made, start=start)
        return made

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Read the newest checkpoint, and make `fit` start in its epoch."""
        model, strategy = self.model, self.model.distribute_strategy
        self._state = ModelState(model, is_chief(strategy))
        calls = fit_calls(model, self._checkpoints.folder)
        self._calls_of_fit, number = calls, len(calls.histories)
        self._others = KeptCallbacks(self, self._given)
        self._told = False
        if not self._was_read:
            self._found = self._read_newest()
        self._was_read = False
        if self._found is not None and self._found.state.get("fit", 0) < number:
            # This process has finished that call; the next one is new.
            self._found = None
        folder = self._checkpoints.folder
        if self._found is not None and is_of_another_model(model, folder):
            # As of several folds in one script, or a cell that is run again.
            print_status(
                f"the checkpoints in {folder} are of another model of this "
                "process: this one goes on from them. Models that are trained "
                "apart, such as those of several folds, need a folder each"
            )
        self._reset()
        found = self._found
        # Scripts set others for a later call.
        if calls.settings is None or number:
            calls.settings = read_settings(self._optimizers())
        self._state.build(None if found is None else found.state.get("built"))
        if self._data is not None:
            self._data.begin(self.params["steps"], strategy, not number)
        is_done = found is not None and found.state.get("fit", 0) > number
        if found is not None and not is_done:
            self._prepare_to_resume(found.state)
        elif is_done:
            model._initial_epoch = self.params["epochs"]
        elif self._data is not None and self._data.start:
            raise self._stale_dataset()
        self._watch = WatchedTrainFunction(model)

    def _reset(self) -> None:
        """Set what a call of `fit` starts with."""
        self._calls = 0
        self._epoch = -1
        # The epoch that the whole training starts with: `initial_epoch`.
        self._first_epoch: int | None = None
        # Steps of earlier calls of `fit`.
        calls = cast(FitCalls, self._calls_of_fit)
        self._first_step = self.step = calls.step
        self._skipped: SkippedSteps | None = None
        self._step_is_checked = False
        self._lowest = math.inf
        self._improved = False
        self._best: Checkpoint | None = None
        self._raw: list[list[np.ndarray]] | None = None
        self._seconds_before = 0.0
        self._began: float | None = time.monotonic()
        self._written = self._began
        self._written_step: int | None = None
        self.resumed_step = None

    def _prepare_to_resume(self, state: dict[str, Any]) -> None:
        """Check that the checkpoint fits, and tell `fit` its epoch."""
        if state["calls"] and self._data is None:
            raise InputError(
                "`fit` must get a dataset made by `ExactResume.dataset`, "
                "because the checkpoint was written within an epoch. "
                f"Received: {self.last_checkpoint}"
            )
        if not (state["calls"] or self._may_be_built_later()):
            self._check_same_model(state)
        self._check_argument(
            *("steps_per_execution", state["steps_per_execution"]),
            self.model.steps_per_execution,
        )
        self._others.check(state["callbacks"])
        steps = self.params["steps"]
        self._check_argument(
            "steps_per_epoch", state.get("steps", steps), steps
        )
        epochs = self.params["epochs"]
        if state["calls"] and state["epoch"] >= epochs:
            raise InputError(
                f"`epochs` must be at least {state['epoch'] + 1}, to finish "
                f"the epoch of {self.last_checkpoint}. Received: "
                f"epochs={epochs}"
            )
        step = cast(Checkpoint, self._found).step
        self._first_step = state.get("first_step", 0)
        if self._data is not None:
            start = step - self._first_step
            if start and state["calls"]:
                start -= state["steps_per_execution"]
            if self._data.order is None and self._data.start != start:
                raise self._stale_dataset()
            self._data.check(state.get("data"))
        if self.verbose:
            print_status(f"going on from {self.last_checkpoint}")
            self._print_changes(state)
            if self._data is None:
                print_status(
                    f"at the start of epoch {state['epoch'] + 1}: resuming "
                    "within an epoch needs `ExactResume.dataset`; exact only "
                    "if every epoch has the same order (shuffle=False)"
                )
        # As in Keras's BackupAndRestore.
        self.model._initial_epoch = (
            epochs if state["stopped"] else state["epoch"]
        )

    def _stale_dataset(self) -> InputError:
        return InputError(
            "`dataset` must be called before each `fit` if it gets a function, "
            "with one ExactResume for all of them. Received: a dataset for "
            "another place"
        )

    def _may_be_built_later(self) -> bool:
        """Whether the first step creates variables."""
        optimizers = self._optimizers().values()
        return not (
            self._state.is_built and all(each.built for each in optimizers)
        )

    def _optimizers(self) -> dict[str, keras.optimizers.Optimizer]:
        main = self.model.optimizer
        found = {} if main is None else {"the optimizer": main}
        return found | {
            name: optimizer
            for name, optimizer in self._state.optimizers().items()
            if optimizer is not main
            and optimizer is not getattr(main, "inner_optimizer", None)
        }

    def on_epoch_begin(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Restore the checkpoint, or write one if it is due."""
        self._tell_not_kept()
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
            steps = calls * self.model.steps_per_execution
            self.step = self._first_step + steps
        if self._state.is_built or self._step_is_checked:
            self._keep_best()
            self._write_or_stop(may_write=True)

    def _tell_not_kept(self) -> None:
        """Name the callbacks whose state cannot be saved, once in a `fit`."""
        self.not_kept = self._others.not_kept
        if self.not_kept and self.verbose and not self._told:
            print_status(
                "ExactResume cannot save the state of "
                f"{', '.join(self.not_kept)}: if they have one, give them "
                "get_state() and set_state()"
            )
        self._told = True

    def on_train_batch_begin(
        self, batch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Write a checkpoint if one is due.

        At this point all callbacks have seen the previous step, and none has
        seen this one.
        """
        if self.model.train_function is not self._watch and not self._skipped:
            # A callback has compiled the model again.
            self._watch = WatchedTrainFunction(self.model)
        if self._skipped is not None:
            if not self._skipped.num_left:
                self._end_skipping()
        elif self._calls:
            self._check_step()
            # Each worker has its own metrics; a checkpoint holds only one's.
            several = is_multi_worker(self.model.distribute_strategy)
            self._write_or_stop(self._data is not None and not several)

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
        self._end_skipping()
        self._check_epoch()
        logs = logs or {}
        value = float(logs.get(self.monitor, logs.get("loss", math.inf)))
        if value < self._lowest:
            self._lowest, self._improved = value, True
        self._raw = None
        if averaging_optimizers(self.model):
            # At the end of `fit`, Keras replaces the weights by averages.
            self._raw = self._state.read(self.model.trainable_variables)

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Write the checkpoint of the finished training."""
        trainable = self.model.trainable_variables
        calls = cast(FitCalls, self._calls_of_fit)
        number = len(calls.histories)
        if self._found is not None and self._found.state.get("fit", 0) > number:
            self._pass_over(self._found.state, number)
        elif self._found is not None:
            self._check_same_model(self._found.state)
            self._resume()
        elif self._epoch >= 0:
            if self._raw is not None:
                self._state.assign(trainable, self._raw)
            self._epoch += 1
            self._calls = 0
            self._keep_best()
            self._write(stopped=self.model.stop_training)
        if self._data is not None:
            self._data.end()
        optimizer = self.model.optimizer
        if optimizer is not None and optimizer.built:
            optimizer.finalize_variable_values(trainable)
        self._seconds_before, self._began = self.seconds, None
        # A later `fit` of this model is another training.
        self.model._initial_epoch = None
        self._watch.remove()
        history = self.model.history
        calls.histories.append([list(history.epoch), dict(history.history)])
        calls.step, self._found = self.step, None
        note_finished(self.model, self._checkpoints.folder)
        if self._data is not None and self._data.order is None:
            # It has been used.
            self._data.start = -1

    def _pass_over(self, state: dict[str, Any], number: int) -> None:
        """End a call of `fit` that was finished before a later one began."""
        self._found = None
        epochs, history = state["earlier"][number]
        self.model.history.epoch, self.model.history.history = epochs, history
        if not self._state.find_changes(state["variables"]):
            self._state.restore(state["variables"])
        if self.verbose:
            print_status(
                f"call {number + 1} of fit is done: the model has the weights "
                f"of {self.last_checkpoint}"
            )

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
        variables = self._state.values(with_metrics=self._calls > 0)
        # Others may be meant so, as a mask of -inf is.
        trainable = [
            values
            for weight, values in zip(
                self.model.variables, variables["model"], strict=True
            )
            if weight.trainable
        ]
        check_weights(self.model, itertools.chain(*trainable))
        calls = cast(FitCalls, self._calls_of_fit)
        data = None
        if self._data is not None:
            data = self._data.state(self._watch.iterator, self._calls)
        return Checkpoint(
            self.step,
            {
                "options": self._options,
                "epoch": self._epoch,
                "first_epoch": self._first_epoch,
                "calls": self._calls,
                "steps_per_execution": self.model.steps_per_execution,
                "steps": self.params["steps"],
                "stopped": stopped,
                "seconds": self.seconds,
                "lowest": self._lowest,
                "epochs_seen": self.model.history.epoch,
                "history": self.model.history.history,
                "callbacks": self._others.states(),
                "variables": variables,
                # The rest is new in version 0.3.
                "fit": len(calls.histories),
                "first_step": self._first_step,
                "earlier": calls.histories,
                "settings": calls.settings,
                "built": self._state.description(),
                "data": data,
            },
        )

    def _check_same_model(self, state: dict[str, Any]) -> None:
        part = self._state.find_changes(state["variables"])
        if part:
            built = "" if self._state.is_built else ", or a model not built yet"
            raise InputError(
                "`folder` must contain checkpoints of this training. Received: "
                f"{self.last_checkpoint}, with different variables in its "
                f"{part}{built}"
            )

    def _check_argument(self, name: str, expected: Any, value: Any) -> None:
        if value != expected:
            raise InputError(
                f"`{name}` must be {expected}, as in {self.last_checkpoint}. "
                f"Received: {name}={value}"
            )

    def _print_changes(self, state: dict[str, Any]) -> None:
        calls = cast(FitCalls, self._calls_of_fit)
        for line in describe_changes(
            state.get("settings") or {},
            calls.settings or {},
            self.restore_learning_rate,
        ):
            print_status(line)

    def _resume(self) -> None:
        """Restore the checkpoint; within an epoch, skip the steps done."""
        found, self._found = cast(Checkpoint, self._found), None
        state = found.state
        self.resumed_step = self.step = self._written_step = found.step
        self._epoch, self._calls = state["epoch"], state["calls"]
        self._first_epoch, self._lowest = state["first_epoch"], state["lowest"]
        self._seconds_before = state["seconds"]
        self._others.restore(state["callbacks"])
        history = self.model.history
        history.epoch = state["epochs_seen"]
        history.history = state["history"]
        if self._calls:
            self._skip_steps(state)
        elif self._state.find_changes(state["variables"]):
            self._watch.before_next = lambda iterator: try_first_step(
                *(self._watch.inner, iterator, self.model.steps_per_execution),
                lambda: self._restore(state),
            )
        else:
            self._restore(state)
        if self._data is not None:
            steps = self._calls * self.model.steps_per_execution
            advance = self._data.resume(
                state.get("data"),
                self.step - self._first_step - steps,
                self._calls,
            )
            if advance is not None:
                self._watch.run_before(advance)

    def _skip_steps(self, state: dict[str, Any]) -> None:
        data, steps = cast(FitData, self._data), self.model.steps_per_execution

        def restore() -> None:
            self._restore(state)
            data.restore(self._watch.iterator, state.get("data"))

        def draw(iterator: Any) -> None:
            skip_elements(iterator, steps)

        self._skipped = SkippedSteps(
            *(self.model, self._calls, self._others.all, restore),
            self._others.started,
            draw if data.draws else None,
        )

    def _check_step(self) -> None:
        """Check once that checkpoints hold all that a step changes."""
        if self._calls and not self._step_is_checked:
            variables = self._state.variables(with_metrics=True).values()
            check_step(
                *(self.model, self._watch.inner),
                itertools.chain.from_iterable(variables),
            )
            self._step_is_checked = True

    def _check_epoch(self) -> None:
        """Refuse an epoch cut short by the data, and count iterators."""
        self._check_step()
        steps = self.params["steps"]
        if self._data is not None:
            self._data.end_epoch(
                *(self._calls * self.model.steps_per_execution, steps),
                stopped=self.model.stop_training,
                is_first=self._epoch == self._first_epoch,
            )

    def _end_skipping(self) -> None:
        if self._skipped is None:
            return
        self._skipped.end()
        if not self._skipped.is_done:
            raise InputError(
                "`dataset` must have at least the batches of the checkpoint. "
                f"Received: fewer than {self._calls} in epoch "
                f"{self._epoch + 1}"
            )
        self._skipped = None

    def _restore(self, state: dict[str, Any]) -> None:
        self._check_same_model(state)
        self._state.restore(state["variables"])
        calls = cast(FitCalls, self._calls_of_fit)
        if not self.restore_learning_rate:
            set_learning_rates(self._optimizers(), calls.settings or {})
        elif state.get("settings"):
            calls.settings = state["settings"]
