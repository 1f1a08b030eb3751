import fcntl
import os
import resource
import subprocess
import sys
import threading
import time

import filelock
import pytest

from keras_lstm.core.errors import InputError
from keras_lstm.core.files import (
    check_output,
    is_locked,
    locked,
    remove_temporary,
    replacing,
    replacing_folder,
    write_text,
)
from keras_lstm.core.version import __version__, check_version


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    write_text(path, "new")
    assert path.read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_what_was_there_stays_when_writing_fails(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def fail():
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        fail()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_failed_write_names_its_file(tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    write_text(tmp_path / "a.txt", "old")
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match=f"too large: '{tmp_path}/a.txt'"):
            write_text(tmp_path / "a.txt", "x" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (tmp_path / "a.txt").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_what_a_killed_process_left_is_removed(tmp_path):
    for name in (".a.12.part.txt", "a.txt", ".step-1.77.part.ckpt", ".lock"):
        (tmp_path / name).write_text("")
    remove_temporary(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"a.txt", ".lock"}


def test_a_folder_has_one_writer(tmp_path):
    folder = tmp_path / "a" / "b"
    message = rf"run_dir={folder}, in use by process {os.getpid()} "
    with (
        locked(folder),
        pytest.raises(InputError, match=message),
        locked(folder),
    ):
        pass
    with locked(folder):
        pass


def test_a_lock_that_is_a_link_is_refused(tmp_path):
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").symlink_to(tmp_path / "mine")
    with pytest.raises(OSError, match=r"run/\.lock"), locked(tmp_path / "run"):
        pass
    assert (tmp_path / "mine").read_text() == "mine"


def test_a_lock_left_by_a_crash_locks_nothing(tmp_path):
    code = (
        "import pathlib, sys, keras_lstm.core.files as files\n"
        "with files.locked(pathlib.Path(sys.argv[1])):\n"
        "    print('locked', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout.readline() == b"locked\n"
        message = f"by process {process.pid} on"
        with pytest.raises(InputError, match=message), locked(tmp_path):
            pass
        process.kill()
    assert (tmp_path / ".lock").read_text().startswith(f"{process.pid} ")
    with locked(tmp_path):
        assert (tmp_path / ".lock").read_text().startswith(f"{os.getpid()} ")


def test_a_lock_is_seen_and_left_alone(tmp_path):
    assert not is_locked(tmp_path / "none")
    assert not is_locked(tmp_path)
    assert list(tmp_path.iterdir()) == []
    with locked(tmp_path):
        text = (tmp_path / ".lock").read_text()
        assert is_locked(tmp_path)
        assert (tmp_path / ".lock").read_text() == text
        # The lock is held as before.
        with pytest.raises(InputError, match="in use"), locked(tmp_path):
            pass
    assert not is_locked(tmp_path)
    assert (tmp_path / ".lock").read_text() == text


def test_what_is_no_lock_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / ".lock")
    assert not is_locked(tmp_path)
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / ".lock").symlink_to(tmp_path / ".lock")
    assert not is_locked(tmp_path / "linked")


def test_who_only_looks_does_not_keep_a_run_from_starting(tmp_path):
    path = tmp_path / ".lock"
    path.write_text("")
    with path.open() as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)

        def end():
            time.sleep(0.015)
            fcntl.flock(looking, fcntl.LOCK_UN)

        thread = threading.Thread(target=end)
        thread.start()
        with locked(tmp_path):
            assert path.read_text().startswith(f"{os.getpid()} ")
        thread.join()


def test_who_looks_at_the_same_time_sees_no_lock(tmp_path, monkeypatch):
    path = tmp_path / ".lock"
    path.write_text("")
    waits = []
    with path.open() as looking:
        fcntl.flock(looking, fcntl.LOCK_EX)

        def sleep(seconds):
            waits.append(seconds)
            if seconds:
                fcntl.flock(looking, fcntl.LOCK_UN)

        monkeypatch.setattr(time, "sleep", sleep)
        assert not is_locked(tmp_path)
    assert waits == [0.0, 0.001]


