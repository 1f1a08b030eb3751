"""Importance of each searched option, by a random forest."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from keras_lstm.tuning.results import Trial

# With fewer, what a forest finds is mostly noise.
MIN_TRIALS = 20
# Of 50 searches with values drawn at random, the forest's error was never below
# 0.81 of that of a guess: scripts/benchmarks/importance_by_chance.py.
_MAX_ERROR = 0.75
_FOLDS = 5
_TREES = 50
_SHUFFLES = 10


@dataclasses.dataclass(frozen=True)
class Importance:
    """How much better a trial's place is predicted with an option known.

    Args:
        places: for each option, the largest first, by how many places the
            predictions of held-out trials get worse, on average, if its values
            are shuffled.
        error: mean error of the predictions, in places.
        error_without: the error of guessing the middle place for all.
        num_trials: number of trials.
    """

    places: dict[str, float]
    error: float
    error_without: float
    num_trials: int

    @property
    def is_found(self) -> bool:
        """True if the predictions are better than a guess, not by chance."""
        return self.error <= _MAX_ERROR * self.error_without


def measure_importance(
    trials: Sequence[Trial], names: Sequence[str]
) -> Importance | None:
    """Measure which options tell good trials from bad ones.

    A random forest predicts the places of held-out trials from their values.
    Places are used rather than scores, in which a trial with something wrong is
    far from all exact ones.

    Args:
        trials: the finished trials, best first.
        names: the searched options.

    Returns:
        The importance; None for fewer than `MIN_TRIALS` trials, or if fewer
        than two options have different values.
    """
    varied = [n for n in names if len({x.values[n] for x in trials}) > 1]
    if len(trials) < MIN_TRIALS or len(varied) < 2:
        return None
    # Importing it takes a second, and most commands do without.
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.inspection import permutation_importance
    from sklearn.model_selection import KFold

    values = np.array([[x.values[n] for n in varied] for x in trials], float)
    places = np.arange(1.0, len(trials) + 1)
    worse, errors, without = [], [], []
    folds = KFold(_FOLDS, shuffle=True, random_state=0)
    for fitted, held in folds.split(values):
        forest = RandomForestRegressor(_TREES, random_state=0)
        forest.fit(values[fitted], places[fitted])
        found = permutation_importance(
            forest,
            values[held],
            places[held],
            scoring="neg_mean_absolute_error",
            n_repeats=_SHUFFLES,
            random_state=0,
        )
        worse.append(found.importances_mean)
        errors.append(np.abs(forest.predict(values[held]) - places[held]))
        middle = np.median(places[fitted])
        without.append(np.abs(middle - places[held]))
    means = dict(zip(varied, np.mean(worse, 0).tolist(), strict=True))
    return Importance(
        dict(sorted(means.items(), key=lambda item: -item[1])),
        float(np.concatenate(errors).mean()),
        float(np.concatenate(without).mean()),
        len(trials),
    )
