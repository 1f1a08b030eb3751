"""Results as people read them: what is wrong first, numbers decoded."""

import csv
import dataclasses
import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from keras_lstm.console import percent
from keras_lstm.evaluation import Evaluation
from keras_lstm.proof import ProofSearch
from keras_lstm.tasks.task import Task
from keras_lstm.tasks.transducer import TransducerTask
from keras_lstm.verification import Failure, Verification

if TYPE_CHECKING:
    from keras_lstm.config import Config
    from keras_lstm.training import TrainResult

_NUM_SHOWN = 20
_MAX_GROUPS = 32


def failures_csv(task: TransducerTask, failures: Sequence[Failure]) -> str:
    """The wrong answers as CSV, most significant first.

    Returns:
        A line for each with its input, answer, prediction, a mark `^` under
        each wrong symbol, run length and margin.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    run_name = f"{task.run_name.replace(' ', '_')}_length"
    columns = ["input", "answer", "prediction", "wrong", run_name, "margin"]
    writer.writerow(columns)
    for failure in failures:
        writer.writerow(
            [
                task.text_of(failure.symbols),
                task.text_of(failure.answer),
                task.text_of(failure.prediction),
                _marks(failure),
                failure.run_length,
                f"{failure.margin:.6g}",
            ]
        )
    return text.getvalue()


def _marks(failure: Failure) -> str:
    wrong = failure.prediction != failure.answer
    return "".join("^" if mark else "." for mark in wrong[::-1])


def failures_markdown(task: TransducerTask, failures: Sequence[Failure]) -> str:
    """The wrong answers as a table, most significant first, wrong ones bold."""
    if not failures:
        return ""
    rows = [f"| input | answer | prediction | {task.run_name} length |"]
    rows.append("| --- | --- | --- | --- |")
    for failure in failures:
        wrong = failure.prediction != failure.answer
        marked = "".join(
            f"**{symbol}**" if is_wrong else str(symbol)
            for symbol, is_wrong in zip(
                failure.prediction[::-1], wrong[::-1], strict=True
            )
        ).replace("****", "")
        cells = (
            _numbered(task, failure.symbols),
            _numbered(task, failure.answer),
            marked,
            str(failure.run_length),
        )
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def result_text(config: "Config", result: "TrainResult") -> str:
    """A finished run's result, for standard output."""
    report, seconds = result.report, result.report["seconds"]
    lines = [outcome_text(config.task, result.check, result.proof, report)]
    distinct = report["distinct_training_examples"]
    lines += [
        f"Trained on {report['training_examples']:,} examples"
        + (f", {distinct:,} of them distinct" if distinct else "")
        + f", in {report['optimizer_steps']:,} steps; stopped because "
        f"{report['stopped_because']}.",
        f"Seconds: {seconds['import']:.1f} importing, {seconds['build']:.1f} "
        f"building, {seconds['train']:.1f} training, {seconds['check']:.1f} "
        f"checking.",
        f"Run folder: {result.run_dir}",
    ]
    return "\n".join(lines)


def outcome_text(
    task: Task,
    check: Verification | Evaluation,
    proof: ProofSearch | None,
    report: dict[str, Any],
) -> str:
    """What was proved, if that was asked for, and what was wrong."""
    if not isinstance(task, TransducerTask) or isinstance(check, Evaluation):
        return evaluation_text(report)
    text = check_text(task, check)
    return text if proof is None else f"{proof_text(task, proof)}\n{text}"


def proof_text(
    task: TransducerTask,
    search: ProofSearch,
    checks: Sequence[Verification] = (),
) -> str:
    """What was proved, or why nothing was.

    Args:
        task: the machine.
        search: what came of looking for a proof.
        checks: without a proof, what came of looking for wrong inputs.
    """
    proof = search.proof
    if proof is not None:
        return (
            f"Proved: for every {task.input_name}, of any length, this model "
            f"answers {task.answer_name}.\n"
            f"{len(proof.states)} boxes hold every state that it can reach; "
            "over all of them the right symbol wins by at least "
            f"{search.margin:.4g}. Found and checked in {search.seconds:.2f} s."
        )
    lines = []
    if checks and checks[-1].num_wrong:
        failure = checks[-1].failures[0]
        lines += [
            "Wrong, so there is nothing to prove:",
            f"  input       {_numbered(task, failure.symbols)}",
            f"  answer      {_numbered(task, failure.answer)}",
            f"  prediction  {_numbered(task, failure.prediction)}",
            "",
        ]
    lines.append(f"No proof was found: {search.reason}.")
    lines += [
        f"{check.num_wrong:,} of {check.num_examples:,} answers are wrong at "
        f"{len(check.min_margin_input)} bits ({check.checked})."
        for check in checks
    ]
    return "\n".join(lines)


