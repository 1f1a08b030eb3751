"""Checks of a finished run: verify, prove, extract, evaluate."""

import dataclasses
import json
import pathlib
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from keras_lstm.core.console import ProgressBar, print_status, quantity
from keras_lstm.core.errors import InputError
from keras_lstm.core.files import read_small_text, write_text
from keras_lstm.proof.certificate import Proof, check_proof
from keras_lstm.proof.ellipsoid_search import (
    EllipsoidSearch,
    find_ellipsoids,
)
from keras_lstm.proof.ellipsoids import EllipsoidProof, check_ellipsoids
from keras_lstm.proof.proof_json import ProofError
from keras_lstm.proof.search import ProofSearch, find_proof
from keras_lstm.runs.run import Run
from keras_lstm.runs.saved_run import SavedRun
from keras_lstm.tasks.machine_dot import machine_to_dot
from keras_lstm.tasks.make import make_splits
from keras_lstm.tasks.registry import task_name
from keras_lstm.tasks.task import Split, Task
from keras_lstm.tasks.transducer import TransducerTask
from keras_lstm.verification.evaluation import accuracy_by_step, evaluate
from keras_lstm.verification.evaluation_details import evaluation_details
from keras_lstm.verification.extraction import Extraction, extract_machine
from keras_lstm.verification.final_check import require_test
from keras_lstm.verification.mistakes import NUM_MISTAKES
from keras_lstm.verification.proof_reporting import (
    proof_report,
    proved_report,
)
from keras_lstm.verification.reporting import check_report, failures_csv
from keras_lstm.verification.verify import (
    DEFAULT_WALKED_INPUTS,
    MAX_WALKED_INPUTS,
    Failure,
    Verification,
    verify,
)

# Without a proof, inputs of these lengths are checked for failures too.
_LENGTHS_TO_FAIL_AT = (64, 1024)
# Ellipsoids in JSON take tens of megabytes.
_MAX_PROOF = 2**29


def verify_run(
    run: Run, num_bits: int | None = None
) -> tuple[TransducerTask, Verification, dict[str, Any]]:
    """Check a run's model; `save_verification` writes the result.

    Args:
        run: the run.
        num_bits: the length to check; None for the run's own.

    Returns:
        The task at that length, the result, and the contents of
        `verify-<num_bits>.json`.

    Raises:
        InputError: if the run's task is not a sequence task, or the model's
            head does not support the length.
    """
    task = run.machine_to_verify(num_bits)
    walked = MAX_WALKED_INPUTS
    if task.num_bits > run.machine.num_bits:
        walked = DEFAULT_WALKED_INPUTS
    with ProgressBar("checking") as bar:
        result = verify(
            run.model,
            task,
            max_walked_inputs=walked,
            progress=bar.update,
            forecast=bar.forecast,
        )
    found = check_report(task, result)
    return task, result, _verification(run, task, found, result.seconds)


def verify_by_proof(
    run: Run, num_bits: int | None = None
) -> (
    tuple[TransducerTask, ProofSearch | EllipsoidSearch, dict[str, Any]] | None
):
    """Check a run's proof, which says that nothing is wrong at any length.

    Args:
        run: the run.
        num_bits: the length of interest; None for the run's own.

    Returns:
        The task at that length; the proof, as a search that found it; and the
        contents of `verify-<num_bits>.json`. None if the folder has no proof
        that holds for the run's model.

    Raises:
        InputError: as `verify_run`.
    """
    task = run.machine_to_verify(num_bits)
    search = check_kept_proof(run)
    if search is None:
        if run.folder.proof.exists():
            print_status(
                f"{run.folder.proof.name} does not hold for this model, so the "
                "answers are computed"
            )
        return None
    found = proved_report(task, search)
    return task, search, _verification(run, task, found, search.seconds)


def _verification(
    run: Run, task: TransducerTask, found: dict[str, Any], seconds: float
) -> dict[str, Any]:
    """Return the contents of a check's JSON file."""
    return {
        "task": task_name(type(task)),
        "num_bits": task.num_bits,
        **found,
        "model_sha256": run.model_sha256,
        "seconds": round(seconds, 3),
    }


