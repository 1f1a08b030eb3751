import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_lstm import training
from keras_lstm.callbacks.exact_resume import ExactResume
from keras_lstm.callbacks.stop_at_non_finite import NonFiniteError
from keras_lstm.options import InputError
from keras_lstm.presets import get_preset
from keras_lstm.tasks.image_rows import ImageRows
from keras_lstm.tasks.increment import Increment
from keras_lstm.training import train


class StopError(Exception):
    pass


class Stop(keras.callbacks.Callback):
    """Ends `fit` after so many steps, or as an epoch ends, or in the checks."""

    def __init__(self, after_steps=None, after_epoch=None):
        super().__init__()
        self.after_steps = after_steps
        self.after_epoch = after_epoch

    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.optimizer.iterations) == self.after_steps:
            raise StopError

    def on_epoch_end(self, epoch, logs=None):
        if epoch == self.after_epoch:
            raise StopError


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
    "clipnorm": 0.5,
    "schedule": "cosine",
    "learning_rate": 0.02,
    "monitor": None,
    "counterexamples_from": 1,
    "checkpoint_steps": 4,
}
PROVED = {
    "num_bits": 5,
    "units": 6,
    "epochs": 4,
    "steps_per_epoch": 5,
    "batch_size": 16,
    "prove_from": 1,
    "checkpoint_steps": 3,
}
DIGITS = {
    "units": 8,
    "epochs": 3,
    "batch_size": 256,
    "dropout": 0.2,
    "rotation": 0.1,
    "shift": 1.0,
    "ema_share": 0.2,
    "label_smoothing": 0.1,
    "early_answers": 0.3,
    "optimizer": "adamw",
    "weight_decay": 0.01,
    "checkpoint_steps": 2,
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
        checkpoint_steps=3,
    ),
}


def outcome(result):
    """What must be the same, bit for bit."""
    run_dir = result.run_dir
    report = json.loads((run_dir / "report.json").read_text())
    for key in ("seconds", "resumed_from_step", "proof_seconds"):
        report.pop(key, None)
    return {
        "weights": [w.tobytes() for w in result.model.get_weights()],
        "history.csv": (run_dir / "history.csv").read_text(),
        "history": result.history,
        "report": report,
    }


def run(config, run_dir, stops):
    """Trains; stopped at each of the stops, and resumed."""
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


# Not yet a checkpoint beyond the first; within an epoch, several times; at an
# epoch's last step; between validation and the next epoch; in the last epoch.
STOPS = {
    "last_state": [
        *({"after_steps": 3}, {"after_steps": 8}, {"after_steps": 12}),
        *({"after_epoch": 1}, {"after_steps": 17}, {"after_epoch": 4}),
    ],
    "proved": [{"after_steps": 7}, {"after_epoch": 1}, {"after_steps": 19}],
    "digits": [{"after_steps": 4}, {"after_epoch": 0}, {"after_steps": 13}],
    "mixed": [{"after_steps": 2}, {"after_steps": 6}, {"after_epoch": 2}],
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_training_goes_on_as_if_never_stopped(tmp_path, name):
    config = CONFIGS[name]
    whole = run(config, tmp_path / "whole", [])
    assert whole.report["resumed_from_step"] is None
    resumed = run(config, tmp_path / "resumed", STOPS[name])
    assert resumed.report["resumed_from_step"] > 0
    assert outcome(resumed) == outcome(whole)
