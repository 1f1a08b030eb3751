"""Compile a function with XLA while Python still traces what calls it."""

import contextlib
import threading
from typing import Any

import keras
import tensorflow as tf


def compile_early(function: Any, *args: Any) -> threading.Thread | None:
    """Start to compile a function that XLA would compile in its first call.

    A thread calls the function with zeros, and drops the result. A call that
    comes before the compilation has ended waits for it, and does not compile
    again. So the function must change nothing but what it returns.

    Args:
        function: a `tf.function` with `jit_compile=True`, which has not been
            called yet.
        *args: what it will be called with: tensors, None, and nests of them.
            Where a shape is not known, nothing is done, as where TensorFlow
            runs functions eagerly.

    Returns:
        The thread, which has been started; None if nothing is done. The
        interpreter waits for it at its end.
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

    thread = threading.Thread(target=call, name="compile_early")
    thread.start()
    return thread
