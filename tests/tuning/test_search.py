import contextlib
import csv
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from keras_lstm.cli import main
from keras_lstm.config_file import read_config
from keras_lstm.core.errors import RunError
from keras_lstm.presets import get_preset
from keras_lstm.tasks.increment import Increment
from keras_lstm.tuning.folder import find_search
from keras_lstm.tuning.results import read_trials
from keras_lstm.tuning.settings import Search

TUNE = (
    *("tune", "increment", "--preset", "increment-noise"),
    *("--num-bits", "6", "--epochs", "6"),
)
# Run in a folder that holds a file `file` and no search.
BAD_ARGUMENTS = [
    (["--workers", "0"], "`workers` must be an integer of at least 1"),
    (["--max-trials", "x"], "`max_trials` must be an integer"),
    (["--algorithm", "gird"], "Did you mean `grid`"),
    (["--objective", "accuracy"], "must be cost or smallest for increm"),
    (["--objective", "coast"], "Did you mean `cost`"),
    (["--search", "unit"], "Did you mean `units`"),
    (["--search", "units,seed"], "`seed` is no searchable option"),
    (["--resume"], "`resume` needs `run_dir`"),
    (
        ["--resume", "--overwrite", "--run-dir", "x"],
        "`resume` and `overwrite` exclude one another",
    ),
    (["--run-dir", "file"], "`run_dir` must be a folder"),
    (["--run-dir", "file/below"], "`run_dir` must be a folder"),
    (["--run-dir", "x" * 300], "`run_dir` must be the path of a folder"),
    (
        ["--resume", "--run-dir", "x" * 300],
        "`run_dir` must be the path of a folder",
    ),
    (["--resume", "--run-dir", "file"], "`run_dir` must be a folder"),
    (["--run-dir="], "--run-dir: must be a path. Received: nothing"),
    (
        ["--algorithm", "hyperband", "--max-trials", "3"],
        "`max_trials` must be left out with hyperband",
    ),
    (["--run-dir", "."], "`run_dir` must be empty, or hold a search"),
    (["--units", "0"], "`units` must be an integer"),
    (["--seed", "-1"], "`seed` must be an integer from 0"),
    (["--dataset", "digits"], "`dataset` is no option of increment"),
    (["--config", "none.yaml"], "`config` must be a readable file"),
    (["--preset", "incement"], "Did you mean `increment`"),
    (["--strategy", "multi_worker"], "needs the variable TF_CONFIG"),
]
# Names without `KERASTUNER_`; "used" is a port that is in use.
BAD_VARIABLES = [
    ({"TUNER_ID": "", "ORACLE_PORT": "1"}, "KERASTUNER_TUNER_ID must be"),
    ({"TUNER_ID": "tuner0", "ORACLE_PORT": ""}, "KERASTUNER_ORACLE_PORT m"),
    ({"TUNER_ID": "tuner0", "ORACLE_PORT": "x"}, "must be a port number"),
    ({"TUNER_ID": "chief", "ORACLE_PORT": "used"}, "must be free for the"),
]


def command(*arguments):
    return [sys.executable, "-m", "keras_lstm", *TUNE, *map(str, arguments)]


def rows(folder):
    with (folder / "trials.csv").open() as file:
        return list(csv.DictReader(file))


def children(pid):
    """Return the IDs of a process's children, by KerasTuner's name."""
    found = {}
    for path in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text().rsplit(")")[1].split()[1])
            environment = (path / "environ").read_bytes().split(b"\0")
        except (OSError, IndexError):
            continue
        for variable in environment:
            name, _, value = variable.partition(b"=")
            if parent == pid and name == b"KERASTUNER_TUNER_ID":
                found[value.decode()] = int(path.name)
    return found


