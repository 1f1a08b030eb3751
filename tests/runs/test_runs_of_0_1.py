"""Run folders of version 0.1 are read, resumed and evaluated."""

import json
import pathlib
import shutil

import keras
import numpy as np
import pytest
import yaml

from keras_lstm.cli import main
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


def skip_unless_loadable(run_dir):
    """Skip where Keras is older than the one that saved the model."""
    report = json.loads((run_dir / "report.json").read_text())
    saved_by, here = (
        [int(part) for part in version.split(".")[:2]]
        for version in (report["versions"]["keras"], keras.__version__)
    )
    if here < saved_by:
        pytest.skip(f"Keras {keras.__version__} cannot load newer models")


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


def test_a_begun_run_is_resumed_and_ends_as_it_would_have(begun, finished):
    arguments = ["--run-dir", str(begun), "--resume", "--quiet"]
    assert main(["train", "increment", *arguments]) == 0
    report = json.loads((begun / "report.json").read_text())
    whole = json.loads((finished / "report.json").read_text())
    assert report["resumed_from_step"] == 8
    assert report["stopped_because"] == "all_epochs"
    for name in ("optimizer_steps", "num_examples", "num_parameters"):
        assert report[name] == whole[name]
    skip_unless_loadable(finished)
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
    skip_unless_loadable(finished)
    assert main(["verify", str(finished)]) == 1
    assert (
        f"{old['num_wrong']} of 63 answers are wrong" in capsys.readouterr().out
    )
    assert main(["predict", str(finished), "7"]) == 0
    assert capsys.readouterr().out.startswith("7 → ")
