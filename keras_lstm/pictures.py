"""Pictures of what a network does."""

from typing import Any

import keras
import matplotlib.figure
import matplotlib.patches
import numpy as np

from keras_lstm.proof import Proof
from keras_lstm.seeds import derive_seed
from keras_lstm.tasks.transducer import TransducerTask

_NUM_SEQUENCES = 64
_COLORS = ("tab:orange", "tab:blue", "tab:green", "tab:red", "tab:purple")


def draw_proof(
    model: keras.Model, task: TransducerTask, proof: Proof, seed: int = 0
) -> matplotlib.figure.Figure:
    """States of a network inside the boxes that it is proved not to leave.

    Each dot is the last LSTM layer's h after a symbol of a random sequence, in
    two of its units: the one that tells the machine's states best apart, and
    of the others the one over which the boxes spread most. Colors are the
    machine's states.

    Args:
        model: the network.
        task: the machine; `num_bits` symbols are read.
        proof: its boxes.
        seed: which sequences are read.
    """
    lstm = [x for x in model.layers if isinstance(x, keras.layers.LSTM)][-1]
    hidden = keras.Model(model.input, lstm.output)
    rng = np.random.default_rng(derive_seed(seed, "picture"))
    symbols = rng.integers(
        task.num_symbols, size=(_NUM_SEQUENCES, task.num_bits)
    )
    dots = hidden.predict(symbols, verbose=0).reshape(-1, lstm.units)
    states = task.states(symbols)[:, 1:].reshape(-1)
    first = -2 * lstm.units
    low, high = (bound[:, first : first + lstm.units] for bound in proof.boxes)
    x, y = _telling_units((low + high) / 2, high - low, proof.states)

    figure = matplotlib.figure.Figure(figsize=(7, 5.5), layout="constrained")
    axes: Any = figure.add_subplot()
    for state in np.unique(proof.states):
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
    for box, state in enumerate(proof.states):
        corner = low[box, x], low[box, y]
        width, height = high[box, x] - corner[0], high[box, y] - corner[1]
        axes.add_patch(
            matplotlib.patches.Rectangle(
                corner,
                width,
                height,
                fill=False,
                linewidth=1.5,
                edgecolor=_COLORS[state % len(_COLORS)],
            )
        )
        read = proof.last_symbols[box]
        label = f"after {read[-1]}" if read else "start"
        label = f"{task.state_name(state)}, {label}"
        # Boxes that tell more symbols apart lie close together.
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
    axes.set_xlabel(f"h of unit {x}")
    axes.set_ylabel(f"h of unit {y}")
    axes.set_title(
        f"{task.name}: {len(dots):,} states, none outside its box"
        if _all_inside(dots, states, proof, low, high)
        else f"{task.name}: states OUTSIDE the boxes"
    )
    axes.legend(loc="best")
    return figure


def _telling_units(centers: Any, widths: Any, states: Any) -> tuple[int, int]:
    """The unit that tells the states apart, and one that shows the boxes."""
    means = np.zeros_like(centers)
    for state in np.unique(states):
        means[states == state] = centers[states == state].mean(0)
    first = int(means.var(0).argmax())
    spread = (centers - means).std(0) + widths.mean(0)
    spread[first] = -1
    return first, int(spread.argmax())


def _all_inside(
    dots: Any, states: Any, proof: Proof, low: Any, high: Any
) -> bool:
    """Whether each dot is in some box beside its state."""
    inside = np.zeros(len(dots), np.bool_)
    for box, state in enumerate(proof.states):
        inside |= (
            (states == state)
            & (dots >= low[box]).all(1)
            & (dots <= high[box]).all(1)
        )
    return bool(inside.all())
