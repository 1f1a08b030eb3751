"""What people see while they wait: a bar on a terminal, lines elsewhere."""

import contextlib
import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

# Without a terminal a long wait gets a line this often.
_SECONDS_BETWEEN_LINES = 10.0


class ProgressBar:
    """Progress of one piece of long work, on standard error.

    Args:
        label: what is being done.
        quiet: show nothing.

    Example:

    ```python
    with ProgressBar("checking") as bar:
        verify(model, task, progress=bar.update)
    ```
    """

    def __init__(self, label: str, quiet: bool = False) -> None:
        self._label = label
        self._quiet = quiet
        self._started = self._last_line = time.monotonic()
        self._bar: Progress | None = None
        if not quiet and sys.stderr.isatty():
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.percentage:>3.0f}%  {task.fields[note]}"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._task = self._bar.add_task(label, total=None, note="")

    @property
    def on_terminal(self) -> bool:
        """Whether there is a bar; if not, only lines are printed."""
        return self._bar is not None

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, done: int, total: int, note: str = "") -> None:
        """Shows that `done` of `total` is done, with a note beside it."""
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=total, note=note)
            return
        now = time.monotonic()
        if self._quiet or now - self._last_line < _SECONDS_BETWEEN_LINES:
            return
        self._last_line = now
        left = (now - self._started) / done * (total - done)
        print_status(
            f"{self._label}: {done:,} of {total:,}, about {duration(left)} left"
        )

    def forecast(self, seconds: float) -> None:
        """Says beforehand how long it will take, where that is long."""
        if seconds >= _SECONDS_BETWEEN_LINES:
            self.line(f"{self._label}: this takes about {duration(seconds)}")

    def line(self, text: str) -> None:
        """Prints a line that stays."""
        if self._bar is not None:
            self._bar.console.print(text, highlight=False, markup=False)
        elif not self._quiet:
            print_status(text)


def print_status(text: str) -> None:
    """Prints a line to standard error, at once, if anybody reads it."""
    with contextlib.suppress(BrokenPipeError):
        print(text, file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """A time as people say it."""
    for unit, size in (("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def percent(share: float) -> str:
    """A share as people read it; "100%" if and only if it is exactly 1."""
    if share == 1.0:
        return "100%"
    return (
        f"{int(share * 1_000_000) / 10_000:.4f}".rstrip("0").rstrip(".") + "%"
    )
