"""The model card of a run, and the folder that is packed for publishing."""

import csv
import dataclasses
import json
import re
import shutil

import keras
import pytest
import yaml
from finished import make_run
from handmade import make_network

from keras_lstm.cli import main
from keras_lstm.pages.model_card import is_card, make_card, write_card
from keras_lstm.presets import get_preset
from keras_lstm.proof.search import find_proof
from keras_lstm.runs.model_file import save_model
from keras_lstm.runs.public_config import public_yaml
from keras_lstm.runs.run import load_run
from keras_lstm.tasks.image_rows import ImageRows
from keras_lstm.tasks.increment import Increment
from keras_lstm.tasks.machine import FiniteStateMachine
from keras_lstm.tasks.token_sequences import TokenSequences

ODD = "<script>|`*_\n---\n# x"


def increment(**options):
    values = {"num_bits": 8, "units": 4, "num_layers": 1}
    return get_preset("increment").replace(Increment, **values | options)


def metadata_of(card):
    """Return what a model hub reads: the YAML between the first two lines."""
    _, text, _ = re.split(r"^---$", card, maxsplit=2, flags=re.M)
    return yaml.safe_load(text)


@pytest.fixture
def saved(tmp_path):
    """Return the folder of a proved run, as `load_run` reads it."""
    config = increment(
        units=5, embedding_dim=2, forget_bias=0.0, layer_noise=0.0
    )
    model = make_network(config.task)
    run = make_run(tmp_path / "run", config, model, proved=True)
    digest = save_model(model, run.folder.model)
    report = dataclasses.replace(run.report, model_sha256=digest)
    run.folder.report.write_text(report.to_json())
    run.folder.config.write_text(config.to_yaml())
    proof = find_proof(model, config.task).proof
    run.folder.proof.write_text(proof.to_json())
    return run.run_dir


def test_a_card_says_what_was_checked_and_what_was_not(tmp_path):
    card = make_card(make_run(tmp_path / "my-run", increment()), None)
    assert metadata_of(card)["model-index"] == [
        {
            "name": "my-run",
            "results": [
                {
                    "task": {"type": "other"},
                    "dataset": {
                        "type": "increment",
                        "name": "increment: all inputs",
                    },
                    "metrics": [
                        {
                            "type": "accuracy",
                            "name": "sequence accuracy",
                            "value": 1.0,
                        },
                        {
                            "type": "accuracy",
                            "name": "token accuracy",
                            "value": 1.0,
                        },
                    ],
                }
            ],
        }
    ]
    assert "Nothing is wrong: 100 of 100 answers are right" in card
    assert "There is none: nothing is claimed about inputs" in card
    assert "- Checked at 8 symbols (all inputs); other lengths were not" in card
    assert "Proved" not in card
    assert str(tmp_path) not in card


def test_a_card_of_images_names_the_hubs_task(tmp_path):
    config = get_preset("digits").replace(ImageRows, units=4, num_layers=1)
    run = make_run(
        tmp_path,
        config,
        checked="test split",
        num_wrong=3,
        sequence_accuracy=0.97,
        baselines={"logistic_regression": 0.9},
    )
    card = make_card(run, None)
    metadata = metadata_of(card)
    assert metadata["pipeline_tag"] == "image-classification"
    assert metadata["library_name"] == "keras"
    assert "| test split | 100 | 3 | 97% | 100% |" in card
    assert "logistic regression 90%" in card
    assert "None is possible: the task is defined by examples." in card


def test_what_comes_from_outside_is_text(tmp_path):
    folder = tmp_path / "private"
    folder.mkdir()
    data = folder / "my | <b>.csv"
    with data.open("w", newline="") as file:
        rows = [("ab", ODD), ("ba", "other")] * 8
        csv.writer(file).writerows([("text", "class"), *rows])
    config = get_preset("sequences").replace(
        TokenSequences, data=str(data), units=4
    )
    assert "private" in config.to_yaml()
    assert "private" not in public_yaml(config)
    assert "my | <b>.csv" in public_yaml(config)
    card = make_card(make_run(tmp_path / ODD.replace("/", ""), config), None)
    metadata = metadata_of(card)
    assert metadata["pipeline_tag"] == "text-classification"
    assert "private" not in card
    assert card.count("\n# ") == 1
    body = card.split("\n---\n", 1)[1]
    assert "\n---\n" not in body
    assert not re.search(r"(?<!\\)<script", body)
    assert config.task.data_sha256 in body


