import gzip
import pathlib
import tempfile
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_lstm.tasks.idx import IdxError, read_idx

VALUES = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)


def test_a_plain_file_is_read(tmp_path, write_idx):
    path = write_idx(tmp_path / "a", VALUES)
    np.testing.assert_array_equal(read_idx(path, 3), VALUES)


def test_a_compressed_file_is_read(tmp_path, write_idx):
    path = write_idx(tmp_path / "a", VALUES)
    packed = tmp_path / "a.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    np.testing.assert_array_equal(read_idx(packed, 3), VALUES)


def test_genuine_files_are_read(mnist_dir):
    folder = mnist_dir / "mnist"
    images = read_idx(folder / "t10k-images-idx3-ubyte.gz", 3)
    labels = read_idx(folder / "t10k-labels-idx1-ubyte.gz", 1)
    assert images.shape == (10_000, 28, 28)
    assert labels[:5].tolist() == [7, 2, 1, 0, 4]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "Received: an empty file"),
        (bytes([0, 0, 8, 1]), "ends within its header"),
        (bytes([0, 0, 9, 1, 0, 0, 0, 0]), "magic number 00000801.*00000901"),
        (bytes([0, 0, 8, 3]) + bytes(12), "magic number 00000801"),
        (
            bytes([0, 0, 8, 1, 0, 0, 0, 3, 1, 2]),
            "the 3 values that.*Received: 2",
        ),
        (
            bytes([0, 0, 8, 1, 0, 0, 0, 1, 1, 2]),
            "the 1 values that.*Received: more",
        ),
        (bytes([0, 0, 8, 1, 255, 255, 255, 255, 1]), "more than fit the file"),
        (b"\x1f\x8b" + bytes(20), "cannot be read"),
        (bytes([0, 0, 8, 1, 0, 0, 0, 0]), "a header that declares 0 values"),
    ],
)
def test_a_bad_file_is_refused(tmp_path, content, message):
    path = tmp_path / "bad"
    path.write_bytes(content)
    with pytest.raises(IdxError, match=message):
        read_idx(path, 1)


def test_sizes_that_no_array_can_have_are_refused(tmp_path):
    path = tmp_path / "bad"
    sizes = bytes(4) + b"\xff" * 8
    path.write_bytes(bytes([0, 0, 8, 3]) + sizes)
    with pytest.raises(IdxError, match="declares 0 x 4294967295"):
        read_idx(path, 3)


def test_a_truncated_compressed_file_is_refused(tmp_path, write_idx):
    content = gzip.compress(write_idx(tmp_path / "a", VALUES).read_bytes())
    path = tmp_path / "a.gz"
    path.write_bytes(content[:-9])
    with pytest.raises(IdxError, match="cannot be read"):
        read_idx(path, 3)


@pytest.mark.parametrize("compressed", [False, True])
def test_no_memory_is_taken_for_what_a_header_promises(tmp_path, compressed):
    # 4 GB; for gzip, a size that a file of this length could hold.
    size = 2**32 - 1 if not compressed else 2**29
    content = bytes([0, 0, 8, 1]) + size.to_bytes(4, "big")
    if compressed:
        content = gzip.compress(content) + bytes(2**20)
    path = tmp_path / "bad"
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(IdxError, match="header declares"):
            read_idx(path, 1)
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    finally:
        tracemalloc.stop()


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(IdxError, match="No such file"):
        read_idx(tmp_path / "none", 1)


@settings(deadline=None, max_examples=300)
@given(
    num_dimensions=st.sampled_from([1, 3]),
    sizes=st.lists(
        st.sampled_from([0, 1, 2, 3, 255, 2**31, 2**32 - 1]), max_size=3
    ),
    body=st.binary(max_size=64),
    compressed=st.booleans(),
    cut=st.integers(0, 8),
)
def test_any_bytes_are_read_or_refused(
    num_dimensions, sizes, body, compressed, cut
):
    content = bytes([0, 0, 8, num_dimensions])
    content += b"".join(size.to_bytes(4, "big") for size in sizes) + body
    whole = content
    if compressed:
        content = gzip.compress(content)
    content = content[: len(content) - cut]
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "file")
        path.write_bytes(content)
        try:
            values = read_idx(path, num_dimensions)
        except IdxError:
            return
    assert values.ndim == num_dimensions
    start = 4 + 4 * num_dimensions
    assert values.tobytes() == whole[start : start + values.size]
