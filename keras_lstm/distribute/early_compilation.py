"""Compile a function with XLA while Python still traces what calls it."""

import contextlib
import threading
from typing import Any

import keras
import tensorflow as tf

# Stock layers that run code of others.
_WRAPPERS = (keras.layers.Lambda, keras.layers.TFSMLayer)


def can_compile_early(model: keras.Model) -> bool:
    """Return whether a part of a training step may be called with zeros.

    It may not if the model or its loss have code of others, which may count its
    calls, draw numbers by a generator of its own, or repeat something until its
    input lets it end. It would be in vain if the step makes the optimizer's
    variables, since TensorFlow then traces it again, and does not call what it
    traced first.

    Args:
        model: a compiled model, at the start of its training step.
    """
    # A functional model may have operations that are no layers, such as loops.
    operations = getattr(model, "operations", ())
    return (
        not model.run_eagerly
        and model.optimizer.built
        and all(isinstance(each, keras.Layer) for each in operations)
        and all(
            layer.built
            and _is_ours(type(layer))
            and not isinstance(layer, _WRAPPERS)
            for layer in model._flatten_layers()
        )
        and all(
            loss is None or isinstance(loss, str) or _is_ours(loss)
            for loss in keras.tree.flatten(model.loss)
        )
    )


def _is_ours(code: Any) -> bool:
    """Return whether a class, an object or a function is Keras's or ours."""
    # Some objects that can be called have no module.
    module = getattr(code, "__module__", None) or ""
    return module.partition(".")[0] in ("keras", "keras_lstm")


def compile_early(function: Any, *args: Any) -> threading.Thread | None:
    """Start to compile a function that XLA would compile in its first call.

    A thread calls the function with zeros, and drops the result, since XLA
    compiles nothing without a call. A call that comes before the compilation
    has ended waits for it, and does not compile again. So the function must
    change nothing, and end, whatever its inputs are; see `can_compile_early`.

    Args:
        function: a `tf.function` with `jit_compile=True`, which has not been
            called yet.
        *args: what it will be called with: tensors, None, and nests of them.
            Where a shape is not known, nothing is done, as where TensorFlow
            runs functions eagerly.

    Returns:
        The thread, which has been started; None if nothing is done. The
        interpreter waits for it at its end, since XLA cannot be stopped.
    """
    known = all(
        x is None or x.shape.is_fully_defined()
        for x in keras.tree.flatten(args)
    )
    if not known or tf.config.functions_run_eagerly():
        return None
    concrete = function.get_concrete_function(*args)
    with tf.init_scope():
        zeros = keras.tree.map_structure(
            lambda x: x if x is None else tf.zeros(x.shape, x.dtype), args
        )

    def call() -> None:
        # XLA's programs are found by name and options, and these are others
        # where a function is called eagerly.
        caller = tf.function(lambda: concrete(*zeros), autograph=False)
        # Errors are those of the call that follows, which raises them.
        with contextlib.suppress(Exception):
            caller.get_concrete_function()()

    thread = threading.Thread(target=call, name="compile_early", daemon=False)
    try:
        thread.start()
    except RuntimeError:
        # No more threads are allowed.
        return None
    return thread
