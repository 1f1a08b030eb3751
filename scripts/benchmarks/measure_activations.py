"""Measure the errors of tanh and sigmoid on this machine's CPU.

Command: python scripts/benchmarks/measure_activations.py [--every K]

The errors are the largest over all finite float32 numbers. TensorFlow computes
most of an array with vector instructions, and the remainder at its end, up to
7 numbers, with others: both are measured, the second on arrays of 7. Those of
NumPy are what `verify` walks with. This takes more than an hour on 2 cores;
`--every K` measures each K-th number only.
"""

import argparse
import json
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf
from scipy.special import expit

from keras_lstm.core.console import ProgressBar
from keras_lstm.proof.intervals import SIGMOID_ERROR, TANH_ERROR

LEFT_OVER = 7
ROWS = 4096


def main() -> None:
    """Print a line of JSON per function and path; exit with 1 if too far."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, metavar="K")
    every = parser.parse_args().every
    functions = [
        ("tanh", tf.tanh, np.tanh, TANH_ERROR, (-1.0, 1.0)),
        ("sigmoid", tf.sigmoid, expit, SIGMOID_ERROR, (0.0, 1.0)),
    ]
    kept = True
    for name, function, exact, allowed, (low, high) in functions:
        for path, traced in (paths(function) | by_numpy(name)).items():
            with ProgressBar(f"{name}, {path}") as bar:
                found = measure(traced, exact, every, bar.update)
            found = {"function": name, "path": path, **found}
            print(json.dumps(found), flush=True)
            kept &= found["largest_error"] <= allowed
            kept &= low <= found["least"] and found["most"] <= high
    sys.exit(not kept)


def paths(function):
    """Return the function traced for vectors and for remainders."""
    rows = tf.TensorSpec([ROWS, LEFT_OVER], tf.float32)

    def vectors(x):
        return function(x)

    def remainders(x):
        return tf.stack([function(row) for row in tf.unstack(x)])

    return {
        "vectors": tf.function(vectors, [rows]),
        "remainders": tf.function(remainders, [rows]),
    }


def by_numpy(name):
    """Return NumPy's function; a sigmoid as a walk computes it, from tanh."""

    def tanh(x):
        return np.tanh(x)

    def sigmoid(x):
        return (1 + np.tanh(x * np.float32(0.5))) * np.float32(0.5)

    return {"NumPy": {"tanh": tanh, "sigmoid": sigmoid}[name]}


def measure(function, exact, every, progress):
    """Return the largest error, its input and the range, over float32."""
    largest, at, least, most, count = 0.0, 0.0, np.inf, -np.inf, 0
    size = ROWS * LEFT_OVER
    for first in range(0, 2**32, size * every):
        patterns = np.arange(first, min(first + size * every, 2**32), every)
        x = np.zeros(size, np.uint32)
        x[: len(patterns)] = patterns
        x = x.view(np.float32)
        y = np.asarray(function(x.reshape(ROWS, LEFT_OVER))).reshape(-1)
        finite = np.isfinite(x)
        finite[len(patterns) :] = False
        x, y = x[finite].astype(np.float64), y[finite].astype(np.float64)
        count += len(x)
        if len(x):
            errors = np.abs(y - exact(x))
            worst = errors.argmax()
            # Not `max`, which would pass over a NaN.
            if not errors[worst] <= largest:
                largest, at = float(errors[worst]), float(x[worst])
            least = min(least, float(y.min()))
            most = max(most, float(y.max()))
        progress(min(first + size * every, 2**32), 2**32)
    return {
        "numbers": count,
        "largest_error": largest,
        "at": at,
        "least": least,
        "most": most,
    }


if __name__ == "__main__":
    main()
