"""Export of trained models to other formats, checked in their runtimes."""

import dataclasses
import pathlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from keras_lstm.core.errors import InputError, RunError, described
from keras_lstm.core.extras import require_packages
from keras_lstm.core.files import check_output, replacing, replacing_folder
from keras_lstm.core.options import check_known
from keras_lstm.inference.export_formats import FORMATS, OUTPUT, Array, Infer
from keras_lstm.tasks.task import Task

if TYPE_CHECKING:
    import keras

_NUM_CHECKED = 1000
# Length of sequences to compare on where they may have any.
_SOME_STEPS = 20
# Time steps computed at once, over all inputs of a batch.
_MAX_STEPS = 2**18
# Relative to the largest logit; allows for float32 operations in another order.
_TOLERANCE = 1e-3
# Contents of the folder of a SavedModel.
_SAVED_MODEL = {"assets", "fingerprint.pb", "saved_model.pb", "variables"}


@dataclasses.dataclass(frozen=True)
class Exported:
    """An exported model, and its comparison with the original.

    Args:
        path: the file or folder.
        runtime: name of the runtime that it was compared in.
        signature: names, types and shapes of its input and output.
        num_checked: number of inputs with the same outputs.
        largest_difference: largest absolute difference between outputs.
        are_random: whether the inputs were drawn from the task at random,
            rather than given. Defaults to True.
    """

    path: pathlib.Path
    runtime: str
    signature: str
    num_checked: int
    largest_difference: float
    are_random: bool = True

    def __str__(self) -> str:
        return (
            f"{self.path}\n{self.signature}\n{self.runtime} answers "
            f"{self.num_checked:,} {'random' if self.are_random else 'example'}"
            " inputs as Keras does; logits differ by at most "
            f"{self.largest_difference:.1e}"
        )


def export_model(
    model: "keras.Model",
    task: Task | None,
    format_name: str,
    path: str | pathlib.Path,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
    *,
    example_inputs: npt.ArrayLike | None = None,
) -> Exported:
    """Export a model to another format, and compare it with the original.

    The format's own runtime loads the exported model and predicts 1,000
    random inputs, or the examples. If a prediction or a logit differs, `path`
    is not changed.

    Args:
        model: the model to export, with one input and one output. It may be a
            subclass of `keras.Model`.
        task: the model's task; None for another model.
        format_name: one of `FORMATS`.
        path: the file or folder to write.
        overwrite: whether to replace an existing model of this format.
        progress: called as `progress(num_compared, num_inputs)`.
        example_inputs: inputs of the model, `(num_examples, ...)`, to compare
            outputs on if `task` is None. They also give the input's shape for
            a model that does not declare it. Defaults to None.

    Returns:
        The exported model, and its comparison with the original.

    Raises:
        InputError: if `check_export` refuses the arguments, neither `task` nor
            `example_inputs` is given, the model does not have one input and
            one output, or the format supports float32 only and the model
            computes in another type.
        RunError: if the model cannot be converted, or the exported model's
            outputs differ from the original's.
        OSError: if `path` cannot be written.
    """
    path = pathlib.Path(path)
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
    given = _given(model, task, example_inputs)
    shape = (kind.batch_size, *given.shape)
    # Replaces the target of a link, not the link.
    target = path.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    moving = replacing_folder if kind.is_folder else replacing
    with moving(target) as temporary:
        try:
            serving = _serving(model, shape, given)
            kind.write(model, serving, temporary)
            infer = kind.load(temporary, given.name)
            largest = _compare(model, given, infer, progress)
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
        f"{given.name} {_shape_text(shape)} {given.dtype} -> {OUTPUT} "
        f"{_shape_text((kind.batch_size, *given.output_shape))} float32",
        given.num_inputs,
        largest,
        are_random=task is not None,
    )


