"""Programs in the manner of tutorials, stopped and started again."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from stopping import StopAtCall, StopError

from keras_lstm.callbacks.exact_resume import ExactResume
from keras_lstm.core.errors import InputError

# Keras warns of every dataset whose size it does not know.
pytestmark = pytest.mark.filterwarnings("ignore:Your input ran out of data")
RNG = np.random.default_rng(0)
INPUTS = RNG.normal(size=(20, 4)).astype("float32")
TARGETS = RNG.integers(2, size=20)


def make_model(*layers, **options):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            *layers,
            keras.layers.Dropout(0.2, seed=2),
            keras.layers.Dense(2),
        ]
    )
    model.compile(
        options.pop("optimizer", None) or keras.optimizers.Adam(0.1),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=False,
        **options,
    )
    return model


def make_dataset(kind):
    """Return a dataset of 5 batches, or endless, in some order."""
    dataset = tf.data.Dataset.from_tensor_slices((INPUTS, TARGETS))
    if "unknown" in kind:
        dataset = dataset.filter(lambda x, y: True)
    if "shuffled" in kind:
        dataset = dataset.shuffle(
            20, seed=3, reshuffle_each_iteration="once" not in kind
        )
    if "cached" in kind:
        dataset = dataset.cache()
    if "drawn" in kind:
        dataset = dataset.map(
            lambda x, y: (x + tf.random.uniform([4], seed=1), y)
        )
    if "endless" in kind:
        dataset = dataset.repeat()
    if "uneven" in kind:
        # A smaller last batch is read ahead to the end of the pass.
        return dataset.batch(7).prefetch(3)
    return dataset.batch(4)


def assert_same_after_stops(folder, program, stops):
    """Compare a program that was never stopped with one stopped at steps.

    `program` gets a folder and callbacks, and returns values to compare.
    """
    expected = program(folder / "whole", [StopAtCall(10**9)])
    for stop in stops:
        with pytest.raises(StopError):
            program(folder / "run", [StopAtCall(stop)])
    found = program(folder / "run", [StopAtCall(10**9)])
    assert_equal(found, expected)
    return found


def assert_equal(found, expected):
    if isinstance(expected, dict | list | tuple):
        pairs = (
            [(found[name], expected[name]) for name in expected]
            if isinstance(expected, dict)
            else zip(found, expected, strict=True)
        )
        for one, other in pairs:
            assert_equal(one, other)
    else:
        np.testing.assert_array_equal(found, expected)


def results(model, *histories):
    return {
        "weights": model.get_weights(),
        "optimizer": [np.array(v) for v in model.optimizer.variables],
        "histories": [each.history for each in histories],
        "epochs": [each.epoch for each in histories],
    }


def quick_first(first, *others):
    """Return parameters of which only the first one is quick."""
    slow = [pytest.param(each, marks=pytest.mark.slow) for each in others]
    return [first, *slow]


@pytest.mark.parametrize(
    "kind",
    quick_first(
        *("finite shuffled uneven", "finite shuffled"),
        *("finite", "unknown", "unknown shuffled"),
        *("endless shuffled", "endless unknown", "drawn", "drawn endless"),
        *("endless shuffled uneven", "endless shuffled cached uneven"),
        "shuffled once cached uneven",
    ),
)
def test_a_dataset_goes_on_wherever_it_was_stopped(tmp_path, kind):
    steps = 5 if "endless" in kind else None

    def program(folder, callbacks):
        model = make_model(keras.Input((4,)))
        resume = ExactResume(folder, every_steps=2)
        history = model.fit(
            resume.dataset(make_dataset(kind)),
            epochs=4,
            steps_per_epoch=steps,
            shuffle=False,
            verbose=0,
            callbacks=[*callbacks, resume],
        )
        return results(model, history)

    # Stop where tf.data has read ahead to the end of a pass.
    stops = (3, 9) if "uneven" in kind else (4, 5, 6)
    found = assert_same_after_stops(tmp_path, program, stops)
    assert found["epochs"] == [[0, 1, 2, 3]]


@pytest.mark.parametrize(
    "kind", quick_first("finite shuffled", "unknown shuffled")
)
def test_each_call_of_fit_in_a_loop_goes_on(tmp_path, kind):
    def program(folder, callbacks):
        model = make_model(keras.Input((4,)))
        resume = ExactResume(folder, every_steps=2)
        dataset = resume.dataset(make_dataset(kind))
        histories = []
        for _ in range(4):
            history = model.fit(
                dataset,
                epochs=2,
                shuffle=False,
                verbose=0,
                callbacks=[resume, *callbacks],
            )
            histories.append(history)
        return results(model, *histories)

    found = assert_same_after_stops(tmp_path, program, (3, 8, 16))
    assert [len(each["loss"]) for each in found["histories"]] == [2] * 4


@pytest.mark.parametrize(
    "change",
    [
        lambda dataset: dataset.cache(),
        lambda dataset: dataset.concatenate(dataset),
        lambda dataset: dataset.repeat(2),
        lambda dataset: dataset.repeat().take(10),
    ],
)
def test_a_shuffle_that_starts_late_is_refused(tmp_path, change):
    """tf.data would not advance it by iterators that are not used."""
    model = make_model(keras.Input((4,)))
    resume = ExactResume(tmp_path)
    dataset = resume.dataset(change(make_dataset("shuffled")))
    with pytest.raises(InputError, match="must be shuffled after `cache`"):
        model.fit(dataset, shuffle=False, verbose=0, callbacks=[resume])


def test_a_shuffle_before_repeat_is_for_one_fit(tmp_path):
    """How far the first `fit` has read ahead depends on time."""
    model = make_model(keras.Input((4,)))
    resume = ExactResume(tmp_path)
    dataset = resume.dataset(make_dataset("shuffled endless"))
    options = {"steps_per_epoch": 2, "shuffle": False, "verbose": 0}
    model.fit(dataset, **options, callbacks=[resume])
    with pytest.raises(InputError, match="and used in one `fit`"):
        model.fit(dataset, **options, callbacks=[resume])


class Gan(keras.Model):
    """A generator and a discriminator, each with its own optimizer."""

    def __init__(self):
        super().__init__()
        keras.utils.set_random_seed(0)
        # No Input: their variables are created in the first step.
        self.generator = keras.Sequential([keras.layers.Dense(4)])
        self.discriminator = keras.Sequential(
            [keras.layers.Dense(5, "relu"), keras.layers.Dense(1)]
        )
        self.seeds = keras.random.SeedGenerator(1)
        self.loss_tracker = keras.metrics.Mean(name="loss")
        self.ratio = tf.Variable(1.0, trainable=False)

    def compile(self, optimizers, **options):
        super().compile(jit_compile=False, **options)
        self.optimizers = dict(zip(("g", "d"), optimizers, strict=True))

    def train_step(self, data):
        real, _ = data
        noise = keras.random.normal(tf.shape(real), seed=self.seeds)
        with tf.GradientTape(persistent=True) as tape:
            fake = self.generator(noise)
            d_real, d_fake = self.discriminator(real), self.discriminator(fake)
            d_loss = tf.reduce_mean(tf.nn.softplus(-d_real))
            d_loss += self.ratio * tf.reduce_mean(tf.nn.softplus(d_fake))
            g_loss = tf.reduce_mean(tf.nn.softplus(-d_fake))
        for name, loss, model in (
            ("d", d_loss, self.discriminator),
            ("g", g_loss, self.generator),
        ):
            weights = model.trainable_weights
            gradients = tape.gradient(loss, weights)
            self.optimizers[name].apply_gradients(
                zip(gradients, weights, strict=True)
            )
        self.ratio.assign(self.ratio * 0.9)
        self.loss_tracker.update_state(d_loss)
        return {"loss": self.loss_tracker.result()}


def test_all_optimizers_and_generators_of_a_model_go_on(tmp_path):
    def program(folder, callbacks):
        model = Gan()
        model.compile([keras.optimizers.Adam(0.1), keras.optimizers.Adam(0.01)])
        resume = ExactResume(folder, every_steps=2)
        for _ in range(2):
            history = model.fit(
                resume.dataset(make_dataset("finite shuffled")),
                epochs=2,
                shuffle=False,
                verbose=0,
                callbacks=[resume, *callbacks],
            )
        return {
            "weights": model.get_weights(),
            "optimizers": [
                np.array(v)
                for optimizer in model.optimizers.values()
                for v in optimizer.variables
            ],
            "others": [np.array(model.seeds.state), np.array(model.ratio)],
            "history": history.history,
        }

    # The second one is stopped at the start of an epoch.
    found = assert_same_after_stops(tmp_path, program, (4, 4, 7))
    assert [int(found["optimizers"][i]) for i in (0, 6)] == [20, 20]
    # All is done.
    again = program(tmp_path / "run", [])
    assert_equal(again, found)


def tiny_fit(folder, model, callbacks=(), dataset=None, **options):
    """Train for two epochs of three batches."""
    fit = {
        name: options.pop(name)
        for name in ("epochs", "steps_per_epoch")
        if name in options
    }
    options = {"every_steps": 1} | options
    resume = ExactResume(folder, **options)
    if dataset is None:
        whole = tf.data.Dataset.from_tensor_slices((INPUTS, TARGETS))
        dataset = whole.batch(4).take(3)
    arguments = {"epochs": 2, "shuffle": False, "verbose": 0} | fit
    model.fit(
        resume.dataset(dataset), callbacks=[resume, *callbacks], **arguments
    )
    return resume


@pytest.mark.parametrize(
    "hides", quick_first("variable", "optimizer", "generator", "tf")
)
def test_a_step_that_changes_something_else_is_refused(tmp_path, hides):
    hidden = {
        "variable": tf.Variable(0.0),
        "optimizer": keras.optimizers.SGD(0.1, momentum=0.9),
    }

    class Hiding(keras.Sequential):
        def train_step(self, data):
            logs = super().train_step(data)
            if hides == "variable":
                hidden["variable"].assign_add(1.0)
            elif hides == "optimizer":
                weights = self.trainable_weights
                hidden["optimizer"].apply_gradients(
                    [(tf.ones_like(each), each) for each in weights]
                )
            elif hides == "generator":
                logs["noise"] = keras.random.normal(())
            else:
                logs["noise"] = tf.random.normal(())
            return logs

    model = Hiding([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", jit_compile=False)
    with pytest.raises(
        InputError,
        match=r"`model` must (have all variables|draw random numbers with)",
    ):
        tiny_fit(tmp_path / "run", model)


def test_a_changed_setting_of_the_optimizer_is_reported(tmp_path, capfd):
    def model(rate, momentum):
        optimizer = keras.optimizers.SGD(rate, momentum=momentum)
        return make_model(keras.Input((4,)), optimizer=optimizer)

    with pytest.raises(StopError):
        tiny_fit(tmp_path / "run", model(0.5, 0.9), [StopAtCall(3)])
    assert capfd.readouterr().err == ""
    resumed = model(0.25, 0.5)
    with pytest.raises(StopError):
        tiny_fit(tmp_path / "run", resumed, [StopAtCall(1)])
    assert float(resumed.optimizer.learning_rate) == 0.5
    err = capfd.readouterr().err
    assert (
        "learning_rate of the optimizer is 0.25, and was 0.5 when the training "
        "began: the checkpoint's applies (see restore_learning_rate)" in err
    )
    assert (
        "momentum of the optimizer is 0.5, and was 0.9 when the training "
        "began: the new value applies" in err
    )
    resumed = model(0.25, 0.9)
    tiny_fit(tmp_path / "run", resumed, restore_learning_rate=False)
    assert float(resumed.optimizer.learning_rate) == 0.25
    assert "0.5 when the training began: the new" in capfd.readouterr().err


class Reader(keras.callbacks.Callback):
    """A tutorial's callback: it reads the loss of each step."""

    def __init__(self):
        super().__init__()
        self.losses = []

    def on_train_batch_end(self, batch, logs=None):
        self.losses.append(logs["loss"])


