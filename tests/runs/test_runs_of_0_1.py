"""Files of version 0.1 are read, resumed, verified and asked.

tests/data/README.md says how they were made; docs/versions.md has the policy.
"""

import csv
import json
import pathlib
import shutil

import numpy as np
import pytest
import script_of_0_1
import yaml

from keras_lstm.cli import main
from keras_lstm.presets import get_preset
from keras_lstm.runs.folder import RunFolder
from keras_lstm.runs.run import load_run

DATA = pathlib.Path(__file__).parents[1] / "data"


@pytest.fixture
def begun(tmp_path):
    """Return a run that was stopped within an epoch, after 8 of 15 steps."""
    return shutil.copytree(DATA / "run-0.1.0-begun", tmp_path / "begun")


@pytest.fixture
def finished(tmp_path):
    """Return the same run, never stopped."""
    return shutil.copytree(DATA / "run-0.1.0-finished", tmp_path / "finished")


def test_options_are_read_under_their_old_names(begun):
    old = yaml.safe_load((begun / "config.yaml").read_text())
    config = RunFolder(begun).read_config()
    found = config.to_flat()
    pairs = {
        "clipnorm": "global_clipnorm",
        "warmup": "warmup_fraction",
        "ema_share": "ema_fraction",
        "counterexamples_from": "counterexamples_from_epoch",
        "counterexample_share": "counterexample_fraction",
        "early_answers": "early_prediction",
        "prove_from": "prove_from_epoch",
        "checkpoint_steps": "checkpoint_every_steps",
        "checkpoint_seconds": "checkpoint_every_seconds",
        "shards": "num_microbatches",
    }
    for before, now in pairs.items():
        assert found[now] == old["training"][before]
    assert found["carry_fraction"] == old["task"]["carry_share"] == 0.4
    assert found["ema_fraction"] == 0.5
    rest = old["model"] | {
        name: value
        for part in ("training", "task")
        for name, value in old[part].items()
        if name not in (*pairs, "carry_share", "name")
    }
    assert rest.items() <= found.items()


def test_options_that_came_later_are_not_those_of_a_changed_preset(begun):
    path = begun / "config.yaml"
    text = path.read_text()
    assert "prove_from: null" in text
    path.write_text(
        text.replace("prove_from: null", "prove_from: 1")
        .replace("ema_share: 0.5", "ema_share: null")
        .replace("shards: 2", "shards: 1")
    )
    config = RunFolder(begun).read_config()
    assert config.training.prove_from_epoch == 1
    # 0.1 took 300 steps, always.
    assert config.training.prove_ramp_steps == 300
    assert get_preset("increment").training.prove_ramp_steps == 50


def test_a_begun_run_is_resumed_and_ends_as_it_would_have(begun, finished):
    arguments = ["--run-dir", str(begun), "--resume", "--quiet"]
    assert main(["train", "increment", *arguments]) == 0
    report = json.loads((begun / "report.json").read_text())
    whole = json.loads((finished / "report.json").read_text())
    assert report["resumed_from_step"] == 8
    assert report["stopped_because"] == "all_epochs"
    for name in ("optimizer_steps", "num_examples", "num_parameters"):
        assert report[name] == whole[name]
    # Rounding differs between machines.
    one, other = (load_run(path).model for path in (begun, finished))
    for mine, theirs in zip(
        one.get_weights(), other.get_weights(), strict=True
    ):
        np.testing.assert_allclose(mine, theirs, atol=1e-3)


def test_a_finished_run_is_read_and_asked(finished, capsys):
    arguments = ["--run-dir", str(finished), "--resume"]
    assert main(["train", "increment", *arguments]) == 0
    assert capsys.readouterr().out == (
        f"{finished} is finished: all epochs were run. Nothing is left to do.\n"
    )
    report = RunFolder(finished).read_report()
    old = json.loads((finished / "report.json").read_text())
    assert report.num_wrong == old["num_wrong"]
    assert report.by_hold_length == old["by_run_length"]
    assert main(["verify", str(finished)]) == 1
    assert (
        f"{old['num_wrong']} of 63 answers are wrong" in capsys.readouterr().out
    )
    assert main(["predict", str(finished), "7"]) == 0
    assert capsys.readouterr().out.startswith("7 → ")