def test_a_lock_is_that_of_filelock_and_of_versions_before(tmp_path):
    path = tmp_path / ".lock"
    with locked(tmp_path):
        text = path.read_text()
        with path.open() as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        with pytest.raises(filelock.Timeout):
            filelock.FileLock(path).acquire(timeout=0)
        assert path.read_text() == text


def test_a_lock_that_may_only_be_read_is_seen(tmp_path, monkeypatch):
    opened = os.open

    def open_to_read(path, flags, *more):
        if flags & os.O_RDWR:
            raise PermissionError(13, "Permission denied", path)
        return opened(path, flags, *more)

    with locked(tmp_path):
        monkeypatch.setattr(os, "open", open_to_read)
        assert is_locked(tmp_path)
    assert not is_locked(tmp_path)


def test_a_newer_version_is_refused(tmp_path):
    check_version(__version__, "run_dir", tmp_path)
    check_version("0.0.1", "run_dir", tmp_path)
    with pytest.raises(InputError, match=r"by keras-lstm 99\.0, newer than"):
        check_version("99.0", "run_dir", tmp_path)


def test_a_folder_is_replaced_whole(tmp_path):
    path = tmp_path / "model"
    for text in ("old", "new"):
        with replacing_folder(path) as temporary:
            temporary.mkdir()
            (temporary / "a").write_text(text)
    assert (path / "a").read_text() == "new"
    # The block makes no folder, so there is nothing to move.
    with pytest.raises(OSError, match="No such file"), replacing_folder(path):
        pass
    assert (path / "a").read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_a_folder_comes_back_after_a_kill(tmp_path):
    # The state after a process was killed between the two moves.
    old = tmp_path / ".model.old"
    old.mkdir()
    (old / "a").write_text("old")
    with (
        pytest.raises(RuntimeError),
        replacing_folder(tmp_path / "model"),
    ):
        raise RuntimeError
    assert (tmp_path / "model" / "a").read_text() == "old"


def test_what_a_kill_left_of_an_old_folder_is_removed(tmp_path):
    # The state after a process was killed before the old folder was removed.
    for name in (".model.old", "model"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a").write_text(name)
    with replacing_folder(tmp_path / "model") as temporary:
        temporary.mkdir()
        (temporary / "a").write_text("newer")
    assert (tmp_path / "model" / "a").read_text() == "newer"
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_a_path_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    assert check_output(tmp_path / "new", overwrite=False) is None
    assert (
        check_output(tmp_path / "file", overwrite=True)
        == (tmp_path / "file").resolve()
    )
    for name, message in (
        ("file", "must not exist unless `overwrite` is set"),
        ("file/below", "must not be below a file"),
        ("loop", "must be a path in UTF-8"),
        ("x" * 300, "must be a path in UTF-8"),
        ("\udcff", "must be a path in UTF-8"),
        ("a\0b", "must be a path in UTF-8"),
    ):
        with pytest.raises(InputError, match=f"`output` {message}"):
            check_output(tmp_path / name, overwrite=False)


def test_folders_half_written_are_removed(tmp_path):
    (tmp_path / ".saved_model.123.part").mkdir()
    (tmp_path / ".saved_model.123.part" / "a").write_text("a")
    (tmp_path / ".report.123.part.json").write_text("")
    remove_temporary(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_locked_for_nothing_is_removed(tmp_path):
    folder = tmp_path / "logs" / "task" / "run"
    with locked(folder):
        assert folder.is_dir()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["history.csv", ".hidden"])
def test_a_folder_that_was_used_or_was_there_stays(tmp_path, name):
    with locked(tmp_path / "used"):
        (tmp_path / "used" / name).write_text("")
    assert (tmp_path / "used" / name).exists()
    (tmp_path / "there").mkdir()
    with locked(tmp_path / "there"):
        pass
    assert (tmp_path / "there").is_dir()


def test_a_lock_that_was_removed_in_between_is_no_lock(tmp_path, monkeypatch):
    def leave(descriptor, operation):
        (tmp_path / ".lock").unlink()

    monkeypatch.setattr(fcntl, "flock", leave)
    with (
        pytest.raises(InputError, match="another process has just released"),
        locked(tmp_path),
    ):
        pass
