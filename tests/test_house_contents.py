"""The checks of contents find what breaks their rules, and only that."""

import house
import pytest
from house_example import FILES, write_package

IMPORTS = "from typing import cast\nfrom made_up.tasks.rows import Rows\n"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("isinstance(task, Rows)", ["Rows"]),
        ("issubclass(type(task), Rows)", ["Rows"]),
        ("not isinstance(task, (int, Rows))", ["Rows"]),
        ("isinstance(task, int | Rows)", ["Rows"]),
        ("isinstance(task, made_up.tasks.task.Task)", ["Task"]),
        ("isinstance(task, (Add, *(int, Rows)))", ["Add", "Rows"]),
        ("isinstance(task, Add if wide else Rows)", ["Add", "Rows"]),
        ("builtins.isinstance(task, _Grid)", ["_Grid"]),
        ("KINDS = (int, Rows); isinstance(task, KINDS)", ["Rows"]),
        ("isinstance(task, KIND)\nKIND: type = SAME\nSAME = Rows", ["Rows"]),
        ("cast(Rows, task)", ["Rows"]),
        ("cast('Rows', task)", ["Rows"]),
        ("cast('list[Rows] | None', tasks)", ["Rows"]),
        ("cast(type[Rows], task)", ["Rows"]),
        ("typing.cast(typ=Rows, val=task)", ["Rows"]),
        ("from typing import cast as be; be(Rows, task)", ["Rows"]),
        ("from made_up.tasks.add import Add as A; isinstance(t, A)", ["Add"]),
        ("import made_up.tasks.add as a; isinstance(t, a.Add)", ["Add"]),
        ("type(task) is Rows", ["Rows"]),
        ("Rows is not type(task)", ["Rows"]),
        ("type(task) in (int, Rows)", ["Rows"]),
        ("task.__class__ == Rows", ["Rows"]),
        ("match task:\n    case int() | Rows():\n        pass", ["Rows"]),
        ("match task:\n    case [Rows(width=3)]:\n        pass", ["Rows"]),
        ("def f(task):\n    return isinstance(task, Rows)", ["Rows"]),
    ],
)
def test_asking_for_the_class_of_a_task_is_found(tmp_path, text, names):
    root = write_package(tmp_path, {"training/train.py": IMPORTS + text})
    found = house.find_task_type_checks(root)
    assert [line.rpartition(" ")[2] for line in found] == names
    assert all(
        line.startswith("made_up.training.train, line ") for line in found
    )


@pytest.mark.parametrize(
    "text",
    [
        "isinstance(task, int)",
        "isinstance(Rows, type)",
        "task: Rows = Rows()",
        "type(task) is type(other)",
        "task == Rows",
        "tf.cast(task, tf.int32)",
        "cast('Any', Rows)",
        "cast('no type', task)",
        # Keras has a layer of that name.
        "import keras; isinstance(layer, keras.layers.Add)",
        "from keras.layers import Add; isinstance(layer, Add)",
        "class Add:\n    pass\nisinstance(x, Add)",
    ],
)
def test_asking_for_another_class_is_no_matter(tmp_path, text):
    root = write_package(tmp_path, {"training/train.py": IMPORTS + text})
    assert house.find_task_type_checks(root) == []


def test_tasks_may_ask_and_have_to_be_there(tmp_path):
    text = FILES["tasks/task.py"]
    files = {"tasks/task.py": f"{text}isinstance(Task(), Task)"}
    root = write_package(tmp_path / "asking", files)
    assert house.find_task_type_checks(root) == []
    files = {"tasks/task.py": text.replace("Task", "Thing")}
    root = write_package(tmp_path / "renamed", files)
    assert house.find_task_type_checks(root) == [
        "there is no class Task, so none is asked for"
    ]


