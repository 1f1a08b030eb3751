import hashlib
import json

import pytest
from handmade import CONSTRUCTED

from keras_lstm.cli import main
from keras_lstm.presets import get_preset
from keras_lstm.runs.checks import verify_run
from keras_lstm.runs.run import load_run
from keras_lstm.tasks.image_rows import ImageRows
from keras_lstm.tasks.increment import Increment
from keras_lstm.training.train import train


@pytest.fixture(scope="module")
def exact_run(tmp_path_factory):
    """Return the folder of a run that is right at its own length."""
    run_dir = tmp_path_factory.mktemp("exact") / "run"
    config = get_preset("increment").replace(
        Increment, num_bits=10, **CONSTRUCTED
    )
    result = train(config, run_dir, quiet=True)
    assert result.report.num_wrong == 0
    return run_dir


@pytest.fixture(scope="module")
def wrong_run(tmp_path_factory):
    """Return the folder of a last_state run that is wrong."""
    run_dir = tmp_path_factory.mktemp("wrong") / "run"
    config = get_preset("increment-noise").replace(
        Increment, num_bits=6, units=8, head="last_state", epochs=1
    )
    assert train(config, run_dir, quiet=True).report.num_wrong > 0
    return run_dir


def test_a_run_is_read_back(exact_run):
    run = load_run(exact_run)
    assert run.machine == Increment(num_bits=10)
    assert run.config.preset == "increment"
    assert run.report.num_examples == 1023
    assert not run.model.compiled


