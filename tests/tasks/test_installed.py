"""A run folder does not run code that it brings along."""

import pathlib
import shutil
import sys

import pytest

from keras_lstm.cli import main
from keras_lstm.core.errors import InputError
from keras_lstm.tasks.installed import import_installed
from keras_lstm.tasks.registry import find_task, get_task

SAVED = pathlib.Path(__file__).parents[1] / "data" / "run-0.1.0-finished"
MODULE = """
import pathlib
import keras_lstm

pathlib.Path({ran!r}).touch()


class Own(keras_lstm.Increment):
    name = "own"
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Return a current folder with a run of `own_task:Own` in logs/run."""
    run = tmp_path / "logs" / "run"
    shutil.copytree(SAVED, run)
    monkeypatch.chdir(tmp_path)
    # As `python -m keras_lstm` does.
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith(("own_", "logs")):
            del sys.modules[name]


def write_module(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(MODULE.format(ran=str(path) + ".ran"))


def name_task(project, name):
    config = project / "logs" / "run" / "config.yaml"
    text = config.read_text()
    config.write_text(text.replace("name: increment", f"name: {name}"))


@pytest.mark.parametrize(
    ("path", "module"),
    [
        ("own_task.py", "own_task"),
        ("own_package/task.py", "own_package.task"),
        ("logs/run/own_task.py", "own_task"),
        ("logs/run/own_task.py", "logs.run.own_task"),
    ],
)
@pytest.mark.parametrize(
    "command",
    [
        "verify logs/run",
        "prove logs/run",
        "predict logs/run 7",
        "evaluate logs/run",
        "export logs/run --format saved_model",
        "train increment --init-from logs/run",
        "train increment --run-dir logs/run --resume",
        "train increment --config logs/run/config.yaml",
    ],
)
def test_code_that_is_not_installed_does_not_run(
    project, monkeypatch, capsys, path, module, command
):
    write_module(project / path)
    name_task(project, f"{module}:Own")
    path_before = list(sys.path)
    assert main(command.split()) == 2
    err = capsys.readouterr().err
    assert f"named on the command line by --task {module}:Own" in err
    assert err.count("\n") == 1
    assert not (project / f"{path}.ran").exists()
    assert module not in sys.modules
    assert sys.path == path_before


def test_a_task_named_on_the_command_line_is_allowed(project, capsys):
    write_module(project / "own_task.py")
    name_task(project, "own_task:Own")
    command = "verify logs/run --task own_task:Own --num-bits 5000"
    assert main(command.split()) == 2
    # The task was made: it knows which lengths it has.
    assert "`num_bits` must be an integer" in capsys.readouterr().err
    assert (project / "own_task.py.ran").exists()


def test_another_task_than_the_runs_is_refused(project, capsys):
    write_module(project / "own_task.py")
    assert main(["verify", "logs/run", "--task", "own_task:Own"]) == 2
    assert "must be the task of the run, increment" in capsys.readouterr().err


def test_what_a_program_has_imported_is_found(project):
    write_module(project / "own_task.py")
    task = get_task("own_task:Own")
    assert find_task("own_task:Own", project) is task


def test_an_installed_module_is_imported(project, monkeypatch):
    # Elsewhere, in a virtual environment in the current folder, and beside a
    # run folder that is below an installed project.
    for place, name in (
        ("logs/elsewhere", "own_elsewhere"),
        (".venv/site-packages", "own_in_venv"),
        ("logs", "own_beside"),
    ):
        write_module(project / place / f"{name}.py")
        monkeypatch.syspath_prepend(project / place)
        found = import_installed(name, project / "logs" / "run")
        assert found.Own.name == "own"


def test_a_run_below_an_installed_folder_is_not_installed(
    project, monkeypatch, tmp_path_factory
):
    write_module(project / "logs" / "run" / "own_task.py")
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    run = project / "logs" / "run"
    assert import_installed("logs.run.own_task", run) is None
    write_module(project / "logs" / "own_other.py")
    assert import_installed("logs.own_other", run).Own.name == "own"
    monkeypatch.syspath_prepend(run)
    assert import_installed("own_task", run) is None
    with pytest.raises(InputError, match="must be installed"):
        find_task("own_task:Own", run)
