"""The page that lists runs and links theirs; it needs no TensorFlow."""

import collections
import pathlib
from collections.abc import Sequence
from typing import Any

from keras_lstm.pages.render import link_to, render_page
from keras_lstm.runs.folder import SEARCH_SETTINGS, TRIALS, RunFolder
from keras_lstm.runs.summary import RunState, RunSummary
from keras_lstm.runs.table import SHOWN_COLUMNS, cells_of, columns_of

_CODES = ("differs",)
_NUMBERS = ("result", "wrong", "examples", "seconds")


def make_runs_page(
    root: pathlib.Path,
    runs: Sequence[RunSummary],
    page: pathlib.Path,
    filters: Sequence[str] = (),
) -> str:
    """Return a page that lists runs, and links the page of each.

    Args:
        root: the folder that was searched for runs.
        runs: the runs, in the order to show them in.
        page: path that the page will have: links are relative to it.
        filters: the conditions that the runs meet. Defaults to none.

    Returns:
        The page as HTML.
    """
    counts = collections.Counter(run.state for run in runs)
    return render_page(
        "runs.html.jinja",
        "page.css",
        ("page.js", "sort.js"),
        root=str(root),
        num_runs=len(runs),
        states={x.value: counts[x] for x in RunState if counts[x]},
        filters=filters,
        searches=_searches(root, runs, page),
        columns=SHOWN_COLUMNS,
        numbers=_NUMBERS,
        rows=[_row(run, page) for run in runs],
    )


def _row(run: RunSummary, page: pathlib.Path) -> dict[str, Any]:
    """Return the cells of a run, and by which values they are sorted."""
    values = columns_of(run)
    cells = []
    for name, text in zip(SHOWN_COLUMNS, cells_of(run), strict=True):
        value = values.get(name) if name in _NUMBERS else None
        cells.append((text, value, name in _CODES and text != "-"))
    return {
        "cells": cells,
        "state": run.state.value,
        "link": link_to(RunFolder(run.run_dir).page, page),
        "problem": run.problem or "",
    }


def _searches(
    root: pathlib.Path, runs: Sequence[RunSummary], page: pathlib.Path
) -> list[dict[str, Any]]:
    """Return the searches whose trials are among the runs."""
    parents = [run.run_dir.parent for run in runs]
    counts = collections.Counter(x.parent for x in parents if x.name == TRIALS)
    return [
        {
            # Above the root, if that is its folder of trials.
            "name": str(
                folder.relative_to(root)
                if folder.is_relative_to(root)
                else folder
            ),
            "num_trials": count,
            "link": link_to(RunFolder(folder).page, page),
        }
        for folder, count in counts.items()
        if (folder / SEARCH_SETTINGS).is_file()
    ]
