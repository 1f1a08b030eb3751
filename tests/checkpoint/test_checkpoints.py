import hashlib
import json
import tracemalloc

import numpy as np
import pytest
import safetensors.numpy

from keras_lstm.checkpoint import checkpoints
from keras_lstm.checkpoint.checkpoints import (
    Checkpoint,
    CheckpointError,
    CheckpointFolder,
    newest_options,
    read_checkpoint,
)
from keras_lstm.core.errors import InputError


def make(step):
    return Checkpoint(
        step,
        {
            "epoch": step // 10,
            "best": float("inf"),
            "text": "é\n",
            "nothing": None,
            "flag": np.bool_(True),
            "values": [
                np.arange(step, dtype=np.int64),
                {"scalar": np.array(1.5, np.float32)},
                np.asfortranarray(np.arange(6).reshape(2, 3)),
            ],
        },
    )


@pytest.fixture
def folder(tmp_path):
    folder = CheckpointFolder(tmp_path / "checkpoints")
    for step in (5, 10, 15):
        folder.write(make(step), make(3) if step == 5 else None)
    return folder


def names(folder):
    return sorted(path.name for path in folder.folder.iterdir())


def test_what_is_written_is_read(tmp_path, folder):
    found = folder.newest()
    assert found.step == 15
    assert found.state["best"] == float("inf")
    assert found.state["text"] == "é\n"
    assert found.state["nothing"] is None
    assert found.state["flag"] is True
    first, second, third = found.state["values"]
    np.testing.assert_array_equal(first, np.arange(15))
    assert first.dtype == np.int64
    assert second["scalar"].shape == ()
    assert second["scalar"].dtype == np.float32
    np.testing.assert_array_equal(third, [[0, 1, 2], [3, 4, 5]])


def test_the_last_two_and_the_best_are_kept(folder):
    assert names(folder) == [
        *("best.ckpt", "step-000000010.ckpt", "step-000000015.ckpt"),
    ]
    assert read_checkpoint(folder.folder / "best.ckpt").step == 3
    assert folder.last.name == "step-000000015.ckpt"


def test_an_empty_folder_holds_none(tmp_path):
    folder = CheckpointFolder(tmp_path / "none")
    assert folder.newest() is None
    assert folder.last is None
    assert not (tmp_path / "none").exists()


def damages(content):
    """Yield the file emptied, truncated, with a flipped bit, and extended."""
    yield b""
    rng = np.random.default_rng(0)
    for position in (0, 31, 32, 33, 40, *rng.integers(len(content), size=40)):
        yield content[:position]
        flipped = bytearray(content)
        flipped[position] ^= 1 << rng.integers(8)
        yield bytes(flipped)
    yield content + b"\0"


def test_a_damaged_one_is_reported_and_the_one_before_it_used(folder, capsys):
    newest = folder.last
    content = newest.read_bytes()
    for damaged in damages(content):
        newest.write_bytes(damaged)
        again = CheckpointFolder(folder.folder)
        assert again.newest().step == 10
        assert again.last.name == "step-000000010.ckpt"
        assert capsys.readouterr().err == (
            f"{newest} is damaged; falling back to step-000000010.ckpt\n"
        )
    newest.write_bytes(content)
    assert CheckpointFolder(folder.folder).newest().step == 15


def test_when_both_are_damaged_the_best_is_used(folder, capsys):
    for path in folder.folder.glob("step-*"):
        path.write_bytes(path.read_bytes()[:-1])
    assert CheckpointFolder(folder.folder).newest().step == 3
    assert capsys.readouterr().err.count("falling back to best.ckpt") == 2


def test_a_damaged_one_stays_until_the_next_is_whole(folder):
    folder.last.write_bytes(b"")
    again = CheckpointFolder(folder.folder)
    again.newest()
    again.write(make(12), None)
    assert names(folder) == [
        *("best.ckpt", "step-000000010.ckpt", "step-000000012.ckpt"),
    ]


