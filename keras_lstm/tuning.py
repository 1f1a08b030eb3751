"""A search for hyperparameters, on KerasTuner."""

import math
import pathlib
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

import keras
import keras_tuner

from keras_lstm.callbacks.counterexamples import Counterexamples
from keras_lstm.config import Config
from keras_lstm.optimization import compiled_model
from keras_lstm.options import InputError, RunError, check_known
from keras_lstm.tasks.transducer import TransducerTask, get_machine
from keras_lstm.training import train

# What may be searched, and how; `units` first of all.
_SPACE: dict[str, Callable[[keras_tuner.HyperParameters], Any]] = {
    "units": lambda hp: hp.Choice("units", [8, 16, 24, 32, 48, 64, 96, 128]),
    "num_layers": lambda hp: hp.Choice("num_layers", [1, 2, 3]),
    "embedding_dim": lambda hp: hp.Choice("embedding_dim", [2, 4, 10, 16]),
    "learning_rate": lambda hp: hp.Float(
        "learning_rate", 1e-3, 1e-1, sampling="log"
    ),
    "dropout": lambda hp: hp.Choice("dropout", [0.0, 0.1, 0.2, 0.4]),
    "input_noise": lambda hp: hp.Choice("input_noise", [0.0, 0.3, 1.0]),
    "layer_noise": lambda hp: hp.Choice("layer_noise", [0.0, 0.1, 0.3]),
}
SEARCHABLE = tuple(_SPACE)
OBJECTIVES = ("cost", "smallest", "accuracy")
# Scores are logarithms, so that KerasTuner's models of them tell exact trials
# apart beside others. From here on something is wrong; 2^40 examples are more
# than anybody trains on.
WRONG = 40.0
FAILED = 128.0
# So many inputs are checked in a second or two.
_MAX_CHECKED = 2**22


def check_objective(config: Config, objective: str) -> None:
    """Refuse an objective that the task does not have.

    Raises:
        InputError: if `objective` is not among the task's.
    """
    check_known(objective, OBJECTIVES, "objective")
    if objective not in config.task.objectives:
        raise InputError(
            "`objective` must be cost or smallest for a sequence task, "
            f"accuracy for images. Received: objective={objective}, "
            f"task={config.task.name}"
        )


class LSTMHyperModel(keras_tuner.HyperModel):
    """A configuration, some of whose options are searched.

    A trial is a whole run: trained until it is exact or all epochs are done,
    and checked. What it returns for KerasTuner to minimise tells apart models
    that all reach 100%:

    - "cost": training examples until nothing was wrong, of all inputs, which
      are checked after each epoch (up to 2^22 of them); a model with something
      wrong comes after all that have nothing wrong, by how many are wrong;
    - "smallest": parameters instead of examples;
    - "accuracy": one minus the validation accuracy, for images.

    Examples, parameters and wrong answers count as logarithms to base 2; 40 is
    added where something is wrong. A trial whose numbers go wrong scores 128.

    Use it with `keras_tuner.Objective("score", "min")`.

    Args:
        config: what is not searched.
        search: names of options, among `SEARCHABLE`.
        objective: see above; by default the task's.

    Raises:
        InputError: an option that cannot be searched, or an objective that
            the task has not got.

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
        for name in search:
            check_known(name, SEARCHABLE, "option that can be searched")
        if not search:
            raise InputError("`search` must name an option. Received: none")
        self.objective = objective or config.task.objectives[0]
        check_objective(config, self.objective)
        self.config = config
        self.search = tuple(search)

    def config_of(self, hp: keras_tuner.HyperParameters) -> Config:
        """The configuration with the values that are tried."""
        values = {name: _SPACE[name](hp) for name in self.search}
        return self.config.replace(type(self.config.task), **values)

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """The model, compiled."""
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
        """Trains the model and checks it.

        Args:
            hp: the values that are tried.
            model: what `build` made of them.
            run_dir: where to keep the run, and to go on with it if it was
                stopped; None to keep nothing.
            epochs: at most, where not as many as the configuration says.
            callbacks: given to `fit` too.
            **options: what KerasTuner gives beside, not used.

        Returns:
            "score", to be minimised, and "num_wrong", "training_examples",
            "num_parameters", "seconds".
        """
        config = self.config_of(hp)
        if epochs is not None:
            config = config.replace(type(config.task), epochs=epochs)
        callbacks = list(callbacks)
        machine = _machine_to_check(config)
        if machine is not None:
            # The cost is what it takes until nothing is wrong, not until a
            # sample is right; nothing is fed back.
            config = config.replace(type(config.task), monitor=None)
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


def _machine_to_check(config: Config) -> TransducerTask | None:
    """Return the machine whose every input is to be checked each epoch."""
    training, machine = config.training, get_machine(config.task)
    # Each of these stops a training by itself.
    stops = (training.counterexamples_from, training.prove_from)
    if machine is None or stops != (None, None):
        return None
    num_inputs = machine.num_symbols**machine.num_bits
    return machine if num_inputs <= _MAX_CHECKED else None


def trial_metrics(report: dict[str, Any]) -> dict[str, float]:
    """What a run came to, for a table of trials."""
    names = ("num_wrong", "training_examples", "num_parameters")
    metrics = {name: float(report[name]) for name in names}
    return metrics | {"seconds": float(report["seconds"]["total"])}


def rank(report: dict[str, Any], objective: str) -> tuple[int, float]:
    """What a run's report is ranked by: wrong answers, and then the cost."""
    if objective == "accuracy":
        accuracy = report["validation_accuracy"]
        return 0, 1.0 if accuracy is None else 1.0 - float(accuracy)
    name = {"cost": "training_examples", "smallest": "num_parameters"}
    return report["num_wrong"], float(report[name[objective]])


def score(report: dict[str, Any], objective: str) -> float:
    """What KerasTuner minimises: one number, near enough to the rank.

    Its processes tell one another float32.
    """
    num_wrong, cost = rank(report, objective)
    if objective == "accuracy":
        return cost
    return WRONG + math.log2(num_wrong) if num_wrong else math.log2(cost)
