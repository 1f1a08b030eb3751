"""What KerasTuner searches: a configuration, some of whose options vary."""

import pathlib
import tempfile
from collections.abc import Sequence
from typing import Any

import keras
import keras_tuner

from keras_lstm.callbacks.counterexamples import Counterexamples
from keras_lstm.config import Config
from keras_lstm.core.errors import RunError
from keras_lstm.tasks.transducer import TransducerTask, get_machine
from keras_lstm.training.compile import compiled_model
from keras_lstm.training.train import train
from keras_lstm.tuning.scores import FAILED, score, trial_metrics
from keras_lstm.tuning.settings import SPACE, LogRange, Search

# So many inputs are checked in a second or two.
_MAX_CHECKED = 2**22


class LSTMHyperModel(keras_tuner.HyperModel):
    """A configuration, some of whose options are searched.

    A trial is a whole run: trained until it is exact or all epochs are done,
    and checked. The score that KerasTuner minimises tells apart models that
    all reach 100%:

    - "cost": training examples until nothing was wrong, of all inputs, which
      are checked after each epoch (up to 2^22 of them); a model with something
      wrong comes after all that have nothing wrong, by how many are wrong;
    - "smallest": parameters instead of examples;
    - "accuracy": one minus the validation accuracy, for images.

    Examples, parameters and wrong answers count as logarithms to base 2; 40 is
    added where something is wrong. A trial whose numbers go wrong scores 128.

    Use it with `keras_tuner.Objective("score", "min")`.

    Args:
        config: the options that are not searched.
        search: the names of those that are, among `SEARCHABLE`.
        objective: see above; by default the task's first.

    Raises:
        InputError: if an option cannot be searched, or the task does not have
            the objective.

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
        # The rules on these stand there.
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
            model: the model that `build` made with them.
            run_dir: where to keep the run, and to resume it if it was
                stopped; None to keep nothing.
            epochs: the largest number of epochs, if not the configuration's.
            callbacks: given to `fit` too.
            **options: other arguments of KerasTuner's, not used.

        Returns:
            "score", to be minimised, and "num_wrong", "training_examples",
            "num_parameters", "seconds".
        """
        config = self.config_of(hp)
        if epochs is not None:
            config = config.replace(epochs=epochs)
        callbacks = list(callbacks)
        machine = _machine_to_check(config)
        if machine is not None:
            # The cost is what it takes until nothing is wrong, not until a
            # sample is right; nothing is fed back.
            config = config.replace(monitor=None)
            callbacks.insert(0, Counterexamples(machine, capacity=1))
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
            # A learning rate too high, for example: a result, the worst.
            except RunError:
                return {"score": FAILED}
        return {"score": score(report, self.objective), **trial_metrics(report)}


def _choose(hp: keras_tuner.HyperParameters, name: str) -> Any:
    """Let KerasTuner choose the value of an option."""
    values = SPACE[name]
    if isinstance(values, LogRange):
        return hp.Float(name, values.low, values.high, sampling="log")
    return hp.Choice(name, list(values))


def _machine_to_check(config: Config) -> TransducerTask | None:
    """Return the machine whose every input is to be checked each epoch."""
    training, machine = config.training, get_machine(config.task)
    # Each of these stops a training by itself.
    stops = (training.counterexamples_from_epoch, training.prove_from_epoch)
    if machine is None or stops != (None, None):
        return None
    num_inputs = machine.num_sequences
    return machine if num_inputs <= _MAX_CHECKED else None
