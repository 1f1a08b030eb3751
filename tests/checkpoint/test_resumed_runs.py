import json
import os
import signal

import pytest
from stopping import Stop, StopError

from keras_lstm.checkpoint.checkpoints import CheckpointFolder, read_checkpoint
from keras_lstm.checkpoint.preemption import TrainingInterrupted
from keras_lstm.config_rules import Execution
from keras_lstm.presets import get_preset
from keras_lstm.runs.folder import RunFolder
from keras_lstm.tasks.image_rows import ImageRows
from keras_lstm.tasks.increment import Increment
from keras_lstm.tasks.token_sequences import TokenSequences
from keras_lstm.training import train as training
from keras_lstm.training.train import train

LAST_STATE = {
    "num_bits": 7,
    "units": 8,
    "sampling": "carry",
    "batch_size": 64,
    "epochs": 5,
    "steps_per_epoch": 6,
    "input_noise": 0.3,
    "layer_noise": 0.2,
    "dropout": 0.1,
    "global_clipnorm": 0.5,
    "schedule": "cosine",
    "learning_rate": 0.02,
    "monitor": None,
    "counterexamples_from_epoch": 1,
    "checkpoint_every_steps": 4,
}
PROVED = {
    "num_bits": 5,
    "units": 6,
    "epochs": 4,
    "steps_per_epoch": 5,
    "batch_size": 16,
    "prove_from_epoch": 1,
    "checkpoint_every_steps": 3,
}
DIGITS = {
    "units": 8,
    "epochs": 3,
    "batch_size": 256,
    "dropout": 0.2,
    "rotation": 0.1,
    "shift": 1.0,
    "elastic": 0.5,
    "ema_fraction": 0.2,
    "label_smoothing": 0.1,
    "early_prediction": 0.3,
    "optimizer": "adamw",
    "weight_decay": 0.01,
    "checkpoint_every_steps": 2,
}
CONFIGS = {
    "last_state": get_preset("increment-last-state").replace(
        Increment, **LAST_STATE
    ),
    "proved": get_preset("increment-proved").replace(Increment, **PROVED),
    "digits": get_preset("digits").replace(ImageRows, **DIGITS),
    "mixed": get_preset("increment").replace(
        Increment,
        num_bits=5,
        units=6,
        epochs=3,
        steps_per_epoch=4,
        precision="mixed_float16",
        checkpoint_every_steps=3,
    ),
    "num_microbatches": get_preset("digits").replace(
        ImageRows, **DIGITS, num_microbatches=2, jit_compile=True
    ),
}


def outcome(result):
    """Return the results that must be the same, bit for bit."""
    run_dir = result.run_dir
    report = json.loads((run_dir / "report.json").read_text())
    for key in (
        "seconds",
        "resumed_from_step",
        "proof_seconds",
        "model_sha256",
    ):
        report.pop(key, None)
    return {
        "weights": [w.tobytes() for w in result.model.get_weights()],
        "history.csv": (run_dir / "history.csv").read_text(),
        "history": result.history,
        "report": report,
    }


def run(config, run_dir, stops):
    """Train, stopping at each of the stops and resuming."""
    for stop in stops:
        with pytest.raises(StopError):
            train(
                config,
                run_dir,
                resume=True,
                callbacks=[Stop(**stop)],
                quiet=True,
            )
    return train(config, run_dir, resume=True, callbacks=[Stop()], quiet=True)


# The stops are: before the second checkpoint; within an epoch, several times;
# at an epoch's last step; between validation and the next epoch; in the last
# epoch.
STOPS = {
    "last_state": [{"after_steps": 8}, {"after_epoch": 1}, {"after_steps": 17}],
    "last_state, often": [
        *({"after_steps": 3}, {"after_steps": 8}, {"after_steps": 12}),
        *({"after_epoch": 1}, {"after_steps": 17}, {"after_epoch": 4}),
    ],
    "proved": [{"after_steps": 7}, {"after_epoch": 1}, {"after_steps": 19}],
    "digits": [{"after_steps": 4}, {"after_epoch": 0}, {"after_steps": 13}],
    "mixed": [{"after_steps": 2}, {"after_steps": 6}, {"after_epoch": 2}],
    "num_microbatches": [{"after_steps": 4}],
}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("digits", marks=pytest.mark.slow),
        pytest.param("last_state", marks=pytest.mark.slow),
        pytest.param("num_microbatches", marks=pytest.mark.slow),
        pytest.param("last_state, often", marks=pytest.mark.slow),
        pytest.param("proved", marks=pytest.mark.slow),
        pytest.param("mixed", marks=pytest.mark.slow),
    ],
)
def test_a_training_goes_on_as_if_never_stopped(tmp_path, name):
    config = CONFIGS[name.split(",")[0]]
    whole = run(config, tmp_path / "whole", [])
    assert whole.report.resumed_from_step is None
    resumed = run(config, tmp_path / "resumed", STOPS[name])
    assert resumed.report.resumed_from_step > 0
    assert outcome(resumed) == outcome(whole)