def test_none_that_is_usable_is_one_line(folder):
    for path in folder.folder.iterdir():
        path.write_bytes(b"")
    with pytest.raises(InputError, match="must contain an intact") as info:
        CheckpointFolder(folder.folder).newest()
    assert str(info.value).count("is damaged") == 3
    assert "\n" not in str(info.value)


def test_a_damaged_one_takes_no_memory(tmp_path):
    path = tmp_path / "step-000000001.ckpt"
    with path.open("wb") as file:
        file.truncate(2**26)
    tracemalloc.start()
    with pytest.raises(CheckpointError, match="is damaged"):
        read_checkpoint(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**21


def test_a_newer_version_is_refused(folder, monkeypatch):
    monkeypatch.setattr(checkpoints, "__version__", "99.1.0")
    folder.write(make(20), None)
    with pytest.raises(InputError, match=r"written by keras-lstm 99\.1\.0"):
        folder.newest()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 8,
        (2**62).to_bytes(8, "little") + b"{}",
        safetensors.numpy.save({"a": np.zeros(3)}),
        safetensors.numpy.save({}, {"checkpoint": "[" * 100_000}),
        safetensors.numpy.save({}, {"checkpoint": "[]"}),
        *(
            safetensors.numpy.save({}, {"checkpoint": text})
            for text in (
                '{"keras_lstm": "0", "step": 1, "state": {"$array": "a"}}',
                '{"keras_lstm": "0", "step": 1, "state": []}',
                '{"keras_lstm": "0", "step": -1, "state": {}}',
                '{"keras_lstm": "0", "step": 1e999, "state": {}}',
                '{"keras_lstm": "0", "step": ' + "9" * 5000 + ', "state": {}}',
                '{"keras_lstm": "0", "state": {}}',
            )
        ),
    ],
)
def test_what_only_looks_whole_is_refused(tmp_path, content):
    path = tmp_path / "step-000000001.ckpt"
    path.write_bytes(hashlib.sha256(content).digest() + content)
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_checkpoint(path)


@pytest.mark.parametrize("version", ["9" * 5000, 3, None, ["0.1.0"]])
def test_what_is_no_version_is_refused(tmp_path, version):
    text = json.dumps({"keras_lstm": version, "step": 1, "state": {}})
    content = safetensors.numpy.save({}, {"checkpoint": text})
    path = tmp_path / "step-000000001.ckpt"
    path.write_bytes(hashlib.sha256(content).digest() + content)
    with pytest.raises(InputError, match="must state its version"):
        read_checkpoint(path)


def test_a_folder_in_place_of_a_file_is_skipped(folder, capsys):
    held = folder.folder / "step-000000020.ckpt"
    held.mkdir()
    again = CheckpointFolder(folder.folder)
    assert again.newest().step == 15
    assert f"{held} cannot be read: " in capsys.readouterr().err
    again.write(make(25), None)
    assert held.is_dir()
    with pytest.raises(OSError, match="directory"):
        again.write(make(20), None)


def test_the_newest_intact_one_states_the_options(folder):
    assert newest_options(folder.folder) == {}
    folder.write(Checkpoint(20, {"options": {"seed": 3}}), None)
    assert newest_options(folder.folder) == {"seed": 3}
    folder.write(Checkpoint(25, {"options": {"seed": 4}}), None)
    folder.last.write_bytes(b"")
    assert newest_options(folder.folder) == {"seed": 3}
    assert newest_options(folder.folder / "none") == {}


def test_a_write_that_fails_leaves_what_was_there(folder, monkeypatch):
    def fail(path, *parts):
        raise OSError(28, "No space left on device", str(path))

    before = {
        name: (folder.folder / name).read_bytes() for name in names(folder)
    }
    monkeypatch.setattr(checkpoints, "write_bytes", fail)
    with pytest.raises(OSError, match="No space left"):
        folder.write(make(20), make(20))
    assert before == {
        name: (folder.folder / name).read_bytes() for name in names(folder)
    }