def function(num_lines, indent=""):
    """A function of so many lines."""
    lines = ["def long():", *["    pass"] * (num_lines - 1)]
    return "".join(f"{indent}{line}\n" for line in lines)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (function(80), []),
        (function(81), ["made_up.core.a.long has 81 lines"]),
        ("async " + function(81), ["made_up.core.a.long has 81 lines"]),
        (
            "class Wide:\n" + function(81, "    "),
            ["made_up.core.a.long has 81 lines"],
        ),
        (
            "def outer():\n    x = 1\n" + function(79, "    "),
            ["made_up.core.a.outer has 81 lines"],
        ),
        (
            "if True:\n" + function(81, "    "),
            ["made_up.core.a.long has 81 lines"],
        ),
        ("# Long because it is a table.\n" + function(81), []),
        ("# Long because it is\n# a table.\n" + function(81), []),
        ("# Long because it is.\n@cache\n" + function(81), []),
        ("@cache\n# Long because it is.\n" + function(81), []),
        ("# Long because it is.\n@a\n@b(1)\n" + function(81), []),
        (
            "class Wide:\n    # Long because it is.\n" + function(81, "    "),
            [],
        ),
        (
            "# Long because\n" + function(81),
            ["made_up.core.a.long has 81 lines"],
        ),
        (
            "# Long because it is.\n\n" + function(81),
            ["made_up.core.a.long has 81 lines"],
        ),
        (
            function(81) + "# Long because it is.\n" + function(81),
            ["made_up.core.a.long has 81 lines"],
        ),
        ("x = 1\n" * 450, []),
        ("x = 1\n" * 451, ["made_up.core.a has 451 lines"]),
        ('"""Doc."""\n# Long because it is.\n' + "x = 1\n" * 451, []),
        ('"""Doc.\n"""\n\n# Long because it is.\n' + "x = 1\n" * 451, []),
        ("# Long because it is.\n" + "x = 1\n" * 451, []),
        (
            '"""Doc."""\nx = 1\n# Long because it is.\n' + "x = 1\n" * 451,
            ["made_up.core.a has 454 lines"],
        ),
        (
            '"""\n# Long because it is.\n"""\n' + "x = 1\n" * 451,
            ["made_up.core.a has 454 lines"],
        ),
    ],
)
def test_length_without_a_reason_is_found(tmp_path, text, found):
    root = write_package(tmp_path, {"core/a.py": text})
    assert house.find_unexplained_length(root) == found


@pytest.mark.parametrize("name", house.RUN_FILES)
def test_the_name_of_a_run_file_belongs_into_one_module(tmp_path, name):
    files = {"runs/report.py": f"\npath = run_dir / '{name}'"}
    root = write_package(tmp_path / "literal", files)
    fault = f"made_up.runs.report, line 2, names {name}"
    assert house.find_stray_file_names(root) == [fault]
    others = [other for other in house.RUN_FILES if other != name]
    files = {"runs/folder.py": f"NAMES = {others}"}
    root = write_package(tmp_path / "lost", files)
    assert house.find_stray_file_names(root) == [
        f"made_up.runs.folder does not name {name}"
    ]


@pytest.mark.parametrize(
    ("text", "num_found"),
    [
        ("open(f'{run_dir}/proof.json')", 1),
        ("open(f'proof.json{suffix}')", 1),
        ("open('logs/run/proof.json')", 1),
        ("glob('*/proof.json'), glob('*/report.json')", 2),
        ("FILES: Literal['proof.json']", 1),
        ("def f(name='proof.json'):\n    pass", 1),
        ('"""proof.json"""', 0),
        ("def f():\n    'proof.json'", 0),
        ("add(help='writes it to proof.json')", 0),
        ("print(f'{run_dir} has no proof.json')", 0),
        ("print('`proof.json` is damaged')", 0),
        ("print('look at runs/proof.json')", 0),
        ("open('proof.jsonl'), open('my-proof.json')", 0),
        ("import checkpoints\ncheckpoints.proof = proof.json", 0),
        ("b'proof.json'", 0),
    ],
)
def test_literal_names_are_found_and_sentences_are_not(
    tmp_path, text, num_found
):
    root = write_package(tmp_path, {"training/train.py": text})
    assert len(house.find_stray_file_names(root)) == num_found


def changed(name, old, new):
    """The file with something in it replaced."""
    assert old in FILES[name]
    return {name: FILES[name].replace(old, new)}


LAZY = FILES["tasks/__init__.py"]
TASKS = FILES["tasks/__init__.pyi"]
NOT_THE_FORM = (
    "__init__.pyi of made_up.tasks, line 2, is not of the form "
    "`from .module import Name as Name`"
)


