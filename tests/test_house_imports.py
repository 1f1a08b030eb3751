"""The checks of imports find what breaks their rules, and only that."""

import house
import pytest
from house_example import FILES, write_package

CHECKS = [
    house.find_imports_against_the_table,
    house.find_circle,
    house.find_untrusted_imports,
    house.find_heavy_imports,
    house.find_unix_imports,
    house.find_task_type_checks,
    house.find_unexplained_length,
    house.find_stray_file_names,
    house.find_misnamed,
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_nothing_is_found_in_a_package_that_obeys(tmp_path, check):
    assert check(write_package(tmp_path)) == []


@pytest.mark.parametrize(
    "line",
    [
        "import made_up.runs.folder",
        "import made_up.runs.folder as folder",
        "from made_up.runs import folder",
        "from ..runs import folder",
        "try:\n    import made_up.runs.folder\nexcept ImportError:\n    pass",
        "if TYPE_CHECKING:\n    from made_up.runs import folder",
        "def load():\n    from made_up.runs import folder",
        "class Loader:\n    def load(self):\n        from ..runs import folder",
        "importlib.import_module('made_up.runs.folder')",
        "import_module('..runs.folder', 'made_up.core')",
        "import_module(name='..runs.folder', package=__package__)",
        "print(__import__('made_up.runs.folder'))",
    ],
)
@pytest.mark.parametrize("suffix", [".py", ".pyi"])
def test_an_import_of_a_lower_room_is_found_wherever_it_is(
    tmp_path, line, suffix
):
    root = write_package(tmp_path, {f"core/seeds{suffix}": line})
    number = 1 + line[: line.index("runs")].count("\n")
    assert house.find_imports_against_the_table(root) == [
        f"made_up.core.seeds, line {number}, imports made_up.runs.folder: "
        "runs is below core"
    ]


def test_the_name_that_is_imported_is_said(tmp_path):
    files = {"presets.py": "from made_up.models.build import a, b as c"}
    root = write_package(tmp_path, files)
    assert house.find_imports_against_the_table(root) == [
        "made_up.presets, line 1, imports made_up.models.build.a: "
        "models is below config"
    ]


def test_each_room_may_import_those_before_it_in_the_table(tmp_path):
    def module(room):
        return "config" if room == "config" else f"{room}.each"

    everything = "".join(
        f"import made_up.{module(room)}\n" for room in house.ROOMS
    )
    names = [f"{module(room).replace('.', '/')}.py" for room in house.ROOMS]
    root = write_package(tmp_path, dict.fromkeys(names, everything))
    found = house.find_imports_against_the_table(root)
    assert sorted(line.rpartition(": ")[2] for line in found) == sorted(
        f"{lower} is below {room}"
        for index, room in enumerate(house.ROOMS)
        for lower in house.ROOMS[index + 1 :]
    )


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("import made_up", "made_up"),
        ("from made_up import make_a", "made_up.make_a"),
        ("from made_up import *", "made_up.*"),
        ("from .. import make_a", "made_up.make_a"),
        ("from made_up.errors import InputError", "made_up.errors.InputError"),
        ("import made_up.errors", "made_up.errors"),
        ("from made_up.tasks import Task", "made_up.tasks.Task"),
        ("from made_up import tasks", "made_up.tasks"),
        ("from made_up.gone import name", "made_up.gone.name"),
        (
            "import made_up.core.options; print(made_up.make_a())",
            "made_up.make_a",
        ),
    ],
)
def test_rooms_import_modules_of_rooms_and_nothing_else(tmp_path, line, name):
    root = write_package(tmp_path, {"cli/startup.py": line})
    assert house.find_imports_against_the_table(root) == [
        f"made_up.cli.startup, line 1, imports {name}: "
        "that is in no module of a room"
    ]


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("helpers/more.py", "", "helpers/ is no room of the table"),
        ("helpers/data.txt", "", "helpers/ is no room of the table"),
        ("seeds.py", "", "seeds.py is in no room of the table"),
        ("seeds.pyi", "", "seeds.pyi is in no room of the table"),
        # A folder of that name would hide it.
        ("training.py", "", "training.py is in no room of the table"),
        ("cli/parser.py", None, None),
        ("cli/__pycache__/old.pyc", "", None),
        ("helpers/__pycache__/old.pyc", "", None),
        ("config.py", None, "made_up has no module config"),
        (
            "errors.py",
            "class InputError(ValueError):\n    pass",
            "made_up.errors defines InputError: it should only re-export",
        ),
        (
            "__main__.py",
            "def main():\n    pass",
            "made_up.__main__ defines main: it should only re-export",
        ),
        ("__init__.py", "def __dir__():\n    return []", None),
    ],
)
def test_what_is_in_no_room_is_found(tmp_path, name, text, fault):
    files = {name: text, "presets.py": ""}
    root = write_package(tmp_path, files)
    found = house.find_imports_against_the_table(root)
    assert found == ([fault] if fault else [])


