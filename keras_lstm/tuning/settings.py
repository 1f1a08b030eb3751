"""Settings of a search, checked before TensorFlow is loaded."""

import dataclasses

import yaml

from keras_lstm.config import Config
from keras_lstm.core.errors import InputError
from keras_lstm.core.options import check_known
from keras_lstm.core.yaml_text import write_yaml


@dataclasses.dataclass(frozen=True)
class LogRange:
    """Numbers between two bounds, drawn log-uniformly.

    Args:
        low: the smallest number.
        high: the largest number.
    """

    low: float
    high: float


# The values tried for each option that may be searched.
SPACE: dict[str, tuple[float, ...] | LogRange] = {
    "units": (8, 16, 24, 32, 48, 64, 96, 128),
    "num_layers": (1, 2, 3),
    "embedding_dim": (2, 4, 10, 16),
    "learning_rate": LogRange(1e-3, 1e-1),
    "dropout": (0.0, 0.1, 0.2, 0.4),
    "input_noise": (0.0, 0.3, 1.0),
    "layer_noise": (0.0, 0.1, 0.3),
}
SEARCHABLE = tuple(SPACE)
OBJECTIVES = ("cost", "smallest", "accuracy")
# KerasTuner's search algorithms.
ALGORITHMS = ("grid", "random", "hyperband", "bayesian")


@dataclasses.dataclass(frozen=True)
class Search:
    """Options, objective and algorithm of a search.

    Args:
        config: the configuration, with the options that are not searched.
            Without its `fallback`: networks that learned nothing are not
            ranked.
        names: the names of the searched options, among `SEARCHABLE`.
        objective: one of the task's `objectives`, to be minimized; empty for
            the first of them.
        algorithm: "grid", "random", "hyperband" or "bayesian".
        max_trials: the largest number of trials; None for all combinations
            ("grid") or 10 ("random", "bayesian"). "hyperband" derives the
            number from `epochs`.
        seed: the algorithm's seed.

    Raises:
        InputError: if an option cannot be searched, none is named, the task
            does not support the objective, the algorithm is unknown, or
            `max_trials` is given with "hyperband" or is below 1.
    """

    config: Config
    names: tuple[str, ...] = ("units",)
    objective: str = ""
    algorithm: str = "grid"
    max_trials: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        learned = self.config.replace(fallback=None)
        object.__setattr__(self, "config", learned)
        for name in self.names:
            check_known(name, SEARCHABLE, "searchable option")
            if self.names.count(name) > 1:
                raise InputError(
                    "`search` must name different options. Received: "
                    f"{','.join(self.names)}"
                )
        if not self.names:
            raise InputError("`search` must name an option. Received: none")
        if not self.objective:
            default = self.config.task.objectives[0]
            object.__setattr__(self, "objective", default)
        check_objective(self.config, self.objective)
        check_known(self.algorithm, ALGORITHMS, "algorithm")
        if self.max_trials is None:
            return
        if self.max_trials < 1:
            raise InputError(
                "`max_trials` must be an integer of at least 1. Received: "
                f"max_trials={self.max_trials}"
            )
        if self.algorithm == "hyperband":
            raise InputError(
                "`max_trials` must be left out with hyperband, which derives "
                "the number of trials from `epochs`. Received: "
                f"max_trials={self.max_trials}"
            )

    def to_yaml(self) -> str:
        """Return the settings of this search, as YAML."""
        return write_yaml(
            {
                "algorithm": self.algorithm,
                "objective": self.objective,
                "search": list(self.names),
                "max_trials": self.max_trials,
                "seed": self.seed,
                "config": yaml.safe_load(self.config.to_yaml()),
            }
        )


def check_objective(config: Config, objective: str) -> None:
    """Refuse an objective that the task does not support.

    Args:
        config: the configuration whose options are searched.
        objective: the name of the objective.

    Raises:
        InputError: if `objective` is not among the task's `objectives`, or
            needs a validation split that the task lacks.
    """
    check_known(objective, OBJECTIVES, "objective")
    if objective not in config.task.objectives:
        raise InputError(
            f"`objective` must be {' or '.join(config.task.objectives)} for "
            f"{config.task.name}. Received: objective={objective}"
        )
    if objective == "accuracy" and not config.task.has_validation:
        raise InputError(
            "`objective` accuracy needs a task with a validation split. "
            f"Received: task={config.task.name}, without one"
        )