def save_verification(
    run: Run,
    task: TransducerTask,
    report: dict[str, Any],
    failures: Sequence[Failure],
) -> None:
    """Write what `verify_run` or `verify_by_proof` found.

    It goes to `verify-<num_bits>.json`, and the wrong predictions to
    `failures.csv`, or to `failures-<num_bits>.csv` if the model was trained on
    another length. `report.json` is not changed.

    Args:
        run: the run.
        task: the task at the length that was checked.
        report: the contents of `verify-<num_bits>.json`.
        failures: the wrong predictions.

    Raises:
        OSError: if a file cannot be written.
    """
    text = json.dumps(report, indent=2, allow_nan=False) + "\n"
    write_text(run.folder.verification(task.num_bits), text)
    text = failures_csv(task, failures)
    write_text(failures_path(run, task.num_bits), text)


def prove_run(
    run: Run, ellipsoids: bool = False
) -> tuple[ProofSearch | EllipsoidSearch, list[Verification], dict[str, Any]]:
    """Search for a proof that a run's model is right for every length.

    If there are no boxes, ellipsoids that are there already are checked, and
    kept if they hold. Without a proof, the model is checked at the run's own
    length and at greater ones, until a check finds a failure. `save_proof`
    writes the result.

    Args:
        run: the run.
        ellipsoids: whether to search for ellipsoids if there are no boxes; it
            takes longer. Defaults to False.

    Returns:
        The search; the checks, none if there is a proof; and both as a
        mapping for JSON.

    Raises:
        InputError: if the run's task is not a sequence task, or
            `find_proof` does not support the model.
    """
    task = run.machine_to_prove()
    with ProgressBar("proving") as bar:
        boxes = find_proof(run.model, task, bar.update)
    search: ProofSearch | EllipsoidSearch = boxes
    if boxes.proof is None:
        # A search for ellipsoids takes minutes, so those found once are kept.
        kept = _check_kept_ellipsoids(run)
        if kept is not None:
            search = dataclasses.replace(
                kept,
                rounds=boxes.rounds,
                seconds=boxes.seconds + kept.seconds,
            )
        elif ellipsoids:
            search = _find_ellipsoids(run, boxes)
    checks: list[Verification] = []
    report = {
        "task": task_name(type(task)),
        "proved": search.proof is not None,
        "domain": search.proof.domain if search.proof else None,
        **proof_report(search),
        "model_sha256": run.model_sha256,
        "reason": search.reason or None,
        "rounds": search.rounds,
        "seconds": round(search.seconds, 3),
    }
    if search.proof is not None:
        return search, checks, report
    for num_bits in (task.num_bits, *_LENGTHS_TO_FAIL_AT):
        try:
            machine = task.of_length(num_bits)
        # Some domains have too few inputs of such a length.
        except InputError:
            continue
        with ProgressBar(f"checking {quantity(num_bits, 'bit')}") as bar:
            check = verify(run.model, machine, progress=bar.update)
        checks.append(check)
        if check.num_wrong:
            break
    report["checks"] = [check_report(task, check) for check in checks]
    report["wrong_input"] = None
    if checks[-1].failures:
        symbols = checks[-1].failures[0].symbols
        report["wrong_input"] = task.text_of(symbols)
    return search, checks, report


def save_proof(run: Run, search: ProofSearch | EllipsoidSearch) -> None:
    """Write the proof that `prove_run` found; without one, remove an older one.

    Args:
        run: the run.
        search: the search.

    Raises:
        OSError: if `proof.json` cannot be written.
    """
    if search.proof is not None:
        write_text(run.folder.proof, search.proof.to_json())
    else:
        # It is about other weights.
        run.folder.proof.unlink(missing_ok=True)


def extract_run(
    run: Run, output: pathlib.Path | None = None, max_states: int | None = None
) -> tuple[Extraction, dict[str, Any]]:
    """Find the machine that a run's model computes.

    Args:
        run: the run.
        output: Graphviz file to write the machine to; None for none.
        max_states: see `extract_machine`; None for its default.

    Returns:
        The result, and the same as a mapping for JSON.

    Raises:
        InputError: as `extract_machine`.
    """
    task = run.machine_to_prove()
    limit = {} if max_states is None else {"max_states": max_states}
    with ProgressBar("extracting") as bar:
        found = extract_machine(run.model, task, progress=bar.update, **limit)
    machine, search = found.machine, found.search
    report: dict[str, Any] = {
        "task": task_name(type(task)),
        "is_right": found.is_right,
        "num_states": None if machine is None else len(machine.next_state),
        "proved": search is not None and search.proof is not None,
        "reason": found.reason or (search.reason if search else "") or None,
        "tells_apart": (
            None
            if machine is None or found.apart is None
            else machine.text_of(found.apart)
        ),
        "next_state": None if machine is None else machine.next_state,
        "output": None if machine is None else machine.output,
        "model_sha256": run.model_sha256,
        "num_queries": found.num_queries,
        "seconds": round(found.seconds, 3),
    }
    if output is not None and machine is not None:
        write_text(output, machine_to_dot(machine, task.name))
    return found, report


