import copy

import keras
import numpy as np
import pytest
import tensorflow as tf
from stopping import Stop, StopError

from keras_lstm.callbacks.exact_resume import ExactResume
from keras_lstm.callbacks.stop_at_non_finite import NonFiniteError
from keras_lstm.checkpoints import read_checkpoint
from keras_lstm.interruption import Interruption
from keras_lstm.options import InputError


def make_model(**options):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.GaussianNoise(0.1, seed=1),
            keras.layers.Dense(6, "relu"),
            keras.layers.Dropout(0.2, seed=2),
            keras.layers.Dense(2),
        ]
    )
    model.compile(
        keras.optimizers.Adam(0.1, **options.pop("optimizer", {})),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        **options,
    )
    return model


def make_data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(40, 4)).astype("float32"), rng.integers(2, size=40)


def fit(folder, stop=None, *, within=True, options=None, **arguments):
    """A plain script."""
    inputs, targets = make_data()
    model = make_model(**(options or {}))
    remembered = [
        keras.callbacks.EarlyStopping(
            "loss", patience=9, restore_best_weights=True
        ),
        keras.callbacks.ReduceLROnPlateau("loss", 0.5, patience=0, min_delta=1),
        keras.callbacks.ModelCheckpoint(
            folder.parent / f"{folder.name}.keras",
            "loss",
            save_best_only=True,
        ),
    ]
    if (options or {}).get("optimizer"):
        remembered.insert(0, keras.callbacks.SwapEMAWeights())
    resume = ExactResume(folder, remembered, 3, None, "loss", **arguments)
    callbacks = [resume, *remembered, *([Stop(**stop)] if stop else [])]
    if within:
        whole = tf.data.Dataset.from_tensor_slices((inputs, targets))
        whole = whole.shuffle(40, seed=3).repeat().batch(8)
        model.fit(
            resume.dataset(whole.skip),
            epochs=4,
            steps_per_epoch=5,
            shuffle=False,
            verbose=0,
            callbacks=callbacks,
        )
    else:
        model.fit(
            *(inputs, targets),
            batch_size=8,
            epochs=4,
            shuffle=False,
            verbose=0,
            callbacks=callbacks,
        )
    return {
        "weights": [w.tobytes() for w in model.get_weights()],
        "rate": float(model.optimizer.learning_rate),
        "history": model.history.history,
        "epochs": model.history.epoch,
        "best": [getattr(each, "best", None) for each in remembered],
        "wait": [getattr(each, "wait", None) for each in remembered],
        "random": [np.array(v).tobytes() for v in model.variables],
    }, resume


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"steps_per_execution": 2},
        {"optimizer": {"use_ema": True, "ema_momentum": 0.9}},
    ],
)
@pytest.mark.parametrize(
    "stop", [{"after_steps": 6}, {"after_steps": 14}, {"after_epoch": 2}]
)
def test_a_plain_script_goes_on_as_if_never_stopped(tmp_path, options, stop):
    expected, _ = fit(tmp_path / "whole", options=dict(options))
    with pytest.raises(StopError):
        fit(tmp_path / "run", stop, options=dict(options))
    found, resume = fit(tmp_path / "run", options=dict(options))
    assert resume.resumed_step > 0
    assert found == expected
    # Once more: everything is done.
    found, resume = fit(tmp_path / "run", options=dict(options))
    # Two at a time, Keras does six steps where five are asked for.
    assert resume.resumed_step == 24 if "steps_per_execution" in options else 20
    assert found["weights"] == expected["weights"]


@pytest.mark.parametrize(
    ("stop", "epoch"), [({"after_steps": 13}, 2), ({"after_epoch": 2}, 2)]
)
def test_a_dataset_from_its_start_goes_on_by_epochs(
    tmp_path, capfd, stop, epoch
):
    expected, _ = fit(tmp_path / "whole", within=False)
    with pytest.raises(StopError):
        fit(tmp_path / "run", stop, within=False)
    capfd.readouterr()
    found, resume = fit(tmp_path / "run", within=False)
    assert resume.resumed_step == 5 * epoch
    assert found == expected
    assert (
        f"at the start of epoch {epoch + 1}: going on within one needs "
        "`ExactResume.dataset`" in capfd.readouterr().err
    )


