"""Runs are summarized, whatever their folders hold."""

import json
import os

import fuzzing
import pytest
from made_runs import make_run

from keras_lstm.core.errors import InputError
from keras_lstm.core.files import locked
from keras_lstm.presets import PRESETS, get_preset
from keras_lstm.runs.report import StopReason
from keras_lstm.runs.stated_config import read_stated_config
from keras_lstm.runs.summary import RunState, find_runs, summarize_run
from keras_lstm.tasks.increment import Parity


def files_of(root):
    return {
        path: path.stat().st_mtime_ns for path in sorted(root.rglob("*"))
    } | {root: root.stat().st_mtime_ns}


# What is found in the data.
FOUND = {
    "sequences": {"vocabulary": '["a"]', "classes": '["x", "y"]'},
    "rows": {"num_features": 1, "num_steps": 0, "classes": '["x", "y"]'},
}


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_the_options_are_those_that_a_run_reads(tmp_path, name):
    changes = FOUND.get(name, {})
    folder = make_run(tmp_path / "run", name, **changes)
    whole = folder.read_config()
    found = read_stated_config(folder)
    flat = whole.to_flat()
    assert (found.task, found.preset) == (flat.pop("task"), flat.pop("preset"))
    assert found.values == flat
    assert found.differing == changes
    assert found.task_options == set(whole.task.to_mapping())


def test_what_differs_from_the_preset_is_found(tmp_path):
    changes = {"seed": 3, "units": 8, "monitor": None, "learning_rate": 0.5}
    folder = make_run(tmp_path / "run", "increment-noise", **changes)
    found = read_stated_config(folder)
    assert found.differing == changes
    # The order of a configuration: what is the run's own first.
    assert [*found.differing] == ["seed", "units", "learning_rate", "monitor"]
    text = folder.config.read_text()
    # YAML reads 1e-3 as a text; 8.0 is no integer; true is not 1.
    folder.config.write_text(text.replace("rate: 0.5\n", "rate: 1e-3\n"))
    assert read_stated_config(folder).differing["learning_rate"] == 0.001
    folder.config.write_text(text.replace("units: 8", "units: true"))
    with pytest.raises(InputError, match="Received: units=True"):
        read_stated_config(folder)


def test_options_of_version_0_1_have_their_present_names(tmp_path):
    folder = make_run(tmp_path / "run")
    text = folder.config.read_text().replace("global_clipnorm", "clipnorm")
    # Options that the file lacks are the preset's.
    text = text.replace("  num_microbatches: 1\n", "")
    folder.config.write_text(text)
    assert read_stated_config(folder).differing == {}
    assert read_stated_config(folder).values["num_microbatches"] == 1


def test_a_registered_task_has_its_preset(tmp_path):
    folder = make_run(tmp_path / "run")
    config = get_preset("increment", Parity).replace(num_bits=7)
    folder.config.write_text(config.to_yaml())
    found = read_stated_config(folder)
    assert (found.task, found.differing) == ("parity", {"num_bits": 7})


def test_a_custom_tasks_code_is_not_run(tmp_path, monkeypatch):
    (tmp_path / "evil.py").write_text("raise SystemExit('was run')")
    monkeypatch.syspath_prepend(tmp_path)
    folder = make_run(tmp_path / "run", num_bits=8)
    text = folder.config.read_text()
    text = text.replace("name: increment\n", "name: evil:Task\n  taste: sour\n")
    folder.config.write_text(text)
    run = summarize_run(folder.path)
    assert run.state is RunState.FINISHED
    assert run.config.task == "evil:Task"
    assert run.config.differing == {"taste": "sour", "num_bits": 8}


@pytest.mark.parametrize("value", ["2026-11-28", "[1]", "{a: 1}", "!!set {a}"])
def test_a_custom_tasks_options_are_plain(tmp_path, value):
    folder = make_run(tmp_path / "run")
    text = folder.config.read_text()
    text = text.replace("name: increment\n", f"name: a:B\n  x: {value}\n")
    folder.config.write_text(text)
    assert (
        "`x` must be the name of an option"
        in summarize_run(tmp_path / "run").problem
    )


def test_states_are_told_from_the_lock_and_the_files(tmp_path):
    finished = make_run(tmp_path / "finished")
    stopped = make_run(tmp_path / "stopped", report=None, steps=(7, 1234, 80))
    ended = {"stopped_because": StopReason.ALL_EPOCHS, "epochs": 5}
    grown = make_run(tmp_path / "grown", report=ended, epochs=9)
    whole = make_run(tmp_path / "whole", report=ended, epochs=5)
    before = files_of(tmp_path)
    texts = {run.name: run.state_text for run in find_runs(tmp_path)[0]}
    assert texts == {
        "finished": "finished",
        "grown": "stopped at step 100",
        "stopped": "stopped at step 1,234",
        "whole": "finished",
    }
    assert files_of(tmp_path) == before
    with locked(stopped.path), locked(finished.path):
        before = files_of(tmp_path)
        states = {run.name: run.state for run in find_runs(tmp_path)[0]}
        assert files_of(tmp_path) == before
    assert states["stopped"] is states["finished"] is RunState.RUNNING
    assert states["whole"] is RunState.FINISHED
    assert {grown.path.name, whole.path.name} < set(states)


