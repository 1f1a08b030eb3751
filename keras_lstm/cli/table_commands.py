"""Functions that run the subcommands on many runs, without TensorFlow."""

import argparse
import json
import pathlib

from keras_lstm.core.console import print_status
from keras_lstm.core.errors import InputError, escaped


def runs_command(arguments: argparse.Namespace) -> int:
    """Run `keras-lstm runs`; return the exit code."""
    # Other commands need none of this.
    from keras_lstm.runs.summary import find_runs
    from keras_lstm.runs.table import (
        runs_csv,
        runs_json,
        runs_text,
        select_runs,
    )

    _check_one_format(arguments, "json", "csv", "html")
    root = arguments.dir
    found, unread = find_runs(root)
    chosen = select_runs(
        found, arguments.filter, arguments.sort, arguments.descending
    )
    for run in found:
        if run.problem is not None:
            print_status(escaped(f"{run.name} is damaged: {run.problem}"))
    for problem in unread:
        print_status(escaped(f"cannot be read: {problem}"))
    if arguments.json:
        print(json.dumps(runs_json(chosen), indent=2))
    elif arguments.csv:
        print(runs_csv(chosen), end="")
    elif arguments.html is not None:
        from keras_lstm.pages.runs_page import make_runs_page

        page = arguments.html
        if page == pathlib.Path():
            page = root / "index.html"
        _write_page(page, make_runs_page(root, chosen, page, arguments.filter))
    elif chosen:
        print(runs_text(chosen))
    else:
        no_run = (
            "no run meets the filters in" if found else "there is no run in"
        )
        print_status(escaped(f"{no_run} {root}"))
    return 0


def compare_command(arguments: argparse.Namespace) -> int:
    """Run `keras-lstm compare`; return the exit code."""
    from keras_lstm.runs.compare import compare_runs
    from keras_lstm.runs.compare_text import comparison_text

    _check_one_format(arguments, "json", "html")
    comparison = compare_runs(arguments.run_dirs)
    if arguments.json:
        print(json.dumps(comparison.to_mapping(), indent=2))
    elif arguments.html is not None:
        from keras_lstm.pages.compare_page import make_compare_page

        page = make_compare_page(comparison, arguments.html)
        _write_page(arguments.html, page)
    else:
        print(comparison_text(comparison))
    return 0


def _check_one_format(arguments: argparse.Namespace, *names: str) -> None:
    """Refuse several formats of what a command prints or writes."""
    given = [name for name in names if getattr(arguments, name)]
    if len(given) > 1:
        raise InputError(f"`{given[0]}` must not be given with `{given[1]}`")


def _write_page(path: pathlib.Path, text: str) -> None:
    from keras_lstm.pages.render import is_page, write_page
    from keras_lstm.runs.folder import SEARCH_SETTINGS, RunFolder

    if path.exists() and not is_page(path):
        raise InputError(
            "`html` must not be a file that is no page of keras-lstm. "
            f"Received: html={path}"
        )
    folder = RunFolder(path.parent)
    is_held = folder.is_begun or (folder.path / SEARCH_SETTINGS).exists()
    if path.name == folder.page.name and is_held:
        raise InputError(
            "`html` must not be the page of a run or a search. "
            f"Received: html={path}"
        )
    write_page(path, text)
    print(f"Page: {escaped(str(path))}")
