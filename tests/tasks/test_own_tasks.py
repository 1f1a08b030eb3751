"""What a task of one's own may do, and may do wrong."""

import dataclasses
import sys

import numpy as np
import pytest

from keras_lstm.core.errors import InputError
from keras_lstm.presets import get_preset
from keras_lstm.proof.subject import tables_of
from keras_lstm.tasks.increment import Increment
from keras_lstm.tasks.make import make_splits
from keras_lstm.tasks.registry import get_task
from keras_lstm.tasks.task import Split, Splits
from keras_lstm.tasks.transducer import TransducerTask


class Arrays(TransducerTask):
    name = "arrays"
    next_state = np.array([[1, 0], [1, 1]], np.uint8)
    output = np.array([[1, 0], [0, 1]])
    domain_states = np.array([1])


class Lists(TransducerTask):
    name = "lists"
    next_state = [np.array([1, 0]), [np.int64(1), 1]]  # noqa: RUF012
    output = ((1, 0), np.array([0, 1]))
    domain_states = (1,)


@pytest.mark.parametrize("cls", [Arrays, Lists])
def test_tables_may_be_arrays(cls):
    task, expected = cls(num_bits=5), Increment(num_bits=5)
    assert tables_of(task) == tables_of(expected)
    assert task.num_classes == 2
    assert type(task.num_classes) is int
    assert task.num_inputs() == expected.num_inputs() == 31
    symbols = task.symbols_of(np.arange(31))
    np.testing.assert_array_equal(
        task.targets(symbols), expected.targets(symbols)
    )
    config = get_preset("increment").replace(cls, num_bits=5)
    assert config.task == task
    assert hash(config.task) == hash(task)


@pytest.mark.parametrize(
    "values",
    [
        {"next_state": np.zeros((2, 2))},
        {"next_state": np.zeros((2, 2, 2), int)},
        {"output": np.array([[1, 0], [0, 2**20]])},
        {"domain_states": np.array([2])},
        {"domain_states": 1},
        {"domain_states": [[1]]},
    ],
)
def test_arrays_that_are_no_tables_are_refused(values):
    cls = type("Wrong", (Arrays,), values)
    with pytest.raises(InputError, match="must be tables of the same shape"):
        cls()


def test_a_machine_that_writes_one_symbol_is_not_learned():
    cls = type("Zeros", (Arrays,), {"output": np.zeros((2, 2), int)})
    with pytest.raises(InputError, match="at least two different symbols"):
        get_preset("increment").replace(cls, num_bits=5)


@dataclasses.dataclass(frozen=True)
class Failing(Increment):
    def splits(self, seed):
        return {}["a\nb"]


class Nothing(Increment):
    def splits(self, seed):
        return None


class HalfNothing(Increment):
    def splits(self, seed):
        return Splits(Split(3, lambda indices: indices), None, 3)


@pytest.mark.parametrize(
    ("cls", "message"),
    [
        (Failing, r"KeyError: .*\(test_own_tasks.py, line \d+\)"),
        (Nothing, "Received: None"),
        (HalfNothing, r"Received: Splits\("),
    ],
)
def test_splits_that_are_none_are_refused(cls, message):
    with pytest.raises(InputError, match=f"must return Splits.*{message}"):
        make_splits(cls(num_bits=3), 0)


class OwnArguments(Increment):
    def __init__(self, depth):
        super().__init__(num_bits=depth)


class Shapeless(Increment):
    @property
    def output_shape(self):
        raise ZeroDivisionError("no shape")


@pytest.mark.parametrize(
    ("cls", "message"),
    [
        (OwnArguments, "TypeError: .*unexpected keyword argument"),
        (Shapeless, "ZeroDivisionError: no shape .test_own_tasks.py"),
    ],
)
def test_a_task_that_cannot_be_made_is_refused(cls, message):
    with pytest.raises(InputError, match=f"options alone.*{message}"):
        get_preset("increment").replace(cls)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("raise BaseException('a\\nb')", r"\(BaseException: a b\)"),
        ("import sys; sys.exit('bye')", r"\(SystemExit: bye\)"),
        ("raise GeneratorExit", r"\(GeneratorExit\)"),
        (
            "class E(Exception):\n  def __str__(self): raise E\nraise E",
            r"\(E\)",
        ),
        ("def f(): f()\nf()", r"\(RecursionError: "),
    ],
)
def test_a_module_may_raise_anything(tmp_path, monkeypatch, text, message):
    (tmp_path / "own_raising.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        get_task("own_raising:Task")
    assert "own_raising" not in sys.modules
