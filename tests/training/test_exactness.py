import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_lstm.callbacks import resumable
from keras_lstm.core.errors import InputError
from keras_lstm.testing import assert_resumes_exactly
from keras_lstm.training import exactness


def train(folder, seed):
    """Train as a script does, with a dropout of this seed."""
    keras.utils.set_random_seed(0)
    tf.config.experimental.enable_op_determinism()
    inputs = np.random.default_rng(0).normal(size=(40, 4)).astype("float32")
    dataset = tf.data.Dataset.from_tensor_slices((inputs, inputs.sum(1)))
    dataset = dataset.shuffle(40, seed=1).batch(4)
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dropout(0.2, seed=seed),
            keras.layers.Dense(1),
        ]
    )
    model.compile("adam", "mse", jit_compile=False)
    with resumable(folder, every_steps=3) as resume:
        dataset = resume.dataset(dataset)
        model.fit(
            dataset, epochs=4, shuffle=False, verbose=0, callbacks=[resume]
        )
    return model


def train_exactly(folder):
    return train(folder, seed=2)


def train_otherwise_once_resumed(folder):
    model = train(folder, seed=2)
    if len(list(folder.parent.parent.iterdir())) > 1:
        model.trainable_variables[0].assign_add([[1e-6]] * 4)
    return model


def train_without_checkpoints(folder):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", jit_compile=False)
    model.fit(np.ones((2, 1)), np.ones(2), shuffle=False, verbose=0)
    return model


@pytest.mark.slow
def test_a_training_that_resumes_exactly_passes(capfd):
    assert_resumes_exactly(train_exactly, kills=3)
    # It was resumed within an epoch of 10 steps.
    assert "going on from" in capfd.readouterr().err


@pytest.mark.slow
def test_a_training_that_does_not_fails_and_says_where():
    with pytest.raises(AssertionError, match=r"values of weights 1: .*kernel"):
        assert_resumes_exactly(train_otherwise_once_resumed, kills=1)
    with pytest.raises(AssertionError, match="must call fit with"):
        assert_resumes_exactly(train_without_checkpoints, kills=1)


def test_what_is_compared():
    one = {"history": {"loss": [1.0]}, "weights 0: a": np.zeros(2)}
    exactness._compare(one, {**one, "weights 0: a": np.zeros(2)})
    for changed in (
        {"history": {"loss": [2.0]}},
        {"weights 0: a": np.array([0.0, -0.0])},
        {"weights 0: a": np.zeros(2, "float32")},
    ):
        (name,) = changed
        with pytest.raises(AssertionError, match=f"values of {name}"):
            exactness._compare(one, one | changed)
    with pytest.raises(AssertionError, match="the variables differ"):
        exactness._compare({"history": {}}, one)
    with pytest.raises(InputError, match="`kills` must be at least 1"):
        assert_resumes_exactly(train_exactly, kills=0)


def test_a_training_that_was_never_killed_shows_nothing(monkeypatch):
    def run(make_training, folder, timeout, kill=None):
        folder.mkdir(exist_ok=True)
        (folder / "steps").write_text("5")
        return False

    monkeypatch.setattr(exactness, "_run", run)
    monkeypatch.setattr(exactness, "_read", lambda folder: {})
    with pytest.raises(AssertionError, match="must be killed to show anything"):
        assert_resumes_exactly(None)
