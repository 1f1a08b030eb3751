"""Trackio's own package, and what it has written to its SQLite file."""

import importlib
import importlib.util
import pathlib
import sys

import pytest
from stopping import Stop, StopError
from tracked_runs import losses, small

from keras_lstm.training.train import train

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("trackio") is None, reason="needs trackio"
    ),
    # Trackio's own.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(autouse=True)
def storage(tmp_path, monkeypatch):
    """Return Trackio's storage, in a folder of the test."""
    for name in ("TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    # It reads the variable when it is imported.
    for name in [x for x in sys.modules if x.partition(".")[0] == "trackio"]:
        monkeypatch.delitem(sys.modules, name)
    return importlib.import_module("trackio.sqlite_storage").SQLiteStorage


def test_a_run_stopped_and_resumed_is_one_run(storage, tmp_path, capfd):
    folder = tmp_path / "adder"
    with pytest.raises(StopError):
        train(small(track="trackio"), folder, callbacks=[Stop(after_epoch=2)])
    out, err = capfd.readouterr()
    assert out == ""
    (name,) = storage.get_runs("keras-lstm")
    assert name.startswith("adder-")
    assert (
        f"trackio: tracked in this machine, see `trackio show`: {name}" in err
    )
    logs = storage.get_logs("keras-lstm", name)
    assert [(row["step"], row["loss"]) for row in logs] == losses(folder)

    result = train(small(track="trackio"), folder, resume=True)
    assert storage.get_runs("keras-lstm") == [name]
    logs = storage.get_logs("keras-lstm", name)
    rows = [(row["step"], row["loss"]) for row in logs if "loss" in row]
    assert rows == losses(folder)
    assert len(rows) == 4
    (found,) = [row for row in logs if "result_num_wrong" in row]
    assert found["result_num_wrong"] == result.report.num_wrong
    config = storage.get_run_config("keras-lstm", name)
    assert (config["units"], config["_Username"]) == (4, None)
    stored = [
        path.read_bytes()
        for path in pathlib.Path(tmp_path, "trackio").rglob("*")
        if path.is_file()
    ]
    for name in ("model.keras", "report.json"):
        assert (folder / name).read_bytes() in stored
    pages = [text for text in stored if text.startswith(b"<!DOCTYPE html>")]
    assert len(pages) == 1
    assert str(tmp_path).encode() not in pages[0]
