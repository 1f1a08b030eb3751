"""A network as data that a script runs in a page."""

import base64
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from keras_lstm.models.weights import is_idle_at_inference, why_not_stock_lstm
from keras_lstm.pages.live_images import describe_images
from keras_lstm.pages.split_result import SplitResult
from keras_lstm.runs.run import Run
from keras_lstm.tasks.tokens import NUM_RESERVED
from keras_lstm.tasks.transducer import TransducerTask, get_machine
from keras_lstm.verification.mistakes import class_labels

# As base64, these are 1.5 MB of the 2 MB that a page may have.
MAX_PARAMETERS = 280_000
# A page shows the states of all steps.
MAX_STEPS = 4096
_MAX_EXAMPLE, _NUM_TOKENS = 24, 5


class NotLiveError(Exception):
    """Error for a network that no page runs; the message says why."""


def live_network(
    run: Run,
    first_wrong: str | None = None,
    tested: SplitResult | None = None,
) -> dict[str, Any]:
    """Return a run's network for `stepper.js` and `live.js`.

    Args:
        run: the run.
        first_wrong: an input that the network gets wrong, as people write it;
            None for an example of the task.
        tested: the test images to choose from; None for other tasks, or if
            they are not there.

    Returns:
        A mapping for JSON: the weights, in base64, and what the scripts need
        to read inputs and to name symbols, states and outputs.

    Raises:
        NotLiveError: if the network is too large, or computes what the script
            does not.
    """
    task, model = run.config.task, run.model
    count = model.count_params()
    if count > MAX_PARAMETERS:
        raise NotLiveError(
            f"it has {count:,} parameters, and only up to {MAX_PARAMETERS:,} "
            "fit into the page"
        )
    notation = task.notation(run.any_length)
    reads = notation.for_script()
    if reads is None and not notation.reads_lines:
        raise NotLiveError("its inputs are files")
    if reads is None:
        raise NotLiveError("no script reads its inputs as they are written")
    network = _network(model)
    if is_image(reads):
        reads |= describe_images(tested, reads["white"])
    examples = [] if first_wrong is None else [first_wrong]
    if notation.reads_lines:
        examples += [x for x in example_inputs(run) if x not in examples]
    machine = get_machine(task)
    outputs = list(map(str, class_labels(task)))
    if machine is not None:
        outputs = [machine.output_name(x) for x in range(task.num_classes)]
    return {
        "reads": reads,
        **network,
        "per_step": len(model.output_shape) > 2 and network["reshape"] is None,
        "max_steps": MAX_STEPS,
        "outputs": outputs,
        "machine": None if machine is None else _machine(machine),
        "examples": examples,
    }


def is_image(reads: dict[str, Any]) -> bool:
    """Return whether a script reads images, and not text.

    Args:
        reads: what the script needs to read inputs.
    """
    return bool(reads["reader"] == "image")


def _network(model: keras.Model) -> dict[str, Any]:
    """Return the weights of a chain of layers as `build_model` makes it.

    It may begin with an Embedding, a Normalization and a causal Conv1D layer;
    LSTM layers and a Dense layer follow.

    Raises:
        NotLiveError: if the model is another.
    """
    layers = [x for x in model.layers if not is_idle_at_inference(x)]
    reshape = None
    if layers and type(layers[-1]) is keras.layers.Reshape:
        reshape = list(layers.pop().target_shape)
    for layer in layers:
        if layer.compute_dtype != "float32":
            raise NotLiveError("it does not compute in float32")

    def take(kind: type[keras.layers.Layer]) -> Any:
        is_next = bool(layers) and type(layers[0]) is kind
        return layers.pop(0) if is_next else None

    embedding = take(keras.layers.Embedding)
    normalization = take(keras.layers.Normalization)
    encoder = take(keras.layers.Conv1D)
    if len(layers) < 2:
        raise NotLiveError("it is no chain of LSTMs and a Dense layer")
    *lstms, dense = layers
    for layer in lstms:
        if type(layer) is not keras.layers.LSTM:
            raise NotLiveError(f"it has a {type(layer).__name__} layer")
        if why := why_not_stock_lstm(layer):
            raise NotLiveError(f"of layer {layer.name}: {why}")
    if type(dense) is not keras.layers.Dense or (
        dense.activation is not keras.activations.linear
    ):
        raise NotLiveError(f"of layer {dense.name}: it gives no logits")
    names = ("kernel", "recurrent", "bias")
    return {
        "embedding": embedding and _packed(embedding.get_weights()[0]),
        "normalization": normalization and _normalization(normalization),
        "encoder": encoder and _encoder(encoder),
        "lstms": [
            dict(zip(names, map(_packed, x.get_weights()), strict=True))
            for x in lstms
        ],
        "dense": dict(
            zip(
                ("kernel", "bias"),
                map(_packed, dense.get_weights()),
                strict=True,
            )
        ),
        "reshape": reshape,
    }


