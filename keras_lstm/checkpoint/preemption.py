"""SIGTERM and SIGINT, answered when the step is done."""

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

from keras_lstm.core.console import print_status


class TrainingInterrupted(SystemExit):
    """Ends the process as the signal would have: exit code 128 + its number.

    Args:
        signum: the signal.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(128 + signum)
        self.signal_name = signal.Signals(signum).name


class PreemptionHandler:
    """Turns the first SIGTERM or SIGINT (Ctrl-C) into a request.

    Whoever does the work asks between two pieces of it. A second signal ends
    the process at once. Outside the main thread, where Python has no signal
    handlers, nothing is changed.

    Example:

    ```python
    with PreemptionHandler() as preemption:
        for piece in work:
            do(piece)
            preemption.check()
    ```
    """

    def __init__(self) -> None:
        self._signum: int | None = None
        self._before: dict[int, Any] = {}

    @property
    def requested(self) -> bool:
        """Whether a signal has come."""
        return self._signum is not None

    def check(self) -> None:
        """Ends the work if that is asked for.

        Raises:
            TrainingInterrupted: it is.
        """
        if self._signum is not None:
            raise TrainingInterrupted(self._signum)

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for signum in (signal.SIGTERM, signal.SIGINT):
                self._before[signum] = signal.signal(signum, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)

    def _note(self, signum: int, frame: FrameType | None) -> None:
        if self.requested:
            signal.signal(signum, signal.SIG_DFL)
            os.kill(os.getpid(), signum)
        self._signum = signum
        name = signal.Signals(signum).name
        print_status(
            f"{name}: stopping after this step; once more stops at once"
        )
