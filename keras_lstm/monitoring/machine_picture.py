"""A machine, drawn beside the code that a network learned for it."""

import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from keras_lstm.core.drawing import new_figure, show_dollars
from keras_lstm.monitoring.state_boxes import StateBoxes
from keras_lstm.tasks.transducer import TransducerTask

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Arrows of more states, or labels of more boxes, could not be read.
_MAX_STATES = 12
_MAX_LABELS = 64
_MAX_LINES = 4
_NODE = 0.16
# Space around the states of a machine alone, and inches per unit.
_SIDE, _TOP, _SCALE = 0.75, 0.65, 1.3
# Bend of an arrow, and where along it its label is.
_BEND, _LABEL = 0.18, 0.38
# Points of a label of a row.
_LABEL_SIZE = 7


def plot_machine(task: TransducerTask, boxes: StateBoxes) -> "Figure":
    """Plot a machine, and where the network's states are in each of its own.

    On the left, the machine: an arrow for each symbol, "read / written". On the
    right, a row for each box of the proof, by machine state and last symbols
    read: the middle of the box in h of the last LSTM layer, a column for each
    unit. Rows that differ in a unit are told apart by it.

    Args:
        task: the machine.
        boxes: the boxes of a proof.

    Returns:
        The figure.
    """
    # In inches.
    start = 5.0 if has_arrows(task) else 0.0
    figure = new_figure(figsize=(start + 7, 6))
    if start:
        axes: Any = figure.add_axes((0, 0.05, start / (start + 7), 0.85))
        _draw_arrows(axes, task)
    _draw_codes(figure, start, task, boxes)
    show_dollars(figure)
    return figure


def has_arrows(task: TransducerTask) -> bool:
    """Return whether a machine is small enough to be drawn."""
    return len(task.next_state) <= _MAX_STATES


def plot_arrows(task: TransducerTask) -> "Figure":
    """Plot a machine alone, as `plot_machine` does.

    Args:
        task: the machine; see `has_arrows`.

    Returns:
        The figure.
    """
    low, high = (
        bound(_places(task), 0) + sign * np.array([_SIDE, _TOP])
        for bound, sign in ((np.min, -1), (np.max, 1))
    )
    figure = new_figure(figsize=tuple(_SCALE * (high - low)))
    axes: Any = figure.add_axes((0, 0, 1, 1))
    _draw_arrows(axes, task)
    axes.set_xlim(low[0], high[0])
    axes.set_ylim(low[1], high[1])
    axes.set_title("")
    return figure


def _places(task: TransducerTask) -> npt.NDArray[np.float64]:
    """Return the place of each state, the first at the top."""
    count = len(task.next_state)
    angles = np.pi / 2 - 2 * np.pi * np.arange(count) / count
    return np.stack([np.cos(angles), np.sin(angles)], 1)


def plot_codes(task: TransducerTask, boxes: StateBoxes) -> "Figure":
    """Plot where a network's states are alone, as `plot_machine` does.

    Args:
        task: the machine.
        boxes: the boxes of a proof.

    Returns:
        The figure.
    """
    figure = new_figure(figsize=(5, 3.4))
    _draw_codes(figure, 0.0, task, boxes).set_title("")
    return figure


