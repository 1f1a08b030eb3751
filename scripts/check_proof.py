"""Check a run's proof with NumPy and h5py: python check_proof.py RUN_DIR.

This shares no code with `keras_lstm`: it is written from docs/proof.md. Bounds
are arrays of two rows, low and high. The exit code is 0 if the proof holds. The
names by which a StringLookup reads symbols are not checked.
"""

import hashlib
import io
import itertools
import json
import pathlib
import sys
import zipfile
from typing import Any

import h5py
import numpy as np

UNIT, TINY = 1.01 * 2.0**-24, 1.01 * 2.0**-126
TANH_ERROR, SIGMOID_ERROR, LARGEST = 2.0**-21, 2.0**-22, 2.0**50
IDLE = ("InputLayer", "Dropout", "GaussianNoise", "StringLookup")
INPUT_DTYPES = ("string", "float32", "int32", "int64")
ACTIVATIONS = {"Embedding": None, "LSTM": "tanh", "Dense": "linear"}
USUAL = {"recurrent_activation": "sigmoid", "quantization_config": None}
USUAL |= {"return_sequences": True, "use_bias": True, "mask_zero": False}
USUAL |= dict.fromkeys(("return_state", "go_backwards", "stateful"), False)
# The rows of next_state, then those of output. Other tasks are not compared.
MACHINES = {"increment": "10 11 10 01", "decrement": "01 11 10 01"}
MACHINES |= {"parity": "01 10 01 10", "add": "0001 0111 0110 1001"}


def need(condition: Any, what: str) -> None:
    """Refuse the proof unless a condition holds everywhere."""
    if not np.all(condition):
        raise ValueError(what)


def wider(x: Any, by: Any = 0.0) -> Any:
    """Return bounds on all within `by` of x, with float64 rounded outwards."""
    low, high = x[0] - by, x[1] + by
    return np.stack([np.nextafter(low, -np.inf), np.nextafter(high, np.inf)])


def times(x: Any, y: Any) -> Any:
    """Return bounds on x * y in exact arithmetic."""
    ends = [a * b for a in x for b in y]
    return wider([np.minimum.reduce(ends), np.maximum.reduce(ends)])


def size(x: Any) -> Any:
    """Return the largest magnitude within bounds."""
    return np.abs(x).max(0)


def weighted(x: Any, kernel: Any, start: Any) -> Any:
    """Return bounds on `start + x @ kernel` in exact arithmetic."""
    for n in range(x.shape[-1]):
        start = wider(start + times(x[..., n, None], kernel[..., n, :]))
    return start


def rounding(inputs: list[Any], bias: Any) -> Any:
    """Return how far a float32 sum may be from the exact one."""
    number, magnitude, lost = 1, np.abs(bias), 0.0
    for x, kernel in inputs:
        number += len(kernel)
        magnitude = magnitude + size(x) @ np.abs(kernel)
        lost += len(kernel) * (size(x).max() + np.abs(kernel).max() + 4)
    need(number <= 2**16, "a sum has too many terms")
    return number * UNIT * magnitude + lost * TINY


def squashed(x: Any, scale: int, error: float) -> Any:
    """Return bounds on `tf.sigmoid(x)` for scale 1, on `tf.tanh(x)` for 2."""
    # Both are scale / (1 + exp(-x)) - scale + 1, with another x.
    x = np.array([np.clip(scale * x, -700, 700)] * 2)
    # exp(-x) = 2^power * exp(rest), by a Taylor series: abs(rest) < 0.35.
    power = np.round(-x / np.log(2))
    rest = wider(times(-power, wider(np.full_like(x, np.log(2)))) - x)
    e = wider(np.ones_like(x), 0.02)
    for n in range(20, 0, -1):
        e = wider(1 + wider(times(rest, e) / n))
    e = wider(1 + np.ldexp(e, power.astype(int)))
    found = wider(scale * wider(1 / e[::-1]) - (scale - 1))
    return np.clip(wider(found[[0, 1], [0, 1]], error), 1 - scale, 1)


def product(x: Any, y: Any) -> Any:
    """Return bounds on the float32 product."""
    exact = times(x, y)
    return wider(exact, UNIT * size(exact) + TINY * (size(x) + size(y) + 2))


def step(lstms: list[list[Any]], x: Any, states: Any) -> Any:
    """Return bounds on the h and c of each layer after reading x."""
    after = []
    for kernel, recurrent, bias in lstms:
        units = len(recurrent)
        h, c, states = np.split(states, [units, 2 * units], -1)
        z = weighted(x, np.array([kernel] * 2), np.array([bias[None]] * 2))
        z = weighted(h, np.array([recurrent] * 2), z)
        z = wider(z, rounding([(x, kernel), (h, recurrent)], bias))
        i, f, g, o = np.split(z, 4, -1)
        i, f, o = (squashed(gate, 1, SIGMOID_ERROR) for gate in (i, f, o))
        c, added = product(f, c), product(i, squashed(g, 2, TANH_ERROR))
        c = wider(wider(c + added), UNIT * (size(c) + size(added)) + 3 * TINY)
        x = product(o, squashed(c, 2, TANH_ERROR))
        after += [x, c]
    return np.concatenate(after, -1)


def follows(before: str, layer: Any) -> bool:
    """Return whether a layer is called once, with another's output alone."""
    (call,) = layer["inbound_nodes"]
    (argument,) = call["args"]
    source = argument["config"]["keras_history"]
    return source == [before, 0, 0] and not any(call["kwargs"].values())