def test_callbacks_are_found_and_those_without_a_state_named(tmp_path, capfd):
    def program(stop):
        model = make_model(keras.Input((4,)))
        early = keras.callbacks.EarlyStopping("loss", patience=9)
        reader = Reader()
        callbacks = [early, reader, StopAtCall(stop)]
        resume = ExactResume(tmp_path / "run", every_steps=1)
        dataset = resume.dataset(make_dataset("finite"))
        callbacks.append(resume)
        model.fit(
            dataset, epochs=3, shuffle=False, verbose=0, callbacks=callbacks
        )
        return early, reader, resume

    with pytest.raises(StopError):
        program(8)
    early, reader, resume = program(10**9)
    assert resume.not_kept == ["Reader"]
    assert "cannot save the state of Reader: if" in capfd.readouterr().err
    assert len(reader.losses) == 8
    assert (early.best_epoch, early.wait) == (2, 0)
    with pytest.raises(InputError, match="`callbacks` must be given if `fit`"):
        resume.on_train_begin()


def test_a_new_callback_starts_anew_and_others_are_found(tmp_path):
    def program(callbacks):
        tiny_fit(tmp_path / "run", make_model(keras.Input((4,))), callbacks)

    def early(monitor):
        return keras.callbacks.EarlyStopping(monitor, patience=9, mode="min")

    loss = early("loss")
    with pytest.raises(StopError):
        program([loss, StopAtCall(5)])
    best = loss.best
    others = [early("accuracy"), early("loss"), StopAtCall(1)]
    with pytest.raises(StopError):
        program(others)
    assert others[1].best == best
    assert others[0].best_epoch == 0
    with pytest.raises(InputError, match="`callbacks` must be of the types"):
        program([])


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.embedding = keras.layers.Embedding(3, 2)
        self.lstm = keras.layers.LSTM(2)
        self.top = keras.layers.Dense(1)

    def call(self, inputs):
        return self.top(self.lstm(self.embedding(inputs)))

    def build(self, shape=None):
        # A tutorial's way: it marks the model as built, not its layers.
        self.built = True