def test_verify_says_that_nothing_is_wrong(exact_run, capsys):
    before = (exact_run / "report.json").read_text()
    assert main(["verify", str(exact_run), "--walk"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(
        "Nothing is wrong: 1,023 of 1,023 answers are right (all inputs)."
    )
    assert (exact_run / "report.json").read_text() == before
    written = json.loads((exact_run / "verify-10.json").read_text())
    assert (written["num_examples"], written["num_wrong"]) == (1023, 0)
    model = (exact_run / "model.keras").read_bytes()
    assert written["model_sha256"] == hashlib.sha256(model).hexdigest()


def test_verify_lists_what_is_wrong_and_exits_with_1(wrong_run, capsys):
    assert main(["verify", str(wrong_run)]) == 1
    out = capsys.readouterr().out
    assert out.startswith("carry length")
    report = json.loads((wrong_run / "report.json").read_text())
    assert f"{report['num_wrong']} of 63 answers are wrong" in out
    lines = (wrong_run / "failures.csv").read_text().splitlines()
    assert len(lines) == 1 + report["num_wrong"]


def test_json_is_all_that_standard_output_gets(wrong_run, capsys):
    assert main(["verify", str(wrong_run), "--json"]) == 1
    printed = json.loads(capsys.readouterr().out)
    written = json.loads((wrong_run / "verify-6.json").read_text())
    assert printed == written
    report = json.loads((wrong_run / "report.json").read_text())
    for key in ("num_wrong", "min_margin", "by_hold_length", "checked"):
        assert printed[key] == report[key]


def test_what_a_check_listed_is_compared(exact_run, wrong_run, capsys):
    report = json.loads((wrong_run / "report.json").read_text())
    runs = [str(wrong_run), str(wrong_run), str(exact_run)]
    assert main(["compare", "--json", *runs]) == 0
    same, other = json.loads(capsys.readouterr().out)["wrong_inputs"]
    assert same["num_both_wrong"] == report["num_wrong"] > 0
    assert (same["first_right"], same["other_right"]) == ([], [])
    assert same["is_complete"]
    assert other["reason"] == "their options differ: num_bits is 6 and 10"


@pytest.mark.parametrize(
    ("num_bits", "checked"),
    [(7, "all inputs"), (48, "all inputs"), (64, "inputs of these kinds")],
)
def test_other_lengths_are_checked(exact_run, capsys, num_bits, checked):
    arguments = ["--num-bits", str(num_bits), "--walk", "--json"]
    main(["verify", str(exact_run), *arguments])
    report = json.loads(capsys.readouterr().out)
    assert checked in report["checked"]
    assert report["num_bits"] == num_bits
    if checked == "all inputs":
        assert report["num_examples"] == 2**num_bits - 1
    assert (exact_run / f"verify-{num_bits}.json").is_file()
    assert (exact_run / f"failures-{num_bits}.csv").is_file()


def test_another_length_does_not_need_enough_training_examples(tmp_path):
    config = get_preset("increment-noise").replace(
        Increment,
        num_bits=8,
        sampling="permutation",
        train_examples=200,
        validation_examples=0,
        monitor=None,
        epochs=1,
    )
    train(config, tmp_path / "run", quiet=True)
    _, result, _ = verify_run(load_run(tmp_path / "run"), 5)
    assert result.num_examples == 31


def changed(run_dir, tmp_path, name, change):
    """Return a copy of a run folder with one file changed."""
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in run_dir.iterdir():
        if path.is_file():
            (copy / path.name).write_bytes(path.read_bytes())
    change(copy / name)
    return copy


BAD = [
    ("report.json", lambda p: p.unlink(), "must hold a finished run"),
    ("report.json", lambda p: p.write_text("{"), "a readable report.json"),
    ("report.json", lambda p: p.write_text("[]"), "a readable report.json"),
    ("config.yaml", lambda p: p.unlink(), "must hold a finished run"),
    ("config.yaml", lambda p: p.write_text(""), "a complete config.yaml"),
    ("config.yaml", lambda p: p.write_text("model: {u: 1}"), "is no option"),
    ("model.keras", lambda p: p.unlink(), "without model.keras"),
    ("model.keras", lambda p: p.write_bytes(b""), "is damaged: it is empty"),
    (
        "model.keras",
        lambda p: p.write_bytes(p.read_bytes()[:1000]),
        "cannot be loaded",
    ),
    (
        "report.json",
        lambda p: p.write_text('{"versions": {"keras_lstm": "99.0.0"}}'),
        "written by keras-lstm 99.0.0, newer than this one",
    ),
]


@pytest.mark.parametrize(("name", "change", "message"), BAD)
def test_a_damaged_folder_gets_one_line(
    exact_run, tmp_path, capsys, name, change, message
):
    copy = changed(exact_run, tmp_path, name, change)
    assert main(["verify", str(copy)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert err.count("\n") == 1


def test_a_model_of_another_run_is_refused(
    exact_run, wrong_run, tmp_path, capsys
):
    other = (wrong_run / "model.keras").read_bytes()
    copy = changed(
        exact_run, tmp_path, "model.keras", lambda p: p.write_bytes(other)
    )
    assert main(["verify", str(copy)]) == 2
    assert "the model that its config.yaml describes" in capsys.readouterr().err


def test_a_result_that_cannot_be_written_exits_with_1(
    exact_run, tmp_path, capsys
):
    copy = changed(exact_run, tmp_path, "report.json", lambda p: None)
    (copy / "verify-10.json").unlink(missing_ok=True)
    (copy / "verify-10.json").mkdir()
    assert main(["verify", str(copy)]) == 1
    out, err = capsys.readouterr()
    # Nothing is lost: it is printed before.
    assert out.startswith(("Nothing is wrong", "Proved"))
    assert err.count("\n") == 1


def test_a_folder_that_is_not_there_gets_one_line(tmp_path, capsys):
    assert main(["verify", str(tmp_path / "none")]) == 2
    assert "`run_dir` must hold a finished run" in capsys.readouterr().err


def test_a_run_of_another_task_is_refused(tmp_path, capsys):
    config = get_preset("digits").replace(
        ImageRows, epochs=1, steps_per_epoch=1
    )
    train(config, tmp_path / "run", quiet=True)
    assert main(["verify", str(tmp_path / "run")]) == 2
    err = capsys.readouterr().err
    assert (
        "must hold a run of a finite-state machine. Received: a run of im"
        in err
    )


@pytest.mark.parametrize(
    ("num_bits", "message"),
    [
        ("7", "must be 6, the length that a last_state model was trained on"),
        ("0", "must be an integer of at least 1"),
        ("x", "must be an integer of at least 1. Received: num_bits=x"),
        ("4097", "must be an integer from 1 to 4096"),
    ],
)
def test_a_length_that_cannot_be_is_refused(
    exact_run, wrong_run, capsys, num_bits, message
):
    run_dir = exact_run if num_bits == "4097" else wrong_run
    assert main(["verify", str(run_dir), "--num-bits", num_bits]) == 2
    assert message in capsys.readouterr().err
