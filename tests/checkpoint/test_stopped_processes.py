import errno
import itertools
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import keras
import pytest

from keras_lstm.checkpoint.checkpoints import read_checkpoint
from keras_lstm.cli import main

DATA = pathlib.Path(__file__).parents[1] / "data"
# As in a user's shell, where the command itself hides TensorFlow's messages.
QUIET = os.environ | {"CUDA_VISIBLE_DEVICES": "-1"}
QUIET.pop("TF_CPP_MIN_LOG_LEVEL", None)
LONG = (
    *("train", "increment", "--num-bits", "8", "--units", "8"),
    *("--preset", "increment-noise"),
    *("--epochs", "100000", "--monitor", "none", "--log-every-steps", "5"),
)
SHORT = (
    *("train", "increment", "--num-bits", "6", "--units", "8", "--quiet"),
    *("--preset", "increment-noise"),
    *("--monitor", "none", "--checkpoint-every-steps", "4"),
)


@pytest.mark.parametrize(
    ("signum", "code"),
    [
        (signal.SIGTERM, 143),
        pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow),
        pytest.param(signal.SIGHUP, 129, marks=pytest.mark.slow),
    ],
)
def test_a_process_that_is_stopped(tmp_path, signum, code, capsys):
    run_dir = str(tmp_path / "run")
    command = [sys.executable, "-m", "keras_lstm", *LONG, "--run-dir", run_dir]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=QUIET,
    ) as process:
        try:
            for line in process.stderr:
                if line.startswith("step 10 "):
                    break
            # A second process in the same folder.
            assert main([*LONG, "--run-dir", run_dir, "--resume"]) == 2
            assert f"in use by process {process.pid} on " in (
                capsys.readouterr().err
            )
            process.send_signal(signum)
            out, err = process.communicate(timeout=120)
        finally:
            process.kill()
    assert process.returncode == code
    assert out == ""
    assert "Traceback" not in err
    name = signum.name
    assert err.splitlines()[-1] == (
        f"{name}: stopped. To go on: keras-lstm train increment --run-dir "
        f"{run_dir} --resume"
    )
    folder = tmp_path / "run" / "checkpoints"
    newest = max(folder.glob("step-*.ckpt"))
    assert read_checkpoint(newest).step >= 10
    assert not (tmp_path / "run" / "report.json").exists()


