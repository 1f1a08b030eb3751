"""scripts/matrix.py, with environments that cost nothing."""

import importlib
import itertools
import pathlib
import subprocess
import sys
import tomllib

import pytest
from packaging.requirements import Requirement

ROOT = pathlib.Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts"))
matrix = importlib.import_module("matrix")

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PINNED = (ROOT / "constraints.txt").read_text()


def test_the_oldest_versions_are_the_lower_bounds():
    text = matrix.oldest_constraints()
    found = dict(line.split("==") for line in text.splitlines())
    required = [
        Requirement(each)
        for each in itertools.chain(
            PROJECT["project"]["dependencies"],
            *PROJECT["project"]["optional-dependencies"].values(),
        )
    ]
    for each in required:
        bounds = {part.operator: part.version for part in each.specifier}
        assert found[each.name] == bounds[">="]
    # The tools of developers are those that are pinned.
    assert f"pytest=={found['pytest']}\n" in PINNED


def test_each_python_of_the_project_is_tested():
    first, last = PROJECT["project"]["requires-python"].split(",")
    versions = range(int(first[-2:]), int(last[-2:]))
    pythons = [f"python3.{version}" for version in versions]
    named = {name: each.python for name, each in matrix.ENVIRONMENTS.items()}
    assert [*named] == [*pythons, "oldest", "newest"]
    assert named == {
        **dict(zip(pythons, pythons, strict=True)),
        "oldest": pythons[0],
        "newest": pythons[-1],
    }


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (
            "...\n=== 2 failed, 1,020 passed, 3 skipped in 61.20s ===\n",
            "2 failed, 1,020 passed, 3 skipped in 61.20s",
        ),
        ("12 passed in 1.00s\n", "12 passed in 1.00s"),
        ("1 error in 1.00s\n", "1 error in 1.00s"),
        (
            "== 7 passed, 7 skipped in 1179.82s (0:19:39) ==\nE cuInit: 303\n",
            "7 passed, 7 skipped in 1179.82s",
        ),
        ("INTERNALERROR> KeyError\n", "no result"),
        ("", "no result"),
    ],
)
def test_what_pytest_counted_is_read(output, expected):
    assert matrix.summarize(output) == expected


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """Return a checkout whose environments are fakes, and what they do.

    Installing makes a `python` and a `pytest` that fails in `oldest`.
    """
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "environment.sh").write_text(
        """
ensure_environment() {
    echo "$KERAS_LSTM_PYTHON $constraints" >>"$root/installed"
    mkdir -p "$venv/bin"
    printf '#!/bin/sh\\necho Python 3, TensorFlow 2\\n' >"$venv/bin/python"
    {
        echo '#!/bin/sh'
        echo "echo \\"\\$*\\" >'$venv/arguments'"
        case $venv in
        *oldest) echo 'echo "1 failed, 2 passed in 1.00s"; exit 1' ;;
        *) echo 'echo "3 passed in 1.00s"' ;;
        esac
    } >"$venv/bin/pytest"
    chmod +x "$venv/bin/python" "$venv/bin/pytest"
}
"""
    )
    monkeypatch.setattr(matrix, "ROOT", tmp_path)
    monkeypatch.setattr(matrix, "FOLDER", tmp_path / ".matrix")
    monkeypatch.setattr(matrix, "runs", lambda python: True)
    return tmp_path


def run(monkeypatch, *arguments):
    """Return the exit code of a command."""
    monkeypatch.setattr(sys, "argv", ["matrix.py", *arguments])
    with pytest.raises(SystemExit) as ended:
        matrix.main()
    return int(ended.value.code)


def test_a_line_per_environment_and_a_failure(checkout, monkeypatch, capfd):
    assert run(monkeypatch) == 1
    out = capfd.readouterr().out.splitlines()
    passed = "Python 3, TensorFlow 2: 3 passed in 1.00s"
    assert out == [
        *(f"python3.{minor}: {passed}" for minor in (11, 12, 13)),
        "oldest: Python 3, TensorFlow 2: 1 failed, 2 passed in 1.00s",
        f"newest: {passed}",
    ]
    assert (checkout / "installed").read_text().splitlines() == [
        "python3.11 constraints.txt",
        "python3.12 constraints.txt",
        "python3.13 constraints.txt",
        "python3.11 .matrix/oldest.txt",
        "python3.13 .matrix/newest.txt",
    ]
    oldest = (checkout / ".matrix" / "oldest.txt").read_text()
    assert oldest == matrix.oldest_constraints()


def test_one_environment_with_arguments_for_pytest(
    checkout, monkeypatch, capfd
):
    assert run(monkeypatch, "newest", "--", "tests/core", "-x") == 0
    assert capfd.readouterr().out.startswith("newest: ")
    said = (checkout / ".matrix" / "newest" / "arguments").read_text()
    assert said.startswith("-m not slow ")
    assert said.endswith(" tests/core -x\n")


def test_what_cannot_be_installed_has_failed(checkout, monkeypatch, capfd):
    script = checkout / "scripts" / "environment.sh"
    script.write_text("ensure_environment() {\n    return 1\n}\n")
    assert run(monkeypatch, "oldest") == 1
    assert capfd.readouterr().out == "oldest: not installed\n"


def test_bad_usage_is_one_line(tmp_path):
    script = ROOT / "scripts" / "test"
    done = subprocess.run(
        [script, "--matrix", "python3.11", "python2.7"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "test: error: NAME must be one of python3.11, python3.12, "
        "python3.13, oldest, newest. Received: python2.7\n"
    )


def test_a_python_that_does_not_run_is_refused_first(
    tmp_path, monkeypatch, capsys
):
    shim = tmp_path / "python3.13"
    shim.write_text("#!/bin/sh\nexit 127\n")
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/nowhere")
    monkeypatch.setattr(matrix, "FOLDER", tmp_path / ".matrix")
    for name in ("newest", "python3.12"):
        assert run(monkeypatch, name) == 2
        assert "must be on PATH for " + name in capsys.readouterr().err
    assert not (tmp_path / ".matrix").exists()
