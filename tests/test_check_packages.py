"""scripts/check_packages.py, without installing anything."""

import importlib
import pathlib
import subprocess
import sys
import tomllib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts"))
check_packages = importlib.import_module("check_packages")


class Recorder:
    """An environment in which each command prints a text."""

    def __init__(self, text):
        self.text = text
        self.commands = []

    def run(self, command, codes=(0,)):
        self.commands.append((command, codes))
        return self.text


def test_each_extra_is_checked():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = {*project["optional-dependencies"]}
    assert {*check_packages.NAMES} == {"none", *extras}


def test_the_advice_of_a_message_is_tried():
    environment = Recorder(
        "keras-lstm: error: `x` needs y: pip install 'y<3,>=2'. Received: "
        "no such package\n"
    )
    check_packages._check_advice(environment, "keras-lstm x")
    assert environment.commands == [
        ("keras-lstm x", (2,)),
        ("python -m pip install --dry-run --quiet 'y<3,>=2'", (0,)),
    ]


@pytest.mark.parametrize("text", ["no advice\n", "pip install x\n", ""])
def test_a_message_without_advice_fails(text):
    with pytest.raises(check_packages.StepError, match=r"\$ keras-lstm x"):
        check_packages._check_advice(Recorder(text), "keras-lstm x")


def test_bad_usage_is_one_line():
    script = ROOT / "scripts" / "check_packages.py"
    done = subprocess.run(
        [sys.executable, script, "onnx", "tensorrt"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "check_packages: error: NAME must be one of none, extract, litert, "
        "onnx, mlflow, trackio, wandb, cuda. Received: tensorrt\n"
    )
