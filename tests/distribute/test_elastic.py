"""Training that goes on with another number of replicas, or after kills."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import tensorflow as tf
from stopping import Stop, StopError

from keras_lstm.callbacks.exact_resume import ExactResume
from keras_lstm.checkpoint.checkpoints import read_checkpoint
from keras_lstm.core.errors import InputError

ROOT = pathlib.Path(__file__).parents[2]


def fit(strategy, folder, layer=None, stop=None):
    """Train 3 epochs of 4 steps, and return the weights and the history."""
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(32, 3)).astype("float32")
    targets = (inputs.sum(1) > 0).astype("float32")
    with strategy.scope():
        keras.utils.set_random_seed(0)
        layers = [keras.Input((3,)), keras.layers.Dense(4, "tanh")]
        layers += [layer()] if layer else []
        model = keras.Sequential([*layers, keras.layers.Dense(1)])
        model.compile(
            keras.optimizers.Adam(0.1),
            keras.losses.BinaryCrossentropy(from_logits=True),
            metrics=["accuracy"],
            jit_compile=False,
        )
    dataset = tf.data.Dataset.from_tensor_slices((inputs, targets))
    resume = ExactResume(folder, (), every_steps=3)
    model.fit(
        resume.dataset(dataset.batch(8).repeat().skip),
        epochs=3,
        steps_per_epoch=4,
        shuffle=False,
        verbose=0,
        callbacks=[resume, *([Stop(after_steps=stop)] if stop else [])],
    )
    return model.get_weights(), model.history.history


def test_training_goes_on_with_another_number_of_replicas(tmp_path, mirrored):
    alone = tf.distribute.get_strategy()
    weights, history = fit(alone, tmp_path / "whole")
    for name, first, second in (
        ("more", alone, mirrored),
        ("fewer", mirrored, alone),
    ):
        # Within an epoch: the metrics have seen two of four steps.
        with pytest.raises(StopError):
            fit(first, tmp_path / name, stop=8)
        (path, *_) = sorted((tmp_path / name).glob("step-*"), reverse=True)
        state = read_checkpoint(path).state
        assert state["calls"] == 2
        assert all(len(v) == 1 for v in state["variables"]["model"])
        found, others = fit(second, tmp_path / name)
        for one, other in zip(found, weights, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)
        assert others["accuracy"] == history["accuracy"]
        np.testing.assert_allclose(others["loss"], history["loss"], rtol=1e-5)


@pytest.mark.slow
def test_replicas_that_differ_must_stay_as_many(tmp_path, mirrored):
    with pytest.raises(StopError):
        fit(mirrored, tmp_path, keras.layers.BatchNormalization, stop=8)
    with pytest.raises(
        InputError, match=r"as many replicas as.*: 2\. Received"
    ):
        fit(
            tf.distribute.get_strategy(),
            tmp_path,
            keras.layers.BatchNormalization,
        )


TRAIN = (
    *(sys.executable, "-m", "keras_lstm", "train", "increment", "--resume"),
    *("--strategy", "multi_worker", "--num-bits", "8", "--units", "8"),
    *("--input-noise", "0.5", "--dropout", "0.1", "--monitor", "none"),
    # A run that is proved would end before the last kill.
    *("--epochs", "60", "--steps-per-epoch", "5", "--prove-from-epoch", "none"),
    *("--checkpoint-every-steps", "1", "--run-dir"),
)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_two_workers_that_are_killed_ten_times_end_the_same(tmp_path):
    rng = np.random.default_rng(0)

    def train(name, kills):
        script = ROOT / "scripts" / "local_cluster.py"
        with subprocess.Popen(
            [
                *(sys.executable, str(script), "--restart", "200"),
                *(*TRAIN, str(tmp_path / name)),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as cluster:
            killed, resumed = 0, set()
            is_whole, before = True, 0
            for line in cluster.stdout:
                if line.startswith("[0] going on from "):
                    resumed.add(line)
                    is_whole, before = True, newest_step(tmp_path / name)
                # A cluster writes a checkpoint after an epoch's line, and each
                # round is to get further. There are more epochs than can end
                # in the rounds before a kill.
                if (
                    killed < kills
                    and is_whole
                    and line.startswith("[0] epoch ")
                    and newest_step(tmp_path / name) > before
                ):
                    time.sleep(rng.uniform(0, 0.5))
                    killed += kill_a_worker(cluster.pid, rng.integers(2))
                    is_whole = False
            assert cluster.wait() == 0
        return killed, len(resumed)

    assert train("whole", 0) == (0, 0)
    # Each round but the first went on from another step.
    assert train("killed", 10) == (10, 10)
    whole, killed = (
        keras.saving.load_model(tmp_path / name / "model.keras").get_weights()
        for name in ("whole", "killed")
    )
    for one, other in zip(whole, killed, strict=True):
        np.testing.assert_array_equal(one, other)
    whole, killed = (
        (tmp_path / name / "history.csv").read_bytes()
        for name in ("whole", "killed")
    )
    assert whole == killed


def newest_step(run_dir):
    found = (run_dir / "checkpoints").glob("step-*.ckpt")
    return max(
        (int(path.stem.removeprefix("step-")) for path in found), default=0
    )


def kill_a_worker(parent, index):
    """Kill a child of the script, unless the workers are ending; 1 if so."""
    children = pathlib.Path(f"/proc/{parent}/task/{parent}/children")
    pids = [int(pid) for pid in children.read_text().split()]
    if len(pids) < 2:
        return 0
    try:
        # Each worker leads a process group.
        os.killpg(pids[index], signal.SIGKILL)
    except ProcessLookupError:
        return 0
    return 1