@pytest.mark.slow
def test_a_model_hub_reads_the_metadata(tmp_path):
    hub = pytest.importorskip("huggingface_hub")
    run = make_run(tmp_path / "my-run", increment())
    write_card(run, None)
    data = hub.ModelCard.load(run.folder.card).data
    assert data.library_name == "keras"
    assert data.model_name == "my-run"
    assert [
        (result.metric_name, result.metric_value, result.dataset_type)
        for result in data.eval_results
    ] == [
        ("sequence accuracy", 1.0, "increment"),
        ("token accuracy", 1.0, "increment"),
    ]


def run_code_of(card, monkeypatch, folder):
    """Execute the card's Python code in the folder; return its variables."""
    monkeypatch.chdir(folder)
    code = re.search(r"```python\n(.*?)```", card, re.S)[1]
    names = {}
    exec(code, names)  # noqa: S102 - the code that people copy
    return names


def test_the_code_of_a_card_loads_the_model(saved, monkeypatch):
    card = make_card(load_run(saved), None)
    assert "safe_mode=True" in card
    names = run_code_of(card, monkeypatch, saved)
    assert names["logits"].shape == (1, 8, 2)


def test_the_code_of_a_card_loads_a_model_that_reads_names(
    tmp_path, monkeypatch
):
    table = {
        "off": {"push": "on / lit", "wait": "off / dark"},
        "on": {"push": "off / dark", "wait": "on / lit"},
    }
    config = get_preset("machine").replace(
        FiniteStateMachine,
        machine=json.dumps({"name": "switch", "states": table}),
        units=4,
    )
    run = make_run(tmp_path / "run", config)
    save_model(run.model, run.folder.model, config.task)
    card = make_card(run, None)
    assert "import tensorflow as tf" in card
    names = run_code_of(card, monkeypatch, run.run_dir)
    assert names["model"].inputs[0].dtype == "string"
    assert names["logits"].shape[-1] == 2


def test_a_readme_of_another_origin_is_kept(tmp_path, capsys):
    run = make_run(tmp_path, increment())
    run.folder.card.write_text("# my notes\n")
    write_card(run, None)
    assert run.folder.card.read_text() == "# my notes\n"
    assert "README.md is no model card made here" in capsys.readouterr().err
    run.folder.card.unlink()
    write_card(run, None)
    assert is_card(run.folder.card)
    write_card(run, None)
    assert is_card(run.folder.card)


def test_a_run_is_packed_into_a_folder(saved, tmp_path, capsys):
    output = tmp_path / "out"
    command = ["export", str(saved), "--format", "folder"]
    command += ["--output", str(output)]
    assert main(command) == 0
    names = {"README.md", "config.yaml", "model.keras", "proof.json"}
    names |= {"report.json"}
    assert {path.name for path in output.iterdir()} == names
    card = (output / "README.md").read_text()
    assert "**Proved: for every binary number, of any length" in card
    assert keras.models.load_model(output / "model.keras", safe_mode=True)
    capsys.readouterr()
    # It can be read like a run.
    assert main(["predict", str(output), "7"]) == 0
    assert "7 → 8" in capsys.readouterr().out
    assert main(["verify", str(output)]) == 0
    # An existing folder is refused, and replaced on request only.
    assert main(command) == 2
    assert "`output` must not exist" in capsys.readouterr().err
    (output / "verify-8.json").unlink()
    shutil.rmtree(output / "failures.csv", ignore_errors=True)
    (output / "failures.csv").unlink(missing_ok=True)
    (saved / "proof.json").write_text("{}")
    assert main([*command, "--overwrite"]) == 0
    assert not (output / "proof.json").exists()


def test_a_folder_that_holds_more_is_not_replaced(saved, tmp_path, capsys):
    command = ["export", str(saved), "--format", "folder", "--overwrite"]
    for output in (saved, tmp_path):
        assert main([*command, "--output", str(output)]) == 2
        assert "must be a folder of this format" in capsys.readouterr().err
    assert (saved / "config.yaml").exists()
