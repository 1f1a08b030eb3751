import json

import pytest
from finished import make_run

from keras_lstm import ImageRows, Increment, get_preset
from keras_lstm.callbacks.tracker import Tracker
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


class Recorder(Tracker):
    """Keeps what it is given."""

    package = "numpy"

    def __init__(self):
        super().__init__(verbose=0)
        self.files = {}

    def _open(self):
        return 0

    def _place(self):
        return "here"

    def _log(self, rows):
        pass

    def _add(self, values, files):
        self.values = values
        self.files = {path.name: path.read_bytes() for path in files}

    def _close(self, state):
        pass


def test_files_are_sent_without_paths_and_the_page_if_there_is_one(tmp_path):
    private = tmp_path / "private" / "mnist"
    config = get_preset("digits").replace(ImageRows, data_dir=str(private))
    run = make_run(tmp_path / "mine", config)
    run.folder.model.write_bytes(b"weights")
    page = f"{run.run_dir} {private} {private}/x"
    for has_page in (False, True):
        if has_page:
            run.folder.page.write_text(page)
        tracker = Recorder()
        with tracker:
            run_callbacks.track_result(tracker, config, run.folder, run.report)
        names = {"model.keras", "report.json", "config.yaml"}
        assert set(tracker.files) == names | (
            {"report.html"} if has_page else set()
        )
        assert tracker.values["num_wrong"] == run.report.num_wrong
        sent = b"".join(tracker.files.values())
        assert str(tmp_path).encode() not in sent
        assert b"data_dir: mnist" in tracker.files["config.yaml"]
    assert tracker.files["report.html"] == b"mine mnist mnist/x"


def test_a_file_that_is_gone_costs_a_line(tmp_path, capsys):
    config = get_preset("increment")
    run = make_run(tmp_path / "run", config)
    tracker = Recorder()
    with tracker:
        run_callbacks.track_result(tracker, config, run.folder, run.report)
    err = capsys.readouterr().err
    assert err.startswith("numpy: not tracked for now, training goes on (File")
    assert err.count("\n") == 1


def test_without_the_option_nothing_is_tracked(tmp_path):
    config = get_preset("increment")
    found = run_callbacks._make_tracker(config, RunFolder(tmp_path), True)
    assert found is None
