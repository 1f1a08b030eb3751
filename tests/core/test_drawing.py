"""Figures that another process draws."""

import dataclasses
import functools
import os
import pathlib
import signal
import struct
import subprocess
import sys
import threading
import time

import keras
import pytest
from matplotlib.text import Text

from keras_lstm.callbacks.tensorboard import TensorBoard
from keras_lstm.core import drawing
from keras_lstm.core.drawing import (
    Drawing,
    drawing_apart,
    new_figure,
    png_of,
    show_dollars,
)
from keras_lstm.core.errors import RunError
from keras_lstm.monitoring.pictures import plot_curves
from keras_lstm.training.run_callbacks import RunCallbacks

CURVES = functools.partial(plot_curves, {"loss": [2.0, 1.0]})


def size_of(png):
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">2I", png[16:24])


@pytest.fixture
def apart(monkeypatch):
    """Draw in another process, though this one has imported Matplotlib."""
    import matplotlib

    monkeypatch.delitem(sys.modules, matplotlib.__name__)
    monkeypatch.setattr(drawing, "num_cores", lambda: 2)
    with drawing_apart():
        assert drawing._pool is not None
        yield drawing._pool
    assert drawing._pool is None


def ask(pool, function, *arguments):
    return pool.submit(function, *arguments).result(timeout=60)


def test_without_another_process_a_figure_is_drawn_when_it_is_asked_for():
    drawn = Drawing(CURVES, png_of)
    assert drawn._future is None
    assert size_of(drawn.result) == (450, 350)


def test_another_process_draws_the_same(apart):
    drawn = Drawing(CURVES, png_of)
    assert drawn._future is not None
    assert ask(apart, os.getpid) != os.getpid()
    assert drawn.result == png_of(CURVES())


def test_a_process_that_was_killed_is_done_without(apart):
    pid = ask(apart, os.getpid)
    Drawing(functools.partial(time.sleep, 60), png_of)
    drawn = Drawing(CURVES, png_of)
    os.kill(pid, signal.SIGKILL)
    assert size_of(drawn.result) == (450, 350)
    after = Drawing(CURVES, png_of)
    assert after._future is None
    assert size_of(after.result) == (450, 350)


def test_what_cannot_be_sent_is_drawn_here(apart):
    drawn = Drawing(lambda: new_figure(figsize=(1, 2)), png_of)
    assert size_of(drawn.result) == (100, 200)


def test_a_plot_that_fails_says_why(apart):
    drawn = Drawing(functools.partial(plot_curves, None), png_of)
    with pytest.raises(TypeError, match="NoneType"):
        drawn.result  # noqa: B018 - a property


def test_what_was_not_drawn_in_time_is_drawn_here(monkeypatch):
    monkeypatch.delitem(sys.modules, "matplotlib")
    monkeypatch.setattr(drawing, "num_cores", lambda: 2)
    with drawing_apart():
        drawn = [Drawing(CURVES, png_of) for _ in range(20)]
    assert {size_of(each.result) for each in drawn} == {(450, 350)}


def test_no_thread_of_the_pool_is_left_for_the_exit(monkeypatch):
    monkeypatch.delitem(sys.modules, "matplotlib")
    monkeypatch.setattr(drawing, "num_cores", lambda: 2)
    before = set(threading.enumerate())
    with drawing_apart():
        Drawing(CURVES, png_of)
        assert set(threading.enumerate()) > before
    assert set(threading.enumerate()) == before


def test_ctrl_c_does_not_reach_the_other_process(apart):
    found = ask(apart, signal.pthread_sigmask, signal.SIG_BLOCK, ())
    assert signal.SIGINT in found
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def is_written(folder, name):
    files = folder.rglob("*tfevents*")
    return any(name.encode() in file.read_bytes() for file in files)


def test_a_figure_is_written_while_training_goes_on(apart, tmp_path):
    board = TensorBoard(tmp_path)
    board.set_model(keras.Sequential([keras.Input((1,))]))
    board.on_train_begin()
    board.write_figure("first", CURVES)
    # One process draws one figure after the other.
    assert ask(apart, os.getpid) != os.getpid()
    board.on_epoch_begin(0)
    board.on_epoch_end(0, {})
    assert is_written(tmp_path, "first")


def recording(board):
    others = [None] * (len(dataclasses.fields(RunCallbacks)) - 2)
    return RunCallbacks(None, board, *others).recording()


def test_a_figure_that_fails_does_not_hide_why_training_failed(apart, tmp_path):
    board = TensorBoard(tmp_path)

    def fail(error):
        with recording(board):
            board.write_figure("bad", functools.partial(plot_curves, None))
            if error is not None:
                raise error

    with pytest.raises(RunError, match="the loss is not finite"):
        fail(RunError("the loss is not finite"))
    with pytest.raises(TypeError, match="NoneType"):
        fail(None)


