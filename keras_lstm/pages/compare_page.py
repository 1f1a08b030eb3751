"""The page that compares runs; it needs no TensorFlow."""

import functools
import pathlib
from typing import Any

from keras_lstm.pages.drawings import draw
from keras_lstm.pages.line_chart import MAX_CHARTS, plot_lines
from keras_lstm.pages.render import (
    Parts,
    link_to,
    marked_parts,
    render_page,
    shortened,
)
from keras_lstm.runs.compare import Comparison
from keras_lstm.runs.compare_text import (
    OneWay,
    curve_rows,
    difference_remarks,
    input_rows,
    one_ways,
    option_rows,
    result_rows,
    run_heads,
)
from keras_lstm.runs.folder import RunFolder
from keras_lstm.runs.wrong_inputs import WrongInput

# Of all tables of inputs together.
_MAX_INPUTS = 2000
_MAX_CHARACTERS = 400_000
_MAX_TEXT = 200


def make_compare_page(comparison: Comparison, page: pathlib.Path) -> str:
    """Return a page that compares runs.

    Args:
        comparison: the comparison.
        page: path that the page will have: links are relative to it.

    Returns:
        The page as HTML.
    """
    heads, names = run_heads(comparison), _curve_names(comparison)
    return render_page(
        "compare.html.jinja",
        "page.css",
        ("page.js",),
        runs=[
            {
                "head": head,
                "name": run.name,
                "state": run.state_text,
                "link": link_to(RunFolder(run.run_dir).page, page),
            }
            for head, run in zip(heads, comparison.runs, strict=True)
        ],
        options=option_rows(comparison) if comparison.options else None,
        results=result_rows(comparison),
        curves=[_curve(name, comparison) for name in names[:MAX_CHARTS]],
        num_metrics=len(names),
        pairs=_pairs(comparison),
        problems=comparison.problems,
    )


def _curve_names(comparison: Comparison) -> list[str]:
    """Return the metrics to show, none of them twice.

    With one output per example, the token accuracy is the sequence accuracy.
    """
    curves = comparison.curves
    return [
        name
        for name in curves
        if "token" not in name
        or curves[name] != curves.get(name.replace("token", "sequence"))
    ]


def _curve(name: str, comparison: Comparison) -> dict[str, Any]:
    """Return a metric of all runs, drawn and as a table."""
    heads, values = run_heads(comparison), comparison.curves[name]
    title = name.replace("_", " ")
    lines = dict(zip(heads, values, strict=True))
    plot = functools.partial(
        plot_lines, comparison.epochs, lines, "epoch", title
    )
    said = []
    for head, each in lines.items():
        known = [value for value in each if value is not None]
        texts = f"first {known[0]:.4g}, last {known[-1]:.4g}" if known else "-"
        said.append(f"{head}: {texts}")
    label = f"Curves of {title} by epoch. {'; '.join(said)}"
    rows = curve_rows(name, comparison)
    return {
        "title": title,
        "drawn": draw(plot, f"curve-{name}", label),
        "rows": [["epoch", *rows[0][1:]], *rows[1:]],
        "num_epochs": len(comparison.epochs),
    }


def _pairs(comparison: Comparison) -> list[dict[str, Any]]:
    """Return the inputs that one run gets right and the other wrong."""
    heads, pairs = run_heads(comparison), []
    # What a page can show, so that it stays small and opens at once.
    room = _Room(_MAX_INPUTS, _MAX_CHARACTERS)
    for number, difference in enumerate(comparison.differences, start=1):
        both = heads[0], heads[number]
        wrong = comparison.wrong[0], comparison.wrong[number]
        pairs.append(
            {
                "title": f"{heads[0].capitalize()} and {heads[number]}",
                "tables": [
                    _table(each, room)
                    for each in one_ways(difference, both, wrong)
                ],
                "remarks": difference_remarks(difference, both, wrong),
            }
        )
    return pairs


class _Room:
    """Room that is left for inputs.

    Args:
        inputs: their number.
        characters: the characters of all.
    """

    def __init__(self, inputs: int, characters: int) -> None:
        self._inputs = inputs
        self._characters = characters

    def take(self, inputs: list[WrongInput]) -> list[WrongInput]:
        """Return the first inputs for which there is room."""
        taken = []
        for each in inputs[: self._inputs]:
            texts = (each.input, each.target, each.prediction)
            size = 60 + sum(min(_MAX_TEXT, len(text)) for text in texts)
            if size > self._characters:
                break
            self._characters -= size
            taken.append(each)
        self._inputs -= len(taken)
        return taken


def _table(each: OneWay, room: _Room) -> dict[str, Any]:
    taken = room.take(each.inputs)
    head, *rows = input_rows(taken, each.wrong_head)
    return {
        "said": each.said,
        "is_all": each.is_all and len(taken) == len(each.inputs),
        "num_shown": len(rows),
        "head": head,
        "rows": [
            [
                *([(shortened(cell, _MAX_TEXT), False)] for cell in row[:-1]),
                _marked(row[-1], one.wrong),
            ]
            for one, row in zip(taken, rows, strict=True)
        ],
    }


def _marked(prediction: str, marks: str) -> Parts:
    """Return a prediction in parts, and which of them are wrong."""
    if len(prediction) <= _MAX_TEXT:
        parts = marked_parts(prediction, marks)
        if parts:
            return parts
    return [(shortened(prediction, _MAX_TEXT), False)]
