"""The package is imported where modules of Unix are missing."""

import json
import pathlib
import subprocess
import sys

import house
import pytest

PACKAGE = pathlib.Path(__file__).parents[1] / "keras_lstm"
CODE = """
import importlib, json, sys

missing, names = json.loads(sys.argv[1])
for name in missing:
    sys.modules.pop(name, None)

class Wall:
    def find_spec(self, name, path=None, target=None):
        if name in missing:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Wall())
for name in names:
    importlib.import_module(name)
print(len(names), "tensorflow" in sys.modules)
"""


def import_without(missing, names):
    """Return the number of modules, and whether TensorFlow was loaded."""
    done = subprocess.run(
        [sys.executable, "-c", CODE, json.dumps([missing, names])],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def module_names():
    names = [each.name for each in house.read_modules(PACKAGE)]
    return [name for name in names if not name.endswith("__main__")]


def test_light_modules_need_no_unix():
    light = tuple(f"keras_lstm.{name}" for name in house.LIGHT)
    names = [
        name
        for name in module_names()
        if name.startswith(light) and name != "keras_lstm.tasks.datasets"
    ]
    assert len(names) > 60
    count, has_tensorflow = import_without(house.UNIX, ["keras_lstm", *names])
    assert int(count) == len(names) + 1
    assert has_tensorflow == "False"


@pytest.mark.slow
def test_no_module_needs_unix():
    names = module_names()
    assert import_without(house.UNIX, names) == [str(len(names)), "True"]