class _Given(NamedTuple):
    """What is known of a model's input, and the inputs to compare it on.

    Args:
        name: name of the input.
        shape: shape of one input; None for sizes that may vary.
        dtype: dtype of the input.
        output_shape: shape of one output.
        num_inputs: number of inputs to compare outputs on.
        batches: function that returns them in batches.
        has_classes: whether the largest of the outputs along the last axis is
            a prediction, which must be the same.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str
    output_shape: tuple[int | None, ...]
    num_inputs: int
    batches: Callable[[], Iterator[Array]]
    has_classes: bool


def _given(
    model: "keras.Model", task: Task | None, example_inputs: Any
) -> _Given:
    """Check that a model has one input and one output, and describe them."""
    inputs = getattr(model, "inputs", None)
    outputs = getattr(model, "outputs", None)
    if (inputs and len(inputs) != 1) or (outputs and len(outputs) != 1):
        raise InputError(
            "`model` must have one input and one output. Received: "
            f"{model.name} with {len(inputs or ())} inputs and "
            f"{len(outputs or ())} outputs"
        )
    if task is not None and inputs:
        return _Given(
            model.inputs[0].name if _reads_text(model) else task.input_label,
            tuple(model.input_shape[1:]),
            str(inputs[0].dtype),
            tuple(model.output_shape[1:]),
            _NUM_CHECKED,
            lambda: _random_inputs(model, task),
            has_classes=True,
        )
    if example_inputs is None:
        raise InputError(
            "`example_inputs` must be given for a model without a task, or one "
            "that does not declare its input: an array of inputs, to compare "
            "the exported model with the original on. Received: "
            f"example_inputs=None, model {model.name}"
        )
    examples = _checked_examples(example_inputs, inputs[0] if inputs else None)
    dtype = str(examples.dtype)
    shape = tuple(inputs[0].shape[1:]) if inputs else examples.shape[1:]
    output = model(examples[:1], training=False)
    if not hasattr(output, "shape"):
        raise InputError(
            "`model` must have one input and one output. Received: "
            f"{model.name}, which returns a {type(output).__name__}"
        )
    # The first alone, so that batches vary in size.
    parts = [
        examples[:1],
        *np.split(examples[1:], range(256, len(examples), 256)),
    ]
    return _Given(
        str(inputs[0].name) if inputs else "inputs",
        shape,
        dtype,
        tuple(model.output_shape[1:]) if outputs else tuple(output.shape[1:]),
        len(examples),
        lambda: (part for part in parts if len(part)),
        has_classes=False,
    )


def _checked_examples(given: Any, declared: Any) -> Any:
    """Return examples as an array of what a model's input holds.

    Args:
        given: the examples.
        declared: the model's input; None if it does not declare any.

    Raises:
        InputError: if the examples are none, or not of this input.
    """
    try:
        examples = np.asarray(given)
    except ValueError as error:
        raise InputError(
            "`example_inputs` must be one array of numbers. Received: "
            f"{described(error)}"
        ) from None
    if (
        examples.ndim < 1
        or not len(examples)
        or examples.dtype.kind not in "fiub"
    ):
        raise InputError(
            "`example_inputs` must be one array of numbers, with an axis of "
            f"examples. Received: example_inputs of shape {examples.shape} and "
            f"dtype {examples.dtype}"
        )
    dtype = str(examples.dtype if declared is None else declared.dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        found = examples.astype("float32" if dtype == "float64" else dtype)
    differ = np.isfinite(found) != np.isfinite(examples)
    if found.dtype.kind in "iub":
        differ = found != examples
    if differ.any():
        raise InputError(
            f"`example_inputs` must be numbers of {found.dtype}. Received: "
            f"example_inputs of {examples.dtype} with others"
        )
    if declared is None:
        return found
    sizes = declared.shape[1:]
    if len(sizes) != found.ndim - 1 or any(
        size not in (None, received)
        for size, received in zip(sizes, found.shape[1:], strict=True)
    ):
        raise InputError(
            f"`example_inputs` must have shape {_shape_text((None, *sizes))}. "
            f"Received: example_inputs of shape {_shape_text(found.shape)}"
        )
    return found


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
    require_packages(kind.modules, format_name, f"`format` {format_name}")
    target = check_output(path, overwrite)
    if target is None:
        return
    # Guards against removing anything but a model of this format.
    is_model = target.is_file() and kind.marks(target)
    if target.is_dir() and kind.is_folder:
        names = {each.name for each in target.iterdir()}
        is_model = "saved_model.pb" in names <= _SAVED_MODEL
    if not is_model:
        raise InputError(
            f"`output` must be a {format_name} model to be overwritten. "
            f"Received: output={path}"
        )


def _serving(
    model: "keras.Model", shape: tuple[Any, ...], given: _Given
) -> Any:
    import tensorflow as tf

    # Signatures take the specification's name, not the argument's.
    spec = tf.TensorSpec(shape, given.dtype, given.name)

    def serve(inputs: Any) -> dict[str, Any]:
        logits = model(inputs, training=False)
        return {OUTPUT: tf.cast(logits, tf.float32)}

    return tf.function(serve, input_signature=[spec])


def _compare(
    model: "keras.Model",
    given: _Given,
    infer: Infer,
    progress: Callable[[int, int], None] | None,
) -> float:
    """Return the largest absolute difference between logits.

    Args:
        model: the original.
        given: what is known of its input, and the inputs.
        infer: the exported model.
        progress: see `export_model`.

    Returns:
        The difference over all inputs.

    Raises:
        RunError: if the shape of the logits or a prediction differs, or a
            logit by more than 1e-3 times the largest logit of its batch (by
            more than 1e-3, if that is below 1).
    """
    import tensorflow as tf

    from keras_lstm.models.logits import predictions_of

    # Eager execution takes a millisecond for each step of a long sequence.
    call = tf.function(
        lambda x: model(x, training=False),
        input_signature=[tf.TensorSpec((None, *given.shape), given.dtype)],
    )
    largest, num_compared = 0.0, 0
    for inputs in given.batches():
        expected = np.asarray(call(tf.constant(inputs)), np.float32)
        found = np.asarray(infer(inputs))
        if found.shape != expected.shape:
            raise RunError(
                f"the exported model returns logits of shape {found.shape}, "
                f"but Keras of shape {expected.shape}"
            )
        difference = float(np.abs(found - expected).max())
        wrong = (
            given.has_classes
            and (predictions_of(found) != predictions_of(expected)).any()
        )
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
            progress(num_compared, given.num_inputs)
    return largest


def _random_inputs(model: "keras.Model", task: Task) -> Iterator[Array]:
    """Yield 1,000 inputs in batches that vary in size and, if open, length."""
    rng = np.random.default_rng(0)
    steps, *rest = task.input_shape
    # Sequences of different lengths.
    steps = steps or _SOME_STEPS
    reads_text = _reads_text(model)
    is_any_length = reads_text or model.input_shape[1] is None
    lengths = (1, steps + 1, steps) if is_any_length else (steps,)
    left = _NUM_CHECKED
    for index, length in enumerate(lengths, 1):
        count = left // (len(lengths) - index + 1)
        left -= count
        size = 1
        while count:
            size = min(count, size, max(1, _MAX_STEPS // length))
            if reads_text:
                yield task.random_texts(rng, size, length)
            else:
                shape = (size, length, *(each or 1 for each in rest))
                yield task.random_inputs(rng, shape)
            count -= size
            size = _NUM_CHECKED


def _reads_text(model: "keras.Model") -> bool:
    return bool(model.inputs[0].dtype == "string")


def _shape_text(shape: tuple[int | None, ...]) -> str:
    names = (("batch", "time") + ("any",) * len(shape))[: len(shape)]
    sizes = [
        name if size is None else str(size)
        for name, size in zip(names, shape, strict=True)
    ]
    return f"({', '.join(sizes)})"
