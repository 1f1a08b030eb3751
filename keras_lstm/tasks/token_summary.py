"""What a file of token sequences holds, as text for people."""

import pathlib

import numpy as np

from keras_lstm.core.console import percent, quantity
from keras_lstm.core.errors import escaped
from keras_lstm.tasks.own_data import (
    class_lines,
    describe_defects,
    describe_missing_test,
    describe_parts,
    histogram,
)
from keras_lstm.tasks.partition import find_part_column
from keras_lstm.tasks.records import RecordFile
from keras_lstm.tasks.token_rows import PER_TOKEN
from keras_lstm.tasks.token_survey import Survey, survey_names

_NUM_TOKENS = 30
# Classes of counts that differ by more are worth balancing.
_IMBALANCE = 4
# A sequence this many times as long as most is worth cutting.
_LONG = 4


def summarize(found: Survey, max_vocabulary: int) -> list[str]:
    """Return what a source of token sequences holds.

    Args:
        found: the survey.
        max_vocabulary: see `TokenSequences`.

    Returns:
        Lines: rows, lengths, tokens and classes.
    """
    names = survey_names(found, max_vocabulary)
    source = found.source
    kinds = "one for each token" if _is_per_token(found) else "one each"
    lines = [
        f"{quantity(len(found.parts), 'sequence')}: "
        f"{describe_parts(found.parts)}",
        f"inputs:  column {source.input}, {source.tokens}",
        f"targets: column {source.target}, {kinds}",
    ]
    lines += describe_defects(found.defects)
    lines += describe_missing_test(found.parts)
    lines += ["", f"{'tokens':>11} {'sequences':>10}"]
    lines += histogram(found.lengths)
    shown = " ".join(names.tokens[:_NUM_TOKENS])
    shown += " ..." if names.num_tokens > _NUM_TOKENS else ""
    lines += [
        "",
        f"{names.num_tokens:,} different tokens in the training part, the most "
        f"frequent first: {shown}",
        f"{percent(names.unknown_fraction)} of the tokens of the other parts "
        "are unknown",
        "",
        *class_lines(found.class_counts.most_common()),
    ]
    return [escaped(line) for line in lines]


def _is_per_token(found: Survey) -> bool:
    return found.source.target_kind == PER_TOKEN


def suggest(found: Survey) -> dict[str, str]:
    """Return options that are worth trying first.

    Args:
        found: the survey.

    Returns:
        The options by name, as flags have them.
    """
    source = found.source
    options = {"input": str(source.input), "target": str(source.target)}
    if source.validation_data is None and source.test_data is None:
        taken = (source.input, source.target, source.group)
        file = RecordFile(pathlib.Path(source.data), "data")
        part = find_part_column(file, taken)
        if part is not None:
            options["part"] = part
    if _is_per_token(found):
        options["bidirectional"] = "true"
    else:
        counts = found.class_counts.values()
        if max(counts) > _IMBALANCE * min(counts):
            options["balance"] = "true"
    usual = int(np.quantile(found.lengths, 0.99))
    if found.lengths.max() > _LONG * usual:
        options["max_length"] = str(usual)
    return options
