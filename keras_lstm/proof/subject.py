"""What a proof of any kind is about: a model, its weights, and a machine.

This module is part of the trusted base, see `certificate.py`.
"""

import functools

import keras
import numpy as np
import tensorflow as tf

from keras_lstm.core.errors import InputError
from keras_lstm.models.logits import margins_of, sample_logits
from keras_lstm.models.stock_model import check_computes_as_stock
from keras_lstm.models.text_input import check_reads_numbers
from keras_lstm.models.weights import LSTMWeights, read_weights
from keras_lstm.proof.intervals import SIGMOID_ERROR, TANH_ERROR
from keras_lstm.proof.proof_json import ProofError
from keras_lstm.tasks.transducer import TransducerTask

# Sums of products of numbers below this stay far from float32's maximum.
LARGEST = 2.0**50
# Random sequences that a proved model is asked, and their greatest length.
_SEQUENCES = 256
_SYMBOLS = 32


def check_subject(
    model: keras.Model,
    task: TransducerTask,
    weights_sha256: str,
    tables: list[list[list[int]]],
) -> LSTMWeights:
    """Check that a proof, by boxes or otherwise, is about a model and a task.

    Args:
        model: as for `certificate.check_proof`.
        task: as for `certificate.check_proof`.
        weights_sha256: SHA-256 of the weights that the proof is about.
        tables: the machine's two tables that it is about.

    Returns:
        The weights.

    Raises:
        ProofError: if the proof is about others.
        InputError: as for `certificate.check_proof`.
    """
    network = provable_weights(model, task)
    if weights_sha256 != network.digest():
        raise ProofError("this proof is about other weights")
    if tables != tables_of(task):
        raise ProofError("this proof is about another task")
    check_computes_as_stock(model, network)
    return network


@functools.cache
def check_activations() -> None:
    """Refuse a TensorFlow whose tanh or sigmoid is less accurate than allowed.

    This checks a sample of the float32 numbers;
    `scripts/benchmarks/measure_activations.py` measures all of them.

    Raises:
        InputError: if an error exceeds `TANH_ERROR` or `SIGMOID_ERROR`, or a
            result is out of range.
    """
    patterns = np.random.default_rng(0).integers(2**32, size=2**18 + 7)
    x = patterns.astype(np.uint32).view(np.float32)
    x = np.concatenate([x[np.isfinite(x)], np.linspace(-20, 20, 2**18 + 5)])
    x = x.astype(np.float32)
    # TensorFlow computes the last few numbers of an array with other
    # instructions than the rest, so rows of 7 are measured as well.
    x = x[: len(x) // 7 * 7]
    rows = [*np.split(x[: 7 * 4096], 4096), x[7 * 4096 :]]
    with tf.device("CPU"):
        rows = [tf.constant(row) for row in rows]
        # Without the conversions of `tf.tanh`, which take most of its time.
        found = [
            np.concatenate([function(x=row).numpy() for row in rows])
            for function in (tf.raw_ops.Tanh, tf.raw_ops.Sigmoid)
        ]
    exact = np.tanh(x.astype(np.float64))
    half = 0.5 + 0.5 * np.tanh(0.5 * x.astype(np.float64))
    for name, y, right, allowed, least in (
        ("tanh", found[0], exact, TANH_ERROR, -1.0),
        ("sigmoid", found[1], half, SIGMOID_ERROR, 0.0),
    ):
        error = np.max(np.abs(y - right))
        if not (error <= allowed and y.min() >= least and y.max() <= 1):
            raise InputError(
                f"`tf.{name}` must be accurate to {allowed:.3g}, and stay from "
                f"{least:.0f} to 1, for a proof. Received: an error of "
                f"{error:.3g} in this TensorFlow"
            )


def check_precision() -> None:
    """Refuse a TensorFlow that is told to compute float32 less exactly.

    Raises:
        InputError: if its graph optimizer is.
    """
    options = tf.config.optimizer.get_experimental_options()
    for name, value in options.items():
        if name.startswith("auto_mixed_precision") and value:
            raise InputError(
                "TensorFlow's graph optimizer must leave float32 as it is. "
                f"Received: {name}={value}"
            )


def provable_weights(model: keras.Model, task: TransducerTask) -> LSTMWeights:
    """Return the weights of a model that can be proved.

    Args:
        model: model from symbols, `(batch_size, timesteps)`, to logits,
            `(batch_size, timesteps, num_classes)`.
        task: the machine.

    Returns:
        The weights of its layers.

    Raises:
        InputError: if `model` has unsupported layers or a last_state head, too
            few classes, or weights that are not finite and below 2^50; or if
            TensorFlow's tanh or sigmoid is less accurate than allowed, or it
            replaces float32.
    """
    check_reads_numbers(model)
    check_activations()
    check_precision()
    network = read_weights(model, task.num_symbols)
    if not network.per_step:
        raise InputError(
            "`model` must answer at every time step for a proof about every "
            "length. Received: head=last_state"
        )
    if len(network.bias) < task.num_classes:
        raise InputError(
            f"`model` must have at least {task.num_classes} classes. Received: "
            f"{len(network.bias)}"
        )
    for weights in network.weights():
        allowed = np.abs(weights) < LARGEST
        if not allowed.all():
            raise InputError(
                "`model` must have finite weights of magnitude below 2^50. "
                f"Received: {weights[~allowed][0]}"
            )
    return network


def check_answers(
    model: keras.Model, task: TransducerTask, least: float
) -> None:
    """Ask the model a sample of what is proved.

    That Keras computes the equations of an LSTM is assumed: this notices a
    Keras that was patched, or a `predict` that was compiled for other layers.

    Raises:
        InputError: if a margin is below `least`.
    """
    length = model.input_shape[1] or min(task.num_bits, _SYMBOLS)
    rng = np.random.default_rng(0)
    symbols = rng.integers(task.num_symbols, size=(_SEQUENCES, length))
    logits = sample_logits(model, symbols)
    # In float64, differences of float32 numbers are not rounded here.
    margins = margins_of(logits.astype(np.float64), task.targets(symbols))
    if not np.all(margins >= least):
        raise InputError(
            "`model` must compute what its layers and Keras's equations say. "
            f"Received: {model.name}, with a margin of {np.min(margins):.4g} "
            f"where at least {least:.4g} is proved"
        )


def tables_of(task: TransducerTask) -> list[list[list[int]]]:
    """Return the machine's two tables as lists, as JSON holds them."""
    return [
        np.asarray(table).tolist() for table in (task.next_state, task.output)
    ]


def state_size(network: LSTMWeights) -> int:
    """Return the size of a network's state: the h and c of each layer."""
    return sum(2 * lstm.units for lstm in network.lstms)
