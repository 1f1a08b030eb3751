"""What a file of token sequences holds, as text for people."""

import collections

import numpy as np
import numpy.typing as npt

from keras_lstm.core.console import percent
from keras_lstm.core.errors import escaped
from keras_lstm.tasks.partition import TEST
from keras_lstm.tasks.token_rows import PER_TOKEN
from keras_lstm.tasks.token_survey import (
    Survey,
    describe_parts,
    survey_names,
)

_BAR = 40
_NUM_RANGES = 10
_NUM_CLASSES = 20
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
    counts: collections.Counter[str] = collections.Counter()
    for _, example in found.examples():
        counts.update(example.targets)
    kinds = "one for each token" if _is_per_token(found) else "one each"
    lines = [
        f"{len(found.parts):,} sequences: {describe_parts(found)}",
        f"inputs:  column {source.input}, {source.tokens}",
        f"targets: column {source.target}, {kinds}",
    ]
    for count, text in (
        (found.num_bad, "bad rows"),
        (found.num_repeated, "repeat an earlier input"),
        (
            found.num_leaked,
            "validation and test sequences are in the training part as well",
        ),
    ):
        if count:
            lines.append(f"{count:,} {text}")
    if not (found.parts == TEST).any():
        lines.append("no test rows: `test_fraction` must leave some")
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
        f"{len(counts):,} classes",
    ]
    total = sum(counts.values())
    lines += [
        f"{count:>11,} {percent(round(count / total, 4)):>8}  {name}"
        for name, count in counts.most_common(_NUM_CLASSES)
    ]
    if len(counts) > _NUM_CLASSES:
        lines.append(f"... and {len(counts) - _NUM_CLASSES:,} more")
    return [escaped(line) for line in lines]


def _is_per_token(found: Survey) -> bool:
    return found.source.target_kind == PER_TOKEN


def histogram(lengths: npt.NDArray[np.int64]) -> list[str]:
    """Return a bar for each of some ranges of lengths."""
    longest = int(lengths.max())
    step = -(-longest // _NUM_RANGES)
    groups = np.bincount((lengths - 1) // step)
    width = max(1, int(groups.max()))
    lines = []
    for number, count in enumerate(groups.tolist()):
        low, high = number * step + 1, (number + 1) * step
        name = f"{low}" if low == high else f"{low}-{high}"
        bar = "█" * round(_BAR * count / width)
        lines.append(f"{name:>11} {count:>10,} {bar}".rstrip())
    return lines


def suggest(found: Survey) -> dict[str, str]:
    """Return options that are worth trying first.

    Args:
        found: the survey.

    Returns:
        The options by name, as flags have them.
    """
    source = found.source
    options = {"input": str(source.input), "target": str(source.target)}
    if _is_per_token(found):
        options["bidirectional"] = "true"
    else:
        counts = collections.Counter(x.target for _, x in found.examples())
        if max(counts.values()) > _IMBALANCE * min(counts.values()):
            options["balance"] = "true"
    usual = int(np.quantile(found.lengths, 0.99))
    if found.lengths.max() > _LONG * usual:
        options["max_length"] = str(usual)
    return options
