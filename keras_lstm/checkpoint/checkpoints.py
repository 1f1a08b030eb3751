"""Checkpoints: files that each hold a training's whole state at one step.

A file begins with the SHA-256 digest of the rest, 32 bytes. The rest is the
arrays in the safetensors format (https://huggingface.co/docs/safetensors: the
length of a JSON header as 8 bytes, little-endian, the header, the arrays). The
other state is JSON in the header's metadata; `ExactResume` says what it holds.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
import re
from typing import Any

import ml_dtypes
import numpy as np
import safetensors
import safetensors.numpy

from keras_lstm.core.console import print_status
from keras_lstm.core.errors import InputError
from keras_lstm.core.files import open_regular, write_bytes
from keras_lstm.core.version import __version__, check_version

_DIGEST = 32
_ARRAY, _BFLOAT16 = "$array", "$bfloat16"
_STEPS = "step-*.ckpt"
_STEP = re.compile(r"step-([0-9]{9,16})\.ckpt")
_BEST = "best.ckpt"
_MAX_STEPS = 2**53


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """State of a training after one step.

    Args:
        step: number of optimizer steps done.
        state: mappings with string keys, lists, numbers, strings, booleans,
            None and NumPy arrays, nested.
    """

    step: int
    state: dict[str, Any]

    def to_bytes(self) -> bytes:
        """Return the content of the file, without the digest."""
        arrays: dict[str, np.ndarray] = {}
        state = _pack(self.state, arrays, "")
        text = json.dumps(
            {"keras_lstm": __version__, "step": self.step, "state": state}
        )
        return safetensors.numpy.save(arrays, {"checkpoint": text})


class CheckpointError(Exception):
    """Raised if a file is not an intact checkpoint."""


def read_checkpoint(path: pathlib.Path) -> Checkpoint:
    """Read a checkpoint from a file.

    Args:
        path: the file.

    Returns:
        The checkpoint.

    Raises:
        CheckpointError: if the file is damaged or cannot be read.
        InputError: if a newer version of this package wrote the file.
    """
    try:
        with open_regular(path) as file:
            digest = file.read(_DIGEST)
            # A damaged file of any size takes no memory.
            if hashlib.file_digest(file, "sha256").digest() != digest:
                raise CheckpointError(f"{path} is damaged")
            file.seek(_DIGEST)
            content = file.read()
        # The digest vouches for the rest of the file: no further checks.
        size = int.from_bytes(content[:8], "little")
        header = json.loads(content[8:][:size])
        saved = json.loads(header["__metadata__"]["checkpoint"])
        check_version(saved["keras_lstm"], "checkpoint", path)
        arrays = safetensors.numpy.load(content)
        step, state = saved["step"], _unpack(saved["state"], arrays)
    except InputError:
        raise
    except (
        *(OSError, ValueError, KeyError, TypeError, RecursionError),
        *(AttributeError, MemoryError, OverflowError),
        safetensors.SafetensorError,
    ) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from None
    if not (type(step) is int and 0 <= step < _MAX_STEPS):
        raise CheckpointError(f"{path} cannot be read: its step is no number")
    if not isinstance(state, dict):
        raise CheckpointError(f"{path} cannot be read: its state is no mapping")
    return Checkpoint(step, state)


def newest_options(folder: pathlib.Path) -> dict[str, Any]:
    """Read the options that the newest intact checkpoint states.

    Args:
        folder: the folder of the checkpoints.

    Returns:
        The `options` that `ExactResume` was given; empty if there are none,
        as in checkpoints of version 0.1.

    Raises:
        InputError: if a newer version of this package wrote the checkpoint.
    """
    for path in _newest_first(folder):
        try:
            options = read_checkpoint(path).state.get("options")
        except CheckpointError:
            continue
        return options if isinstance(options, dict) else {}
    return {}


def newest_step(folder: pathlib.Path) -> int | None:
    """Return the step of the newest checkpoint, by the names of the files.

    Args:
        folder: the folder of the checkpoints; it need not exist.

    Returns:
        The step; None if no file has the name of one.

    Raises:
        OSError: if the folder cannot be read.
    """
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return None
    steps = [int(found[1]) for found in map(_STEP.fullmatch, names) if found]
    return max(steps, default=None)


class CheckpointFolder:
    """Checkpoints of one training: the last two, and the best.

    Args:
        folder: the folder of the files; created by the first `write`.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self._kept: list[pathlib.Path] = []

    @property
    def last(self) -> pathlib.Path | None:
        """Path of the last checkpoint written or read; None before that."""
        return self._kept[-1] if self._kept else None

    def write(self, checkpoint: Checkpoint, best: Checkpoint | None) -> None:
        """Write a checkpoint, and delete all but the last two.

        Args:
            checkpoint: the checkpoint to add.
            best: the best checkpoint so far; None if it has not changed since
                the last call.

        Raises:
            OSError: if a file cannot be written. Existing checkpoints stay
                intact.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        # In this order, the last checkpoint never records a best epoch whose
        # file is missing.
        if best is not None:
            _write(self.folder / _BEST, best)
        path = self.folder / f"step-{checkpoint.step:09}.ckpt"
        _write(path, checkpoint)
        self._kept = [*(p for p in self._kept if p != path), path][-2:]
        for old in self.folder.glob(_STEPS):
            if old not in self._kept and not old.is_dir():
                old.unlink(missing_ok=True)

    def newest(self) -> Checkpoint | None:
        """Read the newest intact checkpoint.

        Damaged files are reported on standard error and skipped. The best
        checkpoint is tried last.

        Returns:
            The checkpoint; None if the folder has no checkpoints.

        Raises:
            InputError: if all checkpoints are damaged, or a newer version of
                this package wrote one.
        """
        problems = []
        for path in _newest_first(self.folder):
            try:
                found = read_checkpoint(path)
            except CheckpointError as error:
                problems.append(str(error))
                continue
            for problem in problems:
                print_status(f"{problem}; falling back to {path.name}")
            self._kept = [path]
            return found
        if problems:
            raise InputError(
                "`folder` must contain an intact checkpoint. Received: "
                f"{'; '.join(problems)}"
            )
        return None


def _newest_first(folder: pathlib.Path) -> list[pathlib.Path]:
    """Return the checkpoints in a folder in the order in which to try them."""
    return [
        *sorted(folder.glob(_STEPS), reverse=True),
        *folder.glob(_BEST),
    ]


def _write(path: pathlib.Path, checkpoint: Checkpoint) -> None:
    content = checkpoint.to_bytes()
    write_bytes(path, hashlib.sha256(content).digest(), content)


def _pack(value: Any, arrays: dict[str, np.ndarray], key: str) -> Any:
    """Convert a value for JSON, and move its arrays to `arrays`."""
    if isinstance(value, np.ndarray):
        value = np.asarray(value, order="C")
        if value.dtype == ml_dtypes.bfloat16:
            # safetensors cannot load this type into NumPy.
            arrays[key] = value.view(np.uint16)
            return {_BFLOAT16: key}
        arrays[key] = value
        return {_ARRAY: key}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {k: _pack(v, arrays, f"{key}/{k}") for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_pack(v, arrays, f"{key}/{i}") for i, v in enumerate(value)]
    return value


def _unpack(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    if isinstance(value, dict):
        if value.keys() == {_ARRAY}:
            return arrays[value[_ARRAY]]
        if value.keys() == {_BFLOAT16}:
            return arrays[value[_BFLOAT16]].view(ml_dtypes.bfloat16)
        return {name: _unpack(each, arrays) for name, each in value.items()}
    if isinstance(value, list):
        return [_unpack(each, arrays) for each in value]
    return value
