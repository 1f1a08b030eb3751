import sys

import pytest

from keras_lstm.core.errors import InputError
from keras_lstm.tasks.registry import TASKS, get_task, task_name

MODULE = """
import keras_lstm


class Negate(keras_lstm.TransducerTask):
    '''Two's complement: copy up to the first 1, then flip.'''

    name = "negate"
    next_state = ((0, 1), (1, 1))
    output = ((0, 1), (1, 0))


class Nameless(Negate):
    name = "no/name"


NOT_A_TASK = 3
"""
FAILING = ("raise OSError(3)", "def (", "import sys; sys.exit(3)")


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    (tmp_path / "own_tasks.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    yield "own_tasks"
    sys.modules.pop("own_tasks", None)


@pytest.mark.parametrize("name", TASKS)
def test_a_registered_task_is_found_by_its_name(name):
    assert get_task(name) is TASKS[name]
    assert task_name(TASKS[name]) == name


def test_a_task_of_ones_own_is_found(own_module):
    task = get_task(f"{own_module}:Negate")
    assert task.name == "negate"
    assert task_name(task) == "own_tasks:Negate"
    assert "" not in sys.path


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("incremnt", "`incremnt` is no task. Did you mean `increment`?"),
        ("own_tasks:Nothing", "no attribute 'Nothing'"),
        ("own_tasks:NOT_A_TASK", "must name a subclass"),
        ("no_such_module:Task", "No module named"),
        (":Task", "must be module:Class"),
        ("..:Task", "must be module:Class"),
        ("own_tasks:Nameless", "with name='no/name'"),
        ("keras_lstm:TransducerTask", "with name=None"),
        ("keras_lstm.tasks:Task", "with name=None"),
    ],
)
def test_an_unknown_task_is_refused(own_module, name, message):
    with pytest.raises(InputError, match=message):
        get_task(name)


@pytest.mark.parametrize("text", FAILING)
def test_a_module_that_fails_gets_one_line(own_module, tmp_path, text):
    (tmp_path / "failing.py").write_text(text)
    with pytest.raises(InputError, match="must be module:Class") as caught:
        get_task("failing:Task")
    assert "\n" not in str(caught.value)
    sys.modules.pop("failing", None)
