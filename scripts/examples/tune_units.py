"""Search for the smallest exact LSTM, with KerasTuner in a plain script.

Command: python scripts/examples/tune_units.py [NUM_BITS] [MAX_TRIALS]
"""

import sys
import tempfile

import keras_tuner

from keras_lstm import Increment, LSTMHyperModel, get_preset


def main() -> None:
    """Search, and print the trials, best first."""
    num_bits = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    max_trials = int(sys.argv[2]) if len(sys.argv) > 2 else None
    config = get_preset("increment-noise").replace(Increment, num_bits=num_bits)
    with tempfile.TemporaryDirectory() as folder:
        tuner = keras_tuner.GridSearch(
            LSTMHyperModel(config, search=["units"], objective="smallest"),
            # For exact models, this ranks by the number of parameters.
            keras_tuner.Objective("score", "min"),
            max_trials=max_trials,
            directory=folder,
        )
        tuner.search(verbose=0)
        for trial in tuner.oracle.get_best_trials(8):
            found = trial.metrics.get_best_value
            print(
                f"units {trial.hyperparameters.get('units'):>3}: "
                f"{found('num_wrong'):,.0f} wrong, "
                f"{found('num_parameters'):,.0f} parameters, "
                f"{found('training_examples'):,.0f} examples"
            )


if __name__ == "__main__":
    main()
