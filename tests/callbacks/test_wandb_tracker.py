"""W&B's own package, offline, and what it has written to its folder."""

import json
import logging
import pathlib
import struct

import pytest
from stopping import Stop, StopError
from tracked_runs import losses, small

from keras_lstm.callbacks.wandb_tracker import WandbTracker
from keras_lstm.training.train import train

wandb = pytest.importorskip("wandb")
pytestmark = [
    pytest.mark.slow,
    # W&B's own.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
# The format of W&B's files is that of LevelDB's logs, in blocks of this size.
BLOCK = 32768


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """Return the folder of W&B's files."""
    monkeypatch.chdir(tmp_path)
    for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("WANDB_MODE", "offline")
    yield tmp_path / "wandb"
    wandb.teardown()
    logging.getLogger("wandb").handlers.clear()


def read_records(folder):
    """Return the records in the files of one offline run."""
    from wandb.proto.wandb_internal_pb2 import Record

    # As at the end of a program: W&B's own process writes the rest.
    wandb.teardown()
    (path,) = folder.glob("*.wandb")
    data, records = path.read_bytes(), []
    at, record = 7, b""
    while at + 7 <= len(data):
        left = BLOCK - at % BLOCK
        if left < 7:
            at += left
            continue
        _, size, kind = struct.unpack_from("<IHB", data, at)
        record += data[at + 7 : at + 7 + size]
        at += 7 + size
        # A whole record, or the last part of one.
        if kind in (1, 4):
            records.append(Record.FromString(record))
            record = b""
    return records


def items(update):
    return {
        "/".join(item.nested_key) or item.key: json.loads(item.value_json)
        for item in update
    }


def kinds(records, kind):
    return [
        getattr(each, kind)
        for each in records
        if each.WhichOneof("record_type") == kind
    ]


def sent_losses(records):
    rows = [items(each.item) for each in kinds(records, "history")]
    return [(row["_step"], row["loss"]) for row in rows]


def test_a_run_stopped_and_resumed_offline_is_one_run(offline, tmp_path, capfd):
    folder = tmp_path / "adder"
    with pytest.raises(StopError):
        train(small(track="wandb"), folder, callbacks=[Stop(after_epoch=2)])
    (first,) = offline.glob("offline-run-*")
    out, err = capfd.readouterr()
    assert out == ""
    assert f"wandb: tracked in {first}, for `wandb sync`\n" in err
    records = read_records(first)
    assert sent_losses(records) == losses(folder)
    assert kinds(records, "exit")[0].exit_code == 1

    result = train(small(track="wandb"), folder, resume=True)
    (second,) = set(offline.glob("offline-run-*")) - {first}
    records = read_records(second)
    # The newest folder of a run has all of it, each epoch once.
    assert sent_losses(records) == losses(folder)
    assert len(losses(folder)) == 4
    run = kinds(records, "run")[0]
    assert run.run_id == second.name.rpartition("-")[2]
    assert first.name.endswith(f"-{run.run_id}")
    assert (run.project, run.display_name) == ("keras-lstm", "adder")
    options = items(run.config.update)
    assert (options["units"], options["track"]) == (4, "wandb")
    assert kinds(records, "exit")[0].exit_code == 0
    summary = {}
    for each in kinds(records, "summary"):
        summary |= items(each.update)
    assert summary["result_num_wrong"] == result.report.num_wrong
    assert summary["result_checked"] == "all inputs"
    (artifact,) = kinds(records, "artifact")
    files = {each.path: each for each in artifact.manifest.contents}
    assert sorted(files) == [
        *("config.yaml", "model.keras", "report.html", "report.json")
    ]
    staged = pathlib.Path(files["model.keras"].local_path)
    assert staged.read_bytes() == (folder / "model.keras").read_bytes()
    text = pathlib.Path(files["report.html"].local_path).read_text("utf-8")
    assert str(tmp_path) not in text


def test_nothing_of_the_machine_is_written(offline):
    # Without a login, it is written to the folder as well.
    with WandbTracker("adders", "first", {"units": 4}, verbose=0) as tracker:
        tracker.on_epoch_end(0, {"loss": 0.5})
        tracker.add_result({"num_wrong": 0}, [])
    (folder,) = offline.glob("offline-run-*")
    records = read_records(folder)
    assert sent_losses(records) == [(1, 0.5)]
    run = kinds(records, "run")[0]
    assert (run.host, run.git.remote_url, run.git.commit) == ("", "", "")
    assert list((folder / "files").iterdir()) == []
    assert kinds(records, "stats") == kinds(records, "output_raw") == []


def test_without_a_login_nothing_is_asked(offline, monkeypatch):
    monkeypatch.delenv("WANDB_MODE")
    for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(offline / "no-such-file"))
    tracker = WandbTracker(verbose=0)
    tracker.on_epoch_end(0, {"loss": 0.5})
    tracker.on_train_end()
    (folder,) = offline.glob("offline-run-*")
    assert sent_losses(read_records(folder)) == [(1, 0.5)]
