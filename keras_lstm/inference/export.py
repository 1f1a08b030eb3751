"""Export of trained models to other formats, checked in their runtimes."""

import dataclasses
import importlib.util
import pathlib
import tempfile
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from keras_lstm.core.errors import InputError, RunError
from keras_lstm.core.files import replacing, replacing_folder
from keras_lstm.core.options import check_known
from keras_lstm.tasks.task import Task

if TYPE_CHECKING:
    import keras

Array = npt.NDArray[Any]

_NUM_CHECKED = 1000
# Time steps computed at once, over all inputs of a batch.
_MAX_STEPS = 2**18
# Relative to the largest logit; allows for float32 operations in another order.
_TOLERANCE = 1e-3
_OUTPUT = "logits"
_SIGNATURE = "serving_default"
# Contents of the folder of a SavedModel.
_SAVED_MODEL = {"assets", "fingerprint.pb", "saved_model.pb", "variables"}


@dataclasses.dataclass(frozen=True)
class Exported:
    """An exported model, and its comparison with the original.

    Args:
        path: the file or folder.
        runtime: name of the runtime that it was compared in.
        signature: names, types and shapes of its input and output.
        num_checked: number of random inputs with the same predictions.
        largest_difference: largest absolute difference between logits.
    """

    path: pathlib.Path
    runtime: str
    signature: str
    num_checked: int
    largest_difference: float

    def __str__(self) -> str:
        return (
            f"{self.path}\n{self.signature}\n{self.runtime} answers "
            f"{self.num_checked:,} random inputs as Keras does; logits differ "
            f"by at most {self.largest_difference:.1e}"
        )


def export_model(
    model: "keras.Model",
    task: Task,
    format_name: str,
    path: pathlib.Path,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Exported:
    """Export a model to another format, and compare it with the original.

    The format's own runtime loads the exported model and predicts 1,000
    random inputs. If a prediction or a logit differs, `path` is not changed.

    Args:
        model: the model to export.
        task: the model's task.
        format_name: one of `FORMATS`.
        path: the file or folder to write.
        overwrite: whether to replace an existing model of this format.
        progress: called as `progress(num_compared, num_inputs)`.

    Returns:
        The exported model, and its comparison with the original.

    Raises:
        InputError: if `check_export` refuses the arguments, or the format
            supports float32 only and the model computes in another type.
        RunError: if the model cannot be converted, or the exported model's
            outputs differ from the original's.
        OSError: if `path` cannot be written.
    """
    check_export(format_name, path, overwrite)
    kind = FORMATS[format_name]
    policies = {layer.dtype_policy.name for layer in model.layers}
    others = sorted(policies - {"float32"})
    if kind.is_float32 and others:
        raise InputError(
            f"`format` {format_name} supports only models that compute in "
            f"float32. Received: format={format_name}, a model that computes "
            f"in {', '.join(others)}"
        )
    name = task.input_label
    shape = (kind.batch_size, *model.input_shape[1:])
    # Replaces the target of a link, not the link.
    target = path.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    moving = replacing_folder if kind.is_folder else replacing
    with moving(target) as temporary:
        try:
            kind.write(model, _serving(model, shape, name), temporary)
            infer = kind.load(temporary, name)
            largest = _compare(model, task, infer, progress)
        except (OSError, RunError):
            raise
        # Converters raise exceptions of any class.
        except Exception as error:
            reason = (str(error).strip() or repr(error)).splitlines()[-1][:200]
            raise RunError(
                f"the model cannot be exported as {format_name}: {reason}"
            ) from error
    return Exported(
        path,
        kind.runtime,
        f"{name} {_shape_text(shape)} {model.inputs[0].dtype} -> {_OUTPUT} "
        f"{_shape_text((kind.batch_size, *model.output_shape[1:]))} float32",
        _NUM_CHECKED,
        largest,
    )


def check_export(
    format_name: str, path: pathlib.Path, overwrite: bool = False
) -> None:
    """Refuse bad arguments of an export before any work.

    Args:
        format_name: one of `FORMATS`.
        path: the file or folder to write.
        overwrite: whether to replace an existing model of this format.

    Raises:
        InputError: if the format is unknown, its packages are not installed,
            or the path must not be written.
    """
    check_known(format_name, FORMATS, "format")
    kind = FORMATS[format_name]
    if kind.suffix and path.suffix != kind.suffix:
        raise InputError(
            f"`output` must end in {kind.suffix} for {format_name}. Received: "
            f"output={path}"
        )
    missing = [x for x in kind.modules if not importlib.util.find_spec(x)]
    if missing:
        packages = ", ".join(missing).replace("_", "-")
        raise InputError(
            f"`format` {format_name} needs packages that are not installed, "
            f"{packages}: pip install 'keras-lstm[{format_name}]'. Received: "
            f"format={format_name}"
        )
    try:
        target = path.resolve()
        exists = target.exists()
        above = next(x for x in (target, *target.parents) if x.exists())
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"`output` must be a path. Received: output={path} ({error})"
        ) from None
    if not exists:
        if not above.is_dir():
            raise InputError(
                f"`output` must not be below a file. Received: output={path}"
            )
        return
    if not overwrite:
        raise InputError(
            "`output` must not exist unless `overwrite` is set. Received: "
            f"output={path}"
        )
    # Guards against removing anything but a model of this format.
    is_model = target.is_file() and not kind.is_folder
    if target.is_dir() and kind.is_folder:
        names = {each.name for each in target.iterdir()}
        is_model = "saved_model.pb" in names <= _SAVED_MODEL
    if not is_model:
        raise InputError(
            f"`output` must be a {format_name} model to be overwritten. "
            f"Received: output={path}"
        )