def test_a_missing_room_is_found(tmp_path):
    root = write_package(tmp_path, {"tuning/__init__.py": None})
    assert house.find_imports_against_the_table(root) == [
        "made_up has no folder tuning"
    ]


def test_a_thin_namespace_is_a_folder_without_modules(tmp_path):
    text = FILES["errors.py"]
    files = {"errors.py": None, "errors/__init__.py": text}
    root = write_package(tmp_path / "thin", files)
    assert house.find_imports_against_the_table(root) == []
    root = write_package(tmp_path / "thick", {**files, "errors/own.py": ""})
    assert house.find_imports_against_the_table(root) == [
        "made_up.errors.own is in no room of the table"
    ]


@pytest.mark.parametrize(
    "line",
    [
        "import made_up.core.b",
        "from . import b",
        "from made_up.core.b import name",
        "def load():\n    import made_up.core.b",
        "if TYPE_CHECKING:\n    import made_up.core.b",
    ],
)
def test_a_circle_of_imports_is_found(tmp_path, line):
    files = {
        "core/a.py": line,
        "core/b.py": "import made_up.core.c",
        "core/c.py": "import made_up.core.a",
    }
    (circle,) = house.find_circle(write_package(tmp_path, files))
    modules = circle.split(" imports ")
    assert modules[0] == modules[-1]
    doubled = " ".join(modules[:-1] * 2)
    assert "made_up.core.a made_up.core.b made_up.core.c" in doubled
    assert len(modules) == 4


def test_a_list_of_names_is_in_a_circle_only_with_what_imports_it(tmp_path):
    files = {"tasks/task.py": "import made_up.tasks\nclass Task:\n    pass"}
    (circle,) = house.find_circle(write_package(tmp_path, files))
    assert {*circle.split(" imports ")} == {
        "made_up.tasks",
        "made_up.tasks.task",
    }


@pytest.mark.parametrize(
    ("files", "chain"),
    [
        (
            {"proof/intervals.py": "def f():\n    from . import search"},
            ["intervals", "search"],
        ),
        (
            {"proof/propagation.py": "import made_up.proof.regularization"},
            ["propagation", "regularization"],
        ),
        (
            {
                "proof/certificate.py": "import made_up.proof.boxes",
                "proof/boxes.py": "from made_up.proof.search import name",
            },
            ["certificate", "boxes", "search"],
        ),
        (
            {
                "proof/certificate.py": "import made_up.proof.search.tree",
                "proof/search/__init__.py": "",
                "proof/search/tree.py": "",
            },
            ["certificate", "search.tree"],
        ),
    ],
)
def test_what_finds_proofs_is_found_below_what_checks_them(
    tmp_path, files, chain
):
    root = write_package(tmp_path, files)
    found = house.find_untrusted_imports(root)
    # Others that are trusted may import it in turn.
    assert " imports ".join(f"made_up.proof.{name}" for name in chain) in found
    assert {line.rpartition(".proof.")[2] for line in found} == {chain[-1]}


