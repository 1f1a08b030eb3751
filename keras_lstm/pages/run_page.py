"""The page of a run, `report.html`."""

from typing import Any

from keras_lstm.config import Config
from keras_lstm.core.console import percent, print_status
from keras_lstm.core.errors import InputError, described, escaped
from keras_lstm.core.shell import folder_word, shell_text, typed_words
from keras_lstm.pages.line_chart import MAX_CHARTS
from keras_lstm.pages.live_network import (
    NotLiveError,
    example_inputs,
    is_image,
    live_network,
)
from keras_lstm.pages.model_card import write_card
from keras_lstm.pages.render import (
    json_in_html,
    render_page,
    shortened,
    write_page,
)
from keras_lstm.pages.result_sentences import (
    first_typed,
    headline,
    sentences,
)
from keras_lstm.pages.sections import (
    Search,
    describe_changes,
    describe_groups,
    describe_machine,
    draw_curves,
    drawn_metrics,
    read_history,
)
from keras_lstm.pages.split_result import SplitResult, describe_split_result
from keras_lstm.pages.wrong_answers import WrongAnswers, read_wrong_answers
from keras_lstm.runs.checks import check_kept_proof, measure_by_step
from keras_lstm.runs.report import StopReason
from keras_lstm.runs.results import TrainResult
from keras_lstm.runs.run import Run
from keras_lstm.tasks.make import make_splits
from keras_lstm.tasks.registry import task_name
from keras_lstm.tasks.task import Split
from keras_lstm.tasks.transducer import get_machine
from keras_lstm.verification.evaluation import evaluate
from keras_lstm.verification.final_check import require_test

MAX_BYTES = 2_000_000
_MAX_CONFIG = 20_000


def write_page_of_result(
    config: Config, result: TrainResult, test: Split | None
) -> None:
    """Write the page and the model card of a run that has just been written.

    The run is complete without them, so whatever error is raised, also by
    a custom task, is only reported.

    Args:
        config: the run's configuration.
        result: the run.
        test: its test split; None for a machine.
    """
    run = Run(
        *(result.run_dir, config, result.report, result.model),
        str(result.report.model_sha256),
    )
    try:
        tested = None
        if test is not None and get_machine(config.task) is None:
            by_step = measure_by_step(run, test)
            tested = SplitResult(result.check, test, by_step)
        write_run_page(run, tested, result.proof)
        write_card(run, result.proof)
    except Exception as error:
        command = shell_text(
            ["keras-lstm", "report", folder_word(result.run_dir)]
        )
        print_status(
            escaped(
                f"page and model card: {described(error)}. To write them: "
                f"{command}"
            )
        )


def write_run_page(
    run: Run, tested: SplitResult | None, search: Search | None
) -> None:
    """Write the page of a run into its folder.

    Args:
        run: the run, whose other files are there.
        tested: the predictions for the test split; None for a machine, or if
            the data is not there.
        search: the proof, which holds for the run's model; None without one.

    Raises:
        OSError: if the page cannot be written.
        InputError: if a file of the run is damaged.
    """
    write_page(run.folder.page, make_run_page(run, tested, search))


def rewrite_run_page(run: Run) -> None:
    """Write the page and the model card of a finished run again.

    A proof in the folder is checked, and the test split is measured again.

    Args:
        run: the run.

    Raises:
        OSError: if the page cannot be written.
        InputError: if a file of the run is damaged, or the report is about
            another model.
    """
    if run.report.model_sha256 not in (None, run.model_sha256):
        raise InputError(
            "`run_dir` must hold the model.keras that its report is about. "
            f"Received: run_dir={run.run_dir}, with another one"
        )
    tested, search = None, None
    if get_machine(run.config.task) is None:
        tested = _test_again(run)
    else:
        search = check_kept_proof(run)
    write_run_page(run, tested, search)
    write_card(run, search)


def _test_again(run: Run) -> SplitResult | None:
    """Return the predictions for the test split, if its data is there.

    None, too, if they are not those that the report tells: the data may be
    other, or the machine.
    """
    task = run.config.task
    try:
        test = require_test(task, make_splits(task, run.config.seed))
    except InputError:
        return None
    result = evaluate(run.model, test)
    found = (result.num_wrong, result.num_examples)
    told = (run.report.num_wrong, run.report.num_examples)
    if found != told:
        print_status(
            f"report.json tells {told[0]:,} of {told[1]:,} wrong, but here "
            f"{found[0]:,} of {found[1]:,} are: the page is without them"
        )
        return None
    return SplitResult(result, test, measure_by_step(run, test))