def wait_until(condition, process, seconds=120):
    """Wait until a condition holds, while another process runs."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert process.poll() is None, "the search has ended"
        assert time.monotonic() < end, "the condition has not come true"
        time.sleep(0.02)
    return found


@pytest.fixture
def start():
    started = []

    def start(*arguments):
        process = subprocess.Popen(
            command(*arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"CUDA_VISIBLE_DEVICES": "-1"},
        )
        started.append(process)
        return process

    yield start
    for process in started:
        for pid in children(process.pid).values():
            os.kill(pid, signal.SIGKILL)
        process.kill()
        process.communicate()


def checkpoints(folder):
    """Return the checkpoints of trials that are being trained."""
    return [
        path
        for path in folder.glob("trials/*/checkpoints/step-*")
        if not path.name.endswith("000000000.ckpt")
        and not (path.parents[1] / "report.json").exists()
    ]


@pytest.mark.slow
def test_a_search_from_beginning_to_end(tmp_path, capsys):
    folder = tmp_path / "search"
    search = [*TUNE, "--max-trials", "2", "--run-dir", str(folder)]
    assert main(search) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0].split()[:2] == ["trial", "units"]
    assert len(out.splitlines()) == 4
    found = rows(folder)
    assert sorted(int(row["units"]) for row in found) == [8, 16]
    scores = [float(row["score"]) for row in found]
    assert scores == sorted(scores)
    for row in found:
        report = folder / "trials" / row["trial"] / "report.json"
        report = json.loads(report.read_text())
        assert float(row["num_wrong"]) == report["num_wrong"]
        assert float(row["num_parameters"]) == report["num_parameters"]
        assert list((folder / "hparams" / row["trial"]).glob("events.*"))
    best = read_config((folder / "best.yaml").read_text(), Increment)
    assert best.values["units"] == int(found[0]["units"])
    assert best.values["num_bits"] == 6
    # Again: refused, resumed, with another space, damaged, overwritten.
    assert main(search) == 2
    assert "must not hold a search yet" in capsys.readouterr().err
    more = [*search, "--resume", "--max-trials", "3"]
    assert main(more) == 0
    assert len(rows(folder)) == 3
    # It has run all of its own number, which is kept.
    again = ["tune", "increment", "--run-dir", str(folder), "--resume"]
    assert main(again) == 0
    assert len(rows(folder)) == 3
    capsys.readouterr()
    assert main([*more, "--num-layers", "1"]) == 2
    assert "the same task, options and search space" in capsys.readouterr().err
    assert main([*more, "--search", "units,dropout"]) == 2
    capsys.readouterr()
    trial = folder / "keras_tuner" / "trial_2" / "trial.json"
    kept = trial.read_text()
    for damaged in ("{}", "null", "[]", kept[:-9], kept + "\udcff"):
        trial.write_text(damaged, errors="surrogateescape")
        assert main(more) == 2
        err = capsys.readouterr().err
        assert err.count("\n") == 1
        assert f"KerasTuner's {trial}" in err
        assert "cannot be read" in err
        assert "Readable trials: 0, 1;" in err
    trial.write_text(kept)
    oracle = folder / "keras_tuner" / "oracle.json"
    oracle.write_text(oracle.read_text()[:-9])
    assert main(more) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert f"KerasTuner's {oracle} cannot be read" in err
    assert "Readable trials: 0, 1, 2" in err
    assert main([*search, "--overwrite", "--max-trials", "1"]) == 0
    assert len(rows(folder)) == 1


@pytest.mark.parametrize(("arguments", "message"), BAD_ARGUMENTS)
def test_bad_input_is_one_line(
    tmp_path, monkeypatch, capsys, arguments, message
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TF_CONFIG", raising=False)
    (tmp_path / "file").write_text("")
    assert main([*TUNE, *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert message in err
    # No search was started.
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.slow
def test_a_worker_that_dies_is_started_again(tmp_path, start):
    folder = tmp_path / "search"
    process = start(
        *("--run-dir", folder, "--workers", "2", "--max-trials", "2"),
        *("--checkpoint-every-steps", "5", "--steps-per-epoch", "100"),
    )
    wait_until(lambda: checkpoints(folder), process)
    victim = children(process.pid)["tuner0"]
    os.kill(victim, signal.SIGKILL)
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    assert "tuner0 has died (exit code -9); starting it again" in err
    assert len(rows(folder)) == 2
    assert all(row["score"] for row in rows(folder))
    assert "Search folder" in out


@pytest.mark.slow
@pytest.mark.parametrize("how", ["chief", "interrupt"])
def test_a_search_that_is_stopped_goes_on(tmp_path, start, capsys, how):
    folder = tmp_path / "search"
    options = ["--run-dir", str(folder), "--max-trials", "3"]
    options += ["--checkpoint-every-steps", "5", "--steps-per-epoch", "100"]
    process = start(*options, "--workers", "2")
    wait_until(lambda: checkpoints(folder), process)
    processes = children(process.pid)
    assert set(processes) == {"chief", "tuner0", "tuner1"}
    if how == "chief":
        os.kill(processes["chief"], signal.SIGKILL)
    else:
        process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    # No process is left running.
    assert not any(
        pathlib.Path(f"/proc/{pid}").exists() for pid in processes.values()
    )
    if how == "chief":
        assert process.returncode == 1
        assert "the chief of the search has died (exit code -9); cont" in err
    else:
        assert process.returncode == 130
    assert main([*TUNE, *options, "--resume"]) == 0
    assert len(rows(folder)) == 3
    assert all(row["score"] for row in rows(folder))


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_a_search_that_is_killed_ten_times_ends(tmp_path, start, capsys):
    """Kill the chief, a worker or all of it at random, and resume."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "search"
    options = ["--run-dir", str(folder), "--max-trials", "4"]
    options += ["--checkpoint-every-steps", "5", "--steps-per-epoch", "50"]
    kills, process = 0, start(*options, "--workers", "2", "--resume")
    while kills < 10:
        # While TensorFlow starts, while trials are run, or between.
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=rng.uniform(0.5, 40.0))
        found = children(process.pid)
        name = rng.choice(["chief", "tuner0", "tuner1", "all"])
        for victim, pid in found.items():
            if name in (victim, "all"):
                os.kill(pid, signal.SIGKILL)
                kills += name == victim or victim == "chief"
        # A worker that is killed three times in a row ends the search too.
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=5)
        if process.poll() is not None:
            _, err = process.communicate()
            if process.returncode == 0:
                # All trials are done: go on with another search.
                assert len(rows(folder)) == 4
                folder = tmp_path / f"search{kills}"
                options[1] = str(folder)
                process = start(*options, "--workers", "2", "--resume")
                continue
            (line,) = [x for x in err.splitlines() if x.startswith("keras-l")]
            assert " has died (" in line or " has ended 3 times" in line
            process = start(*options, "--workers", "2", "--resume")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=600)
    capsys.readouterr()
    assert main([*TUNE, *options, "--resume"]) == 0
    assert len(rows(folder)) == 4
    assert all(row["score"] for row in rows(folder))
    assert {int(row["units"]) for row in rows(folder)} == {8, 16, 24, 32}


