"""Line charts of pages, without TensorFlow."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_lstm.core.drawing import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# The style sheet has a color for each.
_COLORS = (
    *("tab:blue", "tab:orange", "tab:green", "tab:red", "tab:purple"),
    "tab:brown",
)
# Nobody need tell colors apart.
_STYLES = ("-", "--", ":", "-.")
# On a page, each of a metric.
MAX_CHARTS = 24
_MAX_POINTS = 300
_MAX_MARKERS = 32
# Matplotlib computes with the distances of larger ones.
_MAX_VALUE = 1e100


def plot_lines(
    x: Sequence[float],
    lines: Mapping[str, Sequence[float | None]],
    x_label: str,
    title: str,
) -> "Figure":
    """Plot lines over one another.

    Args:
        x: the horizontal places, integers, in order.
        lines: by name, a value for each place; None for a gap, as are values
            without end or too large to draw. The names are shown if there are
            several.
        x_label: label of the horizontal axis.
        title: title of the chart.

    Returns:
        The figure. Of very many places it shows some.
    """
    figure = new_figure(figsize=(4, 3))
    figure.subplots_adjust(0.15, 0.15, 0.97, 0.9)
    axes: Any = figure.add_subplot()
    # Each point takes space in the page.
    step = -(-len(x) // _MAX_POINTS)
    marker = "." if len(x) <= _MAX_MARKERS else None
    for number, (name, values) in enumerate(lines.items()):
        shown = np.array(values, float)[::step]
        axes.plot(
            np.asarray(x)[::step],
            np.where(np.abs(shown) < _MAX_VALUE, shown, np.nan),
            label=name,
            color=_COLORS[number % len(_COLORS)],
            linestyle=_STYLES[number % len(_STYLES)],
            # A value between two gaps has no line.
            marker=marker,
        )
    axes.set_xlabel(x_label)
    axes.set_title(title)
    axes.xaxis.get_major_locator().set_params(integer=True)
    if len(x) == 1:
        axes.set_xticks(list(x))
    axes.grid(alpha=0.3)
    if len(lines) > 1:
        axes.legend()
    return figure
