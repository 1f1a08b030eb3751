"""Networks that were trained without a proof are made provable."""

import json

import handmade
import keras
import numpy as np
import pytest

from keras_lstm.cli import main
from keras_lstm.config import ModelConfig
from keras_lstm.core.errors import InputError
from keras_lstm.models.build import build_model
from keras_lstm.presets import get_preset
from keras_lstm.proof.certificate import Proof, check_proof
from keras_lstm.runs.run import load_run
from keras_lstm.tasks.datasets import make_dataset
from keras_lstm.tasks.increment import Increment
from keras_lstm.training.compile import compiled_model
from keras_lstm.training.repair import Schedule, make_provable
from keras_lstm.training.train import train


def test_a_provable_model_is_copied_unchanged():
    task = Increment(num_bits=6)
    model = handmade.make_network(task)
    repair = make_provable(model, task)
    assert (repair.schedule, repair.num_steps, repair.history) == (0, 0, {})
    assert repair.model is not model
    for mine, theirs in zip(
        repair.model.get_weights(), model.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(mine, theirs)
    margin = check_proof(repair.model, task, repair.search.proof)
    assert margin == repair.search.margin > 7


def test_what_cannot_be_made_provable_says_why():
    task = Increment(num_bits=6)
    model = build_model(task, ModelConfig("last_state", units=4))
    with pytest.raises(InputError, match="must answer at every time step"):
        make_provable(model, task)
    model = build_model(task, ModelConfig(units=4, encoder_units=2))
    with pytest.raises(InputError, match="layer `encoder`"):
        make_provable(model, task)
    with pytest.raises(InputError, match="`max_seconds` must be above 0"):
        make_provable(model, task, max_seconds=0)


def test_without_a_proof_there_is_no_copy():
    task = Increment(num_bits=6)
    model = build_model(task, ModelConfig(units=2, num_layers=1))
    before = model.get_weights()
    seen = []
    repair = make_provable(
        model,
        task,
        schedules=[Schedule(0.01, 0, 5, 1)],
        on_search=lambda *found: seen.append(found[:2]),
    )
    assert repair.model is None
    assert repair.search.proof is None
    assert "could not be decided" in repair.search.reason
    assert seen == [(1, 25)]
    assert repair.num_steps == 25
    assert len(repair.history["loss"]) == 1
    for mine, theirs in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_a_new_folder_is_refused_first(tmp_path, capsys):
    (tmp_path / "run-proved").mkdir()
    (tmp_path / "run-proved" / "model.keras").write_text("")
    task = Increment(num_bits=4)
    config = get_preset("increment-noise").replace(
        type(task), num_bits=4, units=4, epochs=1, steps_per_epoch=1
    )
    train(config, tmp_path / "run", quiet=True)
    assert main(["prove", str(tmp_path / "run"), "--repair"]) == 2
    assert "must not hold a run yet" in capsys.readouterr().err
    assert main(["prove", str(tmp_path / "run"), "--output", "x"]) == 2
    assert "`output` needs `repair`" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_run_is_repaired_into_a_new_folder(tmp_path, capsys):
    old, new = tmp_path / "run", tmp_path / "run-proved"
    # The boxes of other seeds close as they are.
    config = get_preset("increment-noise").replace(
        num_bits=12, units=16, seed=3
    )
    assert not train(config, old, quiet=True).report.proved
    before = {
        path: path.read_bytes() for path in old.iterdir() if path.is_file()
    }
    assert main(["prove", str(old), "--repair"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("Proved: for every binary number, of any length")
    assert out[3].startswith("Repaired in ")
    assert out[-1] == f"Run folder: {new}"
    assert before == {path: path.read_bytes() for path in before}
    run = load_run(new)
    assert run.report.proved
    assert run.report.num_wrong == 0
    assert run.report.repaired_from == str(old)
    assert run.config == load_run(old).config
    repair = json.loads((new / "repair.json").read_text())
    assert repair["repaired_from"] == str(old)
    assert repair["num_examples"] == 4095
    assert 0 < repair["weights_moved"] < 1
    proof = Proof.from_json((new / "proof.json").read_text())
    margin = check_proof(run.model, run.machine, proof)
    assert margin == run.report.proof_margin <= repair["min_margin_after"]
    # The folder is a finished run like any other.
    assert main(["train", "increment", "--run-dir", str(new), "--resume"]) == 0
    assert "it is proved. Nothing is left to do." in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("accuracy", [0.9, 1.0])
def test_ten_networks_are_made_provable(accuracy):
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if logs["val_sequence_accuracy"] >= accuracy:
                self.model.stop_training = True

    for seed in range(10):
        config = get_preset("increment-noise").replace(seed=seed)
        task = config.task
        model = compiled_model(config)
        splits = task.splits(seed)
        model.fit(
            make_dataset(splits.train, 128, training=True, seed=seed),
            validation_data=make_dataset(splits.validation, 4096).take(1),
            epochs=75,
            steps_per_epoch=2,
            shuffle=False,
            verbose=0,
            callbacks=[Stop()],
        )
        repair = make_provable(model, task, seed=seed, max_seconds=600)
        assert repair.search.proof is not None, seed
        check_proof(repair.model, task, repair.search.proof)
