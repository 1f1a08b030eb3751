"""Drawings of a search: its curve, its front, and parallel coordinates."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib.figure
import matplotlib.ticker

from keras_lstm.pages.drawings import draw
from keras_lstm.tuning.results import Trial
from keras_lstm.tuning.scores import rank
from keras_lstm.tuning.settings import SPACE, Search

# Of parallel coordinates, in the units of the drawing.
_TOP, _BOTTOM, _LEFT, _RIGHT, _BETWEEN = 40.0, 330.0, 50.0, 60.0, 130.0
# What a curve or a front is about, by objective.
COST_LABELS = {
    "cost": "examples to exact",
    "smallest": "examples",
    "accuracy": "1 - validation accuracy",
}


def cost_of(trial: Trial, objective: str) -> float | None:
    """Return what a trial costs; None if it failed or something is wrong."""
    if trial.report is None or trial.score is None:
        return None
    if objective == "accuracy":
        return rank(trial.report, objective)[1]
    if trial.report.num_wrong:
        return None
    return float(trial.report.training_examples)


def size_of(trial: Trial) -> float:
    """Return the number of parameters of a finished trial."""
    return trial.metrics["num_parameters"]


def find_front(
    trials: Sequence[Trial], cost: Callable[[Trial], float | None]
) -> list[Trial]:
    """Return the trials that no other is both as small and as cheap as.

    Args:
        trials: the trials.
        cost: the cost of a trial; None to leave it out.

    Returns:
        The trials of the front, the smallest first.
    """
    known = [(size_of(x), c, x) for x in trials if (c := cost(x)) is not None]
    found: list[Trial] = []
    lowest = math.inf
    for _, value, trial in sorted(known, key=lambda each: each[:2]):
        if value < lowest:
            lowest = value
            found.append(trial)
    return found


def draw_front(
    trials: Sequence[Trial],
    front: Sequence[Trial],
    cost: Callable[[Trial], float | None],
    label: str,
) -> Any:
    """Draw cost against size, with the front.

    Args:
        trials: the trials.
        front: see `find_front`.
        cost: likewise.
        label: name of the cost.

    Returns:
        The drawing.
    """
    figure = matplotlib.figure.Figure(figsize=(4.5, 3.4))
    figure.subplots_adjust(0.2, 0.16, 0.93, 0.9)
    axes: Any = figure.add_subplot()
    shown = [x for x in trials if x.report is not None and cost(x) is not None]
    axes.scatter(
        [size_of(x) for x in shown], [cost(x) for x in shown], s=22, color="C0"
    )
    axes.plot(
        [size_of(x) for x in front],
        [cost(x) for x in front],
        color="C1",
        marker="o",
        markersize=6,
        drawstyle="steps-post",
    )
    axes.set_xlabel("parameters")
    axes.set_title(label)
    axes.grid(alpha=0.3)
    for axis, values in (
        (axes.xaxis, [size_of(x) for x in shown]),
        (axes.yaxis, [cost(x) or 0.0 for x in shown]),
    ):
        _set_scale(axis, values)
    points = "; ".join(
        f"trial {x.name}: {size_of(x):,.0f} parameters, "
        f"{_number(cost(x) or 0.0)}"
        for x in front
    )
    text = f"Parameters and {label} of {len(shown)} trials. Front: {points}"
    return draw(figure, f"front-{label}", text)


def draw_best(trials: Sequence[Trial], objective: str) -> Any:
    """Draw the best so far after each trial.

    Args:
        trials: the trials in the order in which they were started.
        objective: the objective of the search.

    Returns:
        The drawing; None if no trial has a cost, or there is only one.
    """
    best, points = math.inf, []
    for number, trial in enumerate(trials, 1):
        cost = _ranked_cost(trial, objective)
        best = min(best, math.inf if cost is None else cost)
        points.append((number, best))
    points = [point for point in points if math.isfinite(point[1])]
    if not points or len(trials) < 2:
        return None
    figure = matplotlib.figure.Figure(figsize=(4.5, 3.4))
    figure.subplots_adjust(0.2, 0.16, 0.93, 0.9)
    axes: Any = figure.add_subplot()
    axes.step(*zip(*points, strict=True), where="post", color="C0", marker=".")
    label = "parameters" if objective == "smallest" else COST_LABELS[objective]
    axes.set_title(f"best so far: {label}")
    axes.set_xlabel("trial")
    axes.set_xlim(0.5, len(trials) + 0.5)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
    _set_scale(axes.yaxis, [value for _, value in points])
    text = (
        f"Best so far by trial, {label}: first {_number(points[0][1])}, last "
        f"{_number(points[-1][1])}"
    )
    return draw(figure, "best", text)


def _ranked_cost(trial: Trial, objective: str) -> float | None:
    """Return what the objective minimizes, if the trial counts."""
    if objective == "smallest" and cost_of(trial, objective) is not None:
        return size_of(trial)
    return cost_of(trial, objective)


def _set_scale(axis: Any, values: Sequence[float]) -> None:
    """Use a logarithmic scale for values of different sizes."""
    numbers = matplotlib.ticker.FuncFormatter(lambda x, _: f"{x:,.4g}")
    if min(values) > 0 and max(values) > 3 * min(values):
        axis.axes.set(**{f"{axis.axis_name}scale": "log"})
        subs = (1, 2, 5) if max(values) < 300 * min(values) else (1,)
        axis.set_major_locator(matplotlib.ticker.LogLocator(subs=subs))
        axis.set_minor_locator(matplotlib.ticker.NullLocator())
    else:
        axis.set_major_locator(matplotlib.ticker.MaxNLocator(5))
    axis.set_major_formatter(
        matplotlib.ticker.FuncFormatter(lambda x, _: f"{x:,.0f}")
        if max(values) >= 10
        else numbers
    )


def parallel_coordinates(
    trials: Sequence[Trial], search: Search
) -> dict[str, Any]:
    """Return lines and axes of parallel coordinates, for the template.

    Args:
        trials: the finished trials, best first.
        search: the search.

    Returns:
        "width"; "axes", with a name, a position, ticks and the values to
        choose from; "lines", with the trial, its points, whether something is
        wrong, and its values.
    """
    names, is_exact = search.names, search.objective != "accuracy"
    columns: dict[str, list[float]] = {
        name: [float(x.values[name]) for x in trials] for name in names
    }
    columns["parameters"] = [size_of(x) for x in trials]
    columns["seconds"] = [x.metrics["seconds"] for x in trials]
    columns["place"] = [float(i) for i in range(1, len(trials) + 1)]
    axes, heights = [], []
    for i, (name, values) in enumerate(columns.items()):
        height, ticks = _axis(name, values)
        heights.append([height(value) for value in values])
        choices = sorted(set(values)) if name in names else []
        axes.append(
            {
                "name": name,
                "x": _LEFT + i * _BETWEEN,
                "ticks": [(round(height(x), 1), _number(x)) for x in ticks],
                "choices": [f"{x:g}" for x in choices],
                "is_choice": len(choices) > 1 and _is_listed(name),
            }
        )
    lines = [
        {
            "trial": trial.name,
            "points": " ".join(
                f"{axis['x']:g},{column[row]:.1f}"
                for axis, column in zip(axes, heights, strict=True)
            ),
            "is_wrong": is_exact and trial.metrics["num_wrong"] > 0,
            "values": {n: f"{trial.values[n]:g}" for n in names},
        }
        for row, trial in enumerate(trials)
    ]
    return {
        "width": _LEFT + (len(axes) - 1) * _BETWEEN + _RIGHT,
        "top": _TOP,
        "bottom": _BOTTOM,
        "axes": axes,
        "num_wrong": sum(bool(line["is_wrong"]) for line in lines),
        # The best are drawn over the others.
        "lines": lines[::-1],
    }


def _is_listed(name: str) -> bool:
    """Return whether an axis is of an option with listed values."""
    return isinstance(SPACE.get(name), tuple)


def _number(value: float) -> str:
    return f"{value:,.0f}" if round(value) >= 1000 else f"{value:.4g}"


def _axis(
    name: str, values: Sequence[float]
) -> tuple[Callable[[float], float], list[float]]:
    """Return the height of each value on an axis, and the values to mark."""
    low, high = min(values), max(values)
    marks = sorted({low, high})
    scale: Callable[[float], float] = math.log if low > 0 else float
    if _is_listed(name):
        marks = sorted({*values})
        places = {value: float(i) for i, value in enumerate(marks)}
        scale = places.__getitem__
    elif name == "place":
        # The best is on top.
        scale = float.__neg__
    elif high > low > 0:
        marks.insert(1, math.sqrt(low * high))
    bottom, top = sorted((scale(low), scale(high)))

    def height(value: float) -> float:
        if top == bottom:
            return (_TOP + _BOTTOM) / 2
        share = (scale(value) - bottom) / (top - bottom)
        return _BOTTOM - share * (_BOTTOM - _TOP)

    return height, marks
