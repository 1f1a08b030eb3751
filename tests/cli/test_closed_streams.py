"""The command works where standard output or error is closed."""

import os
import subprocess
import sys

import pytest

from keras_lstm.core.version import __version__

COMMAND = f"exec {sys.executable} -m keras_lstm"


def run(text, cwd):
    return subprocess.run(
        ["/bin/sh", "-c", f"{COMMAND} {text}"],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        timeout=300,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join(sys.path)},
    )


@pytest.mark.parametrize(
    ("text", "code", "out", "err"),
    [
        ("--version >&-", 0, "", ""),
        ("list >&-", 0, "", ""),
        ("--version 2>&-", 0, f"{__version__}\n", ""),
        ("train cat 2>&-", 2, "", ""),
        ("train cat <&- >&- 2>&-", 2, "", ""),
        ("train cat >&-", 2, "", "keras-lstm: error: `cat` is no task."),
        ("list >/dev/full", 1, "", "keras-lstm: error: [Errno 28] No space"),
        ("--version >/dev/full", 1, "", "keras-lstm: error: [Errno 28]"),
        ("train cat 2>/dev/full", 2, "", ""),
    ],
)
def test_closed_streams_are_no_error(tmp_path, text, code, out, err):
    done = run(text, tmp_path)
    assert (done.returncode, done.stdout) == (code, out)
    assert done.stderr.startswith(err)
    assert done.stderr.count("\n") == bool(err)


@pytest.mark.parametrize("flag", [[], ["-u"], ["-OO"]])
def test_a_reader_that_is_gone_is_told_nothing(tmp_path, flag):
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, *flag, "-m", "keras_lstm", "list"],
        stdout=writing,
        stderr=subprocess.PIPE,
        check=False,
        cwd=tmp_path,
        timeout=300,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.slow
def test_a_run_without_any_stream_is_whole(tmp_path):
    options = "--smoke --num-bits 4 --run-dir run"
    done = run(f"train increment {options} <&- >&- 2>&-", tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    done = run("predict run 5 2>&-", tmp_path)
    assert done.returncode == 0
    assert done.stdout.startswith("5 → ")
    assert run("predict run 5 >&-", tmp_path).returncode == 0


# Says what runs at the end of a process, and when Python releases its modules.
ENDING = """
import atexit, sys
from keras_lstm import cli

class Released:
    def __del__(self):
        print("released")

def main(main=cli.main):
    atexit.register(print, "handler")
    return main()

held = Released()
cli.main = main
sys.argv = ["keras-lstm", "predict", "nowhere", "7"]
"""


@pytest.mark.parametrize(
    ("last", "code", "out"),
    [
        ("sys.exit(cli.run_process())", 2, "handler\n"),
        # A process that goes on after the command ends as any other.
        ("cli.main(); sys.exit(3)", 3, "handler\nreleased\n"),
    ],
)
def test_only_a_process_of_its_own_ends_at_once(last, code, out):
    done = subprocess.run(
        [sys.executable, "-c", f"{ENDING}{last}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (code, out)
    assert "must hold a finished run" in done.stderr
