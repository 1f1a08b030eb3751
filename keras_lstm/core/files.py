"""Files that are whole or absent, never half written; and one writer each."""

import contextlib
import fcntl
import os
import pathlib
import shutil
import socket
from collections.abc import Iterator

from keras_lstm.core.errors import InputError

_TEMPORARY = ".part"
_LOCK = ".lock"


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Gives a temporary path, and moves what was written there into place.

    The temporary file is in the same folder and has the same suffix. If the
    block fails, it is removed and what was at `path` stays.

    Args:
        path: where the file belongs.

    Yields:
        Where to write it.

    Raises:
        OSError: it cannot be written; names `path`.
    """
    name = f".{path.stem}.{os.getpid()}{_TEMPORARY}{path.suffix}"
    temporary = path.with_name(name)
    try:
        yield temporary
        _flush(temporary)
        temporary.replace(path)
        _flush(path.parent)
    except OSError as error:
        if error.filename not in (None, str(temporary)):
            raise
        # A failed write does not say of which file.
        raise OSError(
            error.errno, error.strerror or str(error), str(path)
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_folder(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """`replacing` for a folder: what is there is kept until the new one is.

    A process that was killed between the two leaves the old one as
    `.<name>.old`; it is put back when the folder is written to next.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}{_TEMPORARY}")
    old = path.with_name(f".{path.name}.old")
    if old.exists() and not path.exists():
        old.replace(path)
    try:
        yield temporary
        for below in temporary.rglob("*"):
            _flush(below)
        _flush(temporary)
        if path.exists():
            path.replace(old)
        try:
            temporary.replace(path)
        except OSError:
            old.replace(path)
            raise
        _flush(path.parent)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_text(path: pathlib.Path, text: str) -> None:
    """Writes a text file, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_bytes(path: pathlib.Path, *parts: bytes) -> None:
    """Writes a file of these parts, whole or not at all."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.writelines(parts)


def remove_temporary(folder: pathlib.Path) -> None:
    """Removes what a process that was killed has left half written."""
    for path in folder.glob(f".*{_TEMPORARY}*"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(folder: pathlib.Path) -> Iterator[None]:
    """Lock a folder for this process; make it where it is missing.

    The operating system gives the lock back when the process ends, however it
    ends: what a crash leaves behind locks nothing. A folder that was made
    here, and to which nothing was added, is removed again.

    Args:
        folder: the folder.

    Raises:
        InputError: if another process has it.
        OSError: if the folder cannot be made or written to.
    """
    above = (folder, *folder.parents)
    made = [path for path in above if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / _LOCK
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise InputError(
                "`run_dir` must not be in use. Received: "
                f"run_dir={folder}, in use by process {file.read().strip()}"
            ) from None
        # Whoever had it before may have removed the file in the meantime.
        if not _is_at(path, file.fileno()):
            raise InputError(
                "`run_dir` must not be in use. Received: "
                f"run_dir={folder}, which another process has just left"
            )
        file.truncate(0)
        print(os.getpid(), "on", socket.gethostname(), file=file, flush=True)
        try:
            yield
        finally:
            if made and [each.name for each in folder.iterdir()] == [_LOCK]:
                path.unlink()
                with contextlib.suppress(OSError):
                    for each in made:
                        each.rmdir()


def _is_at(path: pathlib.Path, descriptor: int) -> bool:
    """Return whether an open file is the one at a path."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _flush(path: pathlib.Path) -> None:
    """Waits until a file, or a folder's list of files, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