@pytest.mark.slow
def test_two_replicas_go_on_as_if_never_stopped(
    tmp_path, mirrored, monkeypatch
):
    monkeypatch.setattr(
        training, "get_strategy", lambda name, seconds: mirrored
    )
    config = CONFIGS["last_state"].replace(Increment, epochs=3)
    whole = run(config, tmp_path / "whole", [])
    resumed = run(config, tmp_path / "resumed", [{"after_steps": 10}])
    assert resumed.report.resumed_from_step == 8
    assert outcome(resumed) == outcome(whole)


@pytest.mark.slow
def test_mistakes_are_repeated_as_if_never_stopped(tmp_path):
    rows = [
        f"{'ab'[i % 2] * (1 + i % 7)}{'ab'[i // 5 % 2]},{'xy'[i % 3 == 0]}"
        for i in range(300)
    ]
    data = tmp_path / "data.csv"
    data.write_text("\n".join(["text,label", *rows, ""]))
    config = get_preset("sequences").replace(
        TokenSequences,
        data=str(data),
        units=8,
        epochs=4,
        batch_size=16,
        suspicious=True,
        counterexamples_from_epoch=0,
        checkpoint_every_steps=4,
    )
    whole = run(config, tmp_path / "whole", [])
    resumed = run(
        *(config, tmp_path / "resumed"),
        [{"after_steps": 18}, {"after_epoch": 1}, {"after_steps": 45}],
    )
    assert outcome(resumed) == outcome(whole)
    for name in ("suspicious.csv", "failures.csv"):
        texts = [(x.run_dir / name).read_text() for x in (whole, resumed)]
        assert texts[0] == texts[1]
    # Without them, the weights are others.
    config = config.replace(counterexamples_from_epoch=None)
    assert outcome(train(config, quiet=True, run_dir=tmp_path / "plain")) != (
        outcome(whole)
    )


class Signal(Stop):
    """Send SIGTERM to this process after `after_steps` optimizer steps."""

    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.optimizer.iterations.numpy()) == self.after_steps:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.slow
def test_a_signal_ends_the_step_and_writes_a_checkpoint(tmp_path, capfd):
    config = get_preset("increment-noise").replace(
        Increment, num_bits=5, units=6, epochs=3, steps_per_epoch=4
    )
    for after_steps in (2, 8):
        with pytest.raises(TrainingInterrupted) as info:
            train(
                config,
                tmp_path / "run",
                resume=True,
                callbacks=[Signal(after_steps)],
            )
        assert info.value.code == 143
        err = capfd.readouterr().err
        assert "SIGTERM: stopping after this step" in err
        # The command line would not know of the callback.
        assert (
            "SIGTERM: stopped. To go on: train again with resume=True in "
            f"{tmp_path}/run" in err
        )
        path = tmp_path / "run" / "checkpoints" / f"step-{after_steps:09}.ckpt"
        assert read_checkpoint(path).step == after_steps
        # As `auto` chose for a short run.
        plain = config.with_execution(Execution())
        assert read_checkpoint(path).state["options"] == plain.to_flat()
    resumed = train(
        config, tmp_path / "run", resume=True, callbacks=[Signal()], quiet=True
    )
    whole = train(config, tmp_path / "whole", callbacks=[Signal()], quiet=True)
    assert resumed.report.resumed_from_step == 8
    assert outcome(resumed) == outcome(whole)


@pytest.mark.slow
def test_a_run_stopped_in_its_last_check_trains_no_more(tmp_path):
    class SignalAtEnd(Stop):
        def on_train_end(self, logs=None):
            os.kill(os.getpid(), signal.SIGINT)

    config = CONFIGS["digits"]
    whole = train(config, tmp_path / "whole", callbacks=[Stop()], quiet=True)
    with pytest.raises(TrainingInterrupted) as info:
        train(config, tmp_path / "run", callbacks=[SignalAtEnd()], quiet=True)
    assert info.value.code == 130
    assert list((tmp_path / "run" / "checkpoints").glob("step-*15.ckpt"))
    SignalAtEnd.on_train_end = Stop.on_train_end
    resumed = train(
        config,
        tmp_path / "run",
        resume=True,
        callbacks=[SignalAtEnd()],
        quiet=True,
    )
    assert resumed.report.resumed_from_step == resumed.report.optimizer_steps
    assert outcome(resumed) == outcome(whole)


def set_option(run_dir, **options):
    """Change options of a run, in its configuration and its checkpoints."""
    folder = RunFolder(run_dir)
    folder.config.write_text(folder.read_config().replace(**options).to_yaml())
    checkpoints = CheckpointFolder(folder.checkpoints)
    newest = checkpoints.newest()
    newest.state["options"] |= options
    checkpoints.write(newest, None)


@pytest.mark.slow
def test_more_epochs_go_on_where_the_training_ended(tmp_path):
    config = CONFIGS["digits"].replace(ImageRows, schedule="constant")
    longer = config.replace(ImageRows, epochs=5)
    # The fraction is of all steps; scale it to average over as many.
    short = config.replace(ImageRows, epochs=3, ema_fraction=0.2 * 5 / 3)
    whole = train(longer, tmp_path / "whole", quiet=True)
    train(short, tmp_path / "run", quiet=True)
    set_option(tmp_path / "run", ema_fraction=0.2)
    resumed = train(longer, tmp_path / "run", resume=True, quiet=True)
    assert resumed.report.epochs == 5
    assert outcome(resumed) == outcome(whole)
