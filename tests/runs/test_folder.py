import dataclasses
import json

import made_runs
import pytest

from keras_lstm.config_rules import Execution
from keras_lstm.core.errors import InputError
from keras_lstm.core.version import __version__
from keras_lstm.presets import get_preset
from keras_lstm.runs.folder import RunFolder
from keras_lstm.runs.report import StopReason
from keras_lstm.tasks.increment import Decrement, Increment

CONFIG = get_preset("increment").replace(Increment, epochs=3, units=8)
CONFIG = CONFIG.with_execution(Execution())


SECONDS = ("import", "build", "train", "check")
REPORT = dataclasses.replace(
    made_runs.REPORT,
    num_examples=15,
    epochs=3,
    stopped_because=StopReason.ALL_EPOCHS,
)


def report(run_dir, version=__version__, **values):
    values |= {"versions": {"keras_lstm": version}}
    text = dataclasses.replace(REPORT, **values).to_json()
    (run_dir / "report.json").write_text(text)
    (run_dir / "model.keras").write_text("")


@pytest.fixture
def run_dir(tmp_path):
    (tmp_path / "config.yaml").write_text(CONFIG.to_yaml())
    return tmp_path


def test_a_folder_without_a_run_may_begin_one(tmp_path):
    assert RunFolder(tmp_path).read_config() is None
    assert RunFolder(tmp_path).read_report() is None
    assert RunFolder(tmp_path).finished_reason(CONFIG) is None
    assert RunFolder(tmp_path / "none").finished_reason(CONFIG) is None
    RunFolder(tmp_path / "none").check(resume=False)
    RunFolder(tmp_path).check(resume=True)


def test_a_link_to_nowhere_is_no_folder(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "none")
    for path in (tmp_path / "link", tmp_path / "link" / "below"):
        with pytest.raises(InputError, match="`run_dir` must be a folder"):
            RunFolder(path).check(resume=False)


@pytest.mark.parametrize("name", ["curves.png", "README.md", "model.keras"])
def test_a_folder_cannot_take_a_files_place(tmp_path, name):
    # Before, it was told when the training was over.
    (tmp_path / name).mkdir()
    with pytest.raises(InputError, match=f"must have a file at {name}"):
        RunFolder(tmp_path).check(resume=True)


@pytest.mark.parametrize("name", ["checkpoints", "train", "validation"])
def test_a_file_cannot_take_a_folders_place(tmp_path, name):
    (tmp_path / name).touch()
    with pytest.raises(InputError, match=f"must have a folder at {name}"):
        RunFolder(tmp_path).check(resume=False)


def test_a_run_goes_on_with_its_own_options(run_dir):
    assert RunFolder(run_dir).read_config() == CONFIG
    assert RunFolder(run_dir).finished_reason(CONFIG) is None
    RunFolder(run_dir).check(resume=True)
    with pytest.raises(InputError, match="must not hold a run yet"):
        RunFolder(run_dir).check(resume=False)


@pytest.mark.parametrize(
    ("task", "values", "message"),
    [
        (Increment, {"units": 9}, r"Received: units=9 \(the run has 8\)$"),
        (Increment, {"seed": 4}, r"seed=4 \(the run has 0\)$"),
        (Increment, {"epochs": 2}, r"epochs=2 \(the run has 3\)$"),
        (
            Increment,
            {"num_bits": 5, "dropout": 0.5, "epochs": 9},
            r"Received: num_bits=5 \(the run has 20\), "
            r"dropout=0.5 \(the run has 0.0\)$",
        ),
        (Decrement, {}, r"task=decrement \(the run has increment\)$"),
    ],
)
def test_a_changed_option_is_named(run_dir, task, values, message):
    with pytest.raises(InputError, match=message):
        RunFolder(run_dir).finished_reason(CONFIG.replace(task, **values))