def limited(kilobytes, command, failing):
    """Run a command that fails to write files above a size."""
    done = subprocess.run(
        [
            *("bash", "-c", f'ulimit -f {kilobytes}; exec "$@"', "bash"),
            *(sys.executable, "-m", "keras_lstm", *command),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=QUIET,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == (
        f"keras-lstm: error: [Errno 27] File too large: '{failing}'\n"
    )


@pytest.mark.slow
def test_a_result_that_cannot_be_written_leaves_the_one_before(
    tmp_path, capsys, monkeypatch
):
    def fail(model, path):
        path.write_bytes(b"half of it")
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    run_dir = tmp_path / "run"
    short = [*SHORT, "--run-dir", str(run_dir)]
    assert main([*short, "--epochs", "2"]) == 0
    results = ("model.keras", "report.json", "failures.csv", "curves.png")
    before = {name: (run_dir / name).read_bytes() for name in results}
    assert main(["prove", str(run_dir)]) == 1
    more = [*short, "--resume", "--epochs", "3"]
    capsys.readouterr()
    with monkeypatch.context() as patched:
        patched.setattr(keras.Model, "save", fail)
        assert main(more) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("keras-lstm: error: [Errno 28] No space left")
    assert err.count("\n") == 1
    assert before == {name: (run_dir / name).read_bytes() for name in results}
    assert main(["prove", str(run_dir)]) == 1
    assert main(more) == 0
    report = json.loads((run_dir / "report.json").read_text())
    assert report["epochs"] == 3


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_nothing_is_lost(tmp_path, capsys):
    run_dir = tmp_path / "run"
    short = [*SHORT, "--units", "32", "--run-dir", str(run_dir)]
    assert main([*short, "--epochs", "2"]) == 0
    before = {
        path: path.read_bytes()
        for path in run_dir.rglob("*")
        if path.is_file() and path.name not in ("config.yaml", ".lock")
    }
    assert {"model.keras", "report.json", "history.csv"} <= {
        path.name for path in before
    }
    more = [*short, "--resume", "--epochs", "4"]
    # A checkpoint is larger than 100 KiB.
    limited(100, more, f"{run_dir}/checkpoints/step-000000024.ckpt")
    assert before == {path: path.read_bytes() for path in before}
    assert main(more) == 0
    report = json.loads((run_dir / "report.json").read_text())
    assert (report["epochs"], report["resumed_from_step"]) == (4, 20)


def test_a_run_that_is_finished_says_so(tmp_path, capsys):
    short = [*SHORT, "--epochs", "1", "--run-dir", str(tmp_path / "run")]
    assert main(short) == 0
    assert main(short) == 2
    assert "must not hold a run yet" in capsys.readouterr().err
    assert main([*short, "--resume"]) == 0
    assert capsys.readouterr().out == (
        f"{tmp_path}/run is finished: all epochs were run. Nothing is left to "
        "do.\n"
    )
    assert main([*short, "--resume", "--units", "9"]) == 2
    assert "units=9 (the run has 8)" in capsys.readouterr().err
    again = ["train", "increment", "--run-dir", str(tmp_path / "run")]
    preset = ["--preset", "increment-proved"]
    assert main([*again, "--resume", *preset]) == 2
    assert "the run's own task and preset" in capsys.readouterr().err
    assert main(["train", "decrement", *again[2:], "--resume"]) == 2
    assert "task=decrement" in capsys.readouterr().err


def test_without_a_usable_checkpoint_nothing_is_begun(tmp_path, capsys):
    short = [*SHORT, "--epochs", "1", "--run-dir", str(tmp_path / "run")]
    assert main(short) == 0
    (tmp_path / "run" / "report.json").unlink()
    for path in (tmp_path / "run" / "checkpoints").iterdir():
        path.write_bytes(path.read_bytes()[:-1])
    capsys.readouterr()
    assert main([*short, "--resume"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "`folder` must contain an intact checkpoint" in err


def test_numbers_that_go_wrong_fail_the_run(tmp_path, capsys):
    wrong = ["--learning-rate", "1e38", "--global-clipnorm", "none"]
    run_dir = tmp_path / "run"
    assert main([*SHORT, *wrong, "--run-dir", str(run_dir)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert line.startswith(
        "keras-lstm: error: a weight is not finite after step 1 ("
    )
    assert line.endswith(f"{run_dir}/checkpoints/step-000000000.ckpt")
    assert not (run_dir / "report.json").exists()


def test_a_folder_that_cannot_be_made_is_one_line(capsys):
    assert main([*SHORT, "--run-dir", "/proc/x"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("keras-lstm: error: ")
    assert "/proc/x" in err
    assert err.count("\n") == 1


@pytest.mark.slow
def test_of_two_resumes_at_once_one_goes_on(tmp_path):
    run_dir = tmp_path / "run"
    shutil.copytree(DATA / "run-0.1.0-begun", run_dir)
    command = [sys.executable, "-m", "keras_lstm", "train", "increment"]
    command += ["--run-dir", str(run_dir), "--resume", "--quiet"]
    both = [
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=QUIET,
        )
        for _ in range(2)
    ]
    ended = [(*each.communicate(timeout=300), each.returncode) for each in both]
    outputs = {code: (out, err) for out, err, code in ended}
    assert 0 in outputs
    assert json.loads((run_dir / "report.json").read_text())["epochs"] == 3
    if 2 in outputs:
        err = outputs[2][1]
        assert "in use by process" in err
        assert err.count("\n") == 1
    else:
        # The other came so late that the run was finished.
        assert sum("is finished" in out + err for out, err, _ in ended) == 1


@pytest.mark.slow
def test_a_clock_that_jumps_back_is_of_no_consequence(tmp_path, monkeypatch):
    clock = itertools.count(2e9, -3600)
    monkeypatch.setattr(time, "time", lambda: next(clock))
    monkeypatch.setattr(time, "time_ns", lambda: int(next(clock) * 1e9))
    run_dir = tmp_path / "run"
    options = ["--run-dir", str(run_dir), "--checkpoint-every-seconds", "0.001"]
    assert main([*SHORT, *options, "--epochs", "2"]) == 0
    first = json.loads((run_dir / "report.json").read_text())
    assert all(seconds >= 0 for seconds in first["seconds"].values())
    assert main([*SHORT, *options, "--epochs", "3", "--resume"]) == 0
    report = json.loads((run_dir / "report.json").read_text())
    assert (first["epochs"], report["epochs"]) == (2, 3)
    assert report["resumed_from_step"] == first["optimizer_steps"]
