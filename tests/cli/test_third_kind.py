"""A new kind of task takes one file, and every command supports it."""

import json
import pathlib

import majority
import pytest

from keras_lstm.cli import main

TASK = "majority:Majority"
SMALL = ["--preset", "digits", "--units", "16", "--batch-size", "50"]


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    """Return the folder of a run of two epochs that was resumed."""
    path = tmp_path_factory.mktemp("majority") / "run"
    arguments = ["train", TASK, *SMALL, "--quiet", "--run-dir", str(path)]
    assert main([*arguments, "--schedule", "constant", "--epochs", "2"]) == 0
    assert main([*arguments, "--resume", "--epochs", "10"]) == 0
    return path


def read(path):
    return json.loads(path.read_text())


def test_the_kind_is_one_short_file():
    source = pathlib.Path(majority.__file__).read_text()
    assert len(source.splitlines()) <= 80


def test_it_trains_and_resumes(run_dir):
    report = read(run_dir / "report.json")
    assert report["task"] == TASK
    assert report["checked"] == "test split"
    assert (report["num_examples"], report["test_num_examples"]) == (250, 250)
    assert report["epochs"] == 10
    assert report["resumed_from_step"] == 2 * 20
    assert report["sequence_accuracy"] > 0.9
    assert len((run_dir / "history.csv").read_text().splitlines()) == 11


def test_it_is_evaluated(run_dir, capsys):
    assert main(["evaluate", str(run_dir)]) == 0
    out = capsys.readouterr().out
    assert " of 250 words are right: " in out
    assert "steps read   right" in out
    assert main(["evaluate", str(run_dir), "--json"]) == 0
    details = json.loads(capsys.readouterr().out)
    report = read(run_dir / "report.json")
    assert details["num_wrong"] == report["num_wrong"]
    assert len(details["accuracy_by_steps"]) == 7
    assert main(["evaluate", str(run_dir), "--dataset", "mnist"]) == 2
    assert "`dataset` is no option of majority" in capsys.readouterr().err


def test_it_predicts_what_people_write(run_dir, tmp_path, capsys):
    path = tmp_path / "words"
    path.write_text("aaaaaab\n\nccxcc\ncccbccc\n")
    assert main(["predict", str(run_dir), "bbbbbbb", f"@{path}"]) == 1
    out, err = capsys.readouterr()
    first, second, third = out.splitlines()
    assert first.startswith("bbbbbbb → 1  (")
    assert second.startswith("aaaaaab → 0  (")
    assert third.startswith("cccbccc → 2  (")
    assert err == (
        f"{path}, line 3: `input` must be letters of abc. Received: 'ccxcc'\n"
    )
    assert main(["predict", str(run_dir), "bbb"]) == 2
    assert "must be 7 numbers" in capsys.readouterr().err
    assert main(["predict", str(run_dir), "bbbbbbb", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["input"], found["class"]) == ("bbbbbbb", 1)
    assert 0.5 < found["probability"] <= 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("verify",),
        ("prove",),
        ("extract",),
        ("predict", "bbbbbbb", "--rows", "2"),
    ],
)
def test_what_needs_a_machine_or_an_image_is_refused(
    run_dir, capsys, arguments
):
    command, *rest = arguments
    assert main([command, str(run_dir), *rest]) == 2
    assert "majority" in capsys.readouterr().err


def test_it_has_a_page(run_dir, capsys):
    assert main(["report", str(run_dir)]) == 0
    assert capsys.readouterr().out == f"Page: {run_dir / 'report.html'}\n"
    text = (run_dir / "report.html").read_text(encoding="utf-8")
    assert "of the test words are right" in text
    # The script of the class above it would read other texts than `predict`.
    assert "no script reads its inputs as they are written" in text


def test_it_is_exported(run_dir, tmp_path, capsys):
    output = tmp_path / "model.tflite"
    arguments = ["--format", "litert", "--output", str(output)]
    assert main(["export", str(run_dir), *arguments]) == 0
    out = capsys.readouterr().out
    assert "symbols (1, 7) int32 -> logits (1, 3) float32" in out
    assert "answers 1,000 random inputs as Keras does" in out
    assert output.is_file()


def test_it_is_tuned(tmp_path, capsys):
    folder = tmp_path / "search"
    arguments = ["--run-dir", str(folder), "--max-trials", "1"]
    assert main(["tune", TASK, *SMALL, "--epochs", "1", *arguments]) == 0
    out = capsys.readouterr().out
    assert "validation accuracy" in out
    assert (folder / "best.yaml").is_file()


@pytest.mark.parametrize(
    ("flag", "value", "message"),
    [
        (
            "--prove-from-epoch",
            "1",
            "`prove_from_epoch` needs a finite-state machine",
        ),
        ("--head", "per_step", "`head` must be last_state"),
        ("--length", "0", "`length` must be an integer from 1 to 100"),
    ],
)
def test_options_that_do_not_fit_are_refused(capsys, flag, value, message):
    assert main(["train", TASK, *SMALL, flag, value]) == 2
    assert message in capsys.readouterr().err
