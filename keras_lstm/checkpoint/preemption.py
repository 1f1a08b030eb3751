"""SIGTERM, SIGINT and SIGHUP, handled at the end of a step."""

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

from keras_lstm.core.console import print_status


class TrainingInterrupted(SystemExit):
    """Exit the process with the signal's exit code, 128 plus its number.

    Args:
        signum: number of the signal that was received.

    Attributes:
        signal_name: name of the signal, such as "SIGTERM".
    """

    def __init__(self, signum: int) -> None:
        super().__init__(128 + signum)
        self.signal_name = signal.Signals(signum).name


class PreemptionHandler:
    """Turn the first SIGTERM, SIGINT (Ctrl-C) or SIGHUP into a stop request.

    Within the `with` block, the first signal only sets `requested`; call
    `check` wherever the work can stop safely. A second signal ends the process
    at once. On exit from the block, the previous signal handlers are restored,
    and a block around this one gets a signal that stopped nothing here.
    A SIGHUP, which a closed terminal sends, stays ignored under `nohup`.
    Outside the main thread, where Python allows no signal handlers, signals
    keep their effect.

    Pass it to `ExactResume` to write a checkpoint before `fit` stops.

    Example:

    ```python
    with PreemptionHandler() as preemption:
        for batch in dataset:
            model.train_on_batch(*batch)
            preemption.check()
    ```
    """

    def __init__(self) -> None:
        self._signum: int | None = None
        self._old_handlers: dict[int, Any] = {}

    @property
    def is_within_another(self) -> bool:
        """Whether this block is within another one, whose owner goes on."""
        return any(
            isinstance(getattr(handler, "__self__", None), PreemptionHandler)
            for handler in self._old_handlers.values()
        )

    @property
    def requested(self) -> bool:
        """Whether a signal has been received."""
        return self._signum is not None

    def check(self) -> None:
        """Stop if a signal has been received.

        Raises:
            TrainingInterrupted: if a signal has been received.
        """
        if self._signum is not None:
            raise TrainingInterrupted(self._signum)

    def __enter__(self) -> Self:
        # The handler may have been used before.
        self._signum, self._old_handlers = None, {}
        if threading.current_thread() is threading.main_thread():
            for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                if (
                    signum is signal.SIGHUP
                    and signal.getsignal(signum) is signal.SIG_IGN
                ):
                    continue
                self._old_handlers[signum] = signal.signal(
                    signum, self._on_signal
                )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        left = self._signum if kind is None and self.is_within_another else None
        for signum, handler in self._old_handlers.items():
            signal.signal(signum, handler)
        if left is not None:
            signal.raise_signal(left)

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        if self.requested:
            signal.signal(signum, signal.SIG_DFL)
            os.kill(os.getpid(), signum)
        self._signum = signum
        name = signal.Signals(signum).name
        print_status(
            f"{name}: stopping after this step; once more stops at once"
        )
