"""Tests of proved runs, from training to the command `prove`."""

import dataclasses
import hashlib
import json
import shutil

import keras
import numpy as np
import pytest

from keras_lstm.cli import main
from keras_lstm.monitoring.plots import proof_plot
from keras_lstm.presets import get_preset
from keras_lstm.proof.certificate import Proof, check_proof
from keras_lstm.proof.ellipsoid_search import (
    EllipsoidSearch,
    find_ellipsoids,
)
from keras_lstm.proof.ellipsoids import EllipsoidProof, check_ellipsoids
from keras_lstm.proof.proof_json import ProofError
from keras_lstm.proof.search import ProofSearch
from keras_lstm.runs.report import StopReason
from keras_lstm.runs.run import load_run
from keras_lstm.tasks.image_rows import ImageRows
from keras_lstm.tasks.increment import Add, Decrement, Increment, Parity
from keras_lstm.training.train import InputError, train


@pytest.fixture(scope="module")
def proved_run(tmp_path_factory):
    """Return the folder of a run of the preset, on short numbers."""
    run_dir = tmp_path_factory.mktemp("proved") / "run"
    config = get_preset("increment-proved").replace(Increment, num_bits=12)
    result = train(config, run_dir, quiet=True)
    assert result.report.proved
    return run_dir


@pytest.fixture(scope="module")
def unproved_run(tmp_path_factory):
    """Return the folder of a run that is right at its length, but unproved."""
    run_dir = tmp_path_factory.mktemp("unproved") / "run"
    config = get_preset("increment-noise").replace(
        Increment, num_bits=8, forget_bias=1.0
    )
    report = train(config, run_dir, quiet=True).report
    assert report.num_wrong == 0
    assert not report.proved
    return run_dir


def test_training_ends_with_a_proof(proved_run):
    report = json.loads((proved_run / "report.json").read_text())
    assert report["stopped_because"] == "proved"
    assert report["epochs"] < 16
    assert report["num_wrong"] == 0
    assert report["min_margin"] >= report["proof_margin"] > 0
    proof = Proof.from_json((proved_run / "proof.json").read_text())
    run = load_run(proved_run)
    margin = check_proof(run.model, run.machine, proof)
    assert margin == report["proof_margin"]
    assert report["proof_boxes"] == len(proof.states)
    # Only the stock model is saved.
    assert [type(layer).__module__ for layer in run.model.layers] == [
        type(layer).__module__
        for layer in (
            keras.layers.InputLayer(()),
            keras.layers.Embedding(2, 1),
            keras.layers.LSTM(1),
            keras.layers.Dense(1),
        )
    ]


