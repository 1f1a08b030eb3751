import copy

import keras
import numpy as np
import pytest
import tensorflow as tf
from stopping import Stop, StopError

from keras_lstm.callbacks.exact_resume import ExactResume
from keras_lstm.callbacks.raise_on_non_finite import NonFiniteError
from keras_lstm.checkpoint.checkpoints import read_checkpoint
from keras_lstm.checkpoint.preemption import PreemptionHandler
from keras_lstm.core.errors import InputError


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
    """Train as a plain script does, and return what must not change."""
    inputs, targets = make_data()
    model = make_model(**(options or {}))
    stateful = [
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
        stateful.insert(0, keras.callbacks.SwapEMAWeights())
    resume = ExactResume(folder, stateful, 3, None, "loss", **arguments)
    callbacks = [resume, *stateful, *([Stop(**stop)] if stop else [])]
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
        "best": [getattr(each, "best", None) for each in stateful],
        "wait": [getattr(each, "wait", None) for each in stateful],
        "random": [np.array(v).tobytes() for v in model.variables],
    }, resume


AVERAGED = {"optimizer": {"use_ema": True, "ema_momentum": 0.9}}


@pytest.mark.parametrize(
    ("stop", "options"),
    [
        ({"after_steps": 14}, {}),
        ({"after_steps": 6}, {"steps_per_execution": 2}),
        ({"after_epoch": 2}, AVERAGED),
        *(
            pytest.param(stop, options, marks=pytest.mark.slow)
            for stop, options in (
                ({"after_steps": 6}, {}),
                ({"after_epoch": 2}, {}),
                ({"after_steps": 14}, {"steps_per_execution": 2}),
                ({"after_epoch": 2}, {"steps_per_execution": 2}),
                ({"after_steps": 6}, AVERAGED),
                ({"after_steps": 14}, AVERAGED),
            )
        ),
    ],
)
def test_a_plain_script_goes_on_as_if_never_stopped(tmp_path, options, stop):
    expected, _ = fit(tmp_path / "whole", options=dict(options))
    with pytest.raises(StopError):
        fit(tmp_path / "run", stop, options=dict(options))
    found, resume = fit(tmp_path / "run", options=dict(options))
    assert resume.resumed_step > 0
    assert found == expected
    # A third time, with all epochs done.
    found, resume = fit(tmp_path / "run", options=dict(options))
    # With two steps per call, Keras rounds five steps up to six.
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
        f"at the start of epoch {epoch + 1}: resuming within an epoch needs "
        "`ExactResume.dataset`" in capfd.readouterr().err
    )


def simple_fit(folder, model, stop=None, callbacks=(), **arguments):
    """Train with epochs of five steps, each on 8 examples."""
    whole = tf.data.Dataset.from_tensor_slices(make_data())
    resume = ExactResume(folder, callbacks, 3, None, "loss")
    model.fit(
        resume.dataset(whole.repeat().batch(8).skip),
        steps_per_epoch=5,
        shuffle=False,
        verbose=0,
        callbacks=[resume, *callbacks, *([Stop(**stop)] if stop else [])],
        **arguments,
    )
    return model.get_weights(), model.history.history


def assert_same(one, other):
    for first, second in zip(one[0], other[0], strict=True):
        np.testing.assert_array_equal(first, second)
    assert one[1] == other[1]


def test_callbacks_with_hooks_of_their_own_see_the_steps_after(tmp_path):
    seen = []
    look = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: seen.append(("epoch", epoch)),
        on_train_batch_end=lambda batch, logs: seen.append(batch),
    )
    with pytest.raises(StopError):
        simple_fit(tmp_path / "a", make_model(), {"after_steps": 4}, [look])
    seen.clear()
    simple_fit(tmp_path / "a", make_model(), None, [look], epochs=2)
    assert seen == [3, 4, ("epoch", 1), 0, 1, 2, 3, 4]


def test_a_model_checkpoint_by_steps_goes_on(tmp_path):
    def run(name, stop=None):
        saved = tmp_path / f"{name}.weights.h5"
        save = keras.callbacks.ModelCheckpoint(
            saved, save_weights_only=True, save_freq=2
        )
        found = simple_fit(
            tmp_path / name, make_model(), stop, [save], epochs=2
        )
        return found, saved

    whole, _ = run("whole")
    with pytest.raises(StopError):
        run("run", {"after_steps": 4})
    resumed, saved = run("run")
    assert_same(whole, resumed)
    assert saved.exists()


