"""Plots of what a model computes, to be drawn here or in another process."""

import functools
from collections.abc import Sequence

import keras
import numpy as np
import numpy.typing as npt

from keras_lstm.core.console import percent
from keras_lstm.core.drawing import Plot
from keras_lstm.core.seeds import derive_seed
from keras_lstm.monitoring.activations import lstm_layers
from keras_lstm.monitoring.machine_picture import plot_machine
from keras_lstm.monitoring.pictures import (
    plot_confusion,
    plot_mistakes,
    plot_proof,
    plot_shares,
)
from keras_lstm.monitoring.state_boxes import StateBoxes
from keras_lstm.proof.certificate import Proof
from keras_lstm.tasks.transducer import TransducerTask
from keras_lstm.verification.evaluation import Evaluation

_NUM_SEQUENCES = 64
_MAX_MISTAKES = 20


def proof_plot(
    model: keras.Model, task: TransducerTask, proof: Proof, seed: int = 0
) -> Plot:
    """Return a plot of a network's states inside the boxes of its proof.

    Args:
        model: the network.
        task: the machine; sequences have `num_bits` symbols.
        proof: the proof.
        seed: seed of the random sequences. Defaults to 0.

    Returns:
        The plot.
    """
    rng = np.random.default_rng(derive_seed(seed, "picture"))
    symbols = rng.integers(
        task.num_symbols, size=(_NUM_SEQUENCES, task.num_bits)
    )
    lstm = lstm_layers(model)[-1]
    # What the network itself computes, since the title speaks of it.
    hidden = keras.Model(model.inputs[0], lstm.output)
    h = keras.ops.convert_to_numpy(hidden(symbols, training=False))
    boxes = StateBoxes.of(proof, lstm.units)
    return functools.partial(plot_proof, task, boxes, symbols, h)


def machine_plot(
    model: keras.Model, task: TransducerTask, proof: Proof
) -> Plot:
    """Return a plot of a machine beside the code that a network learned for it.

    Args:
        model: the network.
        task: the machine.
        proof: the proof.

    Returns:
        The plot.
    """
    boxes = StateBoxes.of(proof, lstm_layers(model)[-1].units)
    return functools.partial(plot_machine, task, boxes)


def mistakes_plot(result: Evaluation, images: npt.NDArray[np.float32]) -> Plot:
    """Return a plot of wrong predictions, the most confident first.

    Args:
        result: evaluation of a model on the images.
        images: pixels from 0 to 1, `(num_examples, rows, columns)`.

    Returns:
        The plot.
    """
    worst = result.confident_mistakes()[:_MAX_MISTAKES]
    titles = [
        f"{result.targets[index]}, said {result.predictions[index]} "
        f"({percent(round(float(result.confidences[index]), 3))})"
        for index in worst
    ]
    heading = (
        f"The most confident of {result.num_wrong:,} mistakes among "
        f"{result.num_examples:,} images"
    )
    return functools.partial(plot_mistakes, images[worst], titles, heading)


def confusion_plot(result: Evaluation, num_classes: int) -> Plot:
    """Return a plot of right classes against predictions.

    Args:
        result: evaluation of a model.
        num_classes: number of classes.

    Returns:
        The plot.
    """
    known = result.predictions >= 0
    counts = np.zeros((num_classes, num_classes), np.int64)
    np.add.at(counts, (result.targets[known], result.predictions[known]), 1)
    title = f"{result.num_wrong:,} of {result.num_examples:,} images wrong"
    return functools.partial(plot_confusion, counts, title)


def shares_plot(
    shares: Sequence[Sequence[float]],
    epochs: Sequence[int],
    rows: Sequence[int],
    label: str,
    title: str,
) -> Plot:
    """Return a plot of accuracies by epoch, in rows of a heatmap.

    Args:
        shares: by epoch, accuracies from 0 to 1, one for each row. The
            records may grow before the figure is plotted.
        epochs: epochs, counted from 1.
        rows: what the rows stand for.
        label: label of the vertical axis.
        title: title of the figure.

    Returns:
        The plot.
    """
    given = np.transpose(shares), list(epochs), list(rows)
    return functools.partial(plot_shares, *given, label, title)
