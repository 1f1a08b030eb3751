"""What was proved, as text and as fields of reports."""

from collections.abc import Sequence
from typing import Any

from keras_lstm.core.console import quantity
from keras_lstm.proof.ellipsoid_search import EllipsoidSearch
from keras_lstm.proof.search import ProofSearch
from keras_lstm.tasks.transducer import TransducerTask
from keras_lstm.verification.reporting import numbered_text
from keras_lstm.verification.verify import Verification


def proof_text(
    task: TransducerTask,
    search: ProofSearch | EllipsoidSearch,
    model_sha256: str,
    checks: Sequence[Verification] = (),
) -> str:
    """Return what was proved, or why no proof was found.

    Args:
        task: the machine.
        search: the result of the search for a proof.
        model_sha256: SHA-256 of `model.keras`, which a proof is about.
        checks: without a proof, the checks for failures; the last may have
            found some.

    Returns:
        One or more lines.
    """
    if search.proof is not None:
        return (
            f"{proved_text(task)}\n{states_text(search)} Found and checked in "
            f"{search.seconds:.2f} s.\n{proof_of_text(model_sha256)}"
        )
    lines = []
    if checks and checks[-1].num_wrong:
        failure = checks[-1].failures[0]
        lines += [
            "Wrong, so there is nothing to prove:",
            f"  input       {numbered_text(task, failure.symbols)}",
            f"  target      {numbered_text(task, failure.target)}",
            f"  prediction  {numbered_text(task, failure.prediction)}",
            "",
        ]
    lines.append(f"No proof was found: {search.reason}.")
    lines += [
        f"{check.num_wrong:,} of {check.num_examples:,} answers are wrong at "
        f"{quantity(len(check.min_margin_input), 'bit')} ({check.checked})."
        for check in checks
    ]
    return "\n".join(lines)


def proved_text(task: TransducerTask) -> str:
    """Return the sentence that a proof stands for."""
    return (
        f"Proved: for every {task.input_name}, of any length, this model "
        f"answers {task.target_name}."
    )


def verified_text(
    task: TransducerTask,
    search: ProofSearch | EllipsoidSearch,
    model_sha256: str,
) -> str:
    """Return what the proof of a run says of a length, as text.

    Args:
        task: the machine, at the length of interest.
        search: the proof, checked again.
        model_sha256: SHA-256 of `model.keras`, which the proof is about.

    Returns:
        Several lines.
    """
    return (
        f"{proved_text(task)}\n{states_text(search)} The proof was checked "
        f"again, in {search.seconds:.2f} s.\n{proof_of_text(model_sha256)}\n"
        f"So nothing is wrong at {quantity(task.num_bits, 'bit')} either; "
        "`--walk` computes the answers one by one."
    )


def states_text(search: ProofSearch | EllipsoidSearch) -> str:
    """Return a proof's size and margin as a sentence; empty without one."""
    if search.proof is None:
        return ""
    return (
        f"{len(search.proof.states):,} {search.proof.domain} hold every state "
        "that it can reach; over all of them the right symbol wins by at "
        f"least {search.margin:.4g}."
    )


def proof_of_text(model_sha256: str) -> str:
    """Return which file a proof is about, as a sentence."""
    return f"The proof is of the model.keras with SHA-256 {model_sha256}."


def proof_report(search: ProofSearch | EllipsoidSearch) -> dict[str, Any]:
    """Return a proof's fields of a report; empty if none was found."""
    if search.proof is None:
        return {}
    return {
        f"proof_{search.proof.domain}": len(search.proof.states),
        "proof_margin": search.margin,
    }


def proved_report(
    task: TransducerTask, search: ProofSearch | EllipsoidSearch
) -> dict[str, Any]:
    """Return the fields of `check_report` that follow from a proof.

    Args:
        task: the machine, at the length of interest.
        search: a search that found a proof.

    Returns:
        A mapping for JSON. `num_examples` is None if 2^63 or more.
    """
    count = task.num_inputs()
    return {
        "checked": "proof for every length",
        "method": "proof",
        "num_predicted": 0,
        "num_examples": count if count < 2**63 else None,
        "num_wrong": 0,
        "sequence_accuracy": 1.0,
        "token_accuracy": 1.0,
        "min_margin": search.margin,
        "min_margin_input": None,
        "by_hold_length": [],
    }
