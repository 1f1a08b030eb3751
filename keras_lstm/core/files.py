"""Atomic writes of files and folders, locks, and careful reading."""

import contextlib
import errno
import hashlib
import io
import os
import pathlib
import shutil
import socket
import stat
import time
from collections.abc import Iterator, Sequence
from typing import IO

from keras_lstm.core.errors import InputError

_TEMPORARY = ".part"
_LOCK = ".lock"
# Seconds before further attempts to lock: `is_locked` holds it for an instant.
_WAITS = (0.01, 0.02, 0.04)
_WAITS_TO_LOOK = (0.001, 0.002, 0.004)


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Write a file atomically: the old one stays until the new one is complete.

    Write to the temporary path that the block gets; on leaving the block, the
    file is moved to `path`. The temporary file is in the same folder and has
    the same suffix. If the block fails, it is removed, and a file at `path`
    stays unchanged.

    Args:
        path: the final path of the file.

    Yields:
        The temporary path.

    Raises:
        OSError: if the file cannot be written; the error names `path`.
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
        # The error of a failed write does not name the file.
        raise OSError(
            error.errno, error.strerror or str(error), str(path)
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_folder(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Write a folder atomically, as `replacing` writes a file.

    Between removing the old folder and moving the new one into place, the old
    one is `.<name>.old`. If the process is killed then, the next call moves it
    back.

    Args:
        path: the final path of the folder.

    Yields:
        The temporary path, at which to make the folder.

    Raises:
        OSError: if the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}{_TEMPORARY}")
    old = path.with_name(f".{path.name}.old")
    if old.exists() and not path.exists():
        old.replace(path)
    # Killed later: the new one is in place.
    elif old.exists():
        shutil.rmtree(old)
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


def check_output(path: pathlib.Path, overwrite: bool) -> pathlib.Path | None:
    """Refuse a path that cannot be written before any work.

    Args:
        path: the file or folder to write, the argument `output`.
        overwrite: whether it may exist.

    Returns:
        The path without links, if there is something to overwrite; else None.

    Raises:
        InputError: if the path cannot be, is below a file, or exists although
            it must not.
        PermissionError: if its folder cannot be written to.
    """
    try:
        # Packages that write models take no other paths.
        str(path).encode()
        target = path.resolve()
        exists = target.exists()
        above = next(x for x in (target, *target.parents) if x.exists())
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(
            f"`output` must be a path in UTF-8. Received: output={path} "
            f"({error})"
        ) from None
    if not exists:
        if not above.is_dir():
            raise InputError(
                f"`output` must not be below a file. Received: output={path}"
            )
        check_writable(above, "output")
        return None
    check_writable(target.parent, "output")
    if not overwrite:
        raise InputError(
            "`output` must not exist unless `overwrite` is set. Received: "
            f"output={path}"
        )
    return target


def check_writable(folder: pathlib.Path, argument: str) -> None:
    """Refuse a folder in which no file can be made.

    Args:
        folder: the folder.
        argument: name of the argument that gives it.

    Raises:
        PermissionError: if it cannot be written to.
    """
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(f"`{argument}` cannot be written to: {folder}")


def write_text(path: pathlib.Path, text: str) -> None:
    """Write a text file in UTF-8, atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_bytes(path: pathlib.Path, *parts: bytes) -> None:
    """Write a file that consists of these parts, atomically."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.writelines(parts)


@contextlib.contextmanager
def open_regular(path: pathlib.Path) -> Iterator[io.BufferedReader]:
    """Open a regular file to read bytes.

    A pipe would wait for a writer, and a device may have no end.

    Args:
        path: the file.

    Yields:
        The open file.

    Raises:
        OSError: if the file cannot be opened, or is not a regular file.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    # A path with a NUL character.
    except ValueError as error:
        raise OSError(errno.EINVAL, str(error), str(path)) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "Not a regular file", str(path))
    with open(descriptor, "rb") as file:
        yield file


def joined_sha256(digests: Sequence[str]) -> str:
    """Return the SHA-256 for the data of several files.

    Args:
        digests: the SHA-256 of each file, empty for one that is not there.

    Returns:
        The first digest if it is the only one, otherwise that of all.
    """
    if not any(digests[1:]):
        return digests[0]
    return hashlib.sha256(" ".join(digests).encode()).hexdigest()


def sha256_of(path: pathlib.Path) -> str:
    """Return the SHA-256 of a regular file, in hexadecimal.

    Args:
        path: the file.

    Raises:
        OSError: if the file cannot be read, or is not a regular file.
    """
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_small_text(path: pathlib.Path, max_bytes: int) -> str:
    """Read a regular file of UTF-8 text.

    Args:
        path: the file.
        max_bytes: the largest size, in bytes.

    Returns:
        The text.

    Raises:
        OSError: if the file cannot be read, is not a regular file, or is
            larger.
        UnicodeDecodeError: if it is not UTF-8.
    """
    with open_regular(path) as file:
        return decode_small(file, path, max_bytes)


def decode_small(file: IO[bytes], path: pathlib.Path, max_bytes: int) -> str:
    """Read an open file of UTF-8 text, which may be a pipe.

    Args:
        file: the file.
        path: its path, for error messages.
        max_bytes: as for `read_small_text`.

    Returns:
        The text.

    Raises:
        OSError: if the file cannot be read or is larger.
        UnicodeDecodeError: if it is not UTF-8.
    """
    data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        message = f"Larger than {max_bytes:,} bytes"
        raise OSError(errno.EFBIG, message, str(path))
    return data.decode("utf-8")


def remove_temporary(folder: pathlib.Path) -> None:
    """Remove the temporary files that a killed process left in a folder."""
    for path in folder.glob(f".*{_TEMPORARY}*"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(folder: pathlib.Path) -> Iterator[None]:
    """Lock a folder for this process; create it if it is missing.

    The operating system releases the lock when the process ends, even by a
    crash. If the folder was created here and is still empty at the end, it is
    removed.

    Args:
        folder: the folder to lock.

    Yields:
        None, while the folder is locked.

    Raises:
        InputError: if another process has locked the folder.
        OSError: if the folder cannot be created or written to.
    """
    above = (folder, *folder.parents)
    made = [path for path in above if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / _LOCK
    # A folder may come from anyone: what a link leads to is not touched.
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
    descriptor = os.open(path, flags, 0o666)
    with open(descriptor, "a+", errors="replace") as file:
        if not _lock(file.fileno()):
            file.seek(0)
            raise InputError(
                "`run_dir` must not be in use. Received: "
                f"run_dir={folder}, in use by process {file.read().strip()}"
            )
        # The previous owner may have removed the file in the meantime.
        if not _is_at(path, file.fileno()):
            raise InputError(
                "`run_dir` must not be in use. Received: "
                f"run_dir={folder}, which another process has just released"
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


def is_locked(folder: pathlib.Path) -> bool:
    """Return whether a process has locked a folder.

    Nothing is written, and a process that locks or asks at the same moment
    waits for this function.

    Args:
        folder: the folder.

    Returns:
        True if it is locked; false also if that cannot be found out.
    """
    path = os.path.join(folder, _LOCK)
    flags = os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        try:
            # NFS locks only files that are open for writing.
            descriptor = os.open(path, os.O_RDWR | flags)
        except OSError:
            descriptor = os.open(path, os.O_RDONLY | flags)
    except OSError:
        return False
    try:
        return not _lock(descriptor, _WAITS_TO_LOOK)
    # A file system without locks.
    except OSError:
        return False
    finally:
        os.close(descriptor)


def _lock(descriptor: int, waits: Sequence[float] = _WAITS) -> bool:
    """Lock an open file, with the lock that `filelock.FileLock` would use.

    Args:
        descriptor: the file.
        waits: seconds before each further attempt.

    Returns:
        True if it is locked; false if another process keeps it locked.

    Raises:
        OSError: if the file system has no locks.
    """
    # Only commands that use run folders need it.
    import filelock

    for seconds in (0.0, *waits):
        time.sleep(seconds)
        if filelock.lock_descriptor(descriptor, blocking=False):
            return True
    return False


def _is_at(path: pathlib.Path, descriptor: int) -> bool:
    """Return whether a descriptor and a path refer to the same file."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _flush(path: pathlib.Path) -> None:
    """Wait until a file, or a folder's list of files, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
