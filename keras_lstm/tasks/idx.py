"""Reader of the IDX file format, in which MNIST and similar data come.

The format (http://yann.lecun.com/exdb/mnist/): two zero bytes, one byte for
the type of the values, one for the number of dimensions, a big-endian 32-bit
size for each dimension, then the values. Only unsigned bytes (type 8) are
supported, the type that these datasets use.
"""

import gzip
import io
import math
import os
import pathlib
import zlib
from typing import IO

import numpy as np
import numpy.typing as npt

from keras_lstm.core.errors import InputError
from keras_lstm.core.files import open_regular

_UNSIGNED_BYTE = 8
# The largest compression ratio of deflate, https://zlib.net/zlib_tech.html.
_MAX_COMPRESSION = 1032
_CHUNK_BYTES = 2**20


class IdxError(InputError):
    """An unreadable or malformed IDX file."""


def read_idx(path: pathlib.Path, num_dimensions: int) -> npt.NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes, gzip-compressed or not.

    Memory is allocated for the values that the file contains, whatever its
    header promises.

    Args:
        path: the file.
        num_dimensions: the number of dimensions that the file must have.

    Returns:
        The values, in the shape that the header gives.

    Raises:
        IdxError: if the file cannot be read, is not an IDX file of unsigned
            bytes with `num_dimensions` dimensions, or is longer or shorter
            than its header states.
    """
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            compressed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            if not compressed:
                return _read(file, path, num_dimensions, size)
            with gzip.GzipFile(fileobj=file) as unpacked:
                limit = size * _MAX_COMPRESSION
                return _read(unpacked, path, num_dimensions, limit)
    except (OSError, EOFError, zlib.error) as error:
        raise IdxError(f"`{path}` cannot be read: {error}") from None


def _read(
    file: IO[bytes] | gzip.GzipFile,
    path: pathlib.Path,
    num_dimensions: int,
    limit: int,
) -> npt.NDArray[np.uint8]:
    magic = bytes([0, 0, _UNSIGNED_BYTE, num_dimensions])
    header = file.read(4 + 4 * num_dimensions)
    if header[:4] != magic:
        raise IdxError(
            f"`{path}` must start with the magic number {magic.hex()} (IDX, "
            f"unsigned bytes, {num_dimensions} dimensions). Received: "
            f"{header[:4].hex() or 'an empty file'}"
        )
    if len(header) < 4 + 4 * num_dimensions:
        raise IdxError(f"`{path}` ends within its header")
    shape = [int(size) for size in np.frombuffer(header, ">u4", offset=4)]
    expected = math.prod(shape)
    declared = f"{' x '.join(map(str, shape))} values"
    if not expected:
        raise IdxError(
            f"`{path}` must hold values. Received: a header that declares "
            f"{declared}"
        )
    if expected > limit:
        raise IdxError(
            f"`{path}` must hold the values that its header declares. "
            f"Received: {declared}, more than fit the file"
        )
    values = io.BytesIO()
    while chunk := file.read(min(_CHUNK_BYTES, expected + 1 - values.tell())):
        values.write(chunk)
    if values.tell() != expected:
        held = "more" if values.tell() > expected else f"{values.tell()}"
        raise IdxError(
            f"`{path}` must hold the {declared} that its header declares. "
            f"Received: {held}"
        )
    return np.frombuffer(values.getbuffer(), np.uint8).reshape(shape)
