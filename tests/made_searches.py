"""Makes folders of searches without training, for tests of what reads them."""

import json
import math

from made_runs import make_run

from keras_lstm.presets import get_preset
from keras_lstm.tuning.settings import Search

OPTIONS = ("units", "learning_rate")
RATES = (0.001, 0.01, 0.1)


def make_search(
    folder, num_trials=24, num_running=0, names=OPTIONS, num_wrong=3
):
    """Make the folder of a search for the cost of increment.

    Trials with more units cost fewer examples; the learning rate changes
    nothing. The first ones have something wrong.

    Args:
        folder: the folder.
        num_trials: number of trials.
        num_running: number of them, the last, that are not done.
        names: the searched options.
        num_wrong: number of trials with something wrong.

    Returns:
        The search.
    """
    search = Search(get_preset("increment-noise"), names, "", "random", 99)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "search.yaml").write_text(search.to_yaml())
    all_units = (8, 16, 24, 32, 48, 64, 96, 128)
    for index in range(num_trials):
        units = all_units[index % len(all_units)]
        values = {"units": units, "learning_rate": RATES[index % 3]}
        wrong = 7 if index < num_wrong else 0
        examples = 10_000 - 50 * units + 3 * index
        is_done = index < num_trials - num_running
        report = {
            "num_wrong": wrong,
            "training_examples": examples,
            "num_parameters": units**2,
        }
        name = f"{index:02}"
        run = make_run(
            folder / "trials" / name,
            "increment-noise",
            report if is_done else None,
            (),
            **{n: values[n] for n in names},
        )
        if not is_done:
            run.history.write_text(
                "epoch,loss,val_sequence_accuracy\n1,0.5,0.25\n2,0.25,1.0\n"
            )
        score = 40 + math.log2(wrong) if wrong else math.log2(examples)
        state = {
            "trial_id": name,
            "hyperparameters": {
                "space": [],
                "values": {n: values[n] for n in names},
            },
            "metrics": {"metrics": {}},
            "score": score if is_done else None,
            "best_step": 0,
            "status": "COMPLETED" if is_done else "RUNNING",
            "message": None,
        }
        path = folder / "keras_tuner" / f"trial_{name}" / "trial.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(state))
    return search
