import io
import math
import sys
import types

import pytest
from rich.console import Console

from keras_lstm.core import console, display
from keras_lstm.core.display import Block, TerminalDisplay, sparkline

BLOCK = Block(
    "training",
    0.5,
    "epoch 2/4  1 minute left",
    [["loss 0.25", "accuracy 99%"], ["3 are wrong, the worst: a\x1b[2Jb"]],
)


def shown(block, width, encoding="utf-8", **options):
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    Console(file=file, width=width, **options).print(block)
    file.flush()
    text = file.buffer.getvalue().decode(encoding)
    return [line.rstrip() for line in text.splitlines()]


def test_a_block_is_as_wide_as_there_is_space():
    facts = ["loss 0.25  accuracy 99%", "3 are wrong, the worst: a\\x1b[2Jb"]
    # Without colors, the rest of the bar is empty.
    bar = "━" * 20 + " " * 20
    assert shown(BLOCK, 100) == [
        f"training {bar}  50% epoch 2/4  1 minute left",
        *facts,
    ]
    assert shown(BLOCK, 60)[1:] == ["epoch 2/4  1 minute left", *facts]
    narrow = shown(BLOCK, 22)
    assert narrow[0] == "training ━━━╸     50%"
    # Facts are broken between, and cut only if one is longer than the line.
    assert narrow[1:] == [
        "epoch 2/4  1 minute l…",
        "loss 0.25",
        "accuracy 99%",
        "3 are wrong, the wors…",
    ]
    assert max(map(len, shown(BLOCK, 5))) <= 5


def test_100_percent_is_for_what_is_done():
    def first(share):
        return shown(Block("x", share), 60)[0].split()[-1]

    assert [first(x) for x in (0.999, 1.0, 1.7)] == ["99%", "100%", "100%"]
    assert shown(Block("searching", None, "3 trials"), 60) == [
        "searching 3 trials"
    ]


def test_a_terminal_without_such_characters_gets_others():
    block = Block("x", 0.5, lines=[[f"loss {sparkline([2.0, 1.0])}"]])
    lines = shown(block, 60, "ascii")
    assert lines[1] == "loss #_"


def test_a_curve_has_a_character_for_each_value():
    assert sparkline([]) == sparkline([math.nan]) == ""
    assert sparkline([1.0, math.nan, 8.0]) == "▁ █"
    assert sparkline([2.0, 2.0]) == "▁▁"
    assert len(sparkline(range(100), 24)) <= 24
    assert sparkline(range(100), 24)[-1] == "█"


def test_lines_go_above_the_block_and_the_terminal_is_restored(monkeypatch):
    file = io.StringIO()
    monkeypatch.setattr(sys, "stderr", file)
    terminal = Console(file=file, force_terminal=True, width=60)
    shows = TerminalDisplay(terminal)
    shows.update(BLOCK)
    shows.line("a line")
    assert sys.stderr is not file
    shows.close()
    assert sys.stderr is file
    text = file.getvalue()
    assert text.rfind("a line") < text.rfind("training")
    assert text.rfind("\x1b[?25h") > text.rfind("\x1b[?25l")
    # Once is enough.
    shows.close()
    assert file.getvalue() == text


def test_a_closed_terminal_does_not_stop_the_work():
    class Closed(io.StringIO):
        def write(self, text):
            raise OSError("closed")

    shows = TerminalDisplay(Console(file=Closed(), force_terminal=True))
    shows.update(BLOCK)
    shows.close()


def test_updates_are_due_a_few_times_a_second(monkeypatch):
    now = [10.0]
    monkeypatch.setattr(display.time, "monotonic", lambda: now[0])
    shows = TerminalDisplay(Console(file=io.StringIO(), force_terminal=True))
    due = []
    for _ in range(100):
        now[0] += 0.01
        due.append(shows.is_due)
        if due[-1]:
            shows.update(BLOCK)
    shows.close()
    assert sum(due) == 4


class Handle:
    def __init__(self):
        self.shown = []

    def update(self, data, raw):
        assert raw
        self.shown.append(data)


@pytest.fixture
def notebook(monkeypatch):
    """Return the handle of a notebook's output, in a fake IPython."""
    handle = Handle()

    def show(data, **options):
        assert options["display_id"]
        return handle

    shell = types.SimpleNamespace(kernel=object())
    fake = types.SimpleNamespace(get_ipython=lambda: shell)
    monkeypatch.setitem(sys.modules, "IPython", fake)
    module = types.SimpleNamespace(display=show)
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    return handle


def test_a_notebook_gets_the_same_as_html(notebook, capfd):
    shows = display.open_display()
    shows.update(BLOCK)
    shows.update(Block("<b>", None, "&"))
    shows.close()
    first, last = notebook.shown
    lines = [line.rstrip() for line in first["text/plain"].splitlines()]
    assert lines[0] == f"training {'━' * 20}╺{'━' * 19}  50% {BLOCK.beside}"
    assert lines[1:] == shown(BLOCK, 88)[1:]
    assert first["text/html"].startswith("<pre ")
    assert "accuracy 99%" in first["text/html"]
    assert "&lt;b&gt;" in last["text/html"]
    assert "<b>" not in last["text/html"]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"TERM": "xterm"}, True),
        ({"TERM": "dumb"}, False),
        ({"TERM": "xterm", "JPY_PARENT_PID": "1"}, False),
    ],
)
def test_only_a_terminal_that_moves_its_cursor_has_a_block(
    monkeypatch, variables, expected
):
    monkeypatch.delenv("JPY_PARENT_PID", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stderr", types.SimpleNamespace(isatty=lambda: 1))
    assert console.on_terminal() is expected


def test_a_log_has_no_block():
    assert display.open_display() is None


def test_a_display_that_was_left_open_is_closed_by_the_next(monkeypatch):
    closed = []

    class Silent(display.Display):
        def close(self):
            closed.append(self)

    monkeypatch.setattr(display, "on_terminal", lambda: False)
    monkeypatch.setattr(display, "_in_notebook", lambda: True)
    monkeypatch.setattr(display, "NotebookDisplay", Silent)
    first = display.open_display()
    second = display.open_display()
    assert closed == [first]
    monkeypatch.setattr(display, "_in_notebook", lambda: False)
    assert display.open_display() is None
    assert closed == [first, second]
