import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_lstm.core.errors import InputError
from keras_lstm.models.optimizers import make_optimizer, make_schedule
from keras_lstm.presets import get_preset
from keras_lstm.tasks.datasets import make_dataset
from keras_lstm.tasks.image_rows import ImageRows
from keras_lstm.tasks.increment import Increment
from keras_lstm.training.compile import compiled_model
from keras_lstm.training.train import train


def rates(**values):
    """Return the learning rate at each step of ten epochs of 20 steps."""
    config = get_preset("digits").replace(
        ImageRows, epochs=10, learning_rate=0.5, **values
    )
    schedule = make_schedule(config.training, 20)
    return [float(schedule(step)) for step in range(201)]


def test_the_learning_rate_rises_and_falls():
    found = rates(warmup_fraction=0.1)
    np.testing.assert_allclose(found[:21], np.linspace(0, 0.5, 21), atol=1e-6)
    assert np.all(np.diff(found[20:]) < 1e-9)
    assert found[110] == pytest.approx(0.25, abs=1e-6)
    assert found[200] == pytest.approx(0, abs=1e-6)
    assert rates()[0] == 0.5
    # The values with which the preset was measured.
    training = get_preset("image-rows").training
    assert round(training.warmup_fraction * training.epochs * 215) == 180
    optimizer = make_optimizer(get_preset("image-rows"), 215)
    assert optimizer.ema_momentum == 1 - 1 / 120


def test_adamw_without_weight_decay_is_adam_that_decays_nothing():
    config = get_preset("digits").replace(optimizer="adamw")
    assert make_optimizer(config, 20).weight_decay == 0.0
    config = config.replace(weight_decay=0.1)
    assert make_optimizer(config, 20).weight_decay == 0.1


def test_a_warmup_needs_a_cosine():
    with pytest.raises(
        InputError, match="`warmup_fraction` needs the schedule cosine"
    ):
        get_preset("digits").replace(schedule="constant", warmup_fraction=0.1)


@pytest.mark.slow
def test_steps_in_one_call_change_nothing_that_is_learned(tmp_path):
    config = get_preset("increment").replace(
        Increment,
        num_bits=5,
        units=4,
        epochs=2,
        steps_per_epoch=6,
        monitor=None,
        strategy="default",
    )
    one, several = (
        train(
            config.replace(Increment, steps_per_execution=steps),
            tmp_path / str(steps),
            quiet=True,
        )
        for steps in (1, 3)
    )
    for weights, same in zip(
        one.model.get_weights(), several.model.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(weights, same)
    for name in ("training_examples", "optimizer_steps", "epochs"):
        assert getattr(one.report, name) == getattr(several.report, name)


def test_an_epoch_is_a_whole_number_of_calls(tmp_path):
    config = get_preset("increment")
    with pytest.raises(InputError, match="must divide the 10 steps of an epoc"):
        config.replace(steps_per_epoch=10, steps_per_execution=3)
    # Here only the data determines the number of steps.
    config = get_preset("digits").replace(steps_per_execution=7)
    with pytest.raises(InputError, match="must divide the 20 steps of an epoc"):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_xla_learns_the_same_but_for_rounding(tmp_path):
    options = ["--num-bits", "5", "--units", "4", "--epochs", "1"]
    options += ["--steps-per-epoch", "4", "--strategy", "default"]
    options += ["--input-noise", "0", "--layer-noise", "0"]
    found = []
    for jit in ("false", "true"):
        subprocess.run(
            [
                *(sys.executable, "-m", "keras_lstm", "train", "increment"),
                *(*options, "--jit-compile", jit),
                *("--run-dir", str(tmp_path / jit)),
            ],
            check=True,
            capture_output=True,
            text=True,
        )
        model = keras.saving.load_model(tmp_path / jit / "model.keras")
        found.append(model.get_weights())
    for weights, near in zip(*found, strict=True):
        np.testing.assert_allclose(weights, near, atol=1e-4)
    assert any((x != y).any() for x, y in zip(*found, strict=True))


def test_a_step_is_traced_once():
    config = get_preset("increment-noise").replace(num_bits=4, units=4)
    model = compiled_model(config)
    traced = []
    step = model.train_step
    model.train_step = lambda data: traced.append(data) or step(data)
    train = make_dataset(config.task.splits(seed=0).train, 8, training=True)
    model.fit(train, steps_per_epoch=2, shuffle=False, verbose=0)
    assert len(traced) == 1
