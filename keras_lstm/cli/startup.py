"""Quiet and fast loading of TensorFlow."""

import contextlib
import gc
import os
import sys
import tempfile
from collections.abc import Iterator

from keras_lstm.core.errors import InputError, RunError

# Packages that `import keras` imports if they are installed.
_OPTIONAL = ("IPython", "matplotlib", "pandas", "scipy", "sklearn")


@contextlib.contextmanager
def loading_tensorflow() -> Iterator[None]:
    """Speed up and silence the imports of TensorFlow in a `with` block.

    Keras is that of TensorFlow, with its own defaults, whatever the user's
    settings for other programs are (KERAS_BACKEND, ~/.keras/keras.json).
    """
    os.environ["KERAS_BACKEND"] = "tensorflow"
    with (
        startup_messages_held(),
        _without_garbage_collection(),
        _without_optional_imports(),
    ):
        yield
        import keras
        import tensorflow

        keras.config.set_floatx("float32")
        keras.config.set_image_data_format("channels_last")
        keras.config.set_epsilon(1e-7)
        # The search for GPUs prints messages, so do it inside this block.
        tensorflow.config.list_logical_devices()


@contextlib.contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Disable garbage collection while modules are imported."""
    if "tensorflow" in sys.modules or not gc.isenabled():
        yield
        return
    # Imported objects stay for good; scanning them takes a second.
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextlib.contextmanager
def _without_optional_imports() -> Iterator[None]:
    """Import Keras as if packages that it does without were not installed.

    Keras imports scikit-learn for its wrappers, pandas for `fit`, Matplotlib
    for its galleries, IPython for its editor of files, and SciPy with
    TensorFlow's old Keras, which takes a quarter of the time of `import keras`
    (docs/keras-internals.md). All can be imported after the block.
    """
    if "keras" in sys.modules:
        yield
        return
    absent = [name for name in _OPTIONAL if name not in sys.modules]
    for name in absent:
        # None makes Python raise an ImportError.
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        # Whoever needs Keras gets the error.
        with contextlib.suppress(Exception):
            import keras  # noqa: F401
    finally:
        for name in absent:
            del sys.modules[name]
    yield


@contextlib.contextmanager
def startup_messages_held() -> Iterator[None]:
    """Discard what TensorFlow prints while it loads, unless that crashes.

    The messages come from native code that runs before the log level is read.
    They are shown if TF_CPP_MIN_LOG_LEVEL is set.

    Yields:
        None, while standard error is redirected.
    """
    if "TF_CPP_MIN_LOG_LEVEL" in os.environ:
        yield
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException as error:
            # Nothing crashed.
            if not isinstance(error, InputError | RunError | KeyboardInterrupt):
                held.seek(0)
                os.write(stderr, held.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
