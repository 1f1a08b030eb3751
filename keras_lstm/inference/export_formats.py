"""Formats that models are exported to: writing them, and running them."""

import pathlib
import tempfile
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import keras

Array = npt.NDArray[Any]

OUTPUT = "logits"
_SIGNATURE = "serving_default"


def _write_saved_model(
    model: "keras.Model", serving: Any, path: pathlib.Path
) -> None:
    import keras

    archive = keras.export.ExportArchive()
    archive.track(model)
    serving.get_concrete_function()
    archive.add_endpoint("serve", serving)
    archive.write_out(path, verbose=False)


def _write_litert(
    model: "keras.Model", serving: Any, path: pathlib.Path
) -> None:
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        _write_saved_model(model, serving, pathlib.Path(folder))
        converter = tf.lite.TFLiteConverter.from_saved_model(
            folder, signature_keys=[_SIGNATURE]
        )
        # The plain interpreter supports no other operations.
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        path.write_bytes(converter.convert())


def _write_onnx(model: "keras.Model", serving: Any, path: pathlib.Path) -> None:
    import onnx
    import tf2onnx

    converted, _ = tf2onnx.convert.from_function(
        serving, input_signature=serving.input_signature
    )
    _keep_constants(converted.graph, serving.get_concrete_function())
    for tensor in (*converted.graph.input, *converted.graph.output):
        dimensions = tensor.type.tensor_type.shape.dim
        for dimension, name in zip(dimensions, ("batch", "time"), strict=False):
            if dimension.dim_param:
                dimension.dim_param = name
    onnx.checker.check_model(converted)
    onnx.save(converted, path)


def _keep_constants(graph: Any, traced: Any) -> None:
    """Store the constants of a graph in it, which tf2onnx makes inputs.

    `Normalization` of Keras has its mean and variance as such constants.

    Args:
        graph: the converted graph.
        traced: the concrete function that it was converted from.
    """
    import onnx

    count = len(traced.captured_inputs)
    captured = {
        placeholder.name: value
        for placeholder, value in zip(
            traced.inputs[len(traced.inputs) - count :],
            traced.captured_inputs,
            strict=True,
        )
    }
    used = set(_used_names(graph))
    for tensor in list(graph.input):
        if tensor.name not in captured:
            continue
        graph.input.remove(tensor)
        if tensor.name in used:
            values = captured[tensor.name].numpy()
            graph.initializer.append(
                onnx.numpy_helper.from_array(values, tensor.name)
            )


def _used_names(graph: Any) -> Iterator[str]:
    """Yield the names that nodes read, also those of graphs in them."""
    for node in graph.node:
        yield from node.input
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _used_names(inner)


# From inputs to logits.
Infer = Callable[[Array], Array]


def _load_saved_model(path: pathlib.Path, name: str) -> Infer:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))

    def infer(inputs: Array) -> Array:
        serve = loaded.signatures[_SIGNATURE]
        return serve(**{name: tf.constant(inputs)})[OUTPUT].numpy()

    return infer


def _load_litert(path: pathlib.Path, name: str) -> Infer:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path))
    run = interpreter.get_signature_runner(_SIGNATURE)

    def infer(inputs: Array) -> Array:
        logits = [run(**{name: one[np.newaxis]})[OUTPUT] for one in inputs]
        return np.concatenate(logits)

    return infer


def _load_onnx(path: pathlib.Path, name: str) -> Infer:
    import onnxruntime

    session = onnxruntime.InferenceSession(
        path, providers=["CPUExecutionProvider"]
    )
    return lambda inputs: session.run([OUTPUT], {name: inputs})[0]


class Format(NamedTuple):
    """A format that models are exported to.

    Args:
        file_name: default name in the run folder.
        runtime: name of the runtime that executes it.
        modules: extra modules that it requires.
        batch_size: the only batch size that it supports; None for any.
        is_float32: whether it supports float32 only.
        reads_text: whether its models may read texts.
        write: writes a model, given the model, its serving function and the
            path.
        load: returns a function from inputs to logits, given the path and the
            input's name.
        mark: bytes that its files have, and where; None if it is a folder.
    """

    file_name: str
    runtime: str
    modules: tuple[str, ...]
    batch_size: int | None
    is_float32: bool
    reads_text: bool
    write: Callable[["keras.Model", Any, pathlib.Path], None]
    load: Callable[[pathlib.Path, str], Infer]
    mark: tuple[int, bytes] | None = None

    @property
    def suffix(self) -> str:
        """Suffix of the file's name; empty for a folder."""
        return pathlib.PurePath(self.file_name).suffix

    @property
    def is_folder(self) -> bool:
        """Whether the model is a folder."""
        return not self.suffix

    def marks(self, path: pathlib.Path) -> bool:
        """Return whether a file seems to be of the format.

        Args:
            path: the file.
        """
        if self.mark is None:
            return False
        place, expected = self.mark
        with path.open("rb") as file:
            return file.read(place + len(expected))[place:] == expected


FORMATS = {
    "saved_model": Format(
        file_name="saved_model",
        runtime="TensorFlow",
        modules=(),
        batch_size=None,
        is_float32=False,
        reads_text=True,
        write=_write_saved_model,
        load=_load_saved_model,
    ),
    "litert": Format(
        file_name="model.tflite",
        runtime="LiteRT",
        modules=("ai_edge_litert",),
        batch_size=1,
        is_float32=True,
        reads_text=False,
        write=_write_litert,
        load=_load_litert,
        mark=(4, b"TFL3"),
    ),
    "onnx": Format(
        file_name="model.onnx",
        runtime="ONNX Runtime",
        modules=("onnx", "onnxruntime", "tf2onnx"),
        batch_size=None,
        is_float32=True,
        reads_text=False,
        write=_write_onnx,
        load=_load_onnx,
        # After the version, the first field, comes the name of who wrote it.
        mark=(4, b"tf2onnx"),
    ),
}
