"""`keras-lstm runs` and `keras-lstm compare`."""

import json
import pathlib
import subprocess
import sys

import pytest
from made_runs import make_run, write_failures

from keras_lstm.cli import main

DATA = pathlib.Path(__file__).parents[1] / "data"


@pytest.fixture
def logs(tmp_path, monkeypatch):
    """Return a folder `logs` of two runs, in the current one."""
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "logs"
    make_run(root / "increment" / "a", seed=2)
    folder = make_run(
        root / "increment" / "b", report={"num_wrong": 1}, units=8
    )
    write_failures(folder.failures, [("01", "10", "00")])
    return root


def test_runs_are_listed_in_logs_by_default(logs, capsys):
    assert main(["runs"]) == 0
    out, err = capsys.readouterr()
    header, *rows = out.splitlines()
    assert header.split() == [
        *("run", "task", "preset", "state", "result", "wrong", "proved"),
        *("examples", "seconds", "differs"),
    ]
    assert [row.split()[0] for row in rows] == ["increment/a", "increment/b"]
    assert err == ""


def test_runs_are_filtered_and_sorted(logs, capsys):
    arguments = ["runs", "logs", "--sort", "units", "--json"]
    assert main(arguments) == 0
    found = json.loads(capsys.readouterr().out)
    assert [run["run"] for run in found] == ["increment/b", "increment/a"]
    assert main([*arguments, "--descending", "--filter", "wrong<=1"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [run["differs"] for run in found] == [{"seed": 2}, {"units": 8}]
    filters = ["--filter", "units>=8", "--filter", "wrong>0"]
    assert main(["runs", "logs", "--csv", *filters]) == 0
    header, row = capsys.readouterr().out.splitlines()
    assert header.startswith(
        "run,task,preset,state,step,result,checked,wrong,of"
    )
    assert row.startswith(
        "increment/b,increment,increment,finished,100,1.0,all"
    )


def test_no_runs_are_told(logs, capsys):
    (logs / "empty").mkdir()
    assert main(["runs", "logs/empty"]) == 0
    assert capsys.readouterr() == ("", "there is no run in logs/empty\n")
    assert main(["runs", "--filter", "units>99"]) == 0
    assert capsys.readouterr() == ("", "no run meets the filters in logs\n")
    assert main(["runs", "logs/empty", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_a_damaged_run_is_a_row_and_a_line(logs, capsys):
    make_run(logs / "bad\x1b[2J").config.write_text("a: [\n")
    assert main(["runs"]) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 4
    (line,) = err.splitlines()
    assert line.startswith(r"bad\x1b[2J is damaged: config.yaml: `config` must")
    assert (out + err).replace("\n", "").isprintable()


def test_runs_are_compared(logs, capsys):
    paths = ["logs/increment/a", "logs/increment/b"]
    assert main(["compare", *paths]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.splitlines()[:2] == [
        "run 1  logs/increment/a  finished",
        "run 2  logs/increment/b  finished",
    ]
    assert "\nRun 1 gets 1 right that run 2 gets wrong:\n" in out
    assert main(["compare", "--json", *paths]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["options"] == {"seed": [2, 0], "units": [32, 8]}
    assert found["results"]["num_wrong"] == [0, 1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("runs none", "`dir` must be a folder that holds runs. Received: dir="),
        (
            "runs --filter unit>=3",
            "`unit` is no column or option. Did you mean",
        ),
        ("runs --filter units", "`filter` must be NAME OPERATOR VALUE"),
        ("runs --filter units>=x", "Received: filter=units>=x"),
        ("runs --filter", "--filter: expected one argument"),
        ("runs --sort wrnog", "Did you mean `wrong`?"),
        ("runs --json --csv", "`json` must not be given with `csv`"),
        ("runs --dir=", "unrecognized arguments: --dir="),
        ("compare", "required: RUN_DIR"),
        ("compare logs/increment/a", "must be given twice or more often"),
        (
            "compare logs/increment/a logs",
            "`run_dir` must hold a run. Received",
        ),
        ("compare logs/increment/a none", "run_dir=none (there is no config"),
    ],
)
def test_bad_usage_gets_one_line(logs, capsys, arguments, message):
    assert main(arguments.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("keras-lstm: error: ")
    assert message in err
    assert err.count("\n") == 1


def test_runs_of_version_0_1_are_listed_without_tensorflow(tmp_path):
    page = tmp_path / "page.html"
    code = (
        "import sys\n"
        "from keras_lstm.cli import main\n"
        "root = sys.argv[1]\n"
        "assert main(['runs', root, '--filter', 'carry_fraction=0.4']) == 0\n"
        "runs = [f'{root}/run-0.1.0-{x}' for x in ('begun', 'finished')]\n"
        "assert main(['compare', *runs]) == 0\n"
        "heavy = {'tensorflow', 'keras', 'sklearn', 'scipy', 'matplotlib'}\n"
        "print('imported:', sorted(heavy & set(sys.modules)))\n"
        "page = sys.argv[2]\n"
        "assert main(['runs', root, '--html', page]) == 0\n"
        "assert main(['compare', *runs, '--html', page]) == 0\n"
        "heavy = {'tensorflow', 'keras', 'sklearn', 'scipy'}\n"
        "print('imported:', sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(DATA), str(page)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    lines = done.stdout.splitlines()
    assert lines[1].startswith(
        "run-0.1.0-begun     increment  increment  stopped"
    )
    assert "stopped at step 8 " in lines[1]
    assert lines[2].startswith(
        "run-0.1.0-finished  increment  increment  finished"
    )
    assert "val_loss by epoch" in {line[:17] for line in lines}
    pages = [f"Page: {page}"] * 2
    assert lines[-4:] == ["imported: []", *pages, "imported: []"]
    assert done.stderr == ""
