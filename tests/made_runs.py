"""Makes run folders without training, for tests of what reads them."""

import csv
import dataclasses
import io

from keras_lstm.core.version import __version__
from keras_lstm.presets import get_preset
from keras_lstm.runs.folder import RunFolder
from keras_lstm.runs.report import Report, Seconds, StopReason

REPORT = Report(
    task="increment",
    preset="increment",
    seed=0,
    checked="all inputs",
    num_examples=255,
    num_wrong=0,
    sequence_accuracy=1.0,
    token_accuracy=1.0,
    min_margin=0.5,
    test_num_examples=None,
    test_num_wrong=None,
    training_examples=384,
    distinct_training_examples=15,
    optimizer_steps=3,
    epochs=5,
    validation_accuracy=1.0,
    stopped_because=StopReason.NOTHING_WRONG,
    resumed_from_step=None,
    proved=False,
    num_parameters=100,
    seconds=Seconds(1.0, 2.0, 3.0, 4.0),
    versions={"keras_lstm": __version__},
)


def make_run(
    path, preset="increment", report=REPORT, steps=(50, 100), **options
):
    """Make the folder of a run, finished unless `report` is None.

    Args:
        path: the folder.
        preset: name of the preset.
        report: the report, or values of one.
        steps: the steps of the checkpoints.
        **options: options that differ from the preset.

    Returns:
        The folder.
    """
    folder = RunFolder(path)
    folder.checkpoints.mkdir(parents=True)
    for step in steps:
        (folder.checkpoints / f"step-{step:09}.ckpt").write_bytes(b"")
    config = get_preset(preset).replace(**options)
    folder.config.write_text(config.to_yaml())
    if isinstance(report, dict):
        report = dataclasses.replace(REPORT, **report)
    if report is not None:
        folder.report.write_text(report.to_json())
        folder.model.write_bytes(b"")
    return folder


def write_failures(path, rows, columns=("input", "target", "prediction")):
    """Write rows as `failures.csv`."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([columns, *rows])
    path.write_text(text.getvalue())
