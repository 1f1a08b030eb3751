"""Results as people read them: failures first, numbers decoded."""

import csv
import dataclasses
import io
import math
from collections.abc import Sequence
from typing import Any

from keras_lstm.core.console import percent, share_of
from keras_lstm.core.markdown import markdown_text
from keras_lstm.tasks.task import Task
from keras_lstm.tasks.transducer import TransducerTask
from keras_lstm.verification.evaluation import Evaluation
from keras_lstm.verification.verify import (
    Coverage,
    Failure,
    Method,
    Verification,
)

_NUM_SHOWN = 20
_MAX_GROUPS = 32


def failures_csv(task: TransducerTask, failures: Sequence[Failure]) -> str:
    """Return failures as CSV, with the most significant symbol first.

    Args:
        task: the task that was checked.
        failures: the wrong predictions.

    Returns:
        A header, and for each failure a line with the input, the target, the
        prediction, a mark `^` for each wrong symbol, the hold length and the
        margin.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    hold_label = f"{task.hold_label.replace(' ', '_')}_length"
    columns = ["input", "target", "prediction", "wrong", hold_label, "margin"]
    writer.writerow(columns)
    for failure in failures:
        writer.writerow(
            [
                task.text_of(failure.symbols),
                task.text_of(failure.target, outputs=True),
                task.text_of(failure.prediction, outputs=True),
                _marks(task, failure),
                failure.hold_length,
                f"{failure.margin:.6g}",
            ]
        )
    return text.getvalue()


def _marks(task: TransducerTask, failure: Failure) -> str:
    wrong = task.as_written(failure.prediction != failure.target)
    return "".join("^" if mark else "." for mark in wrong)


def failures_markdown(task: TransducerTask, failures: Sequence[Failure]) -> str:
    """Return failures as a Markdown table, with wrong symbols in bold."""
    if not failures:
        return ""
    rows = [f"| input | target | prediction | {task.hold_label} length |"]
    rows.append("| --- | --- | --- | --- |")
    for failure in failures:
        wrong = failure.prediction != failure.target
        marked = task.separator.join(
            f"**{markdown_text(name)}**" if is_wrong else markdown_text(name)
            for name, is_wrong in zip(
                task.names_of(failure.prediction, outputs=True),
                task.as_written(wrong),
                strict=True,
            )
        ).replace("****", "")
        cells = (
            markdown_text(numbered_text(task, failure.symbols)),
            markdown_text(numbered_text(task, failure.target, outputs=True)),
            marked,
            str(failure.hold_length),
        )
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def evaluation_text(
    task: Task, check: Evaluation, first_tested: int | None
) -> str:
    """Return the result on a test split as text.

    Args:
        task: the model's task.
        check: the result.
        first_tested: number of first examples to report separately; None for
            no such line.

    Returns:
        One or two lines.
    """
    lines = [tested_text(task, check.num_wrong, check.num_examples)]
    if task.output_shape:
        wrong, tokens = check.num_wrong_tokens, check.num_tokens
        lines.append(
            f"{percent((tokens - wrong) / tokens)} of their "
            f"{task.step_label}s are right: {wrong:,} of {tokens:,} are wrong."
        )
    if first_tested is not None:
        examples = min(first_tested, check.num_examples)
        right = examples - check.num_wrong_of_first(first_tested)
        lines.append(
            f"Of the first {examples}: {percent(right / examples)} right."
        )
    return "\n".join(lines)


def tested_text(task: Task, num_wrong: int, num_examples: int) -> str:
    """Return how many test examples are wrong, as a sentence.

    Args:
        task: the model's task.
        num_wrong: number of test examples with any output wrong.
        num_examples: number of test examples.

    Returns:
        The sentence.
    """
    right = percent((num_examples - num_wrong) / num_examples)
    return (
        f"{right} of the test {task.example_label}s are right: "
        f"{num_wrong:,} of {num_examples:,} are wrong."
    )


def baselines_text(task: Task, found: dict[str, float]) -> str:
    """Return the accuracies of simple methods as a line of text.

    Args:
        task: the task.
        found: the accuracies by name.

    Returns:
        The line.
    """
    what = f" ({task.step_label}s)" if task.output_shape else ""
    listed = ", ".join(
        f"{name.replace('_', ' ')} {percent(value)}"
        for name, value in found.items()
    )
    return f"For comparison{what}: {listed}."


def check_text(task: TransducerTask, check: Verification, failures: str) -> str:
    """Return the result of a check as text, failures first.

    Args:
        task: the task that was checked.
        check: the result.
        failures: name of the file that lists the wrong predictions.

    Returns:
        Several lines.
    """
    lines = []
    if check.num_wrong:
        lines += [*_failure_table(task, check, failures), ""]
    lines.append(
        checked_text(check.num_wrong, check.num_examples, check.checked)
    )
    if check.method is Method.PREDICT and check.coverage is Coverage.ALL:
        lines.append(
            "Asked with `predict`: the model is not one that the "
            "walk over prefixes supports."
        )
    elif check.num_predicted and check.coverage is Coverage.ALL:
        lines.append(
            f"{check.num_predicted:,} of them were asked with "
            "`predict`: too close to call in the walk over prefixes."
        )
    if check.min_margin == -math.inf:
        lines.append("Some logits are missing, not numbers, or too large.")
    if check.test_num_examples is not None:
        lines.append(
            held_out_text(check.test_num_wrong or 0, check.test_num_examples)
        )
    lines.append(
        margin_text(check.min_margin, task.text_of(check.min_margin_input))
    )
    return "\n".join(lines)


def checked_text(num_wrong: int, num_examples: int, checked: str) -> str:
    """Return how many checked answers are wrong, as a sentence.

    Args:
        num_wrong: number of inputs checked with any symbol predicted wrong.
        num_examples: number of inputs checked.
        checked: which they are; see `Verification.checked`.

    Returns:
        The sentence.
    """
    if not num_wrong:
        return (
            f"Nothing is wrong: {num_examples:,} of {num_examples:,} answers "
            f"are right ({checked})."
        )
    return f"{num_wrong:,} of {num_examples:,} answers are wrong ({checked})."


def held_out_text(num_wrong: int, num_examples: int) -> str:
    """Return how many held-out inputs are wrong, as a sentence."""
    return f"Held out from training: {num_wrong:,} of {num_examples:,} wrong."


def margin_text(margin: float, text: str) -> str:
    """Return the smallest margin and its input, as a sentence.

    Args:
        margin: the margin.
        text: the input as text, most significant symbol first.

    Returns:
        The sentence.
    """
    return f"Smallest margin: {margin:.4g}, at input {shortened_text(text)}."


def _failure_table(
    task: TransducerTask, check: Verification, failures: str
) -> list[str]:
    lines = [f"{task.hold_label} length      wrong         of"]
    groups = check.by_hold_length
    shown = groups
    if len(groups) > _MAX_GROUPS:
        most = sorted(groups, key=lambda count: -count.num_wrong)[:_NUM_SHOWN]
        shown = [count for count in groups if count in most]
    lines += [
        f"{count.hold_length:>{len(task.hold_label) + 7}} "
        f"{count.num_wrong:>10,} {count.num_examples:>10,}"
        for count in shown
    ]
    if len(shown) < len(groups):
        left = check.num_wrong - sum(count.num_wrong for count in shown)
        others = len(groups) - len(shown)
        lines.append(f"... and {left:,} wrong of {others:,} other lengths")
    lines.append("")
    rows = [
        (
            numbered_text(task, failure.symbols),
            numbered_text(task, failure.target, outputs=True),
            numbered_text(task, failure.prediction, outputs=True),
            _marks(task, failure),
        )
        for failure in check.failures[:_NUM_SHOWN]
    ]
    rows.insert(0, ("input", "target", "prediction", "wrong bits"))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    lines += [
        "  ".join(
            cell.ljust(width) for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in rows
    ]
    left = check.num_wrong - len(rows) + 1
    if left:
        lines.append(f"... and {left:,} more; {failures} lists the worst")
    return lines


def numbered_text(
    task: TransducerTask, symbols: Any, outputs: bool = False
) -> str:
    """Return a sequence as text, and the number it stands for if short."""
    text = task.text_of(symbols, outputs)
    number = number_of_text(task, text)
    return shortened_text(text) if number is None else f"{text} ({number:,})"


def number_of_text(task: TransducerTask, text: str) -> int | None:
    """Return the number that a sequence stands for.

    Args:
        task: the task.
        text: the sequence as text.

    Returns:
        The number; None if the sequence is not short and of bits.
    """
    is_binary = task.num_symbols == task.num_classes == 2
    if not (is_binary and task.writes_numbers) or "?" in text or len(text) > 64:
        return None
    return int(text, 2)


def shortened_text(text: str) -> str:
    """Return a sequence as text, without the middle if it is long."""
    if len(text) <= 64:
        return text
    return f"{text[:24]}...{text[-24:]} ({len(text)} symbols)"


def check_report(task: TransducerTask, check: Verification) -> dict[str, Any]:
    """Return a check's fields of a report, as a mapping for JSON."""
    return {
        "checked": check.checked,
        "method": check.method.value,
        "num_predicted": check.num_predicted,
        **_counts(check),
        "min_margin": _finite(check.min_margin),
        "min_margin_input": task.text_of(check.min_margin_input),
        "by_hold_length": [
            dataclasses.asdict(count) for count in check.by_hold_length
        ],
    }


def evaluation_report(check: Evaluation) -> dict[str, Any]:
    """Return a test result's fields of a report, as a mapping for JSON."""
    return {
        "checked": "test split",
        **_counts(check),
        "min_margin": _finite(float(check.margins.min())),
    }


def _counts(check: Verification | Evaluation) -> dict[str, Any]:
    right = check.num_examples - check.num_wrong
    right_tokens = check.num_tokens - check.num_wrong_tokens
    return {
        "num_examples": check.num_examples,
        "num_wrong": check.num_wrong,
        "sequence_accuracy": share_of(right, check.num_examples),
        "token_accuracy": share_of(right_tokens, check.num_tokens),
    }


def _finite(value: float) -> float | None:
    """Return the number, or None if it is infinite or NaN, for JSON."""
    return value if math.isfinite(value) else None
