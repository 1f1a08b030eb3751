"""Matplotlib figures, plotted in another process while this one is busy.

Importing Matplotlib and drawing the pictures of a run take about a second,
which a short training would wait for.
"""

import contextlib
import functools
import re
import signal
import sys
import types
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from keras_lstm.core.cores import num_cores

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from matplotlib.figure import Figure

T = TypeVar("T")
# To go to another process, a function must be one of a module that loads fast,
# or a `functools.partial` of one. It holds copies: what it shows may change
# before it is called.
Plot = Callable[[], "Figure"]
# Numbers as Matplotlib writes them at axes.
_TICK = re.compile(r"\$\\mathdefault\{[^$]*\}\$")

_pool: "Executor | None" = None


class Drawing(Generic[T]):
    """A figure to come, as bytes or text.

    Inside of `drawing_apart`, another process begins to draw it at once. Else,
    and if that fails, `result` draws it.

    Args:
        plot: a function that plots the figure.
        render: a function that makes bytes or text of it.
    """

    def __init__(self, plot: Plot, render: "Callable[[Figure], T]") -> None:
        self._make = functools.partial(_plot_and_render, plot, render)
        self._future = None
        if _pool is not None:
            # A process that was killed leaves a pool that is broken.
            with contextlib.suppress(RuntimeError):
                self._future = _pool.submit(self._make)

    @property
    def is_ready(self) -> bool:
        """Whether `result` waits for no other process."""
        return self._future is None or self._future.done()

    @functools.cached_property
    def result(self) -> T:
        """The bytes or the text, once they are there."""
        if self._future is not None:
            # What failed may have been the other process, not the plot.
            with contextlib.suppress(Exception):
                return self._future.result()
        return self._make()


@contextlib.contextmanager
def drawing_apart() -> Iterator[None]:
    """Plot figures in another process in a `with` block.

    There is none where it would be of no use, on one core or with Matplotlib
    imported already; nor where none can be started.
    """
    global _pool
    if _pool is not None or num_cores() < 2 or "matplotlib" in sys.modules:
        yield
        return
    _pool = _start_pool()
    try:
        yield
    finally:
        pool, _pool = _pool, None
        if pool is not None:
            # Python would wait for the pool's thread at exit, too, and might
            # then write to a pipe that this thread is closing. After a Ctrl-C
            # here it would wait for ever.
            with _blocked_interrupts():
                pool.shutdown(wait=True, cancel_futures=True)


def new_figure(**options: Any) -> "Figure":
    """Return a Matplotlib figure, which is imported only now.

    Args:
        **options: arguments of `matplotlib.figure.Figure`.
    """
    from matplotlib.figure import Figure

    return Figure(**options)


def show_dollars(figure: "Figure") -> None:
    r"""Show texts between dollars as they are, not as mathematics.

    They may be names of somebody's states or classes, such as `$\texttt{a}$`,
    which Matplotlib may not be able to read. Numbers at axes are left alone.

    Args:
        figure: the figure.
    """
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        if "$" in text.get_text() and not _TICK.fullmatch(text.get_text()):
            text.set_parse_math(False)


def png_of(figure: "Figure") -> bytes:
    """Return a figure as a PNG file.

    Args:
        figure: the figure.
    """
    import io

    file = io.BytesIO()
    # Without the version of Matplotlib.
    figure.savefig(
        file,
        format="png",
        metadata={"Software": None},
        # A fifth faster than level 6, for files that are an eighth larger.
        pil_kwargs={"compress_level": 3},
    )
    return file.getvalue()


def _plot_and_render(plot: Plot, render: "Callable[[Figure], T]") -> T:
    return render(plot())


def _start_pool() -> "Executor | None":
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    # Some systems have no semaphores, or no processes or threads to give; a
    # daemonic process must not start any.
    if multiprocessing.current_process().daemon:
        return None
    failures = OSError, ImportError, NotImplementedError, RuntimeError
    with contextlib.suppress(*failures):
        context = multiprocessing.get_context("spawn")
        # This starts Python's tracker of resources, which unblocks signals.
        pool = ProcessPoolExecutor(1, context, _end_with_parent)
        # Ctrl-C is for this process, which tells the other one when it ends.
        with _blocked_interrupts(), _hidden_script():
            pool.submit(_import_matplotlib)
        return pool
    return None


@contextlib.contextmanager
def _blocked_interrupts() -> Iterator[None]:
    """Put Ctrl-C off in a `with` block; processes that start ignore it."""
    # Windows has none.
    mask: Any = getattr(signal, "pthread_sigmask", None)
    if mask is None:
        yield
        return
    before = mask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        mask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _hidden_script() -> Iterator[None]:
    """Have processes that start in a `with` block not run this script, too.

    Python imports it in each, and it may train without a guard.
    """
    script = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script


def _end_with_parent() -> None:
    """End this process when the one that started it does, even if killed."""
    import atexit
    import multiprocessing
    import os
    import threading

    # Signals to all processes of a command are for the first.
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    # Unloading Matplotlib would take time.
    atexit.register(os._exit, 0)
    parent = multiprocessing.parent_process()

    def wait() -> None:
        if parent is not None:
            parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _import_matplotlib() -> None:
    import gc

    import matplotlib.backends.backend_agg  # noqa: F401
    import matplotlib.figure  # noqa: F401

    # Imported objects stay for good; scanning them takes a twentieth.
    gc.freeze()