def _serving(model: "keras.Model", shape: tuple[Any, ...], name: str) -> Any:
    import tensorflow as tf

    # Signatures take the specification's name, not the argument's.
    spec = tf.TensorSpec(shape, model.inputs[0].dtype, name)

    def serve(inputs: Any) -> dict[str, Any]:
        logits = model(inputs, training=False)
        return {_OUTPUT: tf.cast(logits, tf.float32)}

    return tf.function(serve, input_signature=[spec])


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
    for tensor in (*converted.graph.input, *converted.graph.output):
        dimensions = tensor.type.tensor_type.shape.dim
        for dimension, name in zip(dimensions, ("batch", "time"), strict=False):
            if dimension.dim_param:
                dimension.dim_param = name
    onnx.checker.check_model(converted)
    onnx.save(converted, path)


# From inputs to logits.
_Infer = Callable[[Array], Array]


def _load_saved_model(path: pathlib.Path, name: str) -> _Infer:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))

    def infer(inputs: Array) -> Array:
        serve = loaded.signatures[_SIGNATURE]
        return serve(**{name: tf.constant(inputs)})[_OUTPUT].numpy()

    return infer


def _load_litert(path: pathlib.Path, name: str) -> _Infer:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path))
    run = interpreter.get_signature_runner(_SIGNATURE)

    def infer(inputs: Array) -> Array:
        logits = [run(**{name: one[np.newaxis]})[_OUTPUT] for one in inputs]
        return np.concatenate(logits)

    return infer


def _load_onnx(path: pathlib.Path, name: str) -> _Infer:
    import onnxruntime

    session = onnxruntime.InferenceSession(
        path, providers=["CPUExecutionProvider"]
    )
    return lambda inputs: session.run([_OUTPUT], {name: inputs})[0]


class _Format(NamedTuple):
    """A format that models are exported to.

    Args:
        file_name: default name in the run folder.
        runtime: name of the runtime that executes it.
        modules: extra modules that it requires.
        batch_size: the only batch size that it supports; None for any.
        is_float32: whether it supports float32 only.
        write: writes a model, given the model, its serving function and the
            path.
        load: returns a function from inputs to logits, given the path and the
            input's name.
    """

    file_name: str
    runtime: str
    modules: tuple[str, ...]
    batch_size: int | None
    is_float32: bool
    write: Callable[["keras.Model", Any, pathlib.Path], None]
    load: Callable[[pathlib.Path, str], _Infer]

    @property
    def suffix(self) -> str:
        return pathlib.PurePath(self.file_name).suffix

    @property
    def is_folder(self) -> bool:
        return not self.suffix


