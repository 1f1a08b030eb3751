import json
import os
import pathlib
import shutil
import stat
import subprocess
import sys

import pytest

from keras_lstm.core.errors import InputError
from keras_lstm.tasks.image_rows import ImageRows

ROOT = pathlib.Path(__file__).parents[1]
SCRIPTS = ROOT / "scripts"
EXAMPLES = SCRIPTS / "examples"
BENCHMARKS = SCRIPTS / "benchmarks"


def run(*command, **options):
    return subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
        **options,
    )


@pytest.mark.parametrize(
    ("name", "argument", "last"),
    [
        ("fit_increment.py", "10", "0 of 1023 numbers are wrong"),
        ("fit_image_rows.py", "digits", "of 360 test images are wrong"),
    ],
)
@pytest.mark.slow
def test_a_fit_script_runs(tmp_path, name, argument, last):
    lines = (EXAMPLES / name).read_text().splitlines()
    assert len(lines) <= 40
    assert not any("train(" in line for line in lines)
    done = run(sys.executable, EXAMPLES / name, argument, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].endswith(last)
    assert int(done.stdout.splitlines()[-1].split()[0]) < 100


@pytest.mark.slow
def test_a_training_that_is_killed_ends_the_same(tmp_path):
    done = run(
        sys.executable, BENCHMARKS / "kill.py", "--kills", "3", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    first, *compared = done.stdout.splitlines()
    assert first.startswith("3 kills, ")
    runs = int(first.split()[2])
    assert compared == [
        f"{name}: 0 of {runs} runs differ"
        for name in (
            *("weights", "history.csv", "failures.csv", "report.json"),
            "last checkpoint",
        )
    ]


@pytest.mark.slow
def test_units_are_tuned_in_a_plain_script(tmp_path):
    script = EXAMPLES / "tune_units.py"
    assert len(script.read_text().splitlines()) <= 50
    done = run(sys.executable, script, "5", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if "wrong" in line]
    assert [line.split()[1].rstrip(":") for line in lines] == ["8"]


@pytest.mark.slow
def test_seeds_prints_a_row_a_seed(tmp_path):
    flags = ["--num-bits", "6", "--smoke"]
    done = run(
        *(sys.executable, BENCHMARKS / "seeds.py", "increment"),
        *("--seeds", "3-4", "--out", tmp_path / "out", *flags),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    header, rule, *rows, _, summary = done.stdout.splitlines()
    assert header.startswith("| seed | wrong | of |")
    assert rule.count("---:") == header.count("|") - 1
    assert [row.split()[1] for row in rows] == ["3", "4"]
    for row in rows:
        seed, wrong, of = (cell.strip() for cell in row.split("|")[1:4])
        path = tmp_path / "out" / f"seed{seed}" / "report.json"
        report = json.loads(path.read_text())
        assert (report["num_wrong"], of) == (int(wrong), "63")
    assert summary.startswith("Mean accuracy ")


def test_seeds_fails_when_a_run_fails(tmp_path):
    done = run(
        *(sys.executable, BENCHMARKS / "seeds.py", "increment"),
        *("--seeds", "0", "--num-bits", "0"),
        cwd=tmp_path,
    )
    assert done.returncode != 0
    assert done.stdout == ""


@pytest.mark.slow
def test_the_benchmark_compares_with_stock_keras(tmp_path):
    command = (BENCHMARKS / "benchmark.py", "fit-increment-tutorial")
    done = run(
        sys.executable, *command, "--rounds", "2", "--json", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    seconds = json.loads(done.stdout)["seconds"]
    assert [len(each) for each in seconds.values()] == [2, 2]
    assert list(seconds) == ["keras_lstm", "stock Keras"]


@pytest.mark.slow
def test_the_listing_of_runs_is_measured(tmp_path):
    script = BENCHMARKS / "list_runs.py"
    done = run(
        *(sys.executable, script, "--runs", "20", "--rounds", "1"),
        cwd=tmp_path,
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [line[0] for line in lines] == ["list", *["runs"] * 4]
    assert all(0 < float(line[-6]) < 60 for line in lines)


def test_the_benchmark_measures_in_turns(monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import benchmark

    calls = []
    contenders = {n: lambda n=n: calls.append(n) for n in ("one", "two")}
    monkeypatch.setitem(benchmark.CASES, "turns", lambda: contenders)
    monkeypatch.setattr(sys, "argv", ["benchmark.py", "turns", "--rounds", "3"])
    benchmark.main()
    # A warm-up, and three rounds, every other one in the opposite order.
    assert "".join(name[0] for name in calls) == "ototto" + "ot"
    rows = capsys.readouterr().out.splitlines()
    assert rows[-1].startswith("| two |")
    assert rows[-1].endswith("1.00 |")


# The scripts that create .venv, on a copy with fake Pythons.


@pytest.fixture
def checkout(tmp_path):
    """Return a checkout in which a fake `python3` records its calls."""
    root = tmp_path / "a checkout"
    (root / "scripts").mkdir(parents=True)
    for name in ("environment.sh", "keras-lstm"):
        shutil.copy(SCRIPTS / name, root / "scripts" / name)
    (root / "pyproject.toml").write_text("[project]\n")
    (root / "constraints.txt").write_text("\n")
    (root / "bin").mkdir()
    return root


def stand_in(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


PYTHON = """
case "$1 $2" in
"-c import"*) exit {supported} ;;
"--version ") echo "Python {version}" ;;
"-m venv") echo venv >>"{root}/calls"
    mkdir -p "{root}/.venv/bin"
    cp "$0" "{root}/.venv/bin/python"
    printf '%s' "{root}/.venv" >"{root}/.venv/bin/pip"
    printf '#!/bin/bash\\necho "ran $@"\\n' >"{root}/.venv/bin/keras-lstm"
    chmod +x "{root}/.venv/bin/"* ;;
"-m pip") echo "pip $*" >>"{root}/calls" ;;
esac
"""


def give_python(root, version, supported):
    text = PYTHON.format(
        root=root, version=version, supported=0 if supported else 1
    )
    stand_in(root / "bin" / "python3", text)


def start(root, *arguments):
    path = f"{root / 'bin'}:/usr/bin:/bin"
    environment = {"PATH": path, "HOME": os.environ.get("HOME", "/")}
    hidden = {
        f"{name}": "exit 127"
        for name in ("python3.11", "python3.12", "python3.13", "python")
    }
    for name, text in hidden.items():
        stand_in(root / "bin" / name, text)
    command = root / "scripts" / "keras-lstm"
    return run(command, *arguments, env=environment, cwd=root)


def test_the_first_use_installs_and_later_ones_do_not(checkout):
    give_python(checkout, "3.12.1", True)
    first = start(checkout, "train", "increment")
    assert first.returncode == 0, first.stderr
    assert first.stdout == "ran train increment\n"
    assert "installing into .venv" in first.stderr
    calls = (checkout / "calls").read_text()
    assert calls.count("venv\n") == 1
    assert "--constraint constraints.txt --editable ." in calls
    second = start(checkout, "list")
    assert (second.stdout, second.stderr) == ("ran list\n", "")
    assert (checkout / "calls").read_text() == calls


def test_an_extra_is_installed_on_request(checkout):
    give_python(checkout, "3.12.1", True)
    (checkout / "pyproject.toml").write_text(
        '[project]\n[project.optional-dependencies]\nonnx = ["onnx>=1"]\n'
        '[dependency-groups]\nrelease = ["build"]\n'
    )
    assert start(checkout, "list").stderr.count("installing") == 1
    with_onnx = ("--with", "onnx", "export")
    done = start(checkout, *with_onnx)
    assert done.stdout == "ran export\n"
    assert "installing into .venv" in done.stderr
    assert "--editable .[onnx]" in (checkout / "calls").read_text()
    assert start(checkout, *with_onnx).stderr == ""
    for wrong in ("project", "release", ".*", None):
        done = start(checkout, "--with", *([wrong] if wrong else []))
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("keras-lstm: error: `--with` must be ")
        assert done.stderr.count("\n") == 1


def test_what_pip_prints_is_shown_only_if_it_fails(checkout):
    give_python(checkout, "3.12.1", True)
    python = checkout / "bin" / "python3"
    text = python.read_text().replace(
        '"-m pip")', '"-m pip") echo "some warning" >&2;'
    )
    python.write_text(text)
    assert "some warning" not in start(checkout, "list").stderr
    shutil.rmtree(checkout / ".venv")
    python.write_text(
        text.replace('echo "some warning" >&2;', 'echo "no network"; exit 1;')
    )
    done = start(checkout, "list")
    assert done.returncode == 1
    assert "no network" in done.stderr
    assert done.stderr.splitlines()[-1].startswith(
        "keras-lstm: the installation failed"
    )


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_a_changed_file_installs_again(checkout, name):
    give_python(checkout, "3.12.1", True)
    start(checkout, "list")
    (checkout / name).write_text("changed\n")
    again = start(checkout, "list")
    assert again.stdout == "ran list\n"
    assert "installing" in again.stderr


def test_an_unfit_python_gets_one_line(checkout):
    give_python(checkout, "3.9.2", False)
    done = start(checkout, "list")
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert "needs Python 3.11, 3.12 or 3.13" in line
    assert "python3 (Python 3.9.2)" in line
    assert "python3.13 (not found)" in line


def test_the_real_rule_admits_this_python():
    text = (SCRIPTS / "environment.sh").read_text()
    rule = text.split("rule='")[1].split("'")[0]
    assert run(sys.executable, "-c", rule).returncode == 0
    for version, code in (
        ((3, 10), 1),
        ((3, 11), 0),
        ((3, 13), 0),
        ((3, 14), 1),
    ):
        faked = rule.replace("sys.version_info[:2]", str(version))
        assert run(sys.executable, "-c", faked).returncode == code


@pytest.mark.slow
def test_activations_are_measured():
    script = BENCHMARKS / "measure_activations.py"
    done = run(sys.executable, script, "--every", "200003")
    assert done.returncode == 0
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(row["function"], row["path"]) for row in rows] == [
        (function, path)
        for function in ("tanh", "sigmoid")
        for path in ("vectors", "remainders", "NumPy")
    ]
    # 21,475 patterns, of which some are infinite or NaN.
    assert all(21_000 < row["numbers"] < 21_475 for row in rows)
    assert all(0 < row["largest_error"] < 2**-21 for row in rows)


@pytest.mark.slow
def test_activations_are_measured_closely():
    script = BENCHMARKS / "measure_activations.py"
    done = run(sys.executable, script, "--every", "101")
    assert done.returncode == 0
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert all(row["numbers"] > 42_000_000 for row in rows)


@pytest.mark.slow
def test_the_peers_take_turns(tmp_path):
    """PyTorch and JAX are left out: they have their own environments."""
    sys.path.insert(0, str(BENCHMARKS))
    import comparison

    peers = [comparison.Peer(name) for name in ("keras_lstm", "stock_keras")]
    try:
        for job in ("train", "infer", "input", "feed", "call"):
            for peer in peers:
                assert peer.step_ms(job, "increment", 32, 4) > 0
                assert peer.first_seconds > 0
                assert peer.peak_mib() > 100
    finally:
        for peer in peers:
            peer.end()


def test_what_cannot_be_measured_is_said_and_left_out(
    monkeypatch, tmp_path, capsys
):
    sys.path.insert(0, str(BENCHMARKS))
    import comparison

    def environment_of(name):
        if name == "jax":
            raise subprocess.CalledProcessError(1, "pip")

    def download(task):
        raise InputError("`dataset` mnist was not found")

    monkeypatch.setattr(comparison, "environment_of", environment_of)
    monkeypatch.setattr(ImageRows, "_load", download)
    found = comparison.what_is_there(["torch", "jax"], comparison.PARTS)
    assert found == (["torch"], ["increment"])
    said = capsys.readouterr().err
    assert "jax is left out: no jax, optax, numpy" in said
    assert "image-rows is left out: `dataset` mnist was not found" in said
    # No data are needed for these.
    found = comparison.what_is_there([], ["stream", "check"])
    assert found == ([], ["increment", "image-rows"])
    assert not capsys.readouterr().err


def test_the_comparison_is_one_table():
    sys.path.insert(0, str(BENCHMARKS))
    import limits
    import rows

    ahead = limits.ahead_of("torch", "stock_keras")
    found = [
        rows.Row(
            *("a", "s", {"keras_lstm": 2.0, "stock_keras": 5.0}),
            *(3_000, limits.times(0.5, "stock_keras")),
        ),
        rows.Row("b", "MiB", {"keras_lstm": 1234.0, "torch": 0.5}, bar=ahead),
        rows.Row("c", "s", {"keras_lstm": 3.0}, bar=limits.at_most(2, "s")),
    ]
    assert rows.table(found, 1_000.0).splitlines()[2:] == [
        "| a | s | 2 | 5 |  | 2.50 | 3 | at most 0.5 x stock_keras: met |",
        "| b | MiB | 1,234 |  | 0.5 |  |  | "
        "ahead of torch and stock_keras: not measured |",
        "| c | s | 3 |  |  |  |  | at most 2 s: missed |",
    ]
    # The encoder of 10 symbols, and two layers of 32 units.
    assert limits.multiplications("increment", 1, training=False) == (
        20 * (4 * 32 * 42 + 4 * 32 * 64) + 32 * 40
    )


def test_turns_are_in_opposite_orders():
    sys.path.insert(0, str(BENCHMARKS))
    import comparison

    seen = []

    def measure(name, values):
        def next_value():
            seen.append(name)
            return values.pop()

        return next_value

    found = comparison.in_turns(
        {"a": measure("a", [3, 9, 1]), "b": measure("b", [5, 5, 7])}, 3
    )
    assert found == {"a": 3, "b": 5}
    assert seen == ["a", "b", "b", "a", "a", "b"]
