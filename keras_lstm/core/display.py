"""A block of text that is updated in place, on a terminal or in a notebook."""

import atexit
import contextlib
import dataclasses
import importlib
import io
import math
import sys
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from keras_lstm.core.console import on_terminal, print_status
from keras_lstm.core.errors import escaped

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

_SECONDS_BETWEEN_UPDATES = 0.25
_MAX_BAR = 40
_NOTEBOOK_WIDTH = 88
# The display that was opened last, until the next is opened.
_open: list["Display"] = []
_LEVELS = "▁▂▃▄▅▆▇█"
_ASCII_LEVELS = "_.-~=*%#"
_HTML = (
    '<pre style="white-space: pre; line-height: 1.3; margin: 0">{code}</pre>'
)


@dataclasses.dataclass(frozen=True)
class Block:
    """A bar, and facts below it, as wide as there is space.

    Args:
        label: name of the work, such as "training".
        share: fraction of the work that is done; None if that is not known,
            for no bar.
        beside: text beside the bar. Defaults to "".
        lines: lines of facts. A line that is too long is broken between
            facts. Characters that do not print are escaped.
    """

    label: str
    share: float | None
    beside: str = ""
    lines: Sequence[Sequence[str]] = ()

    def __rich_console__(
        self, console: "Console", options: "ConsoleOptions"
    ) -> "RenderResult":
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        width = options.max_width
        head: list[Any] = [self.label]
        beside = [self.beside] if self.beside else []
        if self.share is not None:
            share = min(1.0, max(0.0, self.share))
            space = width - len(self.label) - 7
            bar = min(_MAX_BAR, space)
            if bar >= 4:
                head.append(
                    ProgressBar(1.0, share, width=bar, complete_style="green")
                )
            # 100% is for what is done.
            head.append(f"{int(100 * share):>3}%")
            if beside and len(self.beside) + 2 + bar <= space:
                head += beside
                beside = []
        else:
            head += beside
            beside = []
        grid = Table.grid(padding=(0, 1))
        for _ in head:
            grid.add_column(no_wrap=True, overflow="ellipsis")
        grid.add_row(*head)
        yield grid
        for line in [beside, *self.lines]:
            for text in _fill([escaped(fact) for fact in line], width):
                if options.ascii_only:
                    text = text.translate(
                        dict(zip(map(ord, _LEVELS), _ASCII_LEVELS, strict=True))
                    )
                yield Text(text, no_wrap=True, overflow="ellipsis")


def _fill(facts: Sequence[str], width: int) -> Iterator[str]:
    """Join facts to lines that are not wider than a number of characters."""
    line = ""
    for fact in facts:
        if line and len(line) + 2 + len(fact.rstrip()) > width:
            yield line
            line = ""
        line = f"{line}  {fact}" if line else fact
    if line:
        yield line


def sparkline(values: Sequence[float], width: int = 24) -> str:
    """Draw a curve with a character for each value.

    Args:
        values: the values. Of more than `width`, each character shows the
            last of several.
        width: the largest number of characters. Defaults to 24.

    Returns:
        The curve, a space for a value that is not finite.

    Example:

    >>> sparkline([3.0, 2.0, 1.0, 1.0])
    '█▅▁▁'
    """
    step = max(1, -(-len(values) // width))
    chosen = list(values[::-1][::step])[::-1]
    finite = [value for value in chosen if math.isfinite(value)]
    if not finite:
        return ""
    low, high = min(finite), max(finite)
    scale = (len(_LEVELS) - 1) / (high - low) if high > low else 0.0
    return "".join(
        _LEVELS[round((value - low) * scale)] if math.isfinite(value) else " "
        for value in chosen
    )


class Display:
    """A block that is updated in place, a few times a second at most.

    `open_display` makes the one for where the program runs.
    """

    def __init__(self) -> None:
        self._next = -math.inf

    @property
    def is_due(self) -> bool:
        """True if it is time for the next update."""
        return time.monotonic() >= self._next

    def update(self, block: Block) -> None:
        """Show a block instead of the one before, at once."""
        self._next = time.monotonic() + _SECONDS_BETWEEN_UPDATES
        self._show(block)

    def line(self, text: str) -> None:
        """Print a line that stays, above the block on a terminal."""
        print_status(text)

    def close(self) -> None:
        """Leave the block as it is, and the terminal as it was."""

    def _show(self, block: Block) -> None:
        raise NotImplementedError


class TerminalDisplay(Display):
    """The block at the bottom of a terminal; other lines go above it.

    Args:
        console: a console of rich.
    """

    def __init__(self, console: "Console") -> None:
        from rich.live import Live

        super().__init__()
        # A pipe of standard output is not for the terminal.
        self._live = Live(
            console=console,
            auto_refresh=False,
            redirect_stdout=sys.stdout.isatty(),
        )
        with contextlib.suppress(OSError, ValueError):
            self._live.start()
            # Where a prompt follows an exception, nobody closes this.
            if hasattr(sys, "ps1"):
                console.show_cursor(True)
        # Keras does not tell callbacks of an exception in `fit`.
        atexit.register(self.close)

    def close(self) -> None:
        """Leave the block as it is, and the terminal as it was."""
        atexit.unregister(self.close)
        # A closed terminal is no reason to stop the work.
        with contextlib.suppress(OSError, ValueError):
            self._live.stop()

    def _show(self, block: Block) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._live.update(block, refresh=True)


class NotebookDisplay(Display):
    """The block as an output of a notebook's cell."""

    def __init__(self) -> None:
        super().__init__()
        display = importlib.import_module("IPython.display").display
        self._handle = display(
            {"text/plain": ""}, raw=True, display_id=True, clear=False
        )

    def _show(self, block: Block) -> None:
        self._handle.update(as_mime(block), raw=True)


def as_mime(block: Block) -> dict[str, str]:
    """Return a block as HTML and as text, by MIME type."""
    from rich.console import Console

    console = Console(
        file=io.StringIO(),
        record=True,
        width=_NOTEBOOK_WIDTH,
        force_terminal=True,
        force_jupyter=False,
        legacy_windows=False,
    )
    console.print(block)
    return {
        "text/html": console.export_html(
            inline_styles=True, code_format=_HTML, clear=False
        ),
        "text/plain": console.export_text(),
    }


def _in_notebook() -> bool:
    # In a notebook, it has been imported.
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return getattr(shell, "kernel", None) is not None


def open_display() -> Display | None:
    """Start a display where there is a place for one.

    One that was left open, since `fit` raised an exception, is closed.

    Returns:
        The display, to be closed; None in a log.
    """
    while _open:
        _open.pop().close()
    if on_terminal():
        from rich.console import Console

        _open.append(TerminalDisplay(Console(stderr=True)))
    elif _in_notebook():
        _open.append(NotebookDisplay())
    return _open[0] if _open else None
