"""Measure the importance of options that have nothing to do with the places.

Command: python scripts/benchmarks/importance_by_chance.py

The values of 20 and of 40 trials are drawn at random, 25 times each; their
places are their order. It prints the forest's error as a share of that of a
guess, which `Importance.is_found` compares with its limit. It takes a minute.
"""

import numpy as np

from keras_lstm.presets import get_preset
from keras_lstm.tuning.importance import measure_importance
from keras_lstm.tuning.results import Trial

NUM_SEARCHES = 25


def main() -> None:
    """Print a line for each number of trials, with the shares in order."""
    config = get_preset("increment")
    for num_trials in (20, 40):
        shares = []
        for seed in range(NUM_SEARCHES):
            rng = np.random.default_rng(seed)
            trials = [
                Trial(
                    str(place),
                    {
                        "units": int(rng.choice([8, 16, 32, 64])),
                        "learning_rate": float(10 ** rng.uniform(-3, -1)),
                        "num_layers": int(rng.integers(1, 4)),
                    },
                    float(place),
                    None,
                    config,
                )
                for place in range(num_trials)
            ]
            found = measure_importance(trials, tuple(trials[0].values))
            assert found is not None  # noqa: S101 - there are enough trials
            shares.append(found.error / found.error_without)
        print(num_trials, *(f"{share:.2f}" for share in sorted(shares)))


if __name__ == "__main__":
    main()
