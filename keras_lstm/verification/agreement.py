"""Comparison of a model with its weights, and with itself.

What is walked are the weights of a model, so the model must compute what they
say. And what is counted must not be random.
"""

from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from keras_lstm.core.errors import InputError
from keras_lstm.models.logits import margins_of, sample_logits
from keras_lstm.models.stepper import LSTMStepper
from keras_lstm.models.weights import read_weights
from keras_lstm.tasks.datasets import without_autotuning
from keras_lstm.tasks.transducer import TransducerTask
from keras_lstm.verification.rounding_bounds import bounds_hold_here

# Inputs that are answered twice to compare, and their symbols if the model
# reads any length. Differences up to the tolerance may be rounding.
_SAMPLE = 1024
_SAMPLE_SYMBOLS = 8
_SAMPLE_RTOL = 1e-3
_PREDICT_BATCH = 4096
# Symbols in a batch of `predict`, which holds every layer's outputs for them.
_PREDICT_SYMBOLS = 2**20


def find_stepper(
    model: keras.Model, task: TransducerTask
) -> LSTMStepper | None:
    """Return a stepper of a model, to whose results `predict` is close.

    Args:
        model: any model from symbols to logits.
        task: the machine.

    Returns:
        The stepper; None if `model` has layers that are not supported,
        computes something else than they do, answers at another number of
        positions, is compiled by XLA, or runs where the bounds on rounding do
        not hold.

    Raises:
        InputError: if `model` reads sequences of another length only.
    """
    _check_length(model, task.num_bits)
    if model.jit_compile is True or not bounds_hold_here():
        return None
    try:
        stepper = LSTMStepper(read_weights(model, task.num_symbols))
    except InputError:
        return None
    network = stepper.network
    if not network.per_step and network.output_shape[0] != task.num_bits:
        return None
    return stepper if _steps_as_called(model, stepper, task) else None


def _steps_as_called(
    model: keras.Model, stepper: LSTMStepper, task: TransducerTask
) -> bool:
    """Return whether a model answers a sample of inputs as its weights do."""
    length = model.input_shape[1] or min(task.num_bits, _SAMPLE_SYMBOLS)
    # What was compiled for this length may differ from that for another one.
    if model.predict_function is not None and not model.input_shape[1]:
        length = task.num_bits
    rng = np.random.default_rng(0)
    shape = (_SAMPLE, length)
    symbols = rng.integers(task.num_symbols, size=shape, dtype=np.int32)
    targets = task.targets(symbols)
    expected = margins_of(sample_logits(model, symbols), targets).numpy()
    found = stepper.follow(symbols, targets)
    # Only a difference beyond rounding counts here; the bounds do the rest.
    return found.shape == expected.shape and np.allclose(
        found, expected, rtol=_SAMPLE_RTOL, atol=_SAMPLE_RTOL
    )


def check_repeats(model: keras.Model, symbols: Any) -> None:
    """Refuse a model whose answers are random.

    Args:
        model: any model from symbols to logits.
        symbols: inputs, `(num_examples, num_bits)`; the first are asked twice.

    Raises:
        InputError: if the logits of any differ by more than rounding.
    """
    symbols = symbols[:_SAMPLE]
    first, second = (predict_logits(model, symbols) for _ in range(2))
    same = np.isclose(
        first, second, rtol=_SAMPLE_RTOL, atol=_SAMPLE_RTOL, equal_nan=True
    )
    if not same.all():
        num_random = (~same).reshape(len(symbols), -1).any(-1).sum()
        raise InputError(
            "`model` must answer an input the same way each time. Received: "
            f"{model.name}, with other logits in a second `predict` for "
            f"{num_random} of {len(symbols)} inputs; is a layer called with "
            "training=True?"
        )


def predict_logits(model: keras.Model, symbols: Any) -> npt.NDArray[np.float32]:
    """Return the logits by `model.predict`, in batches that fit into memory.

    Args:
        model: any model from symbols to logits.
        symbols: inputs, `(num_examples, num_bits)`.

    Returns:
        The logits.

    Raises:
        InputError: if `model` reads sequences of another length only.
    """
    _check_length(model, symbols.shape[-1])
    batch_size = min(_PREDICT_BATCH, -(-_PREDICT_SYMBOLS // symbols.shape[-1]))
    dataset = tf.data.Dataset.from_tensor_slices(symbols).batch(batch_size)
    return model.predict(without_autotuning(dataset), verbose=0)


def _check_length(model: keras.Model, length: int) -> None:
    # A subclassed model has no `inputs`, and reads what it will.
    inputs = getattr(model, "inputs", None) or ()
    for shape in (each.shape for each in inputs):
        if len(shape) > 1 and shape[1] not in (None, length):
            raise InputError(
                f"`model` must read sequences of {length} symbols. Received: "
                f"{model.name}, which reads sequences of {shape[1]}"
            )
