"""Run the quick tests in environments of their own, in .matrix/NAME.

Command: scripts/test --matrix [NAME ...] [-- PYTEST_ARGUMENT ...]

`python3.11`, `python3.12` and `python3.13` have the versions of
constraints.txt; `oldest` has the lower bounds of pyproject.toml, on the oldest
Python; `newest` has the newest versions that pyproject.toml allows, on the
newest Python, and is installed anew each time. All run if none is named. One
line per environment is printed; what pytest prints is in .matrix/NAME.log.
Exit code: 1 if an environment failed, 2 for bad usage.
"""

import itertools
import pathlib
import re
import shutil
import subprocess
import sys
import tomllib
from typing import NamedTuple

ROOT = pathlib.Path(__file__).parents[1]
FOLDER = ROOT / ".matrix"
_INSTALL = """
set -euo pipefail
root=$1
source scripts/environment.sh
venv=$2 constraints=$3 KERAS_LSTM_PYTHON=$4
ensure_environment dev
"""
_VERSIONS = """
import importlib.metadata, platform
found = [f"Python {platform.python_version()}"]
for name in ("TensorFlow", "Keras", "NumPy"):
    found.append(f"{name} {importlib.metadata.version(name)}")
print(*found, sep=", ")
"""


class Environment(NamedTuple):
    """An environment to test in.

    Attributes:
        python: the command of its Python.
        constraints: path of its constraints, from the root.
        arguments: arguments for pytest.
    """

    python: str
    constraints: str
    arguments: tuple[str, ...] = ()


# Old versions of packages use what newer versions of others deprecate.
_DEPRECATED = ("-W", "ignore::DeprecationWarning")
ENVIRONMENTS = {
    "python3.11": Environment("python3.11", "constraints.txt"),
    "python3.12": Environment("python3.12", "constraints.txt"),
    "python3.13": Environment("python3.13", "constraints.txt"),
    "oldest": Environment("python3.11", ".matrix/oldest.txt", _DEPRECATED),
    "newest": Environment("python3.13", ".matrix/newest.txt"),
}


def oldest_constraints() -> str:
    """Return constraints to the lower bounds of what users install.

    Returns:
        A line per direct dependency, and per tool of developers, which has the
        version of constraints.txt. What these require is not constrained.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    pinned = (ROOT / "constraints.txt").read_text()
    required = itertools.chain(
        project["project"]["dependencies"],
        *project["project"]["optional-dependencies"].values(),
    )
    lines = []
    for each in required:
        name, bound = re.fullmatch(
            r"([\w.-]+)(?:\[.+\])?>=([\d.]+),<[\d.]+", each
        ).groups()
        lines.append(f"{name}=={bound}")
    users = {line.partition("==")[0] for line in lines}
    tools = [
        re.match(r"[\w.-]+", each)[0]
        for group in project["dependency-groups"].values()
        for each in group
        if isinstance(each, str)
    ]
    pins = dict(re.findall(r"^([\w.-]+)==(\S+)$", pinned.lower(), re.M))
    pins = {name.replace("_", "-"): version for name, version in pins.items()}
    lines += [f"{name}=={pins[name]}" for name in {*tools} - users]
    return "".join(f"{line}\n" for line in sorted({*lines}))


def summarize(output: str) -> str:
    """Return what pytest counted, from its summary.

    Args:
        output: all that pytest printed, and its processes after it.

    Returns:
        For example "1 failed, 20 passed in 3.21s".
    """
    found = re.findall(
        r"^=*\s*(\d[\d,]* (?:failed|passed|skipped|error).* in [\d.]+s)\b",
        output,
        re.M,
    )
    return found[-1] if found else "no result"


def test(name: str, arguments: list[str]) -> bool:
    """Install an environment, run the tests in it, and print a line.

    Args:
        name: a name in `ENVIRONMENTS`.
        arguments: further arguments for pytest.

    Returns:
        Whether all tests passed.
    """
    python, constraints, chosen = ENVIRONMENTS[name]
    venv, log = FOLDER / name, FOLDER / f"{name}.log"
    if name == "newest":
        shutil.rmtree(venv, ignore_errors=True)
    install = ["bash", "-c", _INSTALL, "bash", ROOT, venv, constraints, python]
    if subprocess.run(install, cwd=ROOT, check=False).returncode:
        print(f"{name}: not installed", flush=True)
        return False
    versions = subprocess.run(
        [venv / "bin" / "python", "-c", _VERSIONS],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    print(f"{name}: testing; see .matrix/{log.name}", file=sys.stderr)
    command = [
        *("bash", "-c", 'export PATH="$1/bin:$PATH"; exec pytest "${@:2}"'),
        *("bash", venv, "-m", "not slow", "--numprocesses", "2"),
        *("--dist", "loadfile", "-o", f"cache_dir={venv / 'cache'}"),
        *chosen,
        *arguments,
    ]
    with log.open("w") as file:
        done = subprocess.run(
            command, cwd=ROOT, stdout=file, stderr=file, check=False
        )
    counts = summarize(log.read_text())
    print(f"{name}: {versions.stdout.strip()}: {counts}", flush=True)
    return not done.returncode


def main() -> None:
    """Test in the environments that are named.

    Raises:
        SystemExit: with 1 if one failed, with 2 for bad usage.
    """
    names, arguments = sys.argv[1:], []
    if "--" in names:
        place = names.index("--")
        names, arguments = names[:place], names[place + 1 :]
    names = names or [*ENVIRONMENTS]
    for name in names:
        if name not in ENVIRONMENTS:
            fail(f"NAME must be one of {', '.join(ENVIRONMENTS)}", name)
        python = ENVIRONMENTS[name].python
        if not runs(python):
            fail(f"{python} must be on PATH for {name}", "none that runs")
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "oldest.txt").write_text(oldest_constraints())
    # Dependency groups need it.
    (FOLDER / "newest.txt").write_text("pip>=25.1\n")
    passed = [test(name, arguments) for name in names]
    sys.exit(not all(passed))


def runs(python: str) -> bool:
    """Return whether a command is a Python that runs."""
    if not shutil.which(python):
        return False
    # The commands of a version manager are there for Pythons that are not.
    done = subprocess.run([python, "-V"], capture_output=True, check=False)
    return not done.returncode


def fail(rule: str, received: str) -> None:
    """Print what is wrong with the command, and exit with 2.

    Args:
        rule: what must be so.
        received: what was found.

    Raises:
        SystemExit: always.
    """
    print(f"test: error: {rule}. Received: {received}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
