import numpy as np
import pytest
import yaml

from keras_lstm.config_file import read_config
from keras_lstm.core.errors import InputError
from keras_lstm.presets import get_preset
from keras_lstm.tasks.machine import FiniteStateMachine
from keras_lstm.tasks.machine_library import MACHINES
from keras_lstm.verification.reporting import failures_csv, failures_markdown
from keras_lstm.verification.verify import Failure

LOCK = FiniteStateMachine(num_bits=4)
PIPES = FiniteStateMachine(
    machine="states: {a: {x: b / |, y: a / 1}, b: {x: a / 1, y: b / |}}"
)


def test_a_table_defines_the_task():
    assert (LOCK.num_symbols, LOCK.num_classes) == (2, 3)
    assert LOCK.text_of(LOCK.targets(np.array([1, 0, 1])), outputs=True) == (
        "stays opens closes"
    )
    assert LOCK.state_name(0) == "locked"
    with pytest.raises(InputError, match="`machine` must have"):
        FiniteStateMachine(machine="states: 3")


def test_a_configuration_holds_the_machine():
    config = get_preset("machine", FiniteStateMachine)
    text = MACHINES["tomita-5"]().to_text()
    config = config.replace(machine=text)
    assert yaml.safe_load(config.to_yaml())["task"]["machine"] == text
    file = read_config(config.to_yaml(), FiniteStateMachine)
    assert file.values["machine"] == text
    # As a block that people can read and change.
    assert "\n  machine: |\n    name: tomita-5\n" in config.to_yaml()


def test_names_are_read_and_written():
    notation = LOCK.notation(any_length=True)
    (query,) = notation.read(" coin  push coin ")
    assert notation.encode([query]).tolist() == [[0, 1, 0]]
    targets = LOCK.targets(notation.encode([query]))
    confidences = np.ones((1, 3), np.float32)
    (right,) = notation.describe([query], targets, confidences)
    assert right.text.endswith("→ opens closes opens  right")
    wrong = targets.copy()
    wrong[0, 1] = -1
    (described,) = notation.describe([query], wrong, confidences)
    assert described.text.endswith(
        "→ opens ? opens  WRONG: opens closes opens is right; wrong at .^."
    )
    assert described.fields["wrong_symbols"] == ".^."


def test_names_of_one_character_need_no_spaces():
    notation = PIPES.notation(any_length=True)
    (query,) = notation.read("xyx x")
    assert notation.encode([query]).tolist() == [[0, 1, 0, 0]]


def test_longer_names_are_never_split():
    task = FiniteStateMachine(
        machine="states: {s: {a: s / 0, b: s / 1, ab: s / 2}}"
    )
    with pytest.raises(InputError, match="'ba'"):
        task.notation(any_length=True).read("ab ba")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("coin spin", "symbols of coin push.*'spin'"),
        ("", "symbols of coin push"),
        ("coin", "a sequence of 4 symbols"),
    ],
)
def test_other_sequences_are_refused(text, message):
    with pytest.raises(InputError, match=message):
        LOCK.notation(any_length=False).read(text)


def test_failures_are_listed_by_name():
    symbols = np.array([0, 1, 0])
    target = PIPES.targets(symbols)
    failure = Failure(symbols, target, 1 - target, 0, -0.5)
    _, line = failures_csv(PIPES, [failure]).splitlines()
    assert line == "x y x,| | 1,1 1 |,^^^,0,-0.5"
    *_, row = failures_markdown(PIPES, [failure]).splitlines()
    assert row == r"| x y x | \| \| 1 | **1** **1** **\|** | 0 |"


def test_names_in_markdown_stay_names():
    table = "states: {a: {_b_: 'a / **', '*': 'a / <b>'}}"
    machine = FiniteStateMachine(machine=table, num_bits=2)
    symbols = np.array([0, 1])
    target = machine.targets(symbols)
    failure = Failure(symbols, target, 1 - target, 0, -0.5)
    *_, row = failures_markdown(machine, [failure]).splitlines()
    names = r"\_b\_ \* | \*\* \<b\> | **\<b\>** **\*\***"
    assert row == f"| {names} | 0 |"