def check_kept_proof(run: Run) -> ProofSearch | EllipsoidSearch | None:
    """Check the proof in a run folder.

    Args:
        run: the run.

    Returns:
        The proof, as a search that found it; None if there is none that holds
        for the run's model.
    """
    start = time.perf_counter()
    try:
        task = run.machine_to_prove()
        text = read_small_text(run.folder.proof, _MAX_PROOF)
        proof = Proof.from_json(text)
        margin = check_proof(run.model, task, proof)
    except (OSError, UnicodeDecodeError, InputError):
        return None
    except ProofError:
        return _check_kept_ellipsoids(run)
    return ProofSearch(proof, margin, "", 0, time.perf_counter() - start)


def _check_kept_ellipsoids(run: Run) -> EllipsoidSearch | None:
    """Return the proof by ellipsoids in the folder, if it holds."""
    start = time.perf_counter()
    try:
        text = read_small_text(run.folder.proof, _MAX_PROOF)
        proof = EllipsoidProof.from_json(text)
        margin = check_ellipsoids(run.model, run.machine_to_prove(), proof)
    except (OSError, UnicodeDecodeError, InputError, ProofError):
        return None
    return EllipsoidSearch(proof, margin, "", 0, time.perf_counter() - start)


def _find_ellipsoids(run: Run, boxes: ProofSearch) -> EllipsoidSearch:
    """Search for ellipsoids; the result includes the search for boxes."""
    with ProgressBar("proving with ellipsoids") as bar:
        found = find_ellipsoids(run.model, run.machine_to_prove(), bar.update)
    return dataclasses.replace(
        found,
        reason=found.reason
        and f"{boxes.reason}; with ellipsoids, {found.reason}",
        rounds=boxes.rounds + found.rounds,
        seconds=boxes.seconds + found.seconds,
    )


def evaluate_run(
    run: Run, **data_options: str | None
) -> tuple[Task, dict[str, Any], list[list[str]]]:
    """Measure a run's model on each example of a test split.

    Args:
        run: the run.
        **data_options: see `SavedRun.task_to_evaluate`.

    Returns:
        The task; `evaluation_details`, with the options that name the data;
        and sketches of the most confident mistakes.

    Raises:
        InputError: if the task has no test split, or the data does not fit
            the model.
    """
    task = run.task_to_evaluate(**data_options)
    test = require_test(task, make_splits(task, run.config.seed))
    result = evaluate(run.model, test)
    by_step = measure_by_step(run, test)
    named = {k: getattr(task, k) for k in task.data_options[:1]}
    details = named | evaluation_details(result, by_step, task, test)
    wrong = result.confident_mistakes()[:NUM_MISTAKES]
    if not len(wrong):
        return task, details, []
    inputs, _ = test.batch(wrong)
    return task, details, [task.sketch(one) for one in inputs.numpy()]


def measure_by_step(run: Run, test: Split) -> npt.NDArray[np.float64] | None:
    """Return the accuracy of a run's model after each time step.

    Args:
        run: the run.
        test: the examples to measure it on.

    Returns:
        See `accuracy_by_step`; None for a model with an output at every step
        or one that reads backwards as well, or if lengths differ.
    """
    reads_forwards = not run.config.model.bidirectional
    if run.config.task.output_shape or test.lengths is not None:
        return None
    return accuracy_by_step(run.model, test) if reads_forwards else None


def failures_path(run: SavedRun, num_bits: int) -> pathlib.Path:
    """Return the path of the list of failures at a length."""
    if num_bits == run.machine.num_bits:
        return run.folder.failures
    return run.folder.failures_at(num_bits)
