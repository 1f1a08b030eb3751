"""Load TensorFlow quietly and quickly."""

import contextlib
import gc
import os
import sys
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def loading_tensorflow() -> Iterator[None]:
    """Holds messages back while modules that need TensorFlow are imported."""
    with startup_messages_held(), _without_garbage_collection():
        yield
        import tensorflow

        # Looking for GPUs is what prints; do it here.
        tensorflow.config.list_logical_devices()


@contextlib.contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """For what is made here stays: looking it through takes a second."""
    if "tensorflow" in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextlib.contextmanager
def startup_messages_held() -> Iterator[None]:
    """Holds back what TensorFlow prints while it loads, unless it fails.

    The lines come from native code before its log level is read. Whoever has
    set TF_CPP_MIN_LOG_LEVEL sees them.
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
        except BaseException:
            held.seek(0)
            os.write(stderr, held.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
