import copy

import numpy as np
import pytest

from keras_lstm.checkpoint.checkpoints import Checkpoint
from keras_lstm.checkpoint.state_check import check_training_state
from keras_lstm.core.errors import InputError

STATE = {
    "options": {},
    "epoch": 2,
    "first_epoch": 0,
    "calls": 3,
    "steps_per_execution": 2,
    "stopped": False,
    "seconds": 0.5,
    "lowest": float("inf"),
    "epochs_seen": [0, 1],
    "history": {"loss": [0.5, 0.25]},
    "callbacks": [["EarlyStopping", {"wait": 0}]],
    "variables": {"model": [[np.zeros((2, 3))]]},
}


def check(step=26, **values):
    check_training_state(Checkpoint(step, STATE | values), "`it`")


def test_what_exact_resume_writes_is_accepted():
    before = copy.deepcopy(STATE)
    check()
    check(first_epoch=None, seconds=3, custom="anything")
    assert STATE.keys() == before.keys()


@pytest.mark.parametrize("name", [name for name in STATE if name != "options"])
def test_each_entry_is_needed(name):
    state = {key: value for key, value in STATE.items() if key != name}
    with pytest.raises(InputError, match=f"`it`.*Received: {name}=nothing"):
        check_training_state(Checkpoint(26, state), "`it`")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("epoch", None), ("epoch", -1), ("epoch", 1.0), ("epoch", True)),
        *(("epoch", 10**30), ("first_epoch", "0"), ("calls", [3])),
        *(("steps_per_execution", 0), ("stopped", 0), ("seconds", "1")),
        *(("seconds", float("nan")), ("seconds", 10**400), ("lowest", None)),
        *(("lowest", -(10**400)), ("epochs_seen", [0.5])),
        *(("history", []), ("history", {"loss": 3}), ("callbacks", {})),
        *(("callbacks", [["A"]]), ("callbacks", [["A", []]])),
        *(("variables", []), ("variables", {"model": [np.zeros(2)]})),
        *(("variables", {"model": [[3]]}), ("variables", {"model": 3})),
        *(("variables", {"model": [[]]}), ("fit", None), ("fit", -1)),
        *(("first_step", "0"), ("steps", 1.5), ("earlier", [[[0]]])),
        *(("settings", {"a": {"b": 1}}), ("built", {}), ("built", None)),
        *(("built", {"build": [None], "trained": {}}), ("data", [])),
        ("built", {"build": [], "trained": {"a": []}}),
        ("data", {"fingerprint": "1", "iterator": None, "iterators": 0}),
        ("data", {"fingerprint": 1, "iterator": {"": 5}, "iterators": 0}),
    ],
)
def test_each_entry_is_of_its_type(name, value):
    with pytest.raises(InputError, match=f"`it` must hold.*{name}="):
        check(**{name: value})


def test_there_are_as_many_calls_as_are_counted():
    with pytest.raises(InputError, match=r"fit=2, after 1 calls"):
        check(fit=2, earlier=[[[0], {"loss": [0.5]}]])


def test_the_step_is_not_before_the_steps_of_its_epoch():
    with pytest.raises(InputError, match="step=5, after 6 steps of its epoch"):
        check(step=5)
