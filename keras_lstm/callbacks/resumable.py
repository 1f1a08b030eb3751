"""The common case of `ExactResume`, in one `with` block."""

import contextlib
import pathlib
from collections.abc import Iterator
from typing import Any

from keras_lstm.callbacks.exact_resume import ExactResume
from keras_lstm.checkpoint.preemption import (
    PreemptionHandler,
    TrainingInterrupted,
)
from keras_lstm.core.console import print_status


@contextlib.contextmanager
def resumable(
    folder: str | pathlib.Path, **options: Any
) -> Iterator[ExactResume]:
    """Make an `ExactResume` that also stops after SIGTERM or Ctrl-C.

    After the first signal, the step is finished, a checkpoint is written if
    that is possible at this step, and the process exits with the signal's exit
    code (143 or 130). A second signal ends it at once. Start the same script
    again to resume.

    Args:
        folder: path of the folder for the checkpoints.
        **options: further arguments of `ExactResume`.

    Yields:
        The callback for `fit`.

    Raises:
        TrainingInterrupted: if SIGTERM or SIGINT is received.

    Example:

    ```python
    with resumable("checkpoints") as resume:
        model.fit(resume.dataset(dataset), epochs=20, callbacks=[resume])
    ```
    """
    try:
        with PreemptionHandler() as preemption:
            resume = ExactResume(folder, preemption=preemption, **options)
            yield resume
            preemption.check()
    except TrainingInterrupted as stop:
        print_status(
            f"{stop.signal_name}: stopped. To go on, start the same script "
            f"again; its checkpoints are in {folder}"
        )
        raise
