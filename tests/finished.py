"""Finished runs made by hand, without training."""

import csv

from keras_lstm.models.build import build_model
from keras_lstm.runs.report import Report, Seconds, StopReason
from keras_lstm.runs.run import Run

FIELDS = {
    "preset": "increment",
    "seed": 0,
    "checked": "all inputs",
    "num_examples": 100,
    "num_wrong": 0,
    "sequence_accuracy": 1.0,
    "token_accuracy": 1.0,
    "min_margin": 1.5,
    "test_num_examples": None,
    "test_num_wrong": None,
    "training_examples": 640,
    "distinct_training_examples": None,
    "optimizer_steps": 10,
    "epochs": 2,
    "validation_accuracy": None,
    "stopped_because": StopReason.ALL_EPOCHS,
    "resumed_from_step": None,
    "proved": False,
    "num_parameters": 100,
    "seconds": Seconds(1.0, 2.0, 3.0, 4.0),
    "versions": {"python": "3.12", "keras_lstm": "0.3.0"},
}


def make_run(folder, config, model=None, **fields):
    """Return a run, whose folder holds a short history only."""
    if model is None:
        model = build_model(config.task, config.model, config.seed)
        # Larger weights give answers that differ, by clear margins.
        model.set_weights([3.0 * each for each in model.get_weights()])
    folder.mkdir(parents=True, exist_ok=True)
    report = Report(**FIELDS | {"task": config.task.name} | fields)
    text = "epoch,loss,val_loss\n1,0.5,0.6\n2,0.25,\n"
    (folder / "history.csv").write_text(text)
    return Run(folder, config, report, model, "ab" * 32)


def write_failures(run, rows):
    """Write the wrong answers of a run of a machine."""
    with run.folder.failures.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(
            ["input", "target", "prediction", "wrong", "hold", "margin"]
        )
        writer.writerows(rows)