def _draw_arrows(axes: Any, task: TransducerTask) -> None:
    from matplotlib.patches import Circle, FancyArrowPatch

    places = _places(task)
    for start, end, text in _labels(task):
        if start == end:
            # A loop, away from the middle.
            middle = places[start] * (1 + _NODE)
            axes.add_patch(Circle(middle, _NODE, fill=False, zorder=1))
            place = places[start] * (1 + 2.9 * _NODE)
        else:
            axes.add_patch(
                FancyArrowPatch(
                    *(places[start], places[end]),
                    arrowstyle="-|>",
                    mutation_scale=14,
                    connectionstyle=f"arc3,rad={_BEND}",
                    color="black",
                    shrinkA=24,
                    shrinkB=24,
                )
            )
            along = places[end] - places[start]
            bend = (places[start] + places[end]) / 2
            bend = bend + _BEND * np.array([along[1], -along[0]])
            # Nearer to its start, where fewer arrows cross.
            place = (
                (1 - _LABEL) ** 2 * places[start]
                + 2 * _LABEL * (1 - _LABEL) * bend
                + _LABEL**2 * places[end]
            )
        axes.text(
            *place,
            text,
            ha="center",
            va="center",
            fontsize=8,
            zorder=4,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        )
    for state, place in enumerate(places):
        axes.add_patch(
            Circle(
                place,
                _NODE,
                facecolor="white",
                edgecolor="black",
                linewidth=2.5 if state == 0 else 1.0,
                zorder=2,
            )
        )
        name = _short(task.state_name(state))
        axes.text(
            *place,
            name,
            ha="center",
            va="center",
            fontsize=8,
            zorder=3,
        )
    axes.set_xlim(-1.7, 1.7)
    axes.set_ylim(-1.7, 1.7)
    axes.set_aspect("equal")
    axes.axis("off")
    axes.set_title("machine: read / written; it starts at the thick circle")


def _labels(task: TransducerTask) -> Iterator[tuple[int, int, str]]:
    """Yield each pair of states with an arrow, and all labels between them."""
    for start, ends in enumerate(task.next_state):
        for end in dict.fromkeys(ends):
            lines = [
                f"{_short(task.symbol_name(symbol))} / "
                f"{_short(task.output_name(task.output[start][symbol]))}"
                for symbol, after in enumerate(ends)
                if after == end
            ]
            if len(lines) > _MAX_LINES:
                more = f"and {len(lines) - _MAX_LINES + 1} more"
                lines = [*lines[: _MAX_LINES - 1], more]
            yield start, end, "\n".join(lines)


def _draw_codes(
    figure: "Figure", start: float, task: TransducerTask, boxes: StateBoxes
) -> Any:
    """Draw the codes to the right of a place, in inches; return the axes."""
    order = sorted(
        range(len(boxes.states)),
        key=lambda box: (boxes.states[box], boxes.last_symbols[box][::-1]),
    )
    labels = (
        [_row_label(task, boxes, box) for box in order]
        if len(order) <= _MAX_LABELS
        else []
    )
    # Matplotlib's automatic layouts take as long as everything else here.
    width, height = figure.get_size_inches()
    left = start + 0.25 + max(map(_inches, labels), default=0.25)
    places = np.array([left, 0.55, width - 0.65, height - 0.4])
    left, bottom, right, top = places / [width, height, width, height]
    axes: Any = figure.add_axes((left, bottom, right - left, top - bottom))
    middles = (boxes.low[order] + boxes.high[order]) / 2
    # Units that are largest in the same row side by side.
    columns = np.lexsort((middles.argmax(0), middles.argmin(0)))
    picture = axes.imshow(
        middles[:, columns], aspect="auto", cmap="RdBu", vmin=-1, vmax=1
    )
    figure.colorbar(picture, ax=axes, label="h, middle of the box", pad=0.03)
    if labels:
        axes.set_yticks(range(len(order)))
        axes.set_yticklabels(labels, fontsize=_LABEL_SIZE)
    axes.set_xlabel(f"{middles.shape[1]} units of the last layer, sorted")
    axes.set_title(
        f"learned code: {len(order)} boxes, by state and symbols read"
    )
    return axes


def _inches(label: str) -> float:
    """Return the width of a row's label."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(size=_LABEL_SIZE)
    with warnings.catch_warnings():
        # A sign that the font lacks is warned of when it is drawn.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        points, _, _ = text_to_path.get_text_width_height_descent(
            label, font, ismath=False
        )
    return float(points) / 72


def _row_label(task: TransducerTask, boxes: StateBoxes, box: int) -> str:
    read = [task.symbol_name(x) for x in boxes.last_symbols[box]]
    state = _short(task.state_name(int(boxes.states[box])))
    return f"{state}, after {_short(' '.join(read))}" if read else "start"


def _short(text: str, limit: int = 16) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
