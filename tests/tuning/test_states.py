"""KerasTuner's files are checked before KerasTuner reads them."""

import copy
import json
import pathlib

import fuzzing
import pytest
from hypothesis import strategies as st

from keras_lstm.core.errors import InputError
from keras_lstm.presets import get_preset
from keras_lstm.tuning.folder import PROJECT, check_folder, settings_path
from keras_lstm.tuning.settings import Search

SEARCH = Search(get_preset("increment"), ("units", "learning_rate"))
SETTINGS = SEARCH.to_yaml()
SPACE = [
    {
        "class_name": "Choice",
        "config": {
            "name": "units",
            "default": 8,
            "conditions": [],
            "values": [8, 16],
            "ordered": True,
        },
    },
    {
        "class_name": "Float",
        "config": {
            "name": "learning_rate",
            "default": 0.001,
            "conditions": [],
            "min_value": 0.001,
            "max_value": 0.1,
            "step": None,
            "sampling": "log",
        },
    },
]
VALUES = {"units": 8, "learning_rate": 0.001}
ORACLE = {
    "ongoing_trials": {"tuner0": "1"},
    "hyperparameters": {"space": SPACE, "values": VALUES},
    "start_order": ["0", "1"],
    "end_order": ["0"],
    "run_times": {"0": 1},
    "retry_queue": [],
    "seed": 9198,
    "seed_state": 9202,
    "tried_so_far": ["2e33"],
    "id_to_hash": {"0": "2e33", "1": None},
    "display": {"search_start": None, "trial_start": {}, "trial_number": {}},
}
METRIC = {"direction": "min", "observations": [{"value": [45.5], "step": 0}]}
TRIAL = {
    "trial_id": "0",
    "hyperparameters": {
        "space": SPACE,
        "values": {**VALUES, "tuner/epochs": 1},
    },
    "metrics": {"metrics": {"score": METRIC}},
    "score": 45.5,
    "best_step": 0,
    "status": "COMPLETED",
    "message": None,
}
RUNNING = TRIAL | {"trial_id": "1", "score": None, "best_step": None}


def write(folder, oracle=ORACLE, trial=TRIAL):
    states = {
        "oracle": oracle,
        "trial_0/trial": trial,
        "trial_1/trial": RUNNING,
    }
    for name, state in states.items():
        path = folder / PROJECT / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        text = state if isinstance(state, str) else json.dumps(state)
        path.write_text(text, encoding="utf-8", errors="surrogatepass")
    settings_path(folder).write_text(SETTINGS)


def check(folder, **states):
    write(folder, **states)
    check_folder(folder, SEARCH, resume=True, overwrite=False)


def changed(state, *keys, value):
    state = copy.deepcopy(state)
    place = state
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    return state


def test_what_keras_tuner_writes_is_accepted(tmp_path):
    check(tmp_path)
    states = [ORACLE, TRIAL]
    assert [json.loads(json.dumps(state)) for state in states] == states


@pytest.mark.parametrize("name", ORACLE)
def test_each_entry_of_an_oracle_is_needed(tmp_path, name):
    oracle = {key: value for key, value in ORACLE.items() if key != name}
    with pytest.raises(InputError, match=r"oracle\.json cannot be read. Rea"):
        check(tmp_path, oracle=oracle)


@pytest.mark.parametrize("name", TRIAL)
def test_each_entry_of_a_trial_is_needed(tmp_path, name):
    trial = {key: value for key, value in TRIAL.items() if key != name}
    with pytest.raises(InputError, match=r"trial_0/trial\.json, .* Readable "):
        check(tmp_path, trial=trial)


# What KerasTuner would make of it: `keras.utils.set_random_seed`.
EVIL = {
    "module": "keras.utils",
    "class_name": "function",
    "config": "set_random_seed",
    "registered_name": "function",
}
BAD_ORACLES = [
    (("start_order",), ["0", "7"]),
    (("ongoing_trials",), {"tuner0": "7"}),
    (("retry_queue",), [["0"]]),
    (("seed",), "1"),
    (("seed",), 10**400),
    (("run_times",), {"0": True}),
    (("hyperparameters", "space", 0), EVIL),
    (("hyperparameters", "space", 0, "class_name"), "Boolean"),
    (("hyperparameters", "space", 0, "config", "conditions"), [EVIL]),
    (("hyperparameters", "space", 0, "config", "values"), [EVIL]),
    (("hyperparameters", "space", 0, "config", "default"), EVIL),
    (("hyperparameters", "space", 0, "config", "name"), "seed"),
    (("hyperparameters", "values"), []),
]
BAD_TRIALS = [
    (("trial_id",), "../../elsewhere"),
    (("score",), "45"),
    (("score",), float("nan")),
    (("status",), 3),
    (("metrics",), {}),
    (("metrics", "metrics", "score"), EVIL),
    (("metrics", "metrics", "score", "observations"), [{"value": 1}]),
    (("hyperparameters", "values"), {"units": 8}),
    (("hyperparameters", "values", "units"), "8"),
    (("hyperparameters", "values", "units"), 10**9),
]


@pytest.mark.parametrize(("keys", "value"), BAD_ORACLES)
def test_a_wrong_oracle_is_refused(tmp_path, keys, value):
    with pytest.raises(InputError, match=r"oracle\.json cannot be read"):
        check(tmp_path, oracle=changed(ORACLE, *keys, value=value))


@pytest.mark.parametrize(("keys", "value"), BAD_TRIALS)
def test_a_wrong_trial_is_refused(tmp_path, keys, value):
    with pytest.raises(InputError, match=r"trial_0/trial\.json"):
        check(tmp_path, trial=changed(TRIAL, *keys, value=value))


def test_a_folder_in_place_of_a_file_is_refused(tmp_path):
    write(tmp_path)
    path = tmp_path / PROJECT / "oracle.json"
    path.unlink()
    path.mkdir()
    with pytest.raises(InputError, match=r"oracle\.json cannot be read"):
        check_folder(tmp_path, SEARCH, resume=True, overwrite=False)


@fuzzing.TIERS
def test_fuzzed_states(cases, tmp_path):
    def read(states):
        oracle, trial = states
        check(pathlib.Path(tmp_path), oracle=oracle, trial=trial)

    oracles, trials = (
        st.one_of(
            st.just(state),
            fuzzing.damaged_tree(state),
            fuzzing.damaged([json.dumps(state).encode()]).map(
                lambda data: data.decode("utf-8", "replace")
            ),
        )
        for state in (ORACLE, TRIAL)
    )
    fuzzing.survives(read, st.tuples(oracles, trials), cases)


@fuzzing.TIERS
def test_fuzzed_settings(cases, tmp_path):
    write(tmp_path)

    def read(data):
        settings_path(tmp_path).write_bytes(data)
        check_folder(tmp_path, SEARCH, resume=True, overwrite=False)

    tokens = [b"&a ", b"*a", b"!!bool ", b"[" * 1000, b"{", b": ", b"- "]
    fuzzing.survives(read, fuzzing.damaged([SETTINGS.encode()], tokens), cases)
