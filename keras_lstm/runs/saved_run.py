"""A finished run, read from its folder without the model.

This module needs no TensorFlow: requests that do not fit a run are refused
before that is loaded.
"""

import dataclasses
import pathlib

from keras_lstm.config import Config
from keras_lstm.core.errors import InputError
from keras_lstm.runs.folder import RunFolder
from keras_lstm.runs.report import Report
from keras_lstm.tasks.task import Task
from keras_lstm.tasks.transducer import (
    TransducerTask,
    get_machine,
    require_machine,
)


@dataclasses.dataclass(frozen=True)
class SavedRun:
    """A finished run, without its model.

    Args:
        run_dir: the run folder.
        config: the run's configuration.
        report: the run's report.
    """

    run_dir: pathlib.Path
    config: Config
    report: Report

    @property
    def folder(self) -> RunFolder:
        """The run folder and the names of its files."""
        return RunFolder(self.run_dir)

    @property
    def any_length(self) -> bool:
        """True if the model reads sequences of any length."""
        return (
            self.config.model.head == "per_step"
            or self.config.task.input_shape[0] is None
        )

    @property
    def machine(self) -> TransducerTask:
        """The finite-state machine that defines the run's task.

        Raises:
            InputError: if the task is not a sequence task.
        """
        task = self.config.task
        return require_machine(
            task,
            "`run_dir` must hold a run of",
            f"a run of {task.name}, run_dir={self.run_dir}",
        )

    def machine_to_verify(self, num_bits: int | None) -> TransducerTask:
        """Return the machine at a length to verify.

        Args:
            num_bits: the length; None for the one trained on.

        Raises:
            InputError: if the task is not a sequence task, or the model's
                head does not support the length.
        """
        trained = self.machine.num_bits
        if num_bits not in (None, trained) and not self.any_length:
            raise InputError(
                f"`num_bits` must be {trained}, the length that a last_state "
                f"model was trained on. Received: num_bits={num_bits}"
            )
        return self.machine.of_length(num_bits or trained)

    def machine_to_prove(self) -> TransducerTask:
        """Return the machine to prove the model right for.

        Raises:
            InputError: if the task is not a sequence task, or the model does
                not predict at every time step.
        """
        machine = self.machine
        if not self.any_length:
            raise InputError(
                "`model` must answer at every time step for a proof about "
                "every length. Received: head=last_state"
            )
        return machine

    def task_to_evaluate(self, **data_options: str | None) -> Task:
        """Return the task whose test split is measured.

        Args:
            **data_options: new values for some of the task's `data_options`;
                None keeps the run's own.

        Raises:
            InputError: if the task is a sequence task or lacks one of the
                options, or the data has another shape than the model reads.
        """
        task = self.config.task
        if get_machine(task) is not None:
            raise InputError(
                "`run_dir` must hold a run with a test split; `keras-lstm "
                "verify` is for machines. Received: a run of "
                f"{task.name}, run_dir={self.run_dir}"
            )
        given = {k: v for k, v in data_options.items() if v is not None}
        for name in given:
            if name not in task.data_options:
                raise InputError(f"`{name}` is no option of {task.name}")
        if not given:
            return task
        other = task.to_evaluate(**given)
        if other.input_shape != task.input_shape:
            shown = ", ".join(f"{k}={v}" for k, v in given.items())
            raise InputError(
                f"`{next(iter(given))}` must have {task.example_label}s of "
                f"{task.input_shape}, the model's input shape. Received: "
                f"{shown}, of {other.input_shape}"
            )
        return other


def read_run(run_dir: pathlib.Path, argument: str = "run_dir") -> SavedRun:
    """Read a finished run from its folder, without the model.

    Args:
        run_dir: the run folder.
        argument: the name of the folder in error messages.

    Returns:
        The run.

    Raises:
        InputError: if the folder holds no finished run, or a run of a newer
            version.
    """
    folder = RunFolder(run_dir)
    report = folder.read_report(argument)
    config = folder.read_config(argument)
    missing = [
        path.name
        for path, found in (
            (folder.report, report is not None),
            (folder.config, config is not None),
            (folder.model, folder.model.is_file()),
        )
        if not found
    ]
    if report is None or config is None or missing:
        raise InputError(
            f"`{argument}` must hold a finished run. Received: "
            f"{argument}={run_dir}, without {missing[0]}"
        )
    return SavedRun(run_dir, config, report)
