"""`fit` called again in one process, and callbacks of one's own in it."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from stopping import StopAtCall, StopError

from keras_lstm.callbacks import ExactResume, HistoryWriter
from keras_lstm.core.errors import InputError

rng = np.random.default_rng(0)
inputs = rng.normal(size=(20, 4)).astype(np.float32)
targets = rng.integers(2, size=20)


def dataset():
    whole = tf.data.Dataset.from_tensor_slices((inputs, targets))
    return whole.shuffle(20, seed=3).batch(4)


def make_model(learning_rate=0.5):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    compile_model(model, learning_rate)
    return model


def compile_model(model, learning_rate):
    model.compile(
        keras.optimizers.SGD(learning_rate),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,
    )


def fit(model, resume, epochs, *callbacks):
    return model.fit(
        resume.dataset(dataset()),
        epochs=epochs,
        shuffle=False,
        verbose=0,
        callbacks=[resume, *callbacks],
    )


def two_fits(folder, stop, compiles):
    """Train twice, the second time with another rate, and return weights."""
    resume = ExactResume(
        folder / "checkpoints",
        every_steps=1,
        restore_learning_rate=False,
        verbose=0,
    )
    model = make_model()
    fit(model, resume, 1, HistoryWriter(str(folder / "first.csv")))
    if compiles:
        compile_model(model, 0.001)
    else:
        model.optimizer.learning_rate = 0.001
    fit(model, resume, 2, StopAtCall(stop))
    assert float(model.optimizer.learning_rate) == pytest.approx(0.001)
    return model.get_weights()


@pytest.mark.parametrize("compiles", [True, False])
def test_a_second_fit_keeps_its_own_rate_and_the_first_its_file(
    tmp_path, compiles
):
    (tmp_path / "whole").mkdir()
    expected = two_fits(tmp_path / "whole", 0, compiles)
    with pytest.raises(StopError):
        two_fits(tmp_path, 3, compiles)
    before = (tmp_path / "first.csv").read_text()
    assert before.startswith("epoch,loss\n1,0.")
    found = two_fits(tmp_path, 0, compiles)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    assert (tmp_path / "first.csv").read_text() == before


def test_fit_goes_on_after_an_error_in_a_skipped_step(tmp_path):
    def train(model, folder, *callbacks):
        resume = ExactResume(folder, every_steps=1, verbose=0)
        fit(model, resume, 4, *callbacks)
        return model.get_weights()

    expected = train(make_model(), tmp_path / "whole")
    with pytest.raises(StopError):
        train(make_model(), tmp_path / "stopped", StopAtCall(9))
    model = make_model()
    step, errors = model.train_step, [MemoryError("once")]

    def failing_step(data):
        if errors:
            raise errors.pop()
        return step(data)

    model.train_step = failing_step
    logged = keras.callbacks.LambdaCallback(on_epoch_begin=lambda *_: None)
    hook = logged.on_epoch_begin
    with pytest.raises(MemoryError):
        train(model, tmp_path / "stopped", logged)
    assert logged.on_epoch_begin is hook
    found = train(model, tmp_path / "stopped")
    assert int(model.optimizer.iterations) == 20
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_another_model_on_the_same_folder_is_told(tmp_path, capsys):
    def train(model, folder):
        resume = ExactResume(folder, verbose=0)
        fit(model, resume, 1)
        return capsys.readouterr().err

    first, second, third = (make_model() for _ in range(3))
    assert train(first, tmp_path / "one") == ""
    assert train(first, tmp_path / "one") == ""
    assert train(second, tmp_path / "two") == ""
    told = train(third, tmp_path / "one")
    assert "one are of another model of this process" in told
    assert "need a folder each" in told
    for one, other in zip(
        first.get_weights(), third.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(one, other)


class Losses(keras.callbacks.Callback):
    """Callback with a state that it makes when training begins."""

    def on_train_begin(self, logs=None):
        self.losses = []

    def on_epoch_begin(self, epoch, logs=None):
        self.began = epoch

    def on_epoch_end(self, epoch, logs=None):
        self.losses.append((self.began, logs["loss"]))


@pytest.mark.parametrize("is_first", [False, True])
def test_a_state_made_when_training_begins_is_named(tmp_path, capsys, is_first):
    def train(stop):
        losses = Losses()
        resume = ExactResume(tmp_path, every_steps=1)
        model = make_model()
        callbacks = [losses, resume] if is_first else [resume, losses]
        model.fit(
            resume.dataset(dataset()),
            epochs=2,
            shuffle=False,
            verbose=0,
            callbacks=[*callbacks, StopAtCall(stop)],
        )
        return resume, losses

    with pytest.raises(StopError):
        train(7)
    assert "cannot save the state of Losses" in capsys.readouterr().err
    resume, losses = train(0)
    assert resume.not_kept == ["Losses"]
    # It sees the epoch that is resumed begin.
    assert [epoch for epoch, _ in losses.losses] == [1]


@pytest.mark.parametrize("stop", [3, 5, 8])
def test_a_shuffled_dataset_that_an_error_left_is_exact_or_refused(
    tmp_path, stop
):
    def train(whole, folder, every_steps, *callbacks):
        model = make_model()
        resume = ExactResume(
            folder, every_steps=every_steps, every_seconds=None, verbose=0
        )
        model.fit(
            resume.dataset(whole),
            epochs=3,
            shuffle=False,
            verbose=0,
            callbacks=[resume, *callbacks],
        )
        return model.get_weights()

    expected = train(dataset(), tmp_path / "whole", 1)
    for every_steps in (1, None):
        folder, whole = tmp_path / str(every_steps), dataset()
        with pytest.raises(StopError):
            train(whole, folder, every_steps, StopAtCall(stop))
        if every_steps is None:
            # The checkpoint is from the start of an epoch.
            with pytest.raises(InputError, match="must be made anew to go on"):
                train(whole, folder, every_steps)
            whole = dataset()
        found = train(whole, folder, every_steps)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, other)