def read_weights(path: pathlib.Path) -> list[list[Any]]:
    """Return the arrays of each layer that has any, first to last."""
    found, before, kinds = [], "", []
    with zipfile.ZipFile(path) as archive:
        saved = json.loads(archive.read("config.json"))
        file = h5py.File(io.BytesIO(archive.read("model.weights.h5")))
    model = saved["config"]
    need(saved["class_name"] == "Functional", "not a functional model")
    for layer in model["layers"]:
        need(layer["name"] and isinstance(layer["name"], str), "a layer's name")
        kind, config = layer["class_name"], layer["config"]
        need(layer["module"] == "keras.layers", "a layer of somebody's own")
        plain = kind == "InputLayer" if not before else follows(before, layer)
        need(plain, "the layers are not a plain chain")
        before, dtype = layer["name"], config["dtype"]
        if kind == "InputLayer":
            need(dtype in INPUT_DTYPES, "inputs of another type")
            continue
        if isinstance(dtype, dict):
            need(dtype["class_name"] == "DTypePolicy", "not in float32")
            dtype = dtype["config"]["name"]
        need(dtype == "float32", "not in float32")
        if kind in IDLE:
            continue
        usual = USUAL | {"activation": ACTIVATIONS[kind]}
        for name in usual.keys() & config.keys():
            need(config[name] == usual[name], f"{before} has another {name}")
        # Keras's own settings, which count where there are none, are usual but
        # for this one.
        need(kind != "LSTM" or "return_sequences" in config, "a last state")
        # Keras numbers the layers of a class: lstm, lstm_1, lstm_2, ...
        number = f"_{kinds.count(kind)}" * (kind in kinds)
        kinds.append(kind)
        place = kind.lower() + number + "/cell" * (kind == "LSTM")
        arrays = file[f"layers/{place}/vars"]
        found.append([arrays[name][:] for name in sorted(arrays)])
    order = ["Embedding", *["LSTM"] * (len(found) - 2), "Dense"]
    ends = [model["layers"][0]["name"], 0, 0], [before, 0, 0]
    need(kinds == order, "not a chain")
    for place, end in zip(("input_layers", "output_layers"), ends, strict=True):
        need(model[place] in (end, [end]), f"other {place} than the chain's")
    return found


def check(run_dir: pathlib.Path) -> float:
    """Return the margin that a run's proof proves."""
    proof = json.loads((run_dir / "proof.json").read_text("utf-8"))
    need("domain" not in proof, "not by boxes, the only ones checked here")
    task = json.loads((run_dir / "report.json").read_text("utf-8"))["task"]
    tables = np.array([proof["next_state"], proof["output"]])
    next_state, output = tables
    rows = " ".join("".join(map(str, row)) for row in [*next_state, *output])
    need(MACHINES.get(task, rows) == rows, f"it is not about {task}")
    num_symbols = next_state.shape[1]
    (embedding,), *lstms, (kernel, bias) = read_weights(run_dir / "model.keras")
    embedding, digest = embedding[:num_symbols], hashlib.sha256()
    need(len(embedding) == num_symbols, "another number of symbols")
    need((output >= 0) & (output < len(bias)), "outputs out of range")
    for array in (embedding, *itertools.chain(*lstms), kernel, bias):
        need((np.abs(array) < LARGEST) & (array.dtype == "<f4"), "a weight")
        digest.update(repr(array.shape).encode() + array.tobytes())
    need(digest.hexdigest() == proof["weights_sha256"], "other weights")
    text = json.dumps({k: v for k, v in proof.items() if k != "checksum"})
    checksum = hashlib.sha256(text.encode()).hexdigest()
    need(checksum == proof["checksum"], "the checksum is wrong")
    names = ("low", "high", "state", "successors", "margins")
    low, high, states, successors, margins = (
        np.array([box[name] for box in proof["boxes"]]) for name in names
    )
    boxes, count = np.stack([low, high]), len(states)
    num_units, size_h = sum(len(lstm[1]) for lstm in lstms), len(kernel)
    need(boxes.shape == (2, count, 2 * num_units), "another number of units")
    need(successors.shape == margins.shape == (count, num_symbols), "rows")
    need(margins > 0, "a margin is not above 0")
    for found, number in ((states, len(next_state)), (successors, count)):
        need(found.dtype.kind == "i", "numbers that are not integers")
        need((found >= 0) & (found < number), "numbers out of range")
    need(size(boxes) < LARGEST, "a bound is too large")
    need((states[0] == 0) & (boxes[0, 0] <= 0) & (boxes[1, 0] >= 0), "start")
    lstms = [[array.astype(float) for array in lstm] for lstm in lstms]
    kernel, bias = kernel.astype(float), bias.astype(float)
    for symbol in range(num_symbols):
        x = np.array([np.tile(embedding[symbol], (count, 1))] * 2, float)
        after, ends = step(lstms, x, boxes), successors[:, symbol]
        need(states[ends] == next_state[states, symbol], "a wrong next state")
        need(after[0] >= boxes[0, ends], "a state leaves its box")
        need(after[1] <= boxes[1, ends], "a state leaves its box")
        h, right = after[..., -2 * size_h : -size_h], output[states, symbol]
        away = wider([kernel.T[right][:, :, None] - kernel] * 2)
        start = wider([bias[right][:, None] - bias] * 2)
        error = rounding([(h, kernel)], bias)
        error += error[np.arange(count), right][:, None]
        margin = wider(weighted(h, away, start), error)[0]
        margin[np.arange(count), right] = np.inf
        need(margins[:, symbol] <= margin.min(1), "a margin is not proved")
    return float(margins.min())


if __name__ == "__main__":
    if len(sys.argv) != 2:
        print("Usage: check_proof.py RUN_DIR", file=sys.stderr)
        sys.exit(2)
    try:
        print(f"Proved, with margin {check(pathlib.Path(sys.argv[1])):.4g}.")
    except Exception as error:
        sys.exit(f"Not proved: {error or type(error).__name__}")
