"""MLflow itself: a server with SQLite, which the tests start."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest
from stopping import Stop, StopError
from tracked_runs import losses, small

from keras_lstm.training.train import train

mlflow = pytest.importorskip("mlflow")
pytestmark = [
    pytest.mark.slow,
    # MLflow's own.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
FILES = ["config.yaml", "model.keras", "report.html", "report.json"]


class Server:
    """MLflow's server, on a free port, with its files in a folder."""

    def __init__(self, folder):
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self):
        command = [sys.executable, "-m", "mlflow", "server", "--workers", "1"]
        command += ["--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--backend-store-uri", f"sqlite:///{self.folder}/m.db"]
        command += ["--artifacts-destination", str(self.folder / "files")]
        self.process = subprocess.Popen(
            command,
            cwd=self.folder,
            env=os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        until = time.monotonic() + 240
        while time.monotonic() < until and self.process.poll() is None:
            with (
                contextlib.suppress(OSError),
                urllib.request.urlopen(f"{self.url}/health", timeout=10) as x,  # noqa: S310
            ):
                assert x.status == 200
                return
            time.sleep(0.2)
        raise AssertionError("the server did not start")

    def stop(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture(scope="module")
def module_server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("mlflow"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def server(module_server, monkeypatch, request):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", module_server.url)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", request.node.name)
    mlflow.set_tracking_uri(None)
    return module_server


def the_run(name):
    """Return the only run of an experiment, and its client."""
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name(name).experiment_id
    (run,) = client.search_runs([experiment])
    return run, client


def points(client, run, name):
    found = client.get_metric_history(run.info.run_id, name)
    return sorted((point.step, point.value) for point in found)


def test_a_run_killed_and_resumed_is_one_run(server, tmp_path, request):
    folder = tmp_path / "adder"
    program = f"""
import os, signal, pathlib, sys
import keras
sys.path.insert(0, {os.path.dirname(__file__)!r})
from test_mlflow_tracker import small
from keras_lstm.training.train import train

class Kill(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        if epoch == 2:
            os.kill(os.getpid(), signal.SIGKILL)

train(small(track="mlflow"), pathlib.Path({str(folder)!r}), callbacks=[Kill()])
"""
    paths = [*sys.path, os.path.dirname(os.path.dirname(__file__))]
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
        capture_output=True,
        text=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    run, client = the_run(request.node.name)
    assert run.info.status == "RUNNING"
    assert [epoch for epoch, _ in points(client, run, "loss")] == [1, 2, 3]

    result = train(small(track="mlflow"), folder, resume=True)
    run, client = the_run(request.node.name)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "adder"
    for name in ("loss", "val_sequence_accuracy"):
        assert points(client, run, name) == losses(folder, name)
    assert run.data.params["units"] == "4"
    metrics, report = run.data.metrics, result.report
    assert metrics["result_num_wrong"] == report.num_wrong
    assert metrics["result_proved"] == 0.0
    assert run.data.tags["result_checked"] == "all inputs"
    found = client.list_artifacts(run.info.run_id)
    assert [each.path for each in found] == FILES
    local = client.download_artifacts(
        run.info.run_id, "model.keras", str(tmp_path)
    )
    with open(local, "rb") as file:
        assert file.read() == (folder / "model.keras").read_bytes()


def test_no_folder_of_the_machine_is_sent(server, tmp_path, request):
    train(small(track="mlflow"), tmp_path / "run", quiet=True)
    run, client = the_run(request.node.name)
    assert run.info.user_id in (None, "", "unknown")
    texts = [str(run.to_dictionary())]
    for name in FILES:
        if name != "model.keras":
            local = client.download_artifacts(run.info.run_id, name)
            with open(local, encoding="utf-8") as file:
                texts.append(file.read())
    assert "keras-lstm verify run<" in texts[-2]
    for private in (str(tmp_path), os.getcwd()):
        assert not [text for text in texts if private in text]


def test_a_server_that_is_gone_loses_no_training(
    server, tmp_path, request, capsys
):
    class Restart(Stop):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                server.stop()

        def on_epoch_end(self, epoch, logs=None):
            if epoch == 3:
                server.start()

    folder = tmp_path / "run"
    result = train(small(track="mlflow"), folder, callbacks=[Restart()])
    assert result.report.epochs == 4
    err = capsys.readouterr().err
    assert err.count("mlflow: not tracked for now, training goes on") == 1
    run, client = the_run(request.node.name)
    assert points(client, run, "loss") == losses(folder)
    assert run.info.status == "FINISHED"


def test_tracking_may_begin_and_end_when_a_run_is_resumed(
    server, tmp_path, request
):
    folder = tmp_path / "run"
    with pytest.raises(StopError):
        train(small(), folder, callbacks=[Stop(after_epoch=0)])
    with pytest.raises(StopError):
        train(
            small(track="mlflow"),
            folder,
            resume=True,
            callbacks=[Stop(after_epoch=2)],
        )
    run, client = the_run(request.node.name)
    assert run.info.status == "FAILED"
    assert len(points(client, run, "loss")) == 3
    untracked = train(small(), folder, resume=True)
    assert untracked.report.epochs == 4
    run, client = the_run(request.node.name)
    assert points(client, run, "loss") == losses(folder)[:3]