@pytest.fixture
def proved(tmp_path):
    """Return a run with a proof."""
    return shutil.copytree(DATA / "run-0.1.0-proved", tmp_path / "proved")


@pytest.fixture
def searched(tmp_path):
    """Return a search that was killed in its second trial, after 6 steps."""
    return shutil.copytree(DATA / "search-0.1.0", tmp_path / "searched")


def test_a_proof_is_checked_and_its_model_asked(proved, capsys):
    old = json.loads((proved / "report.json").read_text())
    proof = (proved / "proof.json").read_bytes()
    assert main(["verify", str(proved)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("Proved: for every binary number, of any length")
    assert f"wins by at least {old['proof_margin']:.3f}" in out
    assert main(["verify", str(proved), "--walk"]) == 0
    assert "63 of 63 answers are right" in capsys.readouterr().out
    assert main(["predict", str(proved), "0b1011"]) == 0
    assert capsys.readouterr().out == "0b1011 → 0b1100  right\n"
    assert main(["report", str(proved)]) == 0
    assert "proved" in (proved / "report.html").read_text().lower()
    assert (proved / "proof.json").read_bytes() == proof


def test_a_proof_of_other_weights_is_refused(proved, finished, capsys):
    shutil.copy(proved / "proof.json", finished / "proof.json")
    assert main(["verify", str(finished)]) == 1
    out = capsys.readouterr().out
    assert "Proved" not in out
    assert "63 of 63 answers are wrong (all inputs)" in out


def test_a_search_is_resumed_with_its_own_options(searched, capsys):
    kept = (searched / "trials" / "0" / "report.json").read_bytes()
    arguments = ["--run-dir", str(searched), "--resume", "--max-trials", "2"]
    assert main(["tune", "increment", *arguments]) == 0
    assert f"Search folder: {searched}" in capsys.readouterr().out
    with (searched / "trials.csv").open() as file:
        rows = sorted(csv.DictReader(file), key=lambda row: row["trial"])
    assert [(row["trial"], row["units"]) for row in rows] == [
        ("0", "8"),
        ("1", "16"),
    ]
    assert (searched / "trials" / "0" / "report.json").read_bytes() == kept
    report = json.loads((searched / "trials" / "1" / "report.json").read_text())
    assert report["resumed_from_step"] == 6
    assert report["optimizer_steps"] == 12
    config = RunFolder(searched / "trials" / "1").read_config()
    assert (config.model.num_layers, config.training.batch_size) == (1, 16)
    assert (config.model.units, config.model.input_noise) == (16, 1.0)
    assert config.training.prove_from_epoch is None
    # It is a search of this version now.
    assert "checkpoint_every_steps: 1" in (searched / "search.yaml").read_text()
    assert (searched / "report.html").is_file()


def test_a_search_with_other_options_is_refused_with_what_to_do(
    searched, capsys
):
    before = (searched / "search.yaml").read_bytes()
    arguments = ["--run-dir", str(searched), "--resume", "--units", "9"]
    assert main(["tune", "increment", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "`resume` without them takes those of the search" in line
    assert (searched / "search.yaml").read_bytes() == before


def test_a_script_goes_on_as_it_would_have(tmp_path):
    folder = shutil.copytree(DATA / "script-0.1.0", tmp_path / "script")
    model, resume = script_of_0_1.fit(folder / "checkpoints")
    assert (resume.resumed_step, resume.step) == (14, 24)
    with np.load(folder / "weights.npz") as whole:
        for mine, theirs in zip(
            model.get_weights(), whole.values(), strict=True
        ):
            # Rounding differs between machines.
            np.testing.assert_allclose(mine, theirs, atol=1e-4)


def test_all_are_listed_beside_runs_of_this_version(
    begun, finished, proved, searched, capsys
):
    folder = str(begun.parent)
    assert main(["runs", folder, "--json"]) == 0
    found = {
        row["run"]: row["state"] for row in json.loads(capsys.readouterr().out)
    }
    assert found == {
        "begun": "stopped",
        "finished": "finished",
        "proved": "finished",
        "searched/trials/0": "finished",
        "searched/trials/1": "stopped",
    }
