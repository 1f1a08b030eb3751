"""A small package that obeys every rule of tests/house.py."""

import house

_LAZY_NAMES = """
import ast
import importlib
import pathlib

def attach(package, file):
    stub = pathlib.Path(file).with_suffix(".pyi").read_text()
    sources = {
        alias.name: "." * node.level + (node.module or "")
        for node in ast.parse(stub).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }

    def get(name):
        if name not in sources:
            raise AttributeError(name)
        if sources[name] == ".":
            return importlib.import_module(f".{name}", package)
        return getattr(importlib.import_module(sources[name], package), name)

    return get, lambda: sorted(sources), sorted(sources)
"""
_LAZY = """
from made_up.core.names import attach
__getattr__, __dir__, __all__ = attach(__name__, __file__)
"""
_TOP_NAMES = [f"make_{letter}" for letter in "abcdefghijklmno"]

FILES = {f"{room}/__init__.py": "" for room in house.ROOMS if room != "config"}
FILES |= {
    "__init__.py": _LAZY,
    "__init__.pyi": "".join(
        [f"from . import {name} as {name}\n" for name in house.NAMESPACES]
        + [f"from .models.build import {n} as {n}\n" for n in _TOP_NAMES]
    ),
    "__main__.py": "from made_up.cli.parser import main\nmain()\n",
    "errors.py": "from made_up.core.options import InputError as InputError\n",
    "losses.py": "from made_up.models.build import Loss as Loss\n",
    "metrics.py": "from made_up.models.build import Metric as Metric\n",
    "testing.py": "from made_up.models.build import check as check\n",
    "config.py": "from made_up.tasks.task import Task\n",
    "config_file.py": "",
    "config_rules.py": "",
    "presets.py": "import made_up.config\n",
    "core/names.py": _LAZY_NAMES,
    "core/options.py": "class InputError(ValueError):\n    pass\n",
    "tasks/__init__.py": _LAZY,
    "tasks/__init__.pyi": "from .task import Task as Task\n",
    "tasks/task.py": "from ..core import options\nclass Task:\n    pass\n",
    "tasks/rows.py": "from typing import Generic, TypeVar\n"
    "from made_up.tasks.task import Task as Base\n"
    "T = TypeVar('T')\nclass Rows(Base, Generic[T]):\n    pass\n",
    "tasks/add.py": "import made_up.tasks.rows as rows\n"
    "class _Grid(rows.Rows[int]):\n    pass\nclass Add(_Grid):\n    pass\n",
    "tasks/datasets.py": "import keras\n",
    "models/build.py": " = ".join(
        [*_TOP_NAMES, "Loss", "Metric", "check", "len\n"]
    ),
    "distribute/__init__.py": _LAZY,
    "distribute/__init__.pyi": "from .cluster import Cluster as Cluster\n",
    "distribute/cluster.py": "class Cluster:\n    pass\n",
    "proof/__init__.py": _LAZY,
    "proof/__init__.pyi": "from .certificate import Proof as Proof\n"
    "from .search import find_proof as find_proof\n",
    "proof/certificate.py": "from made_up.proof.intervals import step\n"
    "from made_up.proof.propagation import walk\nProof = step\n",
    "proof/affine.py": "import made_up.proof.intervals\n",
    "proof/ellipsoids.py": "import made_up.proof.affine\n",
    "proof/partition.py": "import made_up.proof.intervals\n",
    "proof/ellipsoid_search.py": "import made_up.proof.partition\n",
    "proof/intervals.py": "def step():\n    pass\n",
    "proof/proof_json.py": "import json\n",
    "proof/propagation.py": "walk: int = 1\n",
    "proof/regularization.py": "import made_up.proof.intervals\n",
    "proof/subject.py": "import made_up.proof.proof_json\n",
    "proof/search.py": "from made_up.proof import certificate\n"
    "find_proof = certificate.Proof\n",
    "callbacks/__init__.py": _LAZY,
    "checkpoint/__init__.py": _LAZY,
    "checkpoint/__init__.pyi": "from .stop import Stop as Stop\n",
    "checkpoint/stop.py": "class Stop:\n    pass\n",
    "models/__init__.py": _LAZY,
    "models/__init__.pyi": "from .layers import Layer as Layer\n",
    "models/layers.py": "class Layer:\n    pass\n",
    "monitoring/__init__.py": _LAZY,
    "monitoring/__init__.pyi": "from .points import Points as Points\n",
    "monitoring/points.py": "class Points:\n    pass\n",
    "callbacks/__init__.pyi": "from .stop import Stop as Stop\n",
    "callbacks/stop.py": "import made_up.models.build\nclass Stop:\n    pass\n",
    "runs/folder.py": f"NAMES = {house.RUN_FILES}\n",
    "runs/table.py": "",
    "runs/compare_text.py": "",
    "cli/parser.py": "from made_up.runs import folder\n"
    "def main():\n    print('usage')\n",
}


def write_package(folder, files=None):
    """Write the package with other files in it; None removes one.

    Returns:
        The folder of the package.
    """
    root = folder / "made_up"
    for name, text in (FILES | (files or {})).items():
        if text is not None:
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return root