@pytest.fixture
def bad_variables():
    """Return KerasTuner's variables for a row of `BAD_VARIABLES`."""
    with socket.socket() as used:
        used.bind(("127.0.0.1", 0))
        port = str(used.getsockname()[1])
        yield lambda row: {
            f"KERASTUNER_{name}": port if value == "used" else value
            for name, value in (row | {"ORACLE_IP": "127.0.0.1"}).items()
        }


@pytest.mark.parametrize(("variables", "message"), BAD_VARIABLES)
def test_wrong_variables_are_one_line(
    tmp_path, monkeypatch, capsys, bad_variables, variables, message
):
    for name, value in bad_variables(variables).items():
        monkeypatch.setenv(name, value)
    assert main([*TUNE, "--run-dir", str(tmp_path / "search")]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert message in err


REFUSE = """
import contextlib, io, json, os, sys
from keras_lstm.cli import main

results = []
for arguments, variables, _ in json.load(sys.stdin):
    os.environ.update(variables)
    with contextlib.redirect_stderr(io.StringIO()) as err:
        code = main(arguments)
    for name in variables:
        del os.environ[name]
    heavy = {"tensorflow", "keras", "keras_tuner"} & set(sys.modules)
    results.append([code, err.getvalue(), sorted(heavy)])
print(json.dumps(results))
"""


def test_bad_usage_is_refused_before_tensorflow_is_loaded(
    tmp_path, bad_variables
):
    (tmp_path / "file").write_text("")
    (tmp_path / "held" / "keras_tuner").mkdir(parents=True)
    (tmp_path / "held" / "keras_tuner" / "oracle.json").write_text("{}")
    config = get_preset("increment-noise")
    config = config.replace(Increment, num_bits=6, epochs=6)
    (tmp_path / "held" / "search.yaml").write_text(Search(config).to_yaml())
    held = [
        ([], "`run_dir` must not hold a search yet"),
        (["--resume"], "oracle.json cannot be read"),
        (["--resume", "--units", "8"], "other settings in held/search.yaml"),
    ]
    cases = [
        *(([*TUNE, *each], {}, text) for each, text in BAD_ARGUMENTS),
        *(
            ([*TUNE, "--run-dir", "held", *each], {}, text)
            for each, text in held
        ),
        *((TUNE, bad_variables(each), text) for each, text in BAD_VARIABLES),
        (["tune", "image-rows", "--objective", "cost"], {}, "be accuracy for"),
        (["tune", "incremnt"], {}, "Did you mean `increment`"),
    ]
    environment = {k: v for k, v in os.environ.items() if k != "TF_CONFIG"}
    done = subprocess.run(
        [sys.executable, "-c", REFUSE],
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=tmp_path,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    for case, (code, err, heavy) in zip(cases, results, strict=True):
        assert code == 2, case
        assert case[2] in err, case
        assert err.count("\n") == 1, case
        assert heavy == [], case
    found = sorted(path.name for path in tmp_path.rglob("*"))
    assert found == [
        "file",
        "held",
        "keras_tuner",
        "oracle.json",
        "search.yaml",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["random", "hyperband", "bayesian"])
def test_every_algorithm_runs_to_its_end(tmp_path, capsys, algorithm):
    folder = tmp_path / "search"
    options = ["--run-dir", str(folder), "--algorithm", algorithm]
    options += ["--search", "units,learning_rate"]
    if algorithm != "hyperband":
        options += ["--max-trials", "5"]
    assert main([*TUNE, *options]) == 0
    found = rows(folder)
    assert len(found) >= 5
    assert all(row["score"] for row in found)
    assert len({(row["units"], row["learning_rate"]) for row in found}) > 3
    if algorithm == "hyperband":
        # A trial is told with the epochs that it was trained for.
        trials = read_trials(folder, find_search(folder))
        told = [trial.config.training.epochs for trial in trials]
        trained = [trial.report.epochs for trial in trials]
        assert all(np.array(trained) <= told)
        assert min(told) < max(told) == 6
    before = (folder / "trials.csv").read_text()
    # The search is finished: no trial runs again.
    assert main([*TUNE, *options, "--resume"]) == 0
    assert (folder / "trials.csv").read_text() == before
    capsys.readouterr()


@pytest.mark.slow
@pytest.mark.parametrize("other", [False, True])
def test_a_chief_and_a_worker_as_on_several_machines(tmp_path, other):
    folder = tmp_path / "search"
    names = ["tuner0", "chief", *(["tuner1"] if other else [])]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    started = [
        subprocess.Popen(
            command(
                *("--run-dir", folder, "--max-trials", "2"),
                *(("--num-layers", "1") if name == "tuner1" else ()),
            ),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ
            | {
                "CUDA_VISIBLE_DEVICES": "-1",
                "KERASTUNER_TUNER_ID": name,
                "KERASTUNER_ORACLE_IP": "127.0.0.1",
                "KERASTUNER_ORACLE_PORT": port,
            },
        )
        for name in names
    ]
    try:
        (out, worker_err), (chief_out, chief_err), *others = (
            process.communicate(timeout=200) for process in started
        )
    finally:
        for process in started:
            process.kill()
    codes = [process.returncode for process in started]
    assert codes == [0, 0, 2][: len(names)], worker_err + chief_err
    for _, err in others:
        assert "other settings in" in err
        assert "Traceback" not in err
    assert out == ""
    assert chief_out.splitlines()[-1] == f"Search folder: {folder}"
    assert len(rows(folder)) == 2


def test_where_every_trial_fails_none_is_the_best(
    tmp_path, capsys, monkeypatch
):
    def fail(*arguments, **options):
        raise RunError("the loss is not finite")

    monkeypatch.setattr("keras_lstm.tuning.hypermodel.train", fail)
    folder = tmp_path / "search"
    options = ["--max-trials", "2", "--run-dir", str(folder)]
    assert main([*TUNE, *options]) == 1
    assert "no trial has finished without failure" in capsys.readouterr().err
    assert (folder / "trials.csv").exists()
    assert not (folder / "best.yaml").exists()


def test_trials_that_cannot_be_run_are_one_line(tmp_path, capsys):
    search = ["tune", "image-rows", "--preset", "digits", "--max-trials", "2"]
    search += ["--batch-size", "100000", "--run-dir", str(tmp_path / "search")]
    assert main(search) == 2
    out, err = capsys.readouterr()
    assert out == ""
    lines = [line for line in err.splitlines() if line.startswith("keras-lstm")]
    assert len(lines) == 1
    assert "`batch_size` must be at most" in lines[0]
    assert "Traceback" not in err
