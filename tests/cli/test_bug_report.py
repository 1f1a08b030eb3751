"""`keras-lstm bug-report`."""

import importlib.metadata
import os
import sys

import pytest
from made_runs import make_run

from keras_lstm.cli import bug_report, main
from keras_lstm.core.version import __version__


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Return the home of a user `lovelace`, in which logs/ has two runs."""
    home = tmp_path / "lovelace"
    make_run(home / "logs" / "old", units=8)
    folder = make_run(
        home / "logs" / "new",
        "digits",
        epochs=7,
        data_dir=str(home / "pictures"),
    )
    os.utime(home / "logs" / "old" / "config.yaml", (1, 1))
    assert str(home) in folder.config.read_text()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("LOGNAME", "lovelace")
    monkeypatch.setenv("SECRET_TOKEN", "abc123")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    monkeypatch.chdir(home)
    return home


def test_versions_devices_and_the_last_run_are_printed(home, capsys):
    assert main(["bug-report"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"keras-lstm: {__version__}"
    assert lines[1] == "python: " + ".".join(map(str, sys.version_info[:3]))
    version = importlib.metadata.version("keras")
    assert f"  keras: {version}" in lines
    assert "  CUDA_VISIBLE_DEVICES: 1" in lines
    run = lines[lines.index("last run:") : lines.index("devices:")]
    assert run[1:] == [
        "  state: finished",
        f"  version of keras_lstm: {__version__}",
        "  preset: digits",
        "  task: image-rows",
        "  options that differ from the preset:",
        "    epochs: 7",
        "    data_dir: ~/pictures",
    ]
    assert lines[lines.index("devices:") + 1].startswith("  CPU:0")


def test_nothing_private_is_printed(home, capsys):
    assert main(["bug-report", str(home / "logs")]) == 0
    out = capsys.readouterr().out
    assert "lovelace" not in out
    assert str(home.parent) not in out
    assert "abc123" not in out
    assert "SECRET" not in out


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("{home}", "~"),
        ("in {home}/a b", "in ~/a b"),
        ("{home}2/a", "{home}2/a"),
        ("/home/bob/x: /Users/bob", "~/x: ~"),
        (r"C:\Users\bob\x", r"~\x"),
        (
            "/mnt/lovelace/x lovelace/x /mnt/lovelaces",
            "/mnt/USER/x USER/x /mnt/lovelaces",
        ),
        ("a\nb", r"a\nb"),
    ],
)
def test_names_are_left_out(home, text, shown):
    text, shown = (each.format(home=home) for each in (text, shown))
    assert bug_report.without_names(text) == shown


def test_a_tensorflow_that_cannot_be_imported_is_told(
    home, capsys, monkeypatch
):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    assert main(["bug-report"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[-1].startswith(
        "  TensorFlow cannot be imported: ModuleNotFoundError: import of "
    )
    assert "  epochs" not in out.partition("devices:")[2]
    assert "    epochs: 7" in out


def test_there_may_be_no_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bug_report, "_devices", lambda: iter(["  CPU:0"]))
    assert main(["bug-report"]) == 0
    out, err = capsys.readouterr()
    assert "last run: none" in out.splitlines()
    assert err == ""
    assert main(["bug-report", "nowhere"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "Received: dir=nowhere" in err


def test_a_damaged_run_is_told(home, capsys, monkeypatch):
    monkeypatch.setattr(bug_report, "_devices", lambda: iter(["  CPU:0"]))
    (home / "logs" / "new" / "report.json").write_text("{")
    assert main(["bug-report"]) == 0
    out = capsys.readouterr().out
    assert "  state: damaged" in out.splitlines()
    assert "  problem: " in out
    assert "lovelace" not in out