def make_run_page(
    run: Run, tested: SplitResult | None, search: Search | None
) -> str:
    """Return the page of a run as HTML.

    Args:
        run: see `write_run_page`.
        tested: likewise.
        search: likewise.

    Returns:
        The page, of at most 2 MB.

    Raises:
        InputError: if a file of the run is damaged.
    """
    task, report = run.config.task, run.report
    if not report.num_examples or report.num_wrong > report.num_examples:
        raise InputError(
            "`run_dir` must hold a report with as many examples as are wrong. "
            f"Received: run_dir={run.run_dir}"
        )
    machine = get_machine(task)
    wrong, described = WrongAnswers((), (), 0), None
    if machine is not None:
        described = describe_machine(run, machine, search)
    of_split = None if tested is None else describe_split_result(run, tested)
    if report.num_wrong:
        wrong = read_wrong_answers(run.folder.failures, task)
    history = read_history(run)
    metrics = drawn_metrics(run, history)
    content: dict[str, Any] = {
        "task": task_name(type(task)),
        "name": run.run_dir.resolve().name,
        "report": report,
        "headline": headline(run, search),
        "sentences": sentences(run, search),
        "is_right": report.num_wrong == 0,
        "wrong": wrong,
        "failures_name": run.folder.failures.name,
        "curves": draw_curves(history, metrics[:MAX_CHARTS]),
        "num_metrics": len(metrics),
        "machine": described,
        "groups": describe_groups(run),
        "tested": of_split,
        "data_is_missing": machine is None and tested is None,
        "example_label": task.example_label,
        "step_label": task.step_label,
        "baselines": {
            name.replace("_", " "): percent(value)
            for name, value in (report.baselines or {}).items()
        },
        "accuracy": percent(
            report.token_accuracy
            if task.output_shape
            else report.sequence_accuracy
        ),
        "changes": describe_changes(run),
        "config": shortened(run.config.to_yaml(), _MAX_CONFIG),
        "commands": _commands(run, wrong),
        "model_sha256": run.model_sha256,
        "seconds": report.seconds.to_mapping(),
    }
    return _with_live_network(run, content, wrong, tested)


def _with_live_network(
    run: Run,
    content: dict[str, Any],
    wrong: WrongAnswers,
    tested: SplitResult | None,
) -> str:
    """Return the page, with the network in it if it is small enough."""
    page, reason = "", ""
    try:
        network = live_network(run, first_typed(run, wrong), tested)
        live = json_in_html(network)
    except NotLiveError as error:
        reason = str(error)
    else:
        draws = is_image(network["reads"])
        readers = ("pad.js",) if draws else ("readers.js",)
        page = render_page(
            "run.html.jinja",
            "page.css",
            ("stepper.js", *readers, "live.js", "page.js"),
            **content,
            live=live,
            draws=draws,
            why_not_live="",
        )
        if len(page.encode("utf-8", "backslashreplace")) > MAX_BYTES:
            page, reason = "", "the page would have more than 2 MB"
    if not page:
        page = render_page(
            "run.html.jinja",
            "page.css",
            ("page.js",),
            **content,
            live=None,
            draws=False,
            why_not_live=reason,
        )
    return page


def _commands(run: Run, wrong: WrongAnswers) -> list[tuple[str, str]]:
    """Return what each command is for, and the command, for a shell."""
    config, name = run.config, task_name(type(run.config.task))
    folder = folder_word(run.run_dir)
    # Code that is not installed runs only if it is named.
    custom = ["--task", name] if ":" in name else []

    def command(*words: str) -> str:
        return shell_text(["keras-lstm", *words])

    found = []
    if get_machine(config.task) is not None:
        found.append(
            ("Check every input again", command("verify", folder, *custom))
        )
        if run.any_length:
            prove = command("prove", folder, *custom)
            found.append(("Search for a proof for every length", prove))
    else:
        again = command("evaluate", folder, *custom)
        found.append(("Measure the test split again", again))
    first = first_typed(run, wrong)
    examples = [*([first] if first else []), *example_inputs(run)]
    found.append(
        ("Predict", command("predict", *custom, folder, *typed_words(examples)))
    )
    if run.report.stopped_because is StopReason.ALL_EPOCHS:
        more = ["--epochs", str(2 * config.training.epochs)]
        flags = ("--run-dir", folder, "--resume", *more)
        found.append(("Train for longer", command("train", name, *flags)))
    found.append(("Write this page again", command("report", folder, *custom)))
    return found
