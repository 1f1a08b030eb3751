"""Pictures of a network's states, predictions and training.

They can be plotted in another process (`core/drawing.py`), so that this module
needs neither TensorFlow nor, before it plots, Matplotlib.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from keras_lstm.core.drawing import new_figure, show_dollars
from keras_lstm.monitoring.state_boxes import StateBoxes
from keras_lstm.tasks.transducer import TransducerTask

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLORS = ("tab:orange", "tab:blue", "tab:green", "tab:red", "tab:purple")


def plot_proof(
    task: TransducerTask,
    boxes: StateBoxes,
    symbols: npt.NDArray[np.integer[Any]],
    h: npt.NDArray[np.float32],
) -> "Figure":
    """Plot states of a network inside the boxes that it is proved to stay in.

    Dots show the last LSTM layer's h, colored by machine state, in the unit
    that best separates the states and the one in which boxes spread most.

    Args:
        task: the machine.
        boxes: the boxes.
        symbols: sequences that were read, `(num_sequences, timesteps)`.
        h: the last LSTM layer's h, `(num_sequences, timesteps, units)`.

    Returns:
        The figure.
    """
    from matplotlib.patches import Rectangle

    dots = h.reshape(-1, h.shape[-1])
    states = task.states(symbols)[:, 1:].reshape(-1)
    low, high = boxes.low, boxes.high
    x, y = _units_to_plot((low + high) / 2, high - low, boxes.states)

    figure = new_figure(figsize=(7, 5.5))
    axes: Any = figure.add_axes((0.14, 0.1, 0.83, 0.83))
    # Else labels of small numbers need more room.
    axes.ticklabel_format(scilimits=(-2, 4))
    for state in np.unique(boxes.states):
        color = _COLORS[state % len(_COLORS)]
        chosen = dots[states == state]
        axes.scatter(
            chosen[:, x],
            chosen[:, y],
            s=12,
            color=color,
            alpha=0.4,
            label=f"{task.state_name(state)} ({len(chosen):,} states)",
        )
    labels: set[str] = set()
    for box, state in enumerate(boxes.states):
        corner = low[box, x], low[box, y]
        width, height = high[box, x] - corner[0], high[box, y] - corner[1]
        axes.add_patch(
            Rectangle(
                corner,
                width,
                height,
                fill=False,
                linewidth=1.5,
                edgecolor=_COLORS[state % len(_COLORS)],
            )
        )
        read = boxes.last_symbols[box]
        label = f"after {task.symbol_name(read[-1])}" if read else "start"
        label = f"{task.state_name(state)}, {label}"
        # Boxes that differ only in earlier symbols lie close together.
        if label in labels:
            continue
        labels.add(label)
        axes.annotate(
            label,
            (corner[0] + width / 2, corner[1] + height),
            xytext=(0, 4),
            textcoords="offset points",
            ha="center",
        )
    axes.margins(0.12)
    axes.set(xlabel=f"h of unit {x}", ylabel=f"h of unit {y}")
    axes.set_title(
        f"{task.name}: {len(dots):,} states, none outside its box"
        if _all_inside(dots, states, boxes)
        else f"{task.name}: states OUTSIDE the boxes"
    )
    axes.legend(loc="best")
    show_dollars(figure)
    return figure


def plot_shares(
    shares: npt.NDArray[np.float64],
    epochs: Sequence[int],
    rows: Sequence[int],
    label: str,
    title: str,
) -> "Figure":
    """Plot accuracies by epoch, in rows of a heatmap.

    Args:
        shares: accuracies from 0 to 1, `(rows, epochs)`.
        epochs: numbers of the epochs, counted from 1; some may be missing.
        rows: number that labels each row, such as a hold length.
        label: label of the vertical axis, which names these numbers.
        title: title of the figure.

    Returns:
        The figure.
    """
    figure = new_figure(figsize=(7, 4.5))
    axes: Any = figure.add_axes((0.1, 0.12, 0.88, 0.8))
    # Epochs that were not evaluated stay white.
    shown = np.full((len(rows), max(epochs)), np.nan)
    shown[:, np.asarray(epochs) - 1] = shares
    mesh = axes.pcolormesh(
        np.arange(max(epochs) + 1) + 0.5,
        np.arange(len(rows) + 1) - 0.5,
        shown,
        vmin=0,
        vmax=1,
        cmap="RdYlGn",
    )
    ticks = range(0, len(rows), -(-len(rows) // 12))
    axes.set_yticks(ticks, [rows[tick] for tick in ticks])
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel("epoch")
    axes.set_ylabel(label)
    axes.set_title(title)
    figure.colorbar(mesh, ax=axes, label="fraction right")
    return figure


def plot_activations(
    task: TransducerTask,
    inputs: npt.NDArray[np.int32],
    layer: str,
    values: dict[str, npt.NDArray[np.float32]],
    telling: tuple[str, npt.NDArray[np.float32], int, float],
) -> "Figure":
    """Plot states and gates over time, next to the machine's state.

    Args:
        task: the machine.
        inputs: symbols, one column of the figure each, `(inputs, timesteps)`.
        layer: name of the LSTM layer.
        values: result of `activations` for that layer and the inputs.
        telling: the unit that correlates best with a state of the machine: its
            name, its values, `(inputs, timesteps)`, the state, and the
            correlation coefficient.

    Returns:
        The figure.
    """
    name, series, state, correlation = telling
    states = task.states(inputs)[:, 1:]
    steps = np.arange(inputs.shape[1])
    largest = float(np.abs(values["c"]).max())
    figure = new_figure(figsize=(4 * len(inputs), 8))
    # Matplotlib's automatic layouts take longer than everything else here.
    figure.subplots_adjust(0.09, 0.09, 0.98, 0.86, 0.12, 0.04)
    grid: Any = figure.subplots(
        2, len(inputs), sharex=True, squeeze=False, height_ratios=(1, 4)
    )
    for column, symbols in enumerate(inputs):
        top, below = grid[:, column]
        for each in np.unique(states):
            # One artist for all of them, where `bar` makes one for each.
            top.broken_barh(
                [(t - 0.5, 1) for t in steps[states[column] == each]],
                (0, 1),
                transform=top.get_xaxis_transform(),
                facecolor=_COLORS[each % len(_COLORS)],
                alpha=0.3,
                label=task.state_name(each),
            )
        top.plot(steps, series[column], color="black", marker=".")
        if np.isfinite(series).all():
            top.set_ylim(series.min() - 0.1, series.max() + 0.1)
        if len(steps) <= 32:
            for t, symbol in zip(steps, symbols, strict=True):
                top.annotate(
                    str(symbol),
                    (t, 1.03),
                    xycoords=("data", "axes fraction"),
                    ha="center",
                    fontsize=8,
                )
        image, ticks = _stacked(
            {part: each[column].T for part, each in values.items()}, largest
        )
        below.imshow(image, aspect="auto", interpolation="nearest")
        below.set_xlabel("step, least significant first")
        below.set_yticks([])
        if column:
            top.set_yticks([])
        else:
            below.set_yticks(list(ticks.values()), list(ticks))
    grid[0, 0].set_ylabel(name)
    grid[0, -1].legend(loc="center left", fontsize=8)
    figure.suptitle(
        f"{task.name}: {name} (black) best indicates the state "
        f'"{task.state_name(state)}": correlation '
        f"{int(1000 * correlation) / 1000:.3f}\n"
        f"Below: one row per unit of {layer}. h: red -1, blue 1; "
        f"c: red {-largest:.1f}, blue {largest:.1f}; gates: dark 0, yellow 1",
        fontsize=11,
    )
    show_dollars(figure)
    return figure


def _stacked(
    values: dict[str, npt.NDArray[np.float32]], largest: float
) -> tuple[npt.NDArray[np.float64], dict[str, float]]:
    """Stack states and gates, `(units, timesteps)` each, into one image.

    Returns:
        The image, `(height, timesteps, 4)`, and the middle of each part along
        the vertical axis.
    """
    from matplotlib import colormaps

    signed, gates = (colormaps[name] for name in ("RdBu", "viridis"))
    scaled = {
        "h": signed((values["h"] + 1) / 2),
        "c": signed((values["c"] / largest + 1) / 2),
        "input gate": gates(values["input gate"]),
        "forget gate": gates(values["forget gate"]),
        "output gate": gates(values["output gate"]),
    }
    units, timesteps = values["h"].shape
    gap = np.ones((max(1, units // 16), timesteps, 4))
    parts: list[Any] = []
    middles, height = {}, 0
    for name, part in scaled.items():
        middles[name] = height + units / 2 - 0.5
        parts += [part, gap]
        height += units + len(gap)
    return np.concatenate(parts[:-1]), middles


def plot_mistakes(
    images: npt.NDArray[np.float32], titles: Sequence[str], heading: str
) -> "Figure":
    """Plot up to 20 images that were taken for something else.

    Args:
        images: pixels from 0 to 1, `(num_images, rows, columns)`.
        titles: the title of each.
        heading: the figure's title.

    Returns:
        The figure.
    """
    figure = new_figure(figsize=(8, 7))
    figure.subplots_adjust(0.02, 0.02, 0.98, 0.9)
    if not len(images):
        figure.text(0.5, 0.5, "no mistakes", ha="center", va="center")
        return figure
    grid: Any = figure.subplots(4, 5)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, image, title in zip(grid.flat, images, titles, strict=False):
        axes.imshow(image, cmap="gray", vmin=0, vmax=1)
        axes.set_title(title, fontsize=9)
    figure.suptitle(heading)
    show_dollars(figure)
    return figure


def plot_confusion(counts: npt.NDArray[np.int64], title: str) -> "Figure":
    """Plot right classes against predictions, with mistakes in color.

    Args:
        counts: number of examples by right class and prediction.
        title: the figure's title.

    Returns:
        The figure.
    """
    mistakes = counts.copy()
    np.fill_diagonal(mistakes, 0)
    figure = new_figure(figsize=(6, 5.5))
    axes: Any = figure.add_axes((0.1, 0.1, 0.87, 0.82))
    axes.imshow(mistakes, cmap="Reds", vmin=0, vmax=max(1, mistakes.max()))
    middle = mistakes.max() / 2
    for (row, column), count in np.ndenumerate(counts):
        if count:
            color = "white" if mistakes[row, column] > middle > 0 else "black"
            axes.text(column, row, count, ha="center", va="center", color=color)
    axes.set_xticks(range(len(counts)))
    axes.set_yticks(range(len(counts)))
    axes.set_xlabel("prediction")
    axes.set_ylabel("right class")
    axes.set_title(title)
    return figure


def plot_curves(history: dict[str, list[float]]) -> "Figure":
    """Plot losses and accuracies of a training, by epoch.

    Args:
        history: mapping from metrics to values, one per epoch; the names of
            validation metrics begin with `val_`.

    Returns:
        The figure.
    """
    names = [name for name in history if not name.startswith("val_")]
    names = [name for name in names if history[name]]
    figure = new_figure(figsize=(4.5 * max(1, len(names)), 3.5))
    figure.subplots_adjust(0.05, 0.14, 0.98, 0.9)
    grid: Any = figure.subplots(1, max(1, len(names)), squeeze=False)
    for axes, name in zip(grid[0], names, strict=False):
        for each, label in ((name, "training"), (f"val_{name}", "validation")):
            values = history.get(each, [])
            epochs = range(1, len(values) + 1)
            if values:
                axes.plot(epochs, values, label=label, marker=".")
        axes.set_xlabel("epoch")
        axes.set_title(name.replace("_", " "))
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend()
    return figure


def _units_to_plot(centers: Any, widths: Any, states: Any) -> tuple[int, int]:
    """Return the unit that separates the states best, and one to show boxes."""
    means = np.zeros_like(centers)
    for state in np.unique(states):
        means[states == state] = centers[states == state].mean(0)
    first = int(means.var(0).argmax())
    spread = (centers - means).std(0) + widths.mean(0)
    spread[first] = -1
    return first, int(spread.argmax())


def _all_inside(dots: Any, states: Any, boxes: StateBoxes) -> bool:
    """Return whether each dot is in some box of its state."""
    inside = np.zeros(len(dots), np.bool_)
    for low, high, state in zip(
        boxes.low, boxes.high, boxes.states, strict=True
    ):
        inside |= (
            (states == state) & (dots >= low).all(1) & (dots <= high).all(1)
        )
    return bool(inside.all())