@pytest.mark.parametrize(
    ("files", "found"),
    [
        (
            {"tasks/__init__.pyi": f"{TASKS}from .rows import Rows\n"},
            [
                NOT_THE_FORM,
                "dir(made_up.tasks) also has Rows",
                "made_up.tasks.__all__ also has Rows",
            ],
        ),
        (
            {"tasks/__init__.pyi": f"{TASKS}class More: ...\n"},
            [NOT_THE_FORM],
        ),
        (
            {"tasks/__init__.pyi": f"{TASKS}from .task import Task as Kind"},
            [NOT_THE_FORM],
        ),
        (
            {
                "models/__init__.py": LAZY,
                "models/__init__.pyi": "from .build import Loss as Loss\n"
                "from .build import Metric",
            },
            [
                NOT_THE_FORM.replace("tasks", "models"),
                "dir(made_up.models) also has Metric",
                "made_up.models.__all__ also has Metric",
            ],
        ),
        (
            {"tasks/__init__.pyi": TASKS + TASKS},
            ["made_up.tasks lists Task twice"],
        ),
        (
            changed("tasks/__init__.pyi", ".task ", ".more ")
            | {"tasks/more.py": "from .task import Task\nsame = Task"},
            ["made_up.tasks: made_up.tasks.more does not define Task"],
        ),
        (
            changed("tasks/__init__.pyi", ".task ", ".gone "),
            [
                "made_up.tasks: made_up.tasks.gone does not define Task",
                "made_up.tasks.Task does not resolve: ModuleNotFoundError"
                "(\"No module named 'made_up.tasks.gone'\")",
            ],
        ),
        (
            changed("tasks/task.py", "Task", "Thing")
            | {"tasks/rows.py": "", "tasks/add.py": "", "config.py": ""},
            [
                "made_up.tasks: made_up.tasks.task does not define Task",
                "made_up.tasks.Task does not resolve: AttributeError"
                "(\"module 'made_up.tasks.task' has no attribute 'Task'\")",
            ],
        ),
        (
            {"tasks/__init__.py": f"{LAZY}Task = 1"},
            ["made_up.tasks.Task is not what made_up.tasks.task has"],
        ),
        (
            {"tasks/__init__.py": f"{LAZY}NAMES = ['Task']"},
            ["made_up.tasks lists Task besides its stub"],
        ),
        (
            {"tasks/__init__.py": f"{LAZY}if 0:\n    from .task import Task"},
            ["made_up.tasks lists Task besides its stub"],
        ),
        (
            {"tasks/__init__.py": ""},
            [
                "dir(made_up.tasks) lacks Task",
                "made_up.tasks.__all__ lacks Task",
                "made_up.tasks.Task does not resolve: AttributeError"
                "(\"module 'made_up.tasks' has no attribute 'Task'\")",
            ],
        ),
        (
            {"tasks/__init__.py": f"{LAZY}__all__ += __all__"},
            ["made_up.tasks.__all__ has a name twice"],
        ),
        (
            {"callbacks/__init__.pyi": None, "callbacks/__init__.py": ""},
            ["made_up.callbacks has no stub that lists its names"],
        ),
        (
            {"losses.py": None},
            [
                "made_up: made_up does not define losses",
                "made_up.losses has no stub that lists its names",
                "made_up does not list the namespace losses",
                "made_up.losses does not resolve: ModuleNotFoundError"
                "(\"No module named 'made_up.losses'\")",
            ],
        ),
        (
            {"losses.py": FILES["losses.py"] + "import os\n"},
            [
                "dir(made_up.losses) also has os",
                "made_up.losses.__all__ also has os",
            ],
        ),
        (
            {"losses.py": FILES["losses.py"] + "raise KeyError(1)"},
            [
                "made_up.losses cannot be imported: KeyError(1)",
                "made_up.losses does not resolve: KeyError(1)",
            ],
        ),
        (
            changed("__init__.pyi", "from . import proof as proof\n", ""),
            ["made_up does not list the namespace proof"],
        ),
        (
            changed(
                "__init__.pyi",
                "from .models.build import make_a as make_a\n",
                "",
            ),
            ["made_up has 14 names at the top"],
        ),
        # A name that a module of the same name takes when it is imported.
        (
            {
                "callbacks/__init__.pyi": "from .stop import stop as stop\n"
                "from .start import Start as Start\n",
                "callbacks/stop.py": "def stop():\n    pass\n",
                "callbacks/start.py": "import made_up.callbacks.stop\n"
                "Start = 1\n",
            },
            ["made_up.callbacks.stop is not what made_up.callbacks.stop has"],
        ),
    ],
)
def test_public_names_that_are_not_as_listed_are_found(tmp_path, files, found):
    assert house.find_misnamed(write_package(tmp_path, files)) == found


@pytest.mark.parametrize(
    ("letters", "found"),
    [
        ("pqrstuvwxy", []),
        ("pqrstuvwxyz", ["made_up has 26 names at the top"]),
    ],
)
def test_there_are_25_names_and_the_version_at_the_top_at_most(
    tmp_path, letters, found
):
    more = [f"make_{letter}" for letter in letters]
    version = "from .core.version import __version__ as __version__\n"
    files = {
        "core/version.py": "__version__ = '1'",
        "models/build.py": f"{' = '.join(more)} = {FILES['models/build.py']}",
        "__init__.py": FILES["__init__.py"] + version,
        "__init__.pyi": FILES["__init__.pyi"]
        + version
        + "".join(f"from .models.build import {n} as {n}\n" for n in more),
    }
    assert house.find_misnamed(write_package(tmp_path, files)) == found


def test_a_stub_may_stand_beside_a_module(tmp_path):
    files = {
        "losses.py": LAZY,
        "losses.pyi": "from made_up.models.build import Loss as Loss\n",
    }
    assert house.find_misnamed(write_package(tmp_path, files)) == []
