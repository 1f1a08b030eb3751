"""Progress display: a bar on a terminal, lines of text elsewhere."""

import contextlib
import math
import os
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import Progress

# Without a terminal, long work prints a line this often.
_SECONDS_BETWEEN_LINES = 10.0


class ProgressBar:
    """Progress of long work, shown on standard error.

    Args:
        label: name of the work, such as "checking".
        quiet: whether to show nothing. Defaults to False.

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
        if not quiet and on_terminal():
            self._bar = _make_bar()
            self._task = self._bar.add_task(label, total=None, note="")

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
        """Show the progress.

        Args:
            done: number of items done, above 0.
            total: number of all items.
            note: text beside the bar. Defaults to "".
        """
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
        """Print the expected duration, in seconds, if it is at least 10 s."""
        if seconds >= _SECONDS_BETWEEN_LINES:
            self.line(f"{self._label}: this takes about {duration(seconds)}")

    def line(self, text: str) -> None:
        """Print a line that stays on the screen."""
        if self._bar is not None:
            self._bar.console.print(text, highlight=False, markup=False)
        elif not self._quiet:
            print_status(text)


def _make_bar() -> "Progress":
    # Most commands never show a bar, and importing rich takes a while.
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%  {task.fields[note]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )


def on_terminal() -> bool:
    """Return whether standard error is a terminal that can move its cursor."""
    kind = os.environ.get("TERM", "").lower()
    # A notebook's `!command` has a terminal that only adds lines.
    in_cell = "JPY_PARENT_PID" in os.environ
    return (
        sys.stderr.isatty() and kind not in ("dumb", "unknown") and not in_cell
    )


def print_status(text: str) -> None:
    """Print a line to standard error at once.

    A closed pipe or terminal, or a full disk, is no reason to stop the work.
    """
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """Format a duration, given in seconds, in hours, minutes or seconds."""
    for unit, size in (("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def share_of(part: int, whole: int) -> float:
    """Return a part of a whole as a fraction, 1 only if nothing is missing.

    Of a number as large as 2^60, a float cannot tell all from all but one.

    Args:
        part: the part, from 0 to `whole`.
        whole: the whole, above 0.

    Returns:
        The fraction, from 0 to 1.
    """
    return 1.0 if part == whole else min(part / whole, math.nextafter(1, 0))


def percent(share: float) -> str:
    """Format a fraction as a percentage, "100%" only if it is exactly 1.

    Args:
        share: the fraction, from 0 to 1.

    Returns:
        The percentage, rounded down to at most four decimals; "nan" for NaN.
        What is no fraction, as in a damaged file, is written as it is.
    """
    if share == 1.0:
        return "100%"
    if math.isnan(share):
        return "nan"
    if not 0.0 <= share <= 1.0:
        return f"{100 * share:g}%"
    return (
        f"{int(share * 1_000_000) / 10_000:.4f}".rstrip("0").rstrip(".") + "%"
    )


def quantity(count: int, noun: str) -> str:
    """Return a count with its noun, such as "1 bit" or "2,000 bits"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