def test_keras_still_cannot_begin_within_an_epoch():
    """When it can, `_run_over` is no longer needed."""
    inputs, targets = make_data()
    batches = []

    class Begin(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            self.model._initial_epoch = 1

        def on_train_batch_begin(self, batch, logs=None):
            batches.append(batch)

    make_model().fit(
        *(inputs, targets),
        batch_size=8,
        epochs=2,
        verbose=0,
        callbacks=[Begin()],
    )
    assert batches == [0, 1, 2, 3, 4]


def test_what_was_saved_within_an_epoch_needs_the_dataset(tmp_path):
    with pytest.raises(StopError):
        fit(tmp_path / "run", {"after_steps": 14})
    with pytest.raises(InputError, match="needs a dataset made by"):
        fit(tmp_path / "run", within=False)


def test_checkpoints_of_another_model_are_refused(tmp_path):
    fit(tmp_path / "run")
    model = make_model(optimizer={"use_ema": True})
    with pytest.raises(InputError, match="other variables in its optimizer"):
        model.fit(
            *make_data(), verbose=0, callbacks=[ExactResume(tmp_path / "run")]
        )
    model = make_model()
    with pytest.raises(InputError, match="`callbacks` must be those of the"):
        model.fit(
            *make_data(), verbose=0, callbacks=[ExactResume(tmp_path / "run")]
        )
    model = make_model(steps_per_execution=5)
    with pytest.raises(InputError, match="`steps_per_execution` must be 1"):
        model.fit(
            *make_data(), verbose=0, callbacks=[ExactResume(tmp_path / "run")]
        )


def test_the_best_epoch_is_kept(tmp_path):
    expected, _ = fit(tmp_path / "run")
    losses = expected["history"]["loss"]
    best = read_checkpoint(tmp_path / "run" / "best.ckpt")
    assert best.state["epoch"] == 1 + int(np.argmin(losses))
    assert best.state["lowest"] == min(losses)


def test_checkpoints_are_written_by_time(tmp_path):
    inputs, targets = make_data()
    steps = {}
    for seconds in (1e-9, 1e9, None):
        folder = tmp_path / str(seconds)
        resume = ExactResume(folder, every_seconds=seconds)
        whole = tf.data.Dataset.from_tensor_slices((inputs, targets))
        found = steps[seconds] = []

        class Look(keras.callbacks.Callback):
            def on_train_batch_end(
                self, batch, logs=None, found=found, at=resume
            ):
                found.append(at.last_checkpoint.name)

        make_model().fit(
            resume.dataset(whole.batch(8).repeat().skip),
            steps_per_epoch=3,
            shuffle=False,
            verbose=0,
            callbacks=[resume, Look()],
        )
    first = "step-000000000.ckpt"
    assert steps[1e-9] == [first, "step-000000001.ckpt", "step-000000002.ckpt"]
    assert steps[1e9] == steps[None] == [first] * 3


def test_a_checkpoint_never_holds_what_is_not_finite(tmp_path):
    model = make_model()
    inputs, targets = make_data()

    class Spoil(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 3:
                kernel = self.model.layers[1].kernel
                kernel.assign(kernel * float("inf"))

    resume = ExactResume(tmp_path / "run", every_steps=1)
    whole = tf.data.Dataset.from_tensor_slices((inputs, targets))
    with pytest.raises(NonFiniteError, match="not finite after step 4 "):
        model.fit(
            resume.dataset(whole.batch(8).repeat().skip),
            steps_per_epoch=5,
            shuffle=False,
            verbose=0,
            callbacks=[resume, Spoil()],
        )
    assert resume.last_checkpoint.name == "step-000000003.ckpt"
    state = read_checkpoint(resume.last_checkpoint).state
    for values in state["variables"]["model"]:
        assert np.isfinite(values[0]).all()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"every_steps": 0}, "`every_steps` must be above 0"),
        ({"every_seconds": -1.0}, "`every_seconds` must be above 0"),
    ],
)
def test_bad_arguments_are_refused(tmp_path, values, message):
    with pytest.raises(InputError, match=message):
        ExactResume(tmp_path, **values)


def test_a_dataset_that_ends_and_a_model_not_built_are_refused(tmp_path):
    resume = ExactResume(tmp_path / "run")
    with pytest.raises(InputError, match="without end: use repeat"):
        resume.dataset(lambda step: tf.data.Dataset.range(9).skip(step))
    model = keras.Sequential([keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    with pytest.raises(InputError, match="must be built before `fit`"):
        model.fit(np.zeros((4, 3)), np.zeros((4, 2)), callbacks=[resume])


def test_it_can_be_copied_as_keras_tuner_does(tmp_path):
    with Interruption() as interruption:
        copied = copy.deepcopy(
            ExactResume(tmp_path / "run", interruption=interruption)
        )
    assert copied.last_checkpoint is None