DAEMON = """
import multiprocessing
from keras_lstm.core import drawing

def enter():
    drawing.num_cores = lambda: 2
    with drawing.drawing_apart():
        print("none" if drawing._pool is None else "a process", flush=True)

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=enter, daemon=True)
    process.start()
    process.join()
"""


def test_a_daemonic_process_draws_by_itself(tmp_path):
    script = tmp_path / "daemon.py"
    script.write_text(DAEMON)
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("none\n", "")


def test_a_backend_that_matplotlib_lacks_does_not_matter(tmp_path):
    words = "train increment --num-bits 3 --epochs 1 --steps-per-epoch 1"
    result = subprocess.run(
        [sys.executable, "-m", "keras_lstm", *words.split()],
        cwd=tmp_path,
        env=os.environ | {"MPLBACKEND": "nonsense"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert "Error" not in result.stderr
    assert len(list(tmp_path.rglob("report.html"))) == 1


@pytest.mark.parametrize("why", ["one core", "imported", "refused"])
def test_there_may_be_no_other_process(monkeypatch, why):
    if why != "imported":
        monkeypatch.delitem(sys.modules, "matplotlib")
    cores = 1 if why == "one core" else 2
    monkeypatch.setattr(drawing, "num_cores", lambda: cores)
    if why == "refused":

        def refuse(*_):
            raise OSError("no semaphores here")

        monkeypatch.setattr("concurrent.futures.ProcessPoolExecutor", refuse)
    with drawing_apart():
        assert Drawing(CURVES, png_of)._future is None


INTERRUPTED = """
import os, time
from keras_lstm.core import drawing
if __name__ == "__main__":
    drawing.num_cores = lambda: 2
    command = f"sleep 0.5; kill -INT {os.getpid()}; sleep 1"
    try:
        with drawing.drawing_apart():
            # The other process sends the second, and stays busy.
            busy = drawing._pool.submit(os.system, command)
            while not busy.running():
                time.sleep(0.01)
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        print("interrupted")
"""


def test_a_second_ctrl_c_does_not_stop_the_exit(tmp_path):
    script = tmp_path / "interrupted.py"
    script.write_text(INTERRUPTED)
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=60
    )
    found = done.returncode, done.stdout, done.stderr
    assert found == (0, "interrupted\n", "")


ORPHAN = """
import os, sys, time
from keras_lstm.core import drawing
if __name__ == "__main__":
    drawing.num_cores = lambda: 2
    with drawing.drawing_apart():
        print(drawing._pool.submit(os.getpid).result(), flush=True)
        time.sleep(600)
"""


def test_the_other_process_ends_with_one_that_is_killed(tmp_path):
    script = tmp_path / "orphan.py"
    script.write_text(ORPHAN)
    with subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, text=True
    ) as process:
        pid = int(process.stdout.readline())
        process.kill()
    deadline = time.monotonic() + 60
    while is_running(pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_running(pid):
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2]
    except FileNotFoundError:
        return False
    # A zombie waits for somebody to notice.
    return state.split()[0] != "Z"


# Without a guard, which Python asks of scripts that start processes.
TRAIN = """
import sys
from keras_lstm.cli import main
from keras_lstm.core import drawing
print("begins")
drawing.num_cores = lambda: 2
assert main(sys.argv[1:]) == 0
print("imported:", [m for m in sys.modules if m == "matplotlib"])
"""


def test_a_training_imports_no_matplotlib_itself(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(TRAIN)
    run = tmp_path / "run"
    words = "train increment --num-bits 3 --epochs 1 --steps-per-epoch 1"
    result = subprocess.run(
        [sys.executable, script, *words.split(), "--run-dir", run],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert "Error" not in result.stderr
    lines = result.stdout.splitlines()
    assert lines.count("begins") == 1
    assert lines[-1] == "imported: []"
    assert size_of((run / "curves.png").read_bytes())[1] == 350
    assert "<svg" in (run / "report.html").read_text("utf-8")


@pytest.mark.parametrize("name", [r"$\texttt{even}$", "$a$ and $b$"])
def test_dollars_in_names_are_shown(name):
    figure = new_figure()
    axes = figure.add_subplot()
    axes.plot([1, 2], [1, 1e5], label=name)
    axes.set_yscale("log")
    axes.annotate(name, (1, 1))
    axes.legend()
    figure.suptitle(name)
    show_dollars(figure)
    assert png_of(figure).startswith(b"\x89PNG")
    texts = {x.get_text(): x.get_parse_math() for x in figure.findobj(Text)}
    assert texts[name] is False
    assert any(text.startswith("$\\mathdefault") for text in texts)
    assert all(texts[x] for x in texts if x.startswith("$\\mathdefault"))
