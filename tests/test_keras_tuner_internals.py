"""Pins what docs/keras-internals.md says of KerasTuner.

A test of a gap passes while stock KerasTuner has it. When one fails, its
message says which code of the package can go.
"""

import importlib
import inspect
import json
import pathlib

import keras
import keras_tuner
import numpy as np
import pytest

from keras_lstm.tuning.folder import PROJECT, read_state
from keras_lstm.tuning.tuners import _restore_grid, _restore_lost_trials


def make_tuner(base, folder, units=(1, 2, 3), **options):
    """Return a tuner that trains nothing, and the list of what it tries."""
    tried = []

    class Tuner(base):
        def run_trial(self, trial, *arguments, **named):
            tried.append(dict(trial.hyperparameters.values))
            return float(trial.hyperparameters.get("units"))

    space = keras_tuner.HyperParameters()
    space.Choice("units", list(units))
    tuner = Tuner(
        objective=keras_tuner.Objective("score", "min"),
        hyperparameters=space,
        directory=folder,
        project_name=PROJECT,
        **options,
    )
    return tuner, tried


@pytest.mark.parametrize(
    "name",
    [
        *("_populate_next", "_ordered_ids", "_compare", "start_order"),
        *("trials", "_retry_queue"),
    ],
)
def test_a_name_of_the_grids_oracle_still_exists(tmp_path, name):
    tuner, _ = make_tuner(keras_tuner.GridSearch, tmp_path)
    assert hasattr(tuner.oracle, name), f"no {name}: see _restore_grid"
    if name == "_ordered_ids":
        assert hasattr(tuner.oracle._ordered_ids, "insert")


def test_a_reloaded_grid_search_still_takes_itself_for_finished(tmp_path):
    def search(max_trials, *, restore=False):
        tuner, tried = make_tuner(
            keras_tuner.GridSearch, tmp_path, max_trials=max_trials
        )
        if restore:
            _restore_grid(tuner.oracle)
        tuner.search(verbose=0)
        return [values["units"] for values in tried]

    assert search(1) == [1]
    assert search(3) == [], "a reloaded grid goes on: _restore_grid can go"
    assert search(3, restore=True) == [2, 3]


def test_keras_tuner_still_writes_files_in_place(tmp_path, monkeypatch):
    utils = keras_tuner.src.utils
    held = []
    opened = utils.backend.io.File

    def look(path, mode):
        held.append((path, mode))
        return opened(path, mode)

    monkeypatch.setattr(utils.backend.io, "File", look)
    # Another test may have replaced the function.
    source = inspect.getsource(importlib.reload(utils))
    utils.save_json(str(tmp_path / "x"), {})
    assert held == [(str(tmp_path / "x"), "w")], (
        "KerasTuner writes through a temporary file: make_tuner need not "
        "replace save_json"
    )
    assert "def save_json(path, obj):" in source
    for module in ("oracle", "trial", "base_tuner"):
        path = pathlib.Path(keras_tuner.src.engine.__path__[0], f"{module}.py")
        text = path.read_text()
        assert "json.dump" not in text
        assert "import save_json" not in text


def test_a_trial_that_the_oracle_has_not_noted_is_still_lost(tmp_path):
    def search(max_trials, *, restore=False):
        tuner, tried = make_tuner(
            keras_tuner.RandomSearch, tmp_path, max_trials=max_trials
        )
        if restore:
            _restore_lost_trials(tuner.oracle)
        tuner.search(verbose=0)
        return len(tried)

    assert search(2) == 2
    folder = tmp_path / PROJECT
    # As if killed after the trial's file was written, and before the oracle's.
    state = json.loads((folder / "trial_1" / "trial.json").read_text())
    state |= {"status": "RUNNING", "score": None, "best_step": None}
    (folder / "trial_1" / "trial.json").write_text(json.dumps(state))
    state = json.loads((folder / "oracle.json").read_text())
    for name in ("start_order", "end_order"):
        state[name].remove("1")
    (folder / "oracle.json").write_text(json.dumps(state))
    assert search(2) == 0, "not lost any more: _restore_lost_trials can go"
    assert search(2, restore=True) == 1


def test_hyperband_tells_the_epochs_of_a_trial_in_its_values(tmp_path):
    tuner, tried = make_tuner(
        keras_tuner.Hyperband, tmp_path, range(99), max_epochs=4, factor=2
    )
    tuner.search(verbose=0)
    epochs = {values.get("tuner/epochs") for values in tried}
    assert None not in epochs, "no `tuner/epochs`: see make_tuner"
    assert epochs == {1, 2, 4}


def test_the_files_of_a_search_hold_what_is_read_of_them(tmp_path):
    tuner, _ = make_tuner(keras_tuner.GridSearch, tmp_path)
    tuner.search(verbose=0)
    folder = tmp_path / PROJECT
    oracle = read_state(folder / "oracle.json")
    assert len(oracle["start_order"]) == 3
    trials = [
        read_state(path) for path in sorted(folder.glob("trial_*/trial.json"))
    ]
    assert [trial["trial_id"] for trial in trials] == oracle["start_order"]
    values = [trial["hyperparameters"]["values"]["units"] for trial in trials]
    assert values == [1, 2, 3]
    assert [trial["score"] for trial in trials] == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("name", ["TensorBoard", "Board"])
def test_keras_tuner_still_goes_by_the_name_of_the_class(tmp_path, name):
    def build(space):
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        model.compile(keras.optimizers.SGD(space.Choice("rate", [0.1])), "mse")
        return model

    board = type(name, (keras.callbacks.TensorBoard,), {})(tmp_path / "logs")
    keras_tuner.GridSearch(
        build,
        keras_tuner.Objective("loss", "min"),
        directory=tmp_path / "tuner",
    ).search(np.ones((4, 2)), np.ones((4, 1)), verbose=0, callbacks=[board])
    written = (tmp_path / "logs" / "0000").exists()
    assert written == (name == "TensorBoard"), (
        "a class of another name gets folders: the package's TensorBoard need "
        "not be called so"
        if written
        else "no folder for each trial: see the package's TensorBoard"
    )
