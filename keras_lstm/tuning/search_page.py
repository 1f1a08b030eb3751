"""The page of a search, `report.html`."""

import pathlib
from collections.abc import Sequence
from typing import Any

from keras_lstm.core.console import print_status
from keras_lstm.core.errors import InputError, described, escaped
from keras_lstm.core.shell import folder_word, shell_text
from keras_lstm.pages.render import link_to, render_page, write_page
from keras_lstm.runs.folder import RunFolder
from keras_lstm.tasks.registry import task_name
from keras_lstm.tasks.transducer import get_machine
from keras_lstm.tuning.folder import read_search, trial_dir
from keras_lstm.tuning.importance import (
    MIN_TRIALS,
    Importance,
    measure_importance,
)
from keras_lstm.tuning.results import Trial, outcome_text, read_trials
from keras_lstm.tuning.search_charts import (
    COST_LABELS,
    cost_of,
    draw_best,
    draw_front,
    find_front,
    parallel_coordinates,
    size_of,
)
from keras_lstm.tuning.settings import Search

# Lines and rows of more could not be read, and make the page slow.
_MAX_TRIALS = 1000


def write_search_page(
    folder: pathlib.Path, search: Search, trials: Sequence[Trial]
) -> pathlib.Path:
    """Write the page of a search into its folder.

    Args:
        folder: the search folder.
        search: the search.
        trials: its trials, best first.

    Returns:
        The path of the page.

    Raises:
        OSError: if the page cannot be written.
    """
    page = RunFolder(folder).page
    write_page(page, make_search_page(folder, search, trials))
    return page


def write_page_of_search(
    folder: pathlib.Path, search: Search, trials: Sequence[Trial]
) -> None:
    """Write the page of a search that has just ended, if that is possible.

    The search is complete without its page, so an error is only reported.

    Args:
        folder: the search folder.
        search: the search.
        trials: its trials, best first.
    """
    try:
        write_search_page(folder, search, trials)
    except Exception as error:
        command = shell_text(["keras-lstm", "report", folder_word(folder)])
        print_status(
            escaped(f"report.html: {described(error)}. To write it: {command}")
        )


def rewrite_search_page(folder: pathlib.Path) -> pathlib.Path:
    """Write the page of a search again, from its folder.

    Args:
        folder: the search folder; the search may still be running.

    Returns:
        The path of the page.

    Raises:
        InputError: if a file of the search is damaged.
        OSError: if the page cannot be written.
    """
    search = read_search(folder)
    try:
        trials = read_trials(folder, search)
    except InputError:
        raise
    # As `read_state` does for a file that is damaged or lacks a value.
    except (ValueError, KeyError) as error:
        raise InputError(
            "`run_dir` must hold whole files of trials. Received: "
            f"run_dir={folder}, {described(error)}"
        ) from None
    return write_search_page(folder, search, trials)


def make_search_page(
    folder: pathlib.Path, search: Search, trials: Sequence[Trial]
) -> str:
    """Return the page of a search as HTML.

    Args:
        folder: the search folder.
        search: the search.
        trials: its trials, best first.

    Returns:
        The page.
    """
    page = RunFolder(folder).page
    shown = list(trials[:_MAX_TRIALS])
    done = [x for x in trials if x.report is not None and x.score is not None]
    importance = measure_importance(done, search.names)
    return render_page(
        "tuning.html.jinja",
        "page.css",
        ("page.js", "sort.js", "tuning.js"),
        task=task_name(type(search.config.task)),
        name=folder.resolve().name,
        headline=_headline(search, trials),
        sentences=_sentences(search, trials),
        is_right=_is_right(search, done),
        is_ranked_by_wrong=search.objective != "accuracy",
        options=search.names,
        parallel=(
            parallel_coordinates(done[:_MAX_TRIALS], search)
            if len(done) > 1
            else None
        ),
        # A search that is resumed with more trials has longer numbers.
        best=draw_best(
            sorted(trials, key=lambda x: x.name.zfill(20)),
            search.objective,
        ),
        fronts=_fronts(search, done),
        importance=_importance_rows(importance),
        importance_text=_importance_text(importance, search, len(done)),
        rows=[_row(x, folder, search, page) for x in shown],
        num_trials=len(trials),
        config=search.to_yaml(),
        commands=_commands(folder, search, done),
    )


def _is_right(search: Search, done: Sequence[Trial]) -> bool:
    """Return whether the best trial is as good as its objective can tell."""
    best = done[0].report if done else None
    if best is None:
        return False
    return search.objective == "accuracy" or best.num_wrong == 0


def _headline(search: Search, trials: Sequence[Trial]) -> str:
    """Return the best result in one sentence."""
    if not trials or trials[0].score is None:
        return "No trial has finished yet"
    best = trials[0]
    outcome = outcome_text(best.report, search.objective)
    return f"Best of {len(trials):,} trials: {_values(best)}: {outcome}"


def _values(trial: Trial) -> str:
    return ", ".join(f"{n} {value:.3g}" for n, value in trial.values.items())