def test_a_later_fit_is_another_training(tmp_path):
    def run(name, stop=None):
        model = make_model()
        simple_fit(tmp_path / name / "one", model, None, epochs=2)
        simple_fit(tmp_path / name / "two", model, stop, epochs=2)
        return model.fit(
            *make_data(), epochs=2, shuffle=False, verbose=0
        ).history, model.get_weights()

    whole = run("whole")
    with pytest.raises(StopError):
        run("run", {"after_steps": 14})
    resumed = run("run")
    assert len(resumed[0]["loss"]) == 2
    assert_same(whole[::-1], resumed[::-1])


def test_an_initial_epoch_is_minded(tmp_path):
    def run(name, stop=None):
        return simple_fit(
            tmp_path / name, make_model(), stop, epochs=4, initial_epoch=1
        )

    whole = run("whole")
    for steps in (4, 12):
        with pytest.raises(StopError):
            run("run", {"after_steps": steps})
    assert_same(whole, run("run"))


def test_fewer_epochs_than_are_done(tmp_path):
    with pytest.raises(StopError):
        simple_fit(tmp_path / "a", make_model(), {"after_steps": 14}, epochs=4)
    with pytest.raises(InputError, match="`epochs` must be at least 3, to fin"):
        simple_fit(tmp_path / "a", make_model(), epochs=2)
    whole = simple_fit(tmp_path / "a", make_model(), epochs=4)
    assert_same(whole, simple_fit(tmp_path / "a", make_model(), epochs=2))


def test_the_states_of_stateful_layers_are_kept(tmp_path):
    def run(name, stop=None):
        keras.utils.set_random_seed(0)
        model = keras.Sequential(
            [
                keras.Input((4, 1), batch_size=8),
                keras.layers.LSTM(3, stateful=True),
                keras.layers.Dense(2),
            ]
        )
        model.compile(
            keras.optimizers.Adam(0.1),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        return simple_fit(tmp_path / name, model, stop, epochs=3)

    whole = run("whole")
    for stop in ({"after_steps": 4}, {"after_epoch": 1}):
        with pytest.raises(StopError):
            run("run", stop)
    assert_same(whole, run("run"))


def test_bfloat16_is_kept(tmp_path):
    def run(name, stop=None):
        keras.utils.set_random_seed(0)
        model = keras.Sequential(
            [keras.Input((4,)), keras.layers.Dense(2, dtype="bfloat16")]
        )
        model.compile(
            "sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        )
        return simple_fit(tmp_path / name, model, stop, epochs=2)

    whole = run("whole")
    with pytest.raises(StopError):
        run("run", {"after_steps": 7})
    assert_same(whole, run("run"))


def test_what_was_saved_within_an_epoch_needs_the_dataset(tmp_path):
    with pytest.raises(StopError):
        fit(tmp_path / "run", {"after_steps": 14})
    with pytest.raises(InputError, match="must get a dataset made by"):
        fit(tmp_path / "run", within=False)


def test_checkpoints_of_another_model_are_refused(tmp_path):
    fit(tmp_path / "run")
    model = make_model(optimizer={"use_ema": True})
    with pytest.raises(InputError, match="different variables in its optim"):
        model.fit(
            *make_data(), verbose=0, callbacks=[ExactResume(tmp_path / "run")]
        )
    model = make_model()
    with pytest.raises(InputError, match="`callbacks` must be of the types"):
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


def test_a_function_of_datasets_that_end_is_refused(tmp_path):
    resume = ExactResume(tmp_path / "run")
    with pytest.raises(InputError, match="without end: use repeat"):
        resume.dataset(lambda step: tf.data.Dataset.range(9).skip(step))


def test_it_can_be_copied_as_keras_tuner_does(tmp_path):
    with PreemptionHandler() as preemption:
        copied = copy.deepcopy(
            ExactResume(tmp_path / "run", preemption=preemption)
        )
    assert copied.last_checkpoint is None


@pytest.mark.parametrize("data", [iter([1]), (np.zeros(3), np.zeros(3))])
def test_what_is_no_dataset_is_refused_by_name(tmp_path, data):
    with pytest.raises(InputError, match="`dataset` must be a tf"):
        ExactResume(tmp_path).dataset(data)


def test_a_constant_may_be_infinite(tmp_path):
    class Masked(keras.layers.Layer):
        def build(self, shape):
            self.mask = self.add_weight(shape=(3,), trainable=False)
            self.mask.assign([0.0, 0.0, -np.inf])

        def call(self, logits):
            return logits + self.mask

    inputs = keras.Input((2,))
    outputs = Masked()(keras.layers.Dense(3)(inputs))
    model = keras.Model(inputs, outputs)
    model.compile(
        "sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    x, y = np.ones((8, 2), np.float32), np.zeros(8, np.int32)
    resume = ExactResume(tmp_path)
    model.fit(x, y, shuffle=False, verbose=0, callbacks=[resume])
    assert resume.step == 1
