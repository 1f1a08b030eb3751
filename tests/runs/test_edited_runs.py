"""Runs whose files were edited are not resumed."""

import pytest

from keras_lstm.checkpoint.checkpoints import Checkpoint, CheckpointFolder
from keras_lstm.cli import main
from keras_lstm.config_rules import Execution
from keras_lstm.core.errors import InputError
from keras_lstm.presets import get_preset
from keras_lstm.runs.folder import RunFolder

CONFIG = get_preset("increment-noise").replace(epochs=3, units=8)
CONFIG = CONFIG.with_execution(Execution())


@pytest.fixture
def begun(tmp_path):
    """Return a run that was stopped; nothing here restores its state."""
    folder = RunFolder(tmp_path / "run")
    state = {"options": CONFIG.to_flat()}
    CheckpointFolder(folder.checkpoints).write(Checkpoint(8, state), None)
    folder.config.write_text(CONFIG.to_yaml())
    return folder


def edit(folder, **options):
    folder.config.write_text(CONFIG.replace(**options).to_yaml())


def resume(folder, *flags):
    command = ["train", "increment", "--run-dir", str(folder.path), "--resume"]
    return main([*command, *flags])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": 4}, "seed=4 (the run has 0)"),
        ({"steps_per_epoch": 9}, "steps_per_epoch=9 (the run has 10)"),
        ({"epochs": 2}, "epochs=2 (the run has 3)"),
        ({"units": 9, "num_bits": 5}, "num_bits=5 (the run has 20), units=9"),
        ({"monitor": None}, "monitor=None (the run has val_sequence_accuracy)"),
    ],
)
def test_an_edited_configuration_is_refused_by_name(
    begun, capsys, options, message
):
    assert RunFolder(begun.path).finished_reason(CONFIG) is None
    edit(begun, **options)
    assert resume(begun) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("keras-lstm: error: `resume` must keep the run's own")
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "options",
    [
        *({"epochs": 9}, {"checkpoint_every_steps": 7}),
        {"checkpoint_every_seconds": None},
    ],
)
def test_what_may_change_may_be_edited(begun, options):
    edit(begun, **options)
    config = begun.read_config()
    assert config == CONFIG.replace(**options)
    assert begun.finished_reason(config) is None


def test_an_option_is_compared_by_its_present_name(begun):
    stated = {
        ("clipnorm" if name == "global_clipnorm" else name): value
        for name, value in CONFIG.to_flat().items()
        # An option that was added later.
        if name != "num_microbatches"
    }
    state = {"options": stated}
    CheckpointFolder(begun.checkpoints).write(Checkpoint(9, state), None)
    assert begun.finished_reason(CONFIG) is None
    with pytest.raises(InputError, match=r"Received: global_clipnorm=2\.0 "):
        begun.finished_reason(CONFIG.replace(global_clipnorm=2.0))


@pytest.mark.parametrize(
    "stated", [None, 3, [], {"seed": "0"}, {"epochs": None}, {"epochs": True}]
)
def test_options_of_a_wrong_type_are_no_traceback(begun, stated):
    state = {"options": stated}
    CheckpointFolder(begun.checkpoints).write(Checkpoint(9, state), None)
    if isinstance(stated, dict):
        with pytest.raises(InputError, match="must keep the run's own"):
            begun.finished_reason(CONFIG)
    else:
        assert begun.finished_reason(CONFIG) is None


def test_other_weights_are_not_for_a_run_that_has_begun(begun, capsys):
    finished = "tests/data/run-0.1.0-finished"
    assert resume(begun, "--init-from", finished) == 2
    err = capsys.readouterr().err
    assert "`init_from` must not be given to resume a run that has begun" in err
    assert err.count("\n") == 1
    RunFolder(begun.path / "new").check_init_from(begun.path)


def test_a_checkpoint_without_a_state_is_refused(begun, capsys):
    state = {"options": CONFIG.to_flat()}
    for path in begun.checkpoints.iterdir():
        path.unlink()
    CheckpointFolder(begun.checkpoints).write(Checkpoint(9, state), None)
    assert resume(begun) == 2
    err = capsys.readouterr().err
    assert "must hold the state of a training. Received: epoch=nothing" in err


def test_folders_in_place_of_checkpoints_are_refused(begun, capsys):
    for path in begun.checkpoints.iterdir():
        path.unlink()
        path.mkdir()
    assert resume(begun) == 2
    assert "Not a regular file" in capsys.readouterr().err
