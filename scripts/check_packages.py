"""Install the wheel into empty environments, and use it outside a checkout.

Command: python scripts/check_packages.py [--oldest] [NAME ...]

Each environment has the versions of constraints.txt, or with --oldest the lower
bounds of pyproject.toml: run it with the oldest Python then. `none` has no
extra: the commands of docs/index.md run, and what needs an extra names a
command of pip that can be carried out. The others have the extra of their name,
and run what it is for. `cuda` is only resolved. All are checked if none is
named; each takes 2.5 GB for the time of its check. Prints a row of a table per
environment. Exit code: 1 if anything failed, with what was printed; 2 for bad
usage.
"""

import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

from matrix import oldest_constraints

ROOT = pathlib.Path(__file__).parents[1]
# What users do, from an empty folder.
STEPS = {
    "list": "keras-lstm list",
    "train": "keras-lstm train image-rows --preset digits --run-dir digits "
    "--epochs 2 --quiet",
    "predict": "keras-lstm predict digits digit.png",
    "report": "keras-lstm report digits",
}
_PICTURE = "from PIL import Image; Image.new('L', (8, 8)).save('digit.png')"
_ADDER = (
    "keras-lstm train increment --preset increment-noise --num-bits 6 "
    "--epochs 2 --quiet --run-dir adder"
)
# What each extra is for.
EXTRAS = {
    "extract": "keras-lstm extract adder",
    "litert": "keras-lstm export digits --format litert",
    "onnx": "keras-lstm export digits --format onnx",
    **{
        name: f"{_ADDER}-{name} --track {name}"
        for name in ("mlflow", "trackio", "wandb")
    },
}
# `extract` may find that the network is wrong, and says so with 1.
_ANSWERS = {"extract": (0, 1)}
NAMES = ("none", *EXTRAS, "cuda")


class StepError(Exception):
    """A command that did not do as it should."""


class Environment:
    """An empty environment, and an empty folder to use it from.

    Args:
        folder: path of a folder for both.
        constraints: path of the constraints for pip.
    """

    def __init__(self, folder: pathlib.Path, constraints: pathlib.Path) -> None:
        self.folder = folder / "work"
        self.folder.mkdir()
        self._bin = folder / "venv" / "bin"
        self._environment = {
            name: value
            for name, value in os.environ.items()
            if name not in ("PYTHONPATH", "KERAS_LSTM_SCRIPT", "VIRTUAL_ENV")
        } | {
            "PATH": f"{self._bin}:{os.environ['PATH']}",
            # Trackers write into the folder.
            "WANDB_MODE": "offline",
            "TRACKIO_DIR": str(folder / "trackio"),
        }
        subprocess.run(
            [sys.executable, "-m", "venv", self._bin.parent], check=True
        )
        pins = shlex.quote(str(constraints))
        self._pip = f"python -m pip --quiet install --constraint {pins}"
        self.run(f"{self._pip} pip")

    def install(self, requirement: str) -> None:
        """Install a package, with versions of the constraints.

        Args:
            requirement: what pip gets.
        """
        self.run(f"{self._pip} {shlex.quote(requirement)}")

    def run(self, command: str, codes: tuple[int, ...] = (0,)) -> str:
        """Run a command.

        Args:
            command: the command.
            codes: the exit codes that are right.

        Returns:
            What it printed.

        Raises:
            StepError: if it ends with another exit code.
        """
        done = subprocess.run(
            shlex.split(command),
            cwd=self.folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode not in codes:
            raise StepError(f"$ {command}\n{done.stdout}")
        return done.stdout


def check(name: str, wheel: pathlib.Path, constraints: pathlib.Path) -> str:
    """Check an environment.

    Args:
        name: a name in `NAMES`.
        wheel: path of the wheel.
        constraints: path of the constraints for pip.

    Returns:
        What was shown, for the table.

    Raises:
        StepError: if a command did not do as it should.
    """
    with tempfile.TemporaryDirectory() as folder:
        environment = Environment(pathlib.Path(folder), constraints)
        if name == "cuda":
            environment.run(
                f"python -m pip install --dry-run --quiet '{wheel}[cuda]'"
            )
            return "resolves"
        environment.install(
            f"{wheel}[{name}]" if name in EXTRAS else str(wheel)
        )
        environment.run(f"python -c {shlex.quote(_PICTURE)}")
        for command in STEPS.values():
            environment.run(command)
        environment.run(_ADDER)
        if name in EXTRAS:
            said = environment.run(EXTRAS[name], _ANSWERS.get(name, (0,)))
            if "Traceback" in said:
                raise StepError(f"$ {EXTRAS[name]}\n{said}")
            return f"`{EXTRAS[name]}`"
        for command in EXTRAS.values():
            _check_advice(environment, command)
        return f"advice for {', '.join(EXTRAS)}"


def _check_advice(environment: Environment, command: str) -> None:
    """Run what needs an extra without it, and try what the message advises.

    Args:
        environment: an environment without the extra.
        command: a command that needs it.

    Raises:
        StepError: if the message is not one line, or its command fails.
    """
    said = environment.run(command, (2,))
    advice = re.search(r"(pip install .+)\. Received: ", said)
    if advice is None or said.count("\n") != 1:
        raise StepError(f"$ {command}\n{said}")
    tried = advice[1].replace("install", "install --dry-run --quiet", 1)
    environment.run(f"python -m {tried}")


def main() -> None:
    """Check the environments that are named.

    Raises:
        SystemExit: with 1 if one failed, with 2 for bad usage.
    """
    names = sys.argv[1:]
    oldest = names[:1] == ["--oldest"]
    names = names[oldest:] or [*NAMES]
    for name in names:
        if name not in NAMES:
            print(
                f"check_packages: error: NAME must be one of "
                f"{', '.join(NAMES)}. Received: {name}",
                file=sys.stderr,
            )
            sys.exit(2)
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        build = [sys.executable, ROOT / "scripts/build_packages.py", folder]
        subprocess.run(build, check=True)
        (wheel,) = pathlib.Path(folder).glob("*.whl")
        constraints = ROOT / "constraints.txt"
        if oldest:
            constraints = pathlib.Path(folder) / "oldest.txt"
            constraints.write_text(oldest_constraints())
        print(f"| extra | {', '.join(STEPS)} | what it is for |")
        print("| --- | --- | --- |")
        for name in names:
            try:
                shown = check(name, wheel, constraints)
            except StepError as error:
                failed.append(name)
                print(f"| {name} | FAILED | |", flush=True)
                print(error, file=sys.stderr, flush=True)
            else:
                steps = "" if name == "cuda" else "yes"
                print(f"| {name} | {steps} | {shown} |", flush=True)
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
