"""A KerasTuner hypermodel: a configuration, some of whose options vary."""

import pathlib
import tempfile
from collections.abc import Sequence
from typing import Any

import keras
import keras_tuner

from keras_lstm.callbacks.counterexamples import Counterexamples
from keras_lstm.config import Config
from keras_lstm.core.errors import InputError, RunError
from keras_lstm.runs.folder import RunFolder
from keras_lstm.runs.report import Report
from keras_lstm.tasks.transducer import TransducerTask, get_machine
from keras_lstm.training.compile import compiled_model
from keras_lstm.training.train import train
from keras_lstm.tuning.scores import FAILED, score, trial_metrics
from keras_lstm.tuning.settings import SPACE, LogRange, Search

# Checking this many inputs takes a second or two.
_MAX_CHECKED = 2**22


class LSTMHyperModel(keras_tuner.HyperModel):
    """Hypermodel of a configuration, some of whose options are searched.

    A trial is a whole run: a model is trained until it is exact or all epochs
    are done, and then checked. KerasTuner minimizes a score that also ranks
    models that all reach 100%. An objective is one of the task's `objectives`:

    - "cost": number of training examples until no input is wrong. All inputs,
      if they are at most 2^22, are checked after each epoch. Models with wrong
      inputs rank after all exact ones, by the number of wrong inputs.
    - "smallest": as "cost", with parameters instead of training examples.
    - "accuracy": one minus the validation accuracy.

    For the first two, the score is a logarithm to base 2: of the examples or
    parameters of an exact model, else of the number of wrong inputs, plus 40.
    A trial whose loss or weights do not stay finite scores 128.

    Use it with `keras_tuner.Objective("score", "min")`.

    Args:
        config: the configuration, with the options that are not searched.
        search: the names of the searched options, among `SEARCHABLE`.
        objective: see above; None for the task's first.

    Raises:
        InputError: if an option cannot be searched, none is named, or the
            task does not support the objective.

    Example:

    ```python
    tuner = keras_tuner.RandomSearch(
        LSTMHyperModel(get_preset("increment")),
        keras_tuner.Objective("score", "min"),
        max_trials=4,
    )
    tuner.search()
    ```
    """

    def __init__(
        self,
        config: Config,
        search: Sequence[str] = ("units",),
        objective: str | None = None,
    ) -> None:
        super().__init__()
        # `Search` checks the arguments.
        checked = Search(config, tuple(search), objective or "")
        self.config = checked.config
        self.search = checked.names
        self.objective = checked.objective

    def config_of(self, hp: keras_tuner.HyperParameters) -> Config:
        """Return the configuration with the values of a trial."""
        values = {name: _choose(hp, name) for name in self.search}
        return self.config.replace(**values)

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """Build and compile the model of a trial."""
        return compiled_model(self.config_of(hp))

    def fit(
        self,
        hp: keras_tuner.HyperParameters,
        model: keras.Model,
        run_dir: pathlib.Path | None = None,
        epochs: int | None = None,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        **options: Any,
    ) -> dict[str, float]:
        """Train the model and check it.

        Args:
            hp: the values of the trial.
            model: the model that `build` made with these values.
            run_dir: the folder in which to keep the run, and to resume it if
                it was stopped; None to keep no files.
            epochs: the largest number of epochs; None for the
                configuration's.
            callbacks: custom callbacks for `fit`.
            **options: other arguments from KerasTuner, which are ignored.

        Returns:
            "score", to be minimized, and "num_wrong", "training_examples",
            "num_parameters" and "seconds"; for a failed run, "score" alone.
        """
        config = self.config_of(hp)
        if epochs is not None:
            config = config.replace(epochs=epochs)
        callbacks = list(callbacks)
        machine = _machine_to_check(config)
        if machine is not None:
            # The cost is counted until no input is wrong, not until a sample
            # is right. This callback stops there; it feeds nothing back.
            config = config.replace(monitor=None)
            callbacks.insert(0, Counterexamples(machine, capacity=1))
        report = None if run_dir is None else _finished_report(run_dir, config)
        if report is not None:
            return self._result(report)
        with tempfile.TemporaryDirectory() as temporary:
            try:
                report = train(
                    config,
                    run_dir or pathlib.Path(temporary) / "run",
                    model=model,
                    resume=run_dir is not None,
                    callbacks=callbacks,
                    quiet=True,
                ).report
            # A learning rate may be too high: that is the worst result.
            except RunError:
                return {"score": FAILED}
        return self._result(report)

    def _result(self, report: Report) -> dict[str, float]:
        if self.objective == "accuracy" and report.validation_accuracy is None:
            raise InputError(
                "`objective` accuracy needs validation examples. Received: none"
            )
        return {"score": score(report, self.objective), **trial_metrics(report)}


def _finished_report(run_dir: pathlib.Path, config: Config) -> Report | None:
    """Return the report of a trial that is finished, None for others.

    Its process may have been killed before it told KerasTuner the result.
    """
    folder = RunFolder(run_dir)
    return folder.read_report() if folder.finished_reason(config) else None


def _choose(hp: keras_tuner.HyperParameters, name: str) -> Any:
    """Return the value that KerasTuner chooses for an option."""
    values = SPACE[name]
    if isinstance(values, LogRange):
        return hp.Float(name, values.low, values.high, sampling="log")
    return hp.Choice(name, list(values))


def _machine_to_check(config: Config) -> TransducerTask | None:
    """Return the machine to check on every input each epoch, if any."""
    training, machine = config.training, get_machine(config.task)
    # Each of these options stops training by itself.
    stops = (training.counterexamples_from_epoch, training.prove_from_epoch)
    if machine is None or stops != (None, None):
        return None
    num_inputs = machine.num_sequences
    return machine if num_inputs <= _MAX_CHECKED else None