@pytest.mark.parametrize(
    "values",
    [
        {"epochs": 4},
        {"checkpoint_every_steps": 7},
        {"checkpoint_every_seconds": None},
        {"track": "mlflow"},
    ],
)
def test_what_does_not_change_the_run_may_change(run_dir, values):
    assert (
        RunFolder(run_dir).finished_reason(CONFIG.replace(Increment, **values))
        is None
    )


def test_a_finished_run_has_nothing_left_to_do(run_dir):
    report(run_dir)
    assert RunFolder(run_dir).finished_reason(CONFIG) == (
        f"{run_dir} is finished: all epochs were run. Nothing is left to do."
    )
    longer = CONFIG.replace(Increment, epochs=5)
    assert RunFolder(run_dir).finished_reason(longer) is None
    # Killed before it was that long, it still has epochs left.
    (run_dir / "config.yaml").write_text(longer.to_yaml())
    assert RunFolder(run_dir).finished_reason(longer) is None
    report(run_dir, epochs=5)
    assert "is finished" in RunFolder(run_dir).finished_reason(longer)


def test_what_has_stopped_because_it_is_right_does_not_go_on(run_dir):
    report(run_dir, stopped_because=StopReason.PROVED)
    longer = CONFIG.replace(Increment, epochs=5)
    assert "is finished: it is proved" in RunFolder(run_dir).finished_reason(
        longer
    )


GROUP = {"hold_length": 0, "num_examples": 2, "num_wrong": 5}


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"sequence_accuracy": 1e308}, "sequence_accuracy"),
        ({"token_accuracy": -0.1}, "token_accuracy"),
        ({"validation_accuracy": 2.0}, "validation_accuracy"),
        ({"baselines": {"guess": 1.5}}, "guess"),
        ({"num_wrong": 10**6}, "num_wrong"),
        ({"test_num_examples": 3, "test_num_wrong": 9}, "test_num_wrong"),
        (
            {"test_first_num_examples": 1, "test_first_num_wrong": 2},
            "test_first_num_wrong",
        ),
        ({"by_hold_length": [GROUP]}, "num_wrong"),
    ],
)
def test_a_report_that_no_run_has_is_damaged(run_dir, changes, name):
    report(run_dir, **changes)
    with pytest.raises(InputError, match=f"{name} is out of range"):
        RunFolder(run_dir).read_report()