def proof_report(search: ProofSearch) -> dict[str, Any]:
    """What reports say of a proof; empty without one."""
    if search.proof is None:
        return {}
    return {
        "proof_boxes": len(search.proof.states),
        "proof_margin": search.margin,
    }


def evaluation_text(report: dict[str, Any]) -> str:
    """What came out on a test split."""
    lines = [
        f"{percent(report['sequence_accuracy'])} of the test images are right:"
        f" {report['num_wrong']:,} of {report['num_examples']:,} are wrong."
    ]
    if "test_head_num_examples" in report:
        examples = report["test_head_num_examples"]
        right = examples - report["test_head_num_wrong"]
        lines.append(
            f"Of the first {examples}: {percent(right / examples)} right."
        )
    return "\n".join(lines)


def check_text(
    task: TransducerTask, check: Verification, failures: str = "failures.csv"
) -> str:
    """What was checked and what was wrong, the wrong answers first.

    Args:
        task: what is right.
        check: the result.
        failures: the file that lists the wrong answers.
    """
    if not check.num_wrong:
        lines = [
            f"Nothing is wrong: {check.num_examples:,} of "
            f"{check.num_examples:,} answers are right ({check.checked})."
        ]
    else:
        lines = [*_failure_table(task, check, failures), ""]
        lines += [
            f"{check.num_wrong:,} of {check.num_examples:,} answers are wrong "
            f"({check.checked})."
        ]
    if (check.method, check.checked) == ("predict", "all inputs"):
        lines.append(
            "Asked one by one with `predict`: the model has layers that the "
            "walk over prefixes does not know."
        )
    if check.test_num_examples is not None:
        lines.append(
            f"Held out from training: {check.test_num_wrong:,} of "
            f"{check.test_num_examples:,} wrong."
        )
    lines.append(
        f"Smallest margin: {check.min_margin:.4g}, at input "
        f"{_short(task.text_of(check.min_margin_input))}."
    )
    return "\n".join(lines)


def _failure_table(
    task: TransducerTask, check: Verification, failures: str
) -> list[str]:
    lines = [f"{task.run_name} length      wrong         of"]
    groups = check.by_run_length
    shown = groups
    if len(groups) > _MAX_GROUPS:
        most = sorted(groups, key=lambda count: -count.num_wrong)[:_NUM_SHOWN]
        shown = [count for count in groups if count in most]
    lines += [
        f"{count.run_length:>{len(task.run_name) + 7}} "
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
            _numbered(task, failure.symbols),
            _numbered(task, failure.answer),
            _numbered(task, failure.prediction),
            _marks(failure),
        )
        for failure in check.failures[:_NUM_SHOWN]
    ]
    rows.insert(0, ("input", "answer", "prediction", "wrong bits"))
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


def _numbered(task: TransducerTask, symbols: Any) -> str:
    """A sequence, with the number that it stands for where it is short."""
    text = task.text_of(symbols)
    if task.num_symbols != 2 or task.num_classes != 2 or len(text) > 64:
        return _short(text)
    return f"{text} ({int(text, 2):,})"


def _short(text: str) -> str:
    """A long sequence with its middle left out."""
    if len(text) <= 64:
        return text
    return f"{text[:24]}...{text[-24:]} ({len(text)} symbols)"


def check_report(check: Verification | Evaluation) -> dict[str, Any]:
    """What `report.json` says of a check."""
    right = check.num_examples - check.num_wrong
    right_tokens = check.num_tokens - check.num_wrong_tokens
    report: dict[str, Any] = {
        "num_examples": check.num_examples,
        "num_wrong": check.num_wrong,
        "sequence_accuracy": right / check.num_examples,
        "token_accuracy": right_tokens / check.num_tokens,
    }
    if isinstance(check, Evaluation):
        report["min_margin"] = _finite(float(check.margins.min()))
        return {"checked": "test split", **report}
    report["min_margin"] = _finite(check.min_margin)
    report["min_margin_input"] = "".join(
        check.min_margin_input[::-1].astype(str)
    )
    report["by_run_length"] = [
        dataclasses.asdict(count) for count in check.by_run_length
    ]
    return {"checked": check.checked, "method": check.method, **report}


def _finite(value: float) -> float | None:
    """A number as JSON can hold it."""
    return value if math.isfinite(value) else None