def test_a_run_that_begins_has_no_configuration_yet(tmp_path):
    folder = make_run(tmp_path / "run", report=None, steps=(0,))
    folder.config.unlink()
    folder.history.write_text("")
    with locked(folder.path):
        run = summarize_run(folder.path)
        assert (run.state, run.problem) == (RunState.RUNNING, None)
    assert summarize_run(folder.path).problem == "there is no config.yaml"


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("config.yaml", None, "there is no config.yaml"),
        ("config.yaml", "preset: [", "`config` must be YAML"),
        ("config.yaml", "- 1", "`config` must be a mapping"),
        ("config.yaml", "preset: increment", "must name a preset and a task"),
        ("config.yaml", "lr: 0.1", "`lr` is no key of `config`. Known: model"),
        ("config.yaml", "model: 3", "`model` must be a mapping"),
        ("config.yaml", b"\xff\xfe", "can't decode byte"),
        ("report.json", "{", "must hold a readable report.json"),
        ("report.json", "[]", "must hold a readable report.json"),
        ("report.json", '{"versions": {"keras_lstm": "99.0"}}', "newer than"),
        ("model.keras", None, "there is no model.keras"),
        ("checkpoints", "a file", None),
    ],
)
def test_a_damaged_run_says_so(tmp_path, name, content, problem):
    folder = make_run(tmp_path / "run")
    make_run(tmp_path / "whole")
    path = folder.path / name
    if path.is_dir():
        for each in path.iterdir():
            each.unlink()
        path.rmdir()
    else:
        path.unlink()
    if content is not None:
        data = content if isinstance(content, bytes) else content.encode()
        path.write_bytes(data)
    runs, unread = find_runs(tmp_path)
    assert unread == []
    assert [run.name for run in runs] == ["run", "whole"]
    assert runs[1].problem is None
    if problem is None:
        assert (runs[0].state, runs[0].step) == (RunState.FINISHED, None)
    else:
        assert runs[0].state is RunState.DAMAGED
        assert problem in runs[0].problem


def test_what_cannot_be_resumed_is_damaged(tmp_path):
    make_run(tmp_path / "run", report=None, steps=())
    (run,) = find_runs(tmp_path)[0]
    assert (run.state, run.step) == (RunState.DAMAGED, None)
    assert run.problem == "there is no checkpoint to resume from"


def test_other_folders_are_no_runs(tmp_path):
    for name in ("a/config.yaml", "b/report.json", "c/checkpoints/x", "d/e/f"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("x")
    make_run(tmp_path / "d" / "e" / "run")
    (tmp_path / "link").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    runs, unread = find_runs(tmp_path)
    assert [run.name for run in runs] == ["d/e/run"]
    assert unread == []
    # A folder that is a run itself.
    assert [run.name for run in find_runs(tmp_path / "d/e/run")[0]] == ["."]


def test_a_copy_in_a_run_is_no_other_run(tmp_path):
    make_run(tmp_path / "run")
    make_run(tmp_path / "run" / "published")
    assert [run.name for run in find_runs(tmp_path)[0]] == ["run"]
    # Whoever asks for a run's own folder sees what it holds.
    found = find_runs(tmp_path / "run")[0]
    assert [run.name for run in found] == [".", "published"]


def test_names_of_checkpoints_may_be_anything(tmp_path):
    folder = make_run(tmp_path / "run", report=None, steps=(5,))
    for name in ("step-9.ckpt", "step-000000009.ckpt.x", "best.ckpt", "é"):
        (folder.checkpoints / name).write_text("")
    (folder.checkpoints / f"step-{'9' * 5000}"[:200]).write_text("")
    assert summarize_run(folder.path).step == 5


def test_files_that_are_pipes_are_not_waited_for(tmp_path):
    folder = make_run(tmp_path / "run")
    folder.config.unlink()
    os.mkfifo(folder.config)
    folder.report.unlink()
    os.mkfifo(folder.report)
    run = summarize_run(folder.path)
    assert run.state is RunState.DAMAGED
    assert run.problem.count("Not a regular file") == 2


@fuzzing.TIERS
def test_damaged_configurations_are_read_or_refused(cases, tmp_path):
    folder = make_run(tmp_path / "run")
    valid = [folder.config.read_bytes()]
    tokens = [b"a:B", b"&a ", b"*a", b"!!set ", b"[" * 1000, b"{", b": ", b"- "]

    def read(data):
        folder.config.write_bytes(data)
        run = summarize_run(folder.path)
        if run.config is not None:
            json.dumps(run.config.values, allow_nan=False)
        if run.problem is not None:
            fuzzing.assert_one_line(run.problem)

    fuzzing.survives(read, fuzzing.damaged(valid, tokens), cases)