def test_the_list_of_names_of_proof_leads_to_all_of_it(tmp_path):
    files = {"proof/intervals.py": "from made_up.proof import find_proof"}
    found = house.find_untrusted_imports(write_package(tmp_path, files))
    assert (
        "made_up.proof.intervals imports made_up.proof "
        "imports made_up.proof.search"
    ) in found


@pytest.mark.parametrize("name", [*house.TRUSTED, *house.UNTRUSTED])
def test_a_renamed_module_of_proof_is_missed(tmp_path, name):
    root = write_package(tmp_path, {f"proof/{name}.py": None})
    found = house.find_untrusted_imports(root)
    assert found[0] == f"there is no module made_up.proof.{name}"


@pytest.mark.parametrize(
    ("files", "found"),
    [
        (
            {"core/seeds.py": "import os\nimport keras.layers"},
            "made_up.core.seeds brings in keras: "
            "made_up.core.seeds, line 2, imports keras",
        ),
        (
            {"core/seeds.py": "from scipy import stats"},
            "made_up.core.seeds brings in scipy: "
            "made_up.core.seeds, line 1, imports scipy",
        ),
        (
            {
                "config.py": "import made_up.models.build",
                "models/build.py": "import tensorflow as tf",
            },
            "made_up.config brings in tensorflow: made_up.config, line 1, "
            "imports made_up.models.build, line 1, imports tensorflow",
        ),
        (
            {
                "distribute/cluster.py": "try:\n    import sklearn\n"
                "except ImportError:\n    sklearn = None"
            },
            "made_up.distribute.cluster brings in sklearn: "
            "made_up.distribute.cluster, line 2, imports sklearn",
        ),
        (
            {"cli/parser.py": "def main():\n    import matplotlib.pyplot"},
            "--help brings in matplotlib: "
            "made_up.cli.parser, line 2, imports matplotlib",
        ),
        (
            {"__main__.py": "import keras_tuner"},
            "--help brings in keras_tuner: keras_tuner",
        ),
        (
            {"cli/parser.py": "def main():\n    raise SystemExit(2)"},
            "--help fails: SystemExit(2)",
        ),
        ({"__main__.py": ""}, "--help shows nothing"),
        (
            {"core/seeds.py": "raise KeyError('a seed')"},
            "made_up.core.seeds fails: KeyError('a seed')",
        ),
        ({"presets.py": None}, "there is no module made_up.presets"),
        (
            {"distribute/cluster.py": None},
            "there is no module made_up.distribute.cluster",
        ),
    ],
)
def test_what_makes_fast_modules_slow_is_found_and_blamed(
    tmp_path, files, found
):
    root = write_package(tmp_path, files)
    assert house.find_heavy_imports(root) == [found]


@pytest.mark.parametrize(
    "files",
    [
        {"core/options.py": "def load():\n    import keras"},
        {
            "core/options.py": "import importlib.util\n"
            "importlib.util.find_spec('tensorflow')"
        },
        {"models/build.py": "import keras"},
        {"runs/folder_report.py": "import keras"},
        {
            "cli/parser.py": "import sys\ndef main():\n"
            "    print('usage')\n    sys.exit()"
        },
    ],
)
def test_what_stays_fast_is_left_alone(tmp_path, files):
    assert house.find_heavy_imports(write_package(tmp_path, files)) == []


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("import fcntl", "fcntl"),
        ("def lock():\n    from fcntl import flock", "fcntl.flock"),
        ("import os, resource as limits", "resource"),
        ("try:\n    import pwd\nexcept ImportError:\n    pwd = None", "pwd"),
    ],
)
def test_what_only_unix_has_is_found(tmp_path, line, name):
    root = write_package(tmp_path, {"core/seeds.py": line})
    number = 1 + line[: line.index(name.partition(".")[0])].count("\n")
    assert house.find_unix_imports(root) == [
        f"made_up.core.seeds, line {number}, imports {name}, "
        "which only Unix has"
    ]
