"""The command on a terminal of its own."""

import fcntl
import os
import pty
import signal
import struct
import sys
import termios

import pytest

TRAIN = ("train", "increment", "--num-bits", "6", "--units", "8")
COLUMNS = 70


class Terminal:
    """A process on a terminal, and all that it has written there."""

    def __init__(self, *arguments, **variables):
        self.text = ""
        self.pid, self._file = pty.fork()
        if self.pid == 0:
            os.environ.update({"TERM": "xterm-256color"} | variables)
            command = [sys.executable, "-m", "keras_lstm", *arguments]
            os.execv(sys.executable, command)  # noqa: S606
        size = struct.pack("HHHH", 24, COLUMNS, 0, 0)
        fcntl.ioctl(self._file, termios.TIOCSWINSZ, size)

    def read_until(self, text):
        """Read until a text is there; to the end if it never is."""
        while text is None or text not in self.text:
            try:
                part = os.read(self._file, 65536)
            # On Linux, reading fails once the other end is closed.
            except OSError:
                return
            self.text += part.decode(errors="replace")

    def end(self):
        """Read the rest, and return the exit code."""
        self.read_until(None)
        os.close(self._file)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@pytest.mark.slow
def test_the_terminal_is_left_as_it_was(tmp_path):
    run = ["--run-dir", str(tmp_path / "run"), "--steps-per-epoch", "30"]
    terminal = Terminal(*TRAIN, *run, "--epochs", "2")
    assert terminal.end() == 0
    text = terminal.text
    assert "epoch 2/2" in text
    assert "ended after" in text
    assert "validation examples are wrong" in text
    # The result comes below the block, and the cursor is there again.
    assert text.rfind("Run folder:") > text.rfind("ended after")
    assert text.rfind("\x1b[?25h") > text.rfind("\x1b[?25l")
    # Stopped by Ctrl-C, in black and white.
    long = ["--run-dir", str(tmp_path / "long"), "--epochs", "4000"]
    long += ["--prove-from-epoch", "3999", "--monitor", "none"]
    terminal = Terminal(*TRAIN, *long, NO_COLOR="1")
    terminal.read_until("epoch 3/4000")
    os.kill(terminal.pid, signal.SIGINT)
    assert terminal.end() == 130
    text = terminal.text
    assert text.rfind("SIGINT: stopped. To go on:") > text.rfind("training")
    assert text.rfind("\x1b[?25h") > text.rfind("\x1b[?25l")
    assert "\x1b[3" not in text
    # A terminal that cannot move its cursor gets lines.
    terminal = Terminal(
        *(*TRAIN, "--smoke", "--run-dir", str(tmp_path / "dumb")), TERM="dumb"
    )
    assert terminal.end() == 0
    assert "epoch 1/1  loss" in terminal.text
    assert "\x1b[" not in terminal.text
