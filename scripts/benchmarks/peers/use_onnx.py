"""ONNX Runtime: its LSTM operator, with the state as inputs and outputs."""

import answering
import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

UNITS = 32
FEATURES = 10
STATES = ("h1", "c1", "h2", "c2")


def session() -> onnxruntime.InferenceSession:
    """Return the tutorial's layers with random weights, one thread."""
    rng = np.random.default_rng(0)

    def weights(name: str, *shape: int) -> object:
        values = (rng.normal(size=shape) * 0.1).astype(np.float32)
        return numpy_helper.from_array(values, name)

    gates = 4 * UNITS
    axis = numpy_helper.from_array(np.array([1]), "axis")
    arrays = [axis, weights("embedding", 2, FEATURES)]
    arrays += [weights("dense", UNITS, 2), weights("dense_bias", 2)]
    nodes = [helper.make_node("Gather", ["embedding", "bits"], ["x0"])]
    for layer, features in (1, FEATURES), (2, UNITS):
        arrays += [
            weights(f"kernel{layer}", 1, gates, features),
            weights(f"recurrent{layer}", 1, gates, UNITS),
            weights(f"bias{layer}", 1, 2 * gates),
        ]
        inputs = [f"x{layer - 1}", f"kernel{layer}", f"recurrent{layer}"]
        inputs += [f"bias{layer}", "", f"h{layer}", f"c{layer}"]
        outputs = [f"y{layer}", f"h{layer}_after", f"c{layer}_after"]
        nodes += [
            helper.make_node("LSTM", inputs, outputs, hidden_size=UNITS),
            helper.make_node("Squeeze", [f"y{layer}", "axis"], [f"x{layer}"]),
        ]
    nodes += [
        helper.make_node("MatMul", ["x2", "dense"], ["product"]),
        helper.make_node("Add", ["product", "dense_bias"], ["logits"]),
        helper.make_node(
            "ArgMax", ["logits"], ["answers"], axis=-1, keepdims=0
        ),
    ]
    state = [1, 1, UNITS]
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "stream",
        [info("bits", TensorProto.INT64, ["time", 1])]
        + [info(name, TensorProto.FLOAT, state) for name in STATES],
        [info("answers", TensorProto.INT64, None)]
        + [info(f"{x}_after", TensorProto.FLOAT, state) for x in STATES],
        arrays,
    )
    opset = helper.make_opsetid("", 17)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=9)
    options = onnxruntime.SessionOptions()
    # More threads take longer, at this size.
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options)


def feed(name: str, batch_size: int) -> answering.Run:
    """Return a run of predictions for one bit after the other."""
    read = session()

    def run(steps: int) -> None:
        states = [np.zeros((1, 1, UNITS), np.float32) for _ in STATES]
        for bit in answering.symbols(steps)[:, np.newaxis, np.newaxis]:
            inputs = dict(zip(STATES, states, strict=True), bits=bit)
            answer, *states = read.run(None, inputs)
            int(answer[0, 0])

    return run


def call(name: str, batch_size: int) -> answering.Run:
    """Return a run of predictions for all bits in one call."""
    read = session()

    def run(steps: int) -> None:
        inputs = {x: np.zeros((1, 1, UNITS), np.float32) for x in STATES}
        bits = answering.symbols(steps)[:, np.newaxis]
        read.run(["answers"], inputs | {"bits": bits})

    return run


if __name__ == "__main__":
    answering.answer({"feed": feed, "call": call})
