import json

import pytest

from keras_lstm import __version__
from keras_lstm.options import InputError
from keras_lstm.presets import get_preset
from keras_lstm.run_folder import (
    ALL_EPOCHS,
    check_checkpoints,
    check_goes_on,
    check_run_dir,
    remove_results,
    saved_config,
    saved_report,
)
from keras_lstm.tasks.increment import Decrement, Increment

CONFIG = get_preset("increment").replace(Increment, epochs=3, units=8)


def report(run_dir, why=ALL_EPOCHS, version=__version__, epochs=3):
    text = json.dumps(
        {
            "stopped_because": why,
            "epochs": epochs,
            "versions": {"keras_lstm": version},
        }
    )
    (run_dir / "report.json").write_text(text)
    (run_dir / "model.keras").write_text("")


@pytest.fixture
def run_dir(tmp_path):
    (tmp_path / "config.yaml").write_text(CONFIG.to_yaml())
    return tmp_path


def test_a_folder_without_a_run_may_begin_one(tmp_path):
    assert saved_config(tmp_path) is None
    assert saved_report(tmp_path) is None
    assert check_goes_on(tmp_path, CONFIG) is None
    assert check_goes_on(tmp_path / "none", CONFIG) is None
    check_run_dir(tmp_path / "none", resume=False)
    check_run_dir(tmp_path, resume=True)


def test_a_run_goes_on_with_its_own_options(run_dir):
    assert saved_config(run_dir) == CONFIG
    assert check_goes_on(run_dir, CONFIG) is None
    check_run_dir(run_dir, resume=True)
    with pytest.raises(InputError, match="must not hold a run yet"):
        check_run_dir(run_dir, resume=False)


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
        check_goes_on(run_dir, CONFIG.replace(task, **values))


@pytest.mark.parametrize(
    "values",
    [{"epochs": 4}, {"checkpoint_steps": 7}, {"checkpoint_seconds": None}],
)
def test_what_does_not_change_the_run_may_change(run_dir, values):
    assert check_goes_on(run_dir, CONFIG.replace(Increment, **values)) is None


def test_a_finished_run_has_nothing_left_to_do(run_dir):
    report(run_dir)
    assert check_goes_on(run_dir, CONFIG) == (
        f"{run_dir} is finished: all epochs were run. Nothing is left to do."
    )
    longer = CONFIG.replace(Increment, epochs=5)
    assert check_goes_on(run_dir, longer) is None
    # Killed on the way there, it still has something to do.
    (run_dir / "config.yaml").write_text(longer.to_yaml())
    assert check_goes_on(run_dir, longer) is None
    report(run_dir, epochs=5)
    assert "is finished" in check_goes_on(run_dir, longer)


def test_what_has_stopped_because_it_is_right_does_not_go_on(run_dir):
    report(run_dir, "it is proved")
    longer = CONFIG.replace(Increment, epochs=5)
    assert "is finished: it is proved" in check_goes_on(run_dir, longer)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.yaml", b"", "a whole config.yaml"),
        ("config.yaml", b"\xff", "a config.yaml that can be read"),
        ("config.yaml", b"preset: [", "must be YAML"),
        ("report.json", b"", "a report.json that can be read"),
        ("report.json", b"[1]", "a report.json that can be read"),
        ("report.json", b"[" * 100_000, "a report.json that can be read"),
    ],
)
def test_a_damaged_file_is_one_line(run_dir, name, content, message):
    (run_dir / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as info:
        check_goes_on(run_dir, CONFIG)
    assert "\n" not in str(info.value)


def test_a_newer_run_is_refused(run_dir):
    report(run_dir, version="99.0.0")
    with pytest.raises(InputError, match=r"written by keras-lstm 99\.0\.0"):
        check_goes_on(run_dir, CONFIG)


def test_a_run_whose_model_is_gone_is_not_finished(run_dir):
    report(run_dir)
    (run_dir / "model.keras").unlink()
    assert check_goes_on(run_dir, CONFIG) is None


def test_configuration_and_checkpoints_belong_together(tmp_path):
    checkpoints = tmp_path / "checkpoints"
    checkpoints.mkdir()
    check_checkpoints(tmp_path)
    # Killed before there was a configuration: nothing has been trained.
    (checkpoints / "step-000000000.ckpt").write_text("")
    check_checkpoints(tmp_path)
    assert not list(checkpoints.iterdir())
    (checkpoints / "step-000000007.ckpt").write_text("")
    with pytest.raises(InputError, match="hold the config"):
        check_checkpoints(tmp_path)
    (tmp_path / "config.yaml").write_text("")
    check_checkpoints(tmp_path)
    (checkpoints / "step-000000007.ckpt").unlink()
    with pytest.raises(InputError, match="must hold a checkpoint to go on"):
        check_checkpoints(tmp_path)


def test_results_are_removed_and_the_rest_stays(run_dir):
    report(run_dir)
    for name in ("verify-20.json", "failures-24.csv", "failures.csv"):
        (run_dir / name).write_text("")
    for name in ("proof.json", "model.keras", "history.csv"):
        (run_dir / name).write_text("")
    remove_results(run_dir)
    assert {path.name for path in run_dir.iterdir()} == {
        *("config.yaml", "model.keras", "history.csv"),
    }