def _normalization(layer: keras.layers.Normalization) -> dict[str, Any]:
    """Return means and deviations, as many as features or one for all."""
    mean = np.ravel(keras.ops.convert_to_numpy(layer.mean))
    variance = np.ravel(keras.ops.convert_to_numpy(layer.variance))
    deviation = np.maximum(np.sqrt(variance), keras.config.epsilon())
    if layer.invert:
        raise NotLiveError(f"of layer {layer.name}: it inverts")
    return {"mean": _packed(mean), "deviation": _packed(deviation)}


def _encoder(layer: keras.layers.Conv1D) -> dict[str, Any]:
    """Return the weights of a causal convolution, `(steps, in, out)`."""
    is_usual = (
        layer.padding == "causal"
        and layer.activation is keras.activations.relu
        and layer.use_bias
        and (layer.strides, layer.dilation_rate) == ((1,), (1,))
        and layer.groups == 1
        and layer.data_format == "channels_last"
        and len(layer.weights) == 2
    )
    if not is_usual:
        raise NotLiveError(f"of layer {layer.name}: it has unusual settings")
    kernel, bias = layer.get_weights()
    return {"kernel": _packed(kernel), "bias": _packed(bias)}


def _packed(array: npt.NDArray[Any]) -> dict[str, Any]:
    """Return an array as its shape, and its numbers in base64."""
    data = np.ascontiguousarray(array, "<f4").tobytes()
    return {
        "shape": list(array.shape),
        "float32": base64.b64encode(data).decode(),
    }


def _machine(machine: TransducerTask) -> dict[str, Any]:
    states = range(len(machine.next_state))
    domain = machine.domain_states
    # The order in which a sequence is written.
    first, _ = machine.as_written(np.arange(2)).tolist()
    return {
        "next_state": machine.next_state,
        "output": machine.output,
        "states": [machine.state_name(state) for state in states],
        "domain": None if domain is None else sorted(domain),
        "symbols": [
            machine.symbol_name(each) for each in range(machine.num_symbols)
        ],
        "separator": machine.separator,
        "reversed": first == 1,
    }


def example_inputs(run: Run) -> list[str]:
    """Return inputs of a run's task, as people write them.

    Args:
        run: the run.

    Returns:
        The inputs, those of the longest hold first; or a word for one.
    """
    task = run.config.task
    machine = get_machine(task)
    notation = task.notation(run.any_length)
    if notation.for_script() is None or not notation.reads_lines:
        return ["INPUT" if notation.reads_lines else "FILE"]
    if machine is None:
        known = min(_NUM_TOKENS, len(task.known_tokens))
        if known:
            return ["".join(task.sketch(np.arange(known) + NUM_RESERVED))]
        return [" ".join(["0"] * (task.input_shape[0] or _NUM_TOKENS))]
    steps = machine.num_bits
    if run.any_length:
        steps = min(steps, _MAX_EXAMPLE)
    rng = np.random.default_rng(0)
    shape = (64, steps)
    symbols = rng.integers(machine.num_symbols, size=shape, dtype=np.int32)
    ends = machine.states(symbols)[:, -1]
    symbols = symbols[machine.in_domain(ends)]
    holds = machine.hold_length(symbols)
    symbols = symbols[np.argsort(-holds, kind="stable")]
    places = {0, len(symbols) // 4, len(symbols) - 1}
    return [
        _as_typed(machine, symbols[place])
        for place in sorted(places)
        if 0 <= place < len(symbols)
    ]


def _as_typed(machine: TransducerTask, symbols: npt.NDArray[Any]) -> str:
    if not machine.writes_numbers:
        return machine.text_of(symbols)
    if machine.num_symbols == 2:
        return f"0b{machine.text_of(symbols)}"
    value = sum(
        int(digit) * machine.num_symbols**place
        for place, digit in enumerate(symbols)
    )
    return str(value)
