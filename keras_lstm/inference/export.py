"""Trained models in other formats, checked by the formats' own runtimes."""

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
# Symbols or rows that are asked at once.
_MAX_STEPS = 2**18
# Of the largest logit; what float32 loses in another order of operations.
_TOLERANCE = 1e-3
_OUTPUT = "logits"
_SIGNATURE = "serving_default"
# What is in the folder of a SavedModel.
_SAVED_MODEL = {"assets", "fingerprint.pb", "saved_model.pb", "variables"}


@dataclasses.dataclass(frozen=True)
class Exported:
    """A model that was exported, and how it compares.

    Args:
        path: the file or folder.
        runtime: what loaded it to compare it.
        signature: names, types and shapes of its input and output.
        num_checked: random inputs that were answered alike.
        largest_difference: of a logit.
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
    """Writes a model in another format, and compares the two.

    The file is loaded by the format's own runtime and asked 1,000 random
    inputs. Where an answer is not the model's nothing is left behind.

    Args:
        model: of the task.
        task: what its inputs are.
        format_name: one of `FORMATS`.
        path: where it goes.
        overwrite: whether a model of this format may be there.
        progress: called with how many inputs have been compared, and of how
            many.

    Raises:
        InputError: see `check_export`; or a model that does not compute in
            float32 where the format knows no other.
        RunError: the model cannot be converted, or does not answer alike.
    """
    check_export(format_name, path, overwrite)
    kind = FORMATS[format_name]
    policies = {layer.dtype_policy.name for layer in model.layers}
    if kind.is_float32 and policies != {"float32"}:
        raise InputError(
            f"`format` {format_name} takes models that compute in float32. "
            f"Received: format={format_name}, a model in "
            f"{max(policies)}"
        )
    name = task.input_label
    shape = (kind.batch_size, *model.input_shape[1:])
    # What a link names is replaced, not the link.
    target = path.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    moving = replacing_folder if kind.is_folder else replacing
    with moving(target) as temporary:
        try:
            kind.write(model, _serving(model, shape, name), temporary)
            ask = kind.load(temporary, name)
            largest = _compare(model, task, ask, progress)
        except (OSError, RunError):
            raise
        # A converter raises whatever it stumbles over.
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
    """Refuses an export before any work.

    Raises:
        InputError: an unknown format, one whose packages are not installed,
            or a path that must not be written to.
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
                f"`output` must be below a folder. Received: output={path}"
            )
        return
    if not overwrite:
        raise InputError(
            "`output` must not be there yet, without `overwrite`. Received: "
            f"output={path}"
        )
    # Nothing else is removed.
    is_model = target.is_file() and not kind.is_folder
    if target.is_dir() and kind.is_folder:
        names = {each.name for each in target.iterdir()}
        is_model = "saved_model.pb" in names <= _SAVED_MODEL
    if not is_model:
        raise InputError(
            f"`overwrite` replaces a {format_name} model only. Received: "
            f"output={path}, which holds something else"
        )


def _serving(model: "keras.Model", shape: tuple[Any, ...], name: str) -> Any:
    import tensorflow as tf

    # The name of the argument is not seen, that of the specification is.
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
        # Others than these the plain interpreter refuses.
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        path.write_bytes(converter.convert())


def _write_onnx(model: "keras.Model", serving: Any, path: pathlib.Path) -> None:
    import onnx
    import tf2onnx

    made, _ = tf2onnx.convert.from_function(
        serving, input_signature=serving.input_signature
    )
    for tensor in (*made.graph.input, *made.graph.output):
        dimensions = tensor.type.tensor_type.shape.dim
        for dimension, name in zip(dimensions, ("batch", "time"), strict=False):
            if dimension.dim_param:
                dimension.dim_param = name
    onnx.checker.check_model(made)
    onnx.save(made, path)


# From inputs to logits.
_Ask = Callable[[Array], Array]


def _load_saved_model(path: pathlib.Path, name: str) -> _Ask:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))

    def ask(inputs: Array) -> Array:
        serve = loaded.signatures[_SIGNATURE]
        return serve(**{name: tf.constant(inputs)})[_OUTPUT].numpy()

    return ask


def _load_litert(path: pathlib.Path, name: str) -> _Ask:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path))
    run = interpreter.get_signature_runner(_SIGNATURE)

    def ask(inputs: Array) -> Array:
        answers = [run(**{name: one[np.newaxis]})[_OUTPUT] for one in inputs]
        return np.concatenate(answers)

    return ask


def _load_onnx(path: pathlib.Path, name: str) -> _Ask:
    import onnxruntime

    session = onnxruntime.InferenceSession(
        path, providers=["CPUExecutionProvider"]
    )
    return lambda inputs: session.run([_OUTPUT], {name: inputs})[0]


class _Format(NamedTuple):
    """A format that models are written in.

    Args:
        file_name: by default, in the run folder.
        runtime: what runs it.
        modules: what must be installed beside this package.
        batch_size: that it takes; None for any.
        is_float32: whether it takes no other precision.
        write: from the model and its serving function to the path.
        load: from the path and the input's name to logits from inputs.
    """

    file_name: str
    runtime: str
    modules: tuple[str, ...]
    batch_size: int | None
    is_float32: bool
    write: Callable[["keras.Model", Any, pathlib.Path], None]
    load: Callable[[pathlib.Path, str], _Ask]

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
    ask: _Ask,
    progress: Callable[[int, int], None] | None,
) -> float:
    """The largest difference of a logit.

    Raises:
        RunError: an answer differs.
    """
    import tensorflow as tf

    from keras_lstm.models.logits import predictions_of

    # Without a graph each step of a long sequence takes a millisecond.
    call = tf.function(
        lambda x: model(x, training=False), reduce_retracing=True
    )
    largest, num_compared = 0.0, 0
    for inputs in _random_inputs(model, task):
        expected = np.asarray(call(tf.constant(inputs)), np.float32)
        found = np.asarray(ask(inputs))
        if found.shape != expected.shape:
            raise RunError(
                f"the exported model answers with {found.shape}, where Keras "
                f"does with {expected.shape}"
            )
        difference = float(np.abs(found - expected).max())
        wrong = (predictions_of(found) != predictions_of(expected)).any()
        # So that NaN is refused too.
        near = difference <= _TOLERANCE * max(
            1.0, float(np.abs(expected).max())
        )
        if wrong or not near:
            raise RunError(
                "the exported model does not answer as Keras does: "
                f"{'another answer, ' if wrong else ''}logits differ by "
                f"{difference:.1e}"
            )
        largest = max(largest, difference)
        num_compared += len(inputs)
        if progress is not None:
            progress(num_compared, _NUM_CHECKED)
    return largest


def _random_inputs(model: "keras.Model", task: Task) -> Iterator[Array]:
    """1,000 inputs in batches of several sizes; of several lengths, if any."""
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
