"""Short runs that are tracked, and what they wrote themselves."""

import csv

from keras_lstm import Increment, get_preset


def small(**options):
    """Return the configuration of a run of four epochs."""
    return get_preset("increment").replace(
        Increment,
        num_bits=6,
        units=4,
        num_layers=1,
        epochs=4,
        steps_per_epoch=3,
        counterexamples_from_epoch=None,
        prove_from_epoch=None,
        **options,
    )


def losses(folder, name="loss"):
    """Return the epochs and the values of a metric in a run's history."""
    with (folder / "history.csv").open() as file:
        return [
            (int(row["epoch"]), float(row[name]))
            for row in csv.DictReader(file)
        ]