FORMATS = {
    "saved_model": _Format(
        file_name="saved_model",
        runtime="TensorFlow",
        modules=(),
        batch_size=None,
        is_float32=False,
        write=_write_saved_model,
        load=_load_saved_model,
    ),
    "litert": _Format(
        file_name="model.tflite",
        runtime="LiteRT",
        modules=("ai_edge_litert",),
        batch_size=1,
        is_float32=True,
        write=_write_litert,
        load=_load_litert,
    ),
    "onnx": _Format(
        file_name="model.onnx",
        runtime="ONNX Runtime",
        modules=("onnx", "onnxruntime", "tf2onnx"),
        batch_size=None,
        is_float32=True,
        write=_write_onnx,
        load=_load_onnx,
    ),
}


def _compare(
    model: "keras.Model",
    task: Task,
    infer: _Infer,
    progress: Callable[[int, int], None] | None,
) -> float:
    """Return the largest absolute difference between logits.

    Args:
        model: the original.
        task: the model's task.
        infer: the exported model.
        progress: see `export_model`.

    Returns:
        The difference over 1,000 random inputs.

    Raises:
        RunError: if the shape of the logits or a prediction differs, or a
            logit by more than 1e-3 times the largest logit of its batch (by
            more than 1e-3, if that is below 1).
    """
    import tensorflow as tf

    from keras_lstm.models.logits import predictions_of

    # Eager execution takes a millisecond for each step of a long sequence.
    call = tf.function(
        lambda x: model(x, training=False), reduce_retracing=True
    )
    largest, num_compared = 0.0, 0
    for inputs in _random_inputs(model, task):
        expected = np.asarray(call(tf.constant(inputs)), np.float32)
        found = np.asarray(infer(inputs))
        if found.shape != expected.shape:
            raise RunError(
                f"the exported model returns logits of shape {found.shape}, "
                f"but Keras of shape {expected.shape}"
            )
        difference = float(np.abs(found - expected).max())
        wrong = (predictions_of(found) != predictions_of(expected)).any()
        # `not (difference > limit)` would let NaN pass.
        near = difference <= _TOLERANCE * max(
            1.0, float(np.abs(expected).max())
        )
        if wrong or not near:
            raise RunError(
                "the exported model differs from Keras: "
                f"{'predictions differ, ' if wrong else ''}logits differ by "
                f"up to {difference:.1e}"
            )
        largest = max(largest, difference)
        num_compared += len(inputs)
        if progress is not None:
            progress(num_compared, _NUM_CHECKED)
    return largest


def _random_inputs(model: "keras.Model", task: Task) -> Iterator[Array]:
    """Yield 1,000 inputs in batches that vary in size and, if open, length."""
    rng = np.random.default_rng(0)
    steps, *rest = task.input_shape
    is_any_length = model.input_shape[1] is None
    lengths = (1, steps + 1, steps) if is_any_length else (steps,)
    left = _NUM_CHECKED
    for index, length in enumerate(lengths, 1):
        count = left // (len(lengths) - index + 1)
        left -= count
        size = 1
        while count:
            size = min(count, size, max(1, _MAX_STEPS // length))
            shape = (size, length, *rest)
            yield task.random_inputs(rng, shape)
            count -= size
            size = _NUM_CHECKED


def _shape_text(shape: tuple[int | None, ...]) -> str:
    names = (("batch", "time") + ("any",) * len(shape))[: len(shape)]
    sizes = [
        name if size is None else str(size)
        for name, size in zip(names, shape, strict=True)
    ]
    return f"({', '.join(sizes)})"