def test_seconds_that_no_run_takes_are_damaged(run_dir):
    report(run_dir)
    path = run_dir / "report.json"
    mapping = json.loads(path.read_text())
    for seconds in (1e308, -1.0):
        mapping["seconds"]["train"] = seconds
        path.write_text(json.dumps(mapping))
        with pytest.raises(InputError, match="seconds, train is out of range"):
            RunFolder(run_dir).read_report()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.yaml", b"", "a complete config.yaml"),
        ("config.yaml", b"\xff", "a readable config.yaml"),
        ("config.yaml", b"preset: [", "must be YAML"),
        ("report.json", b"", "a readable report.json"),
        ("report.json", b"[1]", "a readable report.json"),
        ("report.json", b"[" * 100_000, "a readable report.json"),
    ],
)
def test_a_damaged_file_is_one_line(run_dir, name, content, message):
    (run_dir / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as info:
        RunFolder(run_dir).finished_reason(CONFIG)
    assert "\n" not in str(info.value)


def test_a_newer_run_is_refused(run_dir):
    report(run_dir, version="99.0.0")
    with pytest.raises(InputError, match=r"written by keras-lstm 99\.0\.0"):
        RunFolder(run_dir).finished_reason(CONFIG)


def test_a_run_whose_model_is_gone_is_not_finished(run_dir):
    report(run_dir)
    (run_dir / "model.keras").unlink()
    assert RunFolder(run_dir).finished_reason(CONFIG) is None


def test_configuration_and_checkpoints_belong_together(tmp_path):
    checkpoints = tmp_path / "checkpoints"
    checkpoints.mkdir()
    RunFolder(tmp_path).check_checkpoints()
    # Killed before the configuration was written: nothing was trained.
    (checkpoints / "step-000000000.ckpt").write_text("")
    RunFolder(tmp_path).check_checkpoints()
    assert not list(checkpoints.iterdir())
    (checkpoints / "step-000000007.ckpt").write_text("")
    with pytest.raises(InputError, match="hold the config"):
        RunFolder(tmp_path).check_checkpoints()
    (tmp_path / "config.yaml").write_text("")
    RunFolder(tmp_path).check_checkpoints()
    (checkpoints / "step-000000007.ckpt").unlink()
    with pytest.raises(InputError, match="hold a checkpoint to resume from"):
        RunFolder(tmp_path).check_checkpoints()


def test_results_are_removed_and_the_rest_stays(run_dir):
    report(run_dir)
    for name in ("verify-20.json", "failures-24.csv", "failures.csv"):
        (run_dir / name).write_text("")
    for name in ("proof.json", "model.keras", "history.csv"):
        (run_dir / name).write_text("")
    RunFolder(run_dir).remove_results()
    assert {path.name for path in run_dir.iterdir()} == {
        *("config.yaml", "model.keras", "history.csv"),
    }


def test_a_report_is_read_back_as_it_was_written(run_dir):
    report(run_dir, by_hold_length=[{"hold_length": 0}])
    found = RunFolder(run_dir).read_report()
    assert found == dataclasses.replace(
        REPORT, by_hold_length=[{"hold_length": 0}]
    )
    mapping = json.loads((run_dir / "report.json").read_text())
    assert "proof_boxes" not in mapping
    assert mapping["stopped_because"] == "all_epochs"
    assert mapping["seconds"]["total"] == 10.0


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("all epochs were run", StopReason.ALL_EPOCHS),
        ("a callback stopped it", StopReason.CALLBACK),
        ("it is proved", StopReason.PROVED),
        ("nothing was wrong", StopReason.NOTHING_WRONG),
        ("sequence_accuracy was exactly 1", StopReason.FULL_ACCURACY),
        ("full_accuracy", StopReason.FULL_ACCURACY),
    ],
)
def test_reports_of_version_0_1_are_read(run_dir, text, reason):
    mapping = REPORT.to_mapping() | {"stopped_because": text}
    (run_dir / "report.json").write_text(json.dumps(mapping))
    assert RunFolder(run_dir).read_report().stopped_because is reason


@pytest.mark.parametrize("name", REPORT.to_mapping())
def test_a_report_without_an_entry_is_one_line(run_dir, name):
    mapping = REPORT.to_mapping()
    del mapping[name]
    (run_dir / "report.json").write_text(json.dumps(mapping))
    with pytest.raises(InputError, match=r"a readable report\.json.*KeyError"):
        RunFolder(run_dir).read_report()


@pytest.mark.parametrize("version", ["9" * 5000, 3, None, ["0.1.0"]])
def test_a_version_that_is_none_is_one_line(run_dir, version):
    report(run_dir, version=version)
    with pytest.raises(InputError, match="must state its version"):
        RunFolder(run_dir).read_report()


@pytest.mark.parametrize(
    "change",
    [
        *({"stopped_because": "boredom"}, {"stopped_because": None}),
        *({"seconds": {}}, {"seconds": 3}, {"seconds": []}),
        *({"seconds": dict.fromkeys(SECONDS, "1")}, {"epochs": "3"}),
        *({"epochs": None}, {"epochs": True}, {"epochs": 3.0}, {"seed": -1}),
        *({"epochs": 10**400}, {"min_margin": float("nan")}, {"preset": 7}),
        *({"by_hold_length": [{"hold_length": "x"}]}, {"proved": 1}),
        *({"by_hold_length": {}}, {"versions": []}, {"versions": {}}),
        {"versions": {"keras_lstm": __version__, "python": 3}},
    ],
)
def test_a_report_that_is_none_is_one_line(run_dir, change):
    mapping = REPORT.to_mapping() | change
    (run_dir / "report.json").write_text(json.dumps(mapping))
    with pytest.raises(InputError, match=r"a readable report\.json"):
        RunFolder(run_dir).read_report()
