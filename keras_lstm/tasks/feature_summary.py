"""What sequences of features hold, for people to read."""

import pathlib

import numpy as np

from keras_lstm.core.console import quantity
from keras_lstm.core.errors import escaped, shown
from keras_lstm.tasks.feature_survey import SERIES, FeatureSurvey
from keras_lstm.tasks.own_data import (
    class_lines,
    describe_defects,
    describe_missing_test,
    describe_parts,
    histogram,
)
from keras_lstm.tasks.partition import TRAIN, find_part_column
from keras_lstm.tasks.records import RecordFile

_NUM_FEATURES = 12


def summarize_features(found: FeatureSurvey) -> list[str]:
    """Return what a source of sequences of features holds.

    Args:
        found: the survey.

    Returns:
        Lines: sequences, lengths, features and classes.
    """
    table, source = found.table, found.source
    lengths = table.lengths
    lines = [
        f"{quantity(len(table), 'sequence')}: {describe_parts(found.parts)}",
        f"inputs:  {source.source}, {quantity(table.num_features, 'feature')}",
    ]
    lines += describe_defects(found.defects) + describe_ignored(found)
    lines += describe_missing_test(found.parts)
    if table.num_steps:
        lines.append(f"lengths: {quantity(table.num_steps, 'step')} each")
    else:
        lines += ["", f"{'steps':>11} {'sequences':>10}", *histogram(lengths)]
    lines += ["", *_feature_lines(found)]
    counts = np.bincount(table.labels, minlength=len(table.names))
    lines += [
        "",
        *class_lines(list(zip(table.names, counts.tolist(), strict=True))),
    ]
    return [escaped(line) for line in lines]


def _feature_lines(found: FeatureSurvey) -> list[str]:
    """Return the mean and the deviation of features in the training part."""
    table, in_one = found.table, found.in_one
    if not (found.parts == TRAIN).any():
        return []
    mean, variance = found.statistics(in_one)
    names = table.features or tuple(map(str, range(table.num_features)))
    names = ("all",) if in_one else names
    width = max(len("feature"), *(len(name) for name in names[:_NUM_FEATURES]))
    lines = [f"{'feature':<{width}} {'mean':>11} {'deviation':>11}"]
    lines += [
        f"{name:<{width}} {center:>11.5g} "
        + (f"{spread**0.5:>11.5g}" if spread else f"{'constant':>11}")
        for name, center, spread in zip(
            names[:_NUM_FEATURES],
            mean.tolist(),
            variance.tolist(),
            strict=False,
        )
    ]
    if len(names) > _NUM_FEATURES:
        lines.append(f"... and {len(names) - _NUM_FEATURES:,} more")
    return lines


def describe_ignored(found: FeatureSurvey) -> list[str]:
    """Return which columns are not used, as a line; none if all are.

    Args:
        found: the survey.
    """
    names = found.table.ignored
    if not names:
        return []
    named = shown(", ".join(names))
    return [f"not used, since most values are no numbers: {named}"]


def suggest(found: FeatureSurvey) -> dict[str, str]:
    """Return options that are worth trying first.

    Args:
        found: the survey.

    Returns:
        The options by name, as flags have them.
    """
    source = found.source
    names = ("group", "time", "target", "part")
    given = {name: getattr(source, name) for name in names}
    others = (source.part, source.validation_data, source.test_data)
    if source.source == SERIES and not any(others):
        file = RecordFile(pathlib.Path(source.data), "data")
        taken = (*given.values(), *(source.features or ()))
        given["part"] = find_part_column(file, taken)
    return {name: value for name, value in given.items() if value is not None}