@pytest.mark.parametrize(
    "kind", quick_first("built", "sequential", "subclassed")
)
def test_a_model_that_is_not_built_is_built_in_its_first_step(tmp_path, kind):
    words = np.arange(60).reshape(20, 3) % 3
    dataset = tf.data.Dataset.from_tensor_slices((words, words[:, 0]))

    def program(folder, callbacks):
        keras.utils.set_random_seed(0)
        model = Subclassed()
        if kind == "sequential":
            model = keras.Sequential([model.embedding, model.lstm, model.top])
        if kind == "built":
            model.build((None, None))
        model.compile("adam", "mse", jit_compile=False)
        tiny_fit(folder, model, callbacks, dataset.batch(4))
        return results(model, model.history)

    found = assert_same_after_stops(tmp_path, program, (1, 5, 2))
    assert_equal(program(tmp_path / "run", []), found)


def test_what_does_not_fit_is_refused(tmp_path):
    model = make_model(keras.Input((4,)))
    dataset = make_dataset("finite")
    with pytest.raises(InputError, match="None, or `dataset` endless"):
        tiny_fit(tmp_path, model, (), dataset, steps_per_epoch=3)
    endless = make_dataset("unknown")
    with pytest.raises(InputError, match="`fit` needs `steps_per_epoch`"):
        tiny_fit(tmp_path, model, (), endless.skip)
    with pytest.raises(InputError, match="must not end before the training"):
        tiny_fit(tmp_path, model, (), endless.skip, steps_per_epoch=7)
    with pytest.raises(StopError):
        tiny_fit(tmp_path / "b", model, [StopAtCall(2)], dataset)
    other = dataset.map(lambda x, y: (x, y)).skip(0)
    with pytest.raises(InputError, match="with the same arrays, batch size"):
        tiny_fit(tmp_path / "b", make_model(keras.Input((4,))), (), other)
