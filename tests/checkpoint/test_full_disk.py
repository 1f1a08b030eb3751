"""A disk that is full or read-only: one line, and nothing is lost.

The disk is a small file system in memory, which only root can mount.
"""

import contextlib
import os
import shutil
import subprocess
import sys

import pytest

from keras_lstm.cli import main

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
TRAIN = (
    *("train", "increment", "--num-bits", "6", "--units", "8", "--quiet"),
    *("--monitor", "none", "--checkpoint-every-steps", "4", "--epochs", "2"),
    *("--steps-per-epoch", "6"),
)
# Called with each path that this process opens.
_watch = []


def _on_event(event, arguments):
    # A file may also be opened by its number.
    if event == "open" and _watch and isinstance(arguments[0], (str, bytes)):
        _watch[0](os.fsdecode(arguments[0]))


@pytest.fixture(scope="module", autouse=True)
def watched():
    """Watch what is opened; a hook cannot be removed, but does nothing."""
    sys.addaudithook(lambda event, arguments: _on_event(event, arguments))


@pytest.fixture
def disk(tmp_path):
    """Return a folder on a disk of its own, and a function to remount it."""
    path = tmp_path / "disk"
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(path)]
    if os.getuid() or subprocess.run(command, check=False).returncode:
        pytest.skip("needs the right to mount")

    def remount(how):
        subprocess.run(["mount", "-o", f"remount,{how}", str(path)], check=True)

    yield path, remount
    _watch.clear()
    subprocess.run(["umount", "-l", str(path)], check=True)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return the folder of the run that nothing has disturbed."""
    run_dir = tmp_path_factory.mktemp("whole") / "run"
    assert main([*TRAIN, "--run-dir", str(run_dir)]) == 0
    return run_dir


def fill(disk, spare=0):
    """Leave only so many bytes on the disk."""
    with (disk / "fill").open("wb", buffering=0) as file:
        with contextlib.suppress(OSError):
            while file.write(bytes(4096)) == 4096:
                pass
        file.truncate(max(0, file.tell() - spare))


def contents(folder):
    return {
        path: path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def fails_in_one_line(capsys, arguments, match):
    capsys.readouterr()
    assert main(arguments) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert match in err
    assert err.count("\n") == 1
    assert err.startswith("keras-lstm: error: ")


@pytest.mark.parametrize(
    "name",
    [
        *(".step-000000000.", ".config.", ".step-000000004.", ".history."),
        *(".failures.", ".curves.", ".model.", ".report."),
    ],
)
def test_a_disk_that_is_full_before_a_write(disk, whole, capsys, name):
    path, _ = disk
    command = [*TRAIN, "--run-dir", str(path / "run")]

    def fill_before(opened):
        if name in opened and str(path) in opened:
            _watch.clear()
            fill(path)

    _watch.append(fill_before)
    fails_in_one_line(capsys, command, "No space left on device")
    assert not _watch, "nothing of this name was written"
    assert not list((path / "run").rglob("*.part*"))
    assert not (path / "run" / "report.json").exists()
    (path / "fill").unlink()
    assert main([*command, "--resume"]) == 0
    for same in ("history.csv", "failures.csv"):
        assert (path / "run" / same).read_bytes() == (
            (whole / same).read_bytes()
        )


def test_a_disk_without_space_for_events(disk, capsys):
    path, _ = disk
    command = [*TRAIN, "--run-dir", str(path / "run")]

    def fill_before(opened):
        if ".history." in opened and str(path) in opened:
            _watch.clear()
            fill(path, spare=8192)

    _watch.append(fill_before)
    capsys.readouterr()
    assert main(command) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    assert err.splitlines()[-1].startswith("keras-lstm: error: ")
    (path / "fill").unlink()
    assert main([*command, "--resume"]) == 0


@pytest.mark.parametrize("how", ["full", "read-only"])
@pytest.mark.parametrize(
    "words",
    [
        "verify RUN",
        "verify RUN --num-bits 7",
        "export RUN --format saved_model",
        "train increment --resume --epochs 3 --run-dir RUN --quiet",
        "train increment --quiet --run-dir RUN/../new",
    ],
)
def test_a_finished_run_on_a_disk_that_takes_nothing(
    disk, whole, capsys, how, words
):
    path, remount = disk
    run_dir = path / "run"
    shutil.copytree(whole, run_dir)
    before = contents(run_dir)
    if how == "full":
        fill(path)
    else:
        remount("ro")
    capsys.readouterr()
    assert main(words.replace("RUN", str(run_dir)).split()) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    assert err.splitlines()[-1].startswith("keras-lstm: error: ")
    after = contents(run_dir)
    if how == "read-only":
        assert after == before
        remount("rw")
    assert before.items() <= after.items() or "train" in words
    (path / "fill").unlink(missing_ok=True)
    assert main(["verify", str(run_dir)]) in (0, 1)
    assert "No space" not in capsys.readouterr().err