def test_prove_says_it_in_one_sentence(proved_run, capsys):
    before = (proved_run / "report.json").read_text()
    assert main(["prove", str(proved_run)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        "Proved: for every binary number, of any length, this model answers "
        "that number plus 1 (modulo 2^length)."
    )
    margin = json.loads(before)["proof_margin"]
    assert f"wins by at least {margin:.4g}" in lines[1]
    assert (proved_run / "report.json").read_text() == before


def test_verify_checks_the_proof_instead(proved_run, tmp_path, capsys):
    copy = shutil.copytree(proved_run, tmp_path / "run")
    assert main(["verify", str(copy), "--num-bits", "100"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("Proved: for every binary number, of any length, ")
    assert "So nothing is wrong at 100 bits either; `--walk`" in out
    report = json.loads((copy / "verify-100.json").read_text())
    margin = json.loads((copy / "report.json").read_text())["proof_margin"]
    assert (report["method"], report["num_wrong"]) == ("proof", 0)
    model = (copy / "model.keras").read_bytes()
    assert report["model_sha256"] == hashlib.sha256(model).hexdigest()
    # 2^100 inputs are more than JSON can count.
    assert (report["num_examples"], report["min_margin"]) == (None, margin)
    assert (copy / "failures-100.csv").read_text().count("\n") == 1
    assert main(["verify", str(copy), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["num_examples"] == 4095
    assert main(["verify", str(copy), "--walk", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["method"], report["num_wrong"]) == ("prefix tree", 0)
    assert report["min_margin"] >= margin


def test_verify_computes_the_answers_if_the_proof_does_not_hold(
    proved_run, tmp_path, capsys
):
    copy = shutil.copytree(proved_run, tmp_path / "run")
    proof = Proof.from_json((copy / "proof.json").read_text())
    wrong = dataclasses.replace(proof, margins=proof.margins + 1)
    (copy / "proof.json").write_text(wrong.to_json())
    assert main(["verify", str(copy), "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["method"] == "prefix tree"
    assert "proof.json does not hold for this model" in err


def test_the_claim_names_the_file_that_it_is_about(proved_run, capsys):
    data = (proved_run / "model.keras").read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    report = json.loads((proved_run / "report.json").read_text())
    assert report["model_sha256"] == digest
    assert main(["prove", str(proved_run)]) == 0
    assert f"model.keras with SHA-256 {digest}." in capsys.readouterr().out
    assert main(["prove", str(proved_run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["model_sha256"] == digest


def test_extract_gives_back_the_machine(proved_run, tmp_path, capsys):
    pytest.importorskip("aalpy")
    path = tmp_path / "m.dot"
    assert main(["extract", str(proved_run), "--output", str(path)]) == 0
    assert capsys.readouterr().out.splitlines()[0] == (
        "This network is a machine of 2 states. It answers that number plus 1 "
        "(modulo 2^length)."
    )
    assert '"s0" -> "s1" [label="0 / 1"]' in path.read_text()
    assert main(["extract", str(proved_run), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["is_right"], report["proved"]) == (True, True)
    # The carry is 1 until the first 0.
    assert report["next_state"] == [[1, 0], [1, 1]]
    assert report["output"] == [[1, 0], [0, 1]]


def test_prove_prints_json(proved_run, capsys):
    assert main(["prove", str(proved_run), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["task"], report["proved"]) == ("increment", True)
    assert report["proof_margin"] > 0
    assert report["reason"] is None
    assert report["domain"] == "boxes"


def test_other_weights_do_not_go_with_the_proof(proved_run):
    run = load_run(proved_run)
    proof = Proof.from_json((proved_run / "proof.json").read_text())
    weights = run.model.get_weights()
    weights[-1][0] += 1e-6
    run.model.set_weights(weights)
    with pytest.raises(ProofError, match="about other weights"):
        check_proof(run.model, run.machine, proof)


def test_without_a_proof_wrong_inputs_are_looked_for(
    unproved_run, monkeypatch, capsys
):
    monkeypatch.setattr("keras_lstm.runs.checks._LENGTHS_TO_FAIL_AT", (10,))
    assert main(["prove", str(unproved_run), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert not report["proved"]
    assert "could not be decided" in report["reason"]
    assert report["checks"][0]["num_wrong"] == 0
    assert not (unproved_run / "proof.json").exists()
    assert main(["prove", str(unproved_run)]) == 1
    out = capsys.readouterr().out
    assert out.startswith("No proof was found: in round ")
    assert "0 of 255 answers are wrong at 8 bits (all inputs)." in out


def test_ellipsoids_are_tried_on_request(unproved_run, monkeypatch, capsys):
    asked = []

    def find_none(model, task, progress):
        asked.append(task)
        return EllipsoidSearch(None, 0.0, "none closed", 3, 1.5)

    monkeypatch.setattr("keras_lstm.runs.checks._LENGTHS_TO_FAIL_AT", ())
    monkeypatch.setattr("keras_lstm.runs.checks.find_ellipsoids", find_none)
    command = ["prove", str(unproved_run), "--json"]
    assert main(command) == 1
    report = json.loads(capsys.readouterr().out)
    assert asked == []
    assert main([*command, "--ellipsoids"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [task.name for task in asked] == ["increment"]
    assert (found["proved"], found["domain"]) == (False, None)
    assert found["reason"] == (
        f"{report['reason']}; with ellipsoids, none closed"
    )
    assert found["rounds"] == report["rounds"] + 3
    assert main([*command, "--ellipsoids", "--repair"]) == 2
    assert "`ellipsoids` must not be given with" in capsys.readouterr().err


def test_a_wrong_input_says_more_than_no_proof(unproved_run, tmp_path, capsys):
    run = load_run(unproved_run)
    weights = run.model.get_weights()
    weights[-1][...] = [9.0, -9.0]
    run.model.set_weights(weights)
    for name in ("report.json", "config.yaml"):
        (tmp_path / name).write_text((unproved_run / name).read_text())
    run.model.save(tmp_path / "model.keras")
    assert main(["prove", str(tmp_path)]) == 1
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "Wrong, so there is nothing to prove:"
    assert [line.split()[0] for line in out[1:4]] == [
        "input",
        "target",
        "prediction",
    ]
    number, target, prediction = (line.split()[1] for line in out[1:4])
    assert int(target, 2) == int(number, 2) + 1
    assert prediction != target
    assert main(["prove", str(tmp_path), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["wrong_input"] == number


def test_a_proof_is_about_the_weights_that_are_saved(tmp_path):
    class ChangesWeights(keras.callbacks.Callback):
        def on_train_end(self, logs=None):
            bias = self.model.layers[3].bias
            bias.assign(bias + 1e-3)

    config = get_preset("increment-proved").replace(Increment, num_bits=8)
    result = train(
        config, tmp_path / "run", quiet=True, callbacks=[ChangesWeights()]
    )
    assert not result.report.proved
    assert "about other weights" in result.proof.reason
    assert result.report.stopped_because is StopReason.CALLBACK
    assert not (tmp_path / "run" / "proof.json").exists()
    with pytest.raises(InputError, match="`ema_fraction` keeps others"):
        config.replace(ema_fraction=0.5, prove_from_epoch=6)


def test_an_old_proof_does_not_stay(unproved_run, monkeypatch):
    monkeypatch.setattr("keras_lstm.runs.checks._LENGTHS_TO_FAIL_AT", ())
    (unproved_run / "proof.json").write_text("about other weights")
    assert main(["prove", str(unproved_run)]) == 1
    assert not (unproved_run / "proof.json").exists()


def test_ellipsoids_found_once_are_kept(
    proved_run, tmp_path, monkeypatch, capsys
):
    run_dir = tmp_path / "run"
    shutil.copytree(proved_run, run_dir)
    run = load_run(run_dir)
    found = find_ellipsoids(run.model, run.machine)
    text = found.proof.to_json()
    none = ProofSearch(None, 0.0, "no boxes", 1, 0.0)
    monkeypatch.setattr("keras_lstm.runs.checks.find_proof", lambda *_: none)
    monkeypatch.setattr("keras_lstm.runs.checks._LENGTHS_TO_FAIL_AT", ())
    (run_dir / "proof.json").write_text(text)
    assert main(["prove", str(run_dir), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["domain"] == "ellipsoids"
    assert report["proof_margin"] == found.margin
    assert (run_dir / "proof.json").read_text() == text
    # Another one is not.
    (run_dir / "proof.json").write_text(
        text.replace('"margin": ', '"margin": 1')
    )
    assert main(["prove", str(run_dir)]) == 1
    assert not (run_dir / "proof.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize("task", [Decrement, Parity, Add])
def test_other_tasks_are_proved_with_no_change_but_the_task(tmp_path, task):
    config = get_preset("increment-proved").replace(task, num_bits=12)
    report = train(config, tmp_path / "run", quiet=True).report
    assert report.proved
    assert report.num_wrong == 0


def test_images_cannot_be_proved(tmp_path, capsys):
    with pytest.raises(
        InputError, match="`prove_from_epoch` needs a finite-state machine"
    ):
        get_preset("digits").replace(prove_from_epoch=1)
    config = get_preset("digits").replace(
        ImageRows, epochs=1, steps_per_epoch=1
    )
    train(config, tmp_path / "run", quiet=True)
    assert main(["prove", str(tmp_path / "run")]) == 2
    assert "must hold a run of a finite-state" in capsys.readouterr().err


def test_a_last_state_model_cannot_be_proved(tmp_path, capsys):
    config = get_preset("increment").replace(
        Increment, num_bits=4, head="last_state", epochs=1
    )
    train(config, tmp_path / "run", quiet=True)
    assert main(["prove", str(tmp_path / "run")]) == 2
    err = capsys.readouterr().err
    assert "must answer at every time step" in err
    assert err.count("\n") == 1
    with pytest.raises(
        InputError, match="`prove_from_epoch` needs the per_step"
    ):
        config.replace(prove_from_epoch=0)


def test_a_layer_that_is_not_supported_is_named(unproved_run, tmp_path, capsys):
    run = load_run(unproved_run)
    changed = run.model.get_config()
    for layer in changed["layers"]:
        if layer["class_name"] == "LSTM":
            layer["config"]["activation"] = "relu"
    model = keras.Model.from_config(changed)
    for name in ("report.json", "config.yaml"):
        (tmp_path / name).write_text((unproved_run / name).read_text())
    model.save(tmp_path / "model.keras")
    assert main(["prove", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert "layer `lstm_1` with activation=relu" in err
    assert err.count("\n") == 1


def test_the_picture_is_of_states_inside_their_boxes(proved_run):
    run = load_run(proved_run)
    proof = Proof.from_json((proved_run / "proof.json").read_text())
    figure = proof_plot(run.model, run.machine, proof)()
    (axes,) = figure.axes
    assert axes.get_title() == "increment: 768 states, none outside its box"
    assert len(axes.patches) == len(proof.states)
    dots = np.concatenate([each.get_offsets() for each in axes.collections])
    assert len(dots) == 64 * 12
    # Shrunken boxes do not hold them.
    moved = dataclasses.replace(proof, boxes=proof.boxes.widened(-0.2))
    figure = proof_plot(run.model, run.machine, moved)()
    assert "OUTSIDE" in figure.axes[0].get_title()


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("task", "network"),
    [
        (Increment, {}),
        (Decrement, {}),
        (Parity, {}),
        (Add, {}),
        (Increment, {"units": 32, "num_layers": 2}),
    ],
)
def test_ten_seeds_are_proved(tmp_path, task, network):
    for seed in range(10):
        config = get_preset("increment-proved").replace(
            task, seed=seed, **network
        )
        report = train(config, tmp_path / str(seed), quiet=True).report
        assert report.proved, seed
        assert report.num_wrong == 0, seed


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 7])
def test_a_network_is_proved_as_it_is(tmp_path, seed, capsys):
    run_dir = tmp_path / "run"
    config = get_preset("increment-noise").replace(seed=seed)
    train(config, run_dir, quiet=True)
    before = (run_dir / "model.keras").read_bytes()
    capsys.readouterr()
    assert main(["prove", str(run_dir), "--ellipsoids", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["domain"] == "ellipsoids"
    assert (run_dir / "model.keras").read_bytes() == before
    text = (run_dir / "proof.json").read_text()
    assert json.loads(text)["domain"] == "ellipsoids"
    run = load_run(run_dir)
    proof = EllipsoidProof.from_json(text)
    margin = check_ellipsoids(run.model, run.machine, proof)
    assert margin == report["proof_margin"]
    assert report["proof_ellipsoids"] == len(proof.states)
    # The proved margin is that of the worst 20-bit number, to a few digits.
    worst = json.loads((run_dir / "report.json").read_text())["min_margin"]
    assert worst - 0.01 < margin <= worst
    weights = run.model.get_weights()
    weights[0] = weights[0] + np.float32(1e-6)
    run.model.set_weights(weights)
    with pytest.raises(ProofError, match="about other weights"):
        check_ellipsoids(run.model, run.machine, proof)


@pytest.mark.slow
def test_boxes_may_close_without_training_for_it(tmp_path):
    config = get_preset("increment-noise").replace(seed=5)
    result = train(config, tmp_path / "run", quiet=True)
    assert main(["prove", str(tmp_path / "run")]) == 0
    text = (tmp_path / "run" / "proof.json").read_text()
    proof = Proof.from_json(text)
    assert check_proof(result.model, config.task, proof) > 0
    assert main(["verify", str(tmp_path / "run")]) == 0
