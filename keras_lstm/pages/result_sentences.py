"""Sentences about a run's result, for its page and its model card."""

from keras_lstm.core.console import percent
from keras_lstm.pages.sections import Search
from keras_lstm.pages.wrong_answers import WrongAnswers
from keras_lstm.runs.results import trained_text
from keras_lstm.runs.run import Run
from keras_lstm.tasks.transducer import get_machine
from keras_lstm.verification.proof_reporting import (
    proof_of_text,
    proved_text,
    states_text,
)
from keras_lstm.verification.reporting import (
    checked_text,
    held_out_text,
    margin_text,
    tested_text,
)


def headline(run: Run, search: Search | None) -> str:
    """Return the result in one sentence, and no more than was checked."""
    task, report = run.config.task, run.report
    machine = get_machine(task)
    if machine is None:
        return tested_text(task, report.num_wrong, report.num_examples)
    if search is not None and search.proof is not None:
        return proved_text(machine)
    return checked_text(report.num_wrong, report.num_examples, report.checked)


def sentences(run: Run, search: Search | None) -> list[str]:
    """Return what else there is to say of the result."""
    task, report = run.config.task, run.report
    machine, found = get_machine(task), []
    if report.taught_by == "construction":
        found.append(
            "Examples led to no proof: the weights were set from the machine."
        )
    if machine is not None:
        if search is not None and search.proof is not None:
            counts = (report.num_wrong, report.num_examples)
            found += [
                states_text(search),
                proof_of_text(run.model_sha256),
                checked_text(*counts, report.checked),
            ]
        elif report.proved:
            found.append(
                "The report says that this is proved, but the folder holds no "
                "proof that holds for this model."
            )
        if report.test_num_examples is not None:
            counts = (report.test_num_wrong or 0, report.test_num_examples)
            found.append(held_out_text(*counts))
        if report.min_margin_input and report.min_margin is not None:
            found.append(
                margin_text(report.min_margin, report.min_margin_input)
            )
    if report.test_first_num_examples:
        examples = report.test_first_num_examples
        right = examples - (report.test_first_num_wrong or 0)
        found.append(
            f"Of the first {examples:,}: {percent(right / examples)} right."
        )
    found.append(trained_text(run.config, report))
    return found


def first_typed(run: Run, wrong: WrongAnswers) -> str | None:
    """Return the first wrong input as people would type it."""
    task = run.config.task
    machine = get_machine(task)
    is_read = task.notation(run.any_length).for_script() is not None
    is_kept = machine is not None or task.token_kind is not None
    if not (wrong.rows and is_read and is_kept):
        return None
    text = wrong.rows[0][wrong.columns.index("input")].text
    if machine is None:
        return text
    if machine.writes_numbers and machine.num_symbols == 2:
        return f"0b{text}"
    return None if machine.writes_numbers else text