def _sentences(search: Search, trials: Sequence[Trial]) -> list[str]:
    """Return how the trials are ranked, and how many did not count."""
    meanings = {
        "cost": "the number of training examples until nothing is wrong",
        "smallest": "the number of parameters of models with nothing wrong",
        "accuracy": "validation accuracy",
    }
    found = [
        f"Ranked by {meanings[search.objective]}; algorithm "
        f"{search.algorithm}, seed {search.seed}. Each trial is one run with "
        "one seed: trials that are close may change places with another."
    ]
    done = [x for x in trials if x.score is not None]
    wrong = [x for x in done if x.report is not None and x.report.num_wrong]
    failed = [x for x in done if x.report is None]
    if wrong and search.objective != "accuracy":
        found.append(f"In {len(wrong):,} of {len(done):,}, something is wrong.")
    if failed:
        found.append(f"Loss or weights not finite: {len(failed):,}.")
    if len(done) < len(trials):
        found.append(f"Not done: {len(trials) - len(done):,}.")
    return found


def _fronts(search: Search, done: Sequence[Trial]) -> list[dict[str, Any]]:
    """Return the fronts of cost and of seconds against size."""

    def cost(trial: Trial) -> float | None:
        return cost_of(trial, search.objective)

    def seconds(trial: Trial) -> float | None:
        return None if cost(trial) is None else trial.metrics["seconds"]

    found = []
    for label, measure in (
        (COST_LABELS[search.objective], cost),
        ("seconds", seconds),
    ):
        front = find_front(done, measure)
        if front:
            found.append(
                {
                    "label": label,
                    "drawing": draw_front(done, front, measure, label),
                    "rows": [
                        (x.name, _values(x), size_of(x), measure(x))
                        for x in front
                    ],
                }
            )
    return found


def _importance_rows(
    importance: Importance | None,
) -> list[tuple[str, str, float]]:
    """Return the options, with the length of a bar for each."""
    if importance is None or not importance.is_found:
        return []
    largest = max(1e-9, *importance.places.values())
    return [
        (name, f"{places:.1f}", round(max(0.0, places) / largest, 4))
        for name, places in importance.places.items()
    ]


def _importance_text(
    importance: Importance | None, search: Search, num_done: int
) -> str:
    """Say what the importance is worth."""
    if importance is None and len(search.names) < 2:
        return "Only one option was searched: there is nothing to compare."
    if importance is None and num_done < MIN_TRIALS:
        return (
            f"Not shown for fewer than {MIN_TRIALS} finished trials: it would "
            f"be mostly chance. There are {num_done:,}."
        )
    if importance is None:
        return "Fewer than two options have different values."
    errors = (
        f"mean error of {importance.error:.1f} places; the middle place, "
        f"guessed for all, has {importance.error_without:.1f}"
    )
    if not importance.is_found:
        return (
            "Not shown: a random forest predicts the place of a held-out trial "
            f"little or no better than a guess ({errors})."
        )
    return (
        f"A random forest, fitted to {importance.num_trials:,} trials, "
        f"predicts the places of held-out ones with a {errors}. An option "
        "matters as much as this error grows, in places, if its values are "
        "shuffled. Of so few trials this is an estimate: differences of less "
        "than a place mean nothing, and options that act only together share "
        "what they do."
    )


def _row(
    trial: Trial, folder: pathlib.Path, search: Search, page: pathlib.Path
) -> dict[str, Any]:
    """Return the cells of a trial, and by which values they are sorted."""
    result, metrics = "not done", trial.metrics
    if trial.score is not None:
        result = outcome_text(trial.report, search.objective)
    names = ("num_wrong", "training_examples", "num_parameters", "seconds")
    return {
        "trial": trial.name,
        "link": link_to(RunFolder(trial_dir(folder, trial.name)).page, page),
        "has_line": bool(metrics) and trial.score is not None,
        "values": [(f"{value:.4g}", value) for value in trial.values.values()],
        "result": result,
        "score": trial.score,
        "numbers": [
            (f"{metrics[name]:,.0f}", metrics[name]) if metrics else None
            for name in names
        ],
    }


def _commands(
    folder: pathlib.Path, search: Search, done: Sequence[Trial]
) -> list[tuple[str, str]]:
    """Return what each command is for, and the command, for a shell."""
    name, found = task_name(type(search.config.task)), []
    if done:
        best = folder_word(folder / "best.yaml")
        run = folder_word(trial_dir(folder, done[0].name))
        custom = ["--task", name] if ":" in name else []
        check = (
            "evaluate" if get_machine(search.config.task) is None else "verify"
        )
        found = [
            ("Train the best configuration", ["train", name, "--config", best]),
            ("Check the model of the best trial", [check, run, *custom]),
        ]
    custom = ["--task", name] if ":" in name else []
    found.append(
        ("Write this page again", ["report", folder_word(folder), *custom])
    )
    return [(what, shell_text(["keras-lstm", *words])) for what, words in found]
