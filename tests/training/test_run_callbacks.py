import json

import pytest

from keras_lstm import ImageRows, Increment, get_preset
from keras_lstm.runs.folder import RunFolder
from keras_lstm.training import run_callbacks


@pytest.fixture
def made(monkeypatch):
    """Make trackers that are their arguments."""
    monkeypatch.setitem(run_callbacks._TRACKERS, "mlflow", dict)


def test_only_the_chief_tracks(made, monkeypatch, tmp_path):
    config = get_preset("increment").replace(Increment, track="mlflow")
    addresses = ["localhost:1", "localhost:2"]
    for index in (0, 1):
        cluster = {
            "cluster": {"worker": addresses},
            "task": {"type": "worker", "index": index},
        }
        monkeypatch.setenv("TF_CONFIG", json.dumps(cluster))
        found = run_callbacks._make_tracker(config, RunFolder(tmp_path), True)
        assert (found is None) == (index == 1)


def test_options_are_tracked_without_folders_of_the_machine(made, tmp_path):
    config = get_preset("digits").replace(
        ImageRows, track="mlflow", data_dir=str(tmp_path / "private" / "mnist")
    )
    found = run_callbacks._make_tracker(
        config, RunFolder(tmp_path / "mine"), False
    )
    assert (found["name"], found["verbose"]) == ("mine", 1)
    options = found["options"]
    assert options["data_dir"] == "mnist"
    assert (options["task"], options["track"]) == ("image-rows", "mlflow")
    assert not [x for x in options.values() if str(tmp_path) in str(x)]


def test_without_the_option_nothing_is_tracked(tmp_path):
    config = get_preset("increment")
    found = run_callbacks._make_tracker(config, RunFolder(tmp_path), True)
    assert found is None
