import keras
import numpy as np
import pytest
import tensorflow as tf
from events import graph

from keras_lstm.core.errors import InputError
from keras_lstm.distribute import microbatches
from keras_lstm.distribute.microbatches import enable_microbatches
from keras_lstm.presets import get_preset
from keras_lstm.tasks.datasets import make_dataset
from keras_lstm.tasks.image_rows import ImageRows
from keras_lstm.tasks.increment import Increment
from keras_lstm.training.compile import compiled_model
from keras_lstm.training.train import train

SMALL = get_preset("increment-noise").replace(
    Increment,
    num_bits=6,
    units=8,
    input_noise=0.0,
    layer_noise=0.0,
    strategy="default",
    steps_per_epoch=6,
    epochs=2,
)


def fitted(config, steps=12):
    splits = config.task.splits(seed=0)
    model = compiled_model(config, splits)
    batch_size = config.training.batch_size
    dataset = make_dataset(splits.train, batch_size, training=True)
    history = model.fit(
        dataset, steps_per_epoch=steps, shuffle=False, verbose=0
    )
    return model, {name: values[-1] for name, values in history.history.items()}


def assert_near(model, other, atol=1e-5):
    for weights, near in zip(
        model.get_weights(), other.get_weights(), strict=True
    ):
        np.testing.assert_allclose(weights, near, atol=atol)


@pytest.mark.parametrize(
    "jit_compile", [False, pytest.param(True, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize(
    "num_microbatches",
    [2, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 4))],
)
def test_microbatches_learn_what_the_whole_batch_does(
    num_microbatches, jit_compile
):
    whole, logs = fitted(SMALL)
    changes = {
        "num_microbatches": num_microbatches,
        "jit_compile": jit_compile,
    }
    split, split_logs = fitted(SMALL.replace(Increment, **changes))
    assert_near(split, whole)
    assert split_logs == pytest.approx(logs, abs=1e-6)
    # Accuracies are counted in integers, without rounding.
    assert split_logs["token_accuracy"] == logs["token_accuracy"]
    assert int(split.optimizer.iterations) == 12


CONFIGS = {
    # Has a layer that adds to the loss, and averages of weights.
    "early prediction": get_preset("digits").replace(
        ImageRows,
        units=8,
        batch_size=128,
        early_prediction=0.3,
        input_noise=0.0,
        label_smoothing=0.1,
        ema_fraction=0.2,
        strategy="default",
    ),
    "mixed": SMALL.replace(Increment, precision="mixed_float16"),
}


@pytest.mark.parametrize(
    "jit_compile", [False, pytest.param(True, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize(
    "name",
    ["early prediction", pytest.param("mixed", marks=pytest.mark.slow)],
)
def test_what_is_added_to_the_loss_counts(name, jit_compile):
    config = CONFIGS[name]
    whole, logs = fitted(config, steps=4)
    split, split_logs = fitted(
        config.replace(
            type(config.task), num_microbatches=2, jit_compile=jit_compile
        ),
        steps=4,
    )
    # float16 has about half the digits of float32.
    atol = 5e-3 if name == "mixed" else 1e-5
    assert_near(split, whole, atol)
    assert split_logs["loss"] == pytest.approx(logs["loss"], abs=atol)


@pytest.mark.slow
def test_several_steps_in_a_call_are_the_same_steps():
    one, _ = fitted(SMALL.replace(Increment, num_microbatches=2))
    several, _ = fitted(
        SMALL.replace(Increment, num_microbatches=2, steps_per_execution=3)
    )
    assert_near(one, several)


@keras.saving.register_keras_serializable("keras_lstm_tests")
class Seen(keras.metrics.Metric):
    """Metric that keeps the outputs of the last batch."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seen = self.add_weight(shape=(8, 3), initializer="zeros")

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.seen.assign(y_pred)

    def reset_state(self):
        pass

    def result(self):
        return keras.ops.sum(self.seen)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_each_microbatch_draws_its_own_noise(jit_compile):
    for num_microbatches in (1, 2):
        # An earlier test may have enabled deterministic operations, which
        # require a seed.
        keras.utils.set_random_seed(0)
        noise = keras.layers.GaussianNoise(1.0, seed=5)
        model = keras.Sequential(
            [keras.Input((3,)), noise, keras.layers.Dense(3)]
        )
        model.layers[-1].set_weights([np.eye(3), np.zeros(3)])
        metric = Seen()
        model.compile("sgd", "mse", metrics=[metric], jit_compile=False)
        enable_microbatches(model, num_microbatches, jit_compile=jit_compile)
        zeros = np.zeros((8, 3), np.float32)
        model.fit(zeros, zeros, batch_size=8, verbose=0)
        assert len({tuple(row) for row in metric.seen.numpy()}) == 8
        # The seed advances once per step, whatever the number of
        # microbatches: a resumed run continues from this state.
        assert noise.seed_generator.state.numpy().tolist() == [5, 1]


def test_sample_weights_count():
    found = []
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 8, 3)).astype(np.float32)
    for num_microbatches in (None, 4):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)])
        model.compile("sgd", "mse", jit_compile=False)
        if num_microbatches is not None:
            enable_microbatches(model, num_microbatches)
        history = model.fit(
            x, y, sample_weight=np.arange(8.0), batch_size=8, verbose=0
        )
        found.append((model, history.history["loss"]))
    assert_near(found[0][0], found[1][0])
    assert found[0][1] == pytest.approx(found[1][1])


@pytest.mark.slow
def test_a_run_learns_in_microbatches_and_shows_its_graph(tmp_path):
    changes = {"num_microbatches": 2, "jit_compile": True}
    result = train(
        SMALL.replace(Increment, **changes), tmp_path / "run", quiet=True
    )
    whole = train(SMALL, tmp_path / "whole", quiet=True)
    assert_near(result.model, whole.model)
    drawn = graph(tmp_path / "run" / "train")
    called = {function.signature.name for function in drawn.library.function}
    assert any("gradients_of_microbatch" in name for name in called)


def compiled(*layers, loss="mse"):
    model = keras.Sequential([keras.Input((4,)), *layers])
    model.compile("sgd", loss, jit_compile=False)
    return model


ONES = np.ones((4, 4), np.float32)


class NotZero(keras.layers.Layer):
    """Makes a mask of its own."""

    def call(self, x):
        return x

    def compute_mask(self, x, mask=None):
        return keras.ops.any(keras.ops.not_equal(x, 0.0), -1)


def not_zero(x, mask=None):
    return keras.ops.any(keras.ops.not_equal(x, 0.0), -1)


class CallsWithMask(keras.Model):
    """Gives its LSTM a mask that no layer makes."""

    def __init__(self):
        super().__init__()
        self.lstm = keras.layers.LSTM(4, return_sequences=True)
        self.dense = keras.layers.Dense(1)

    def call(self, x):
        return self.dense(self.lstm(x, mask=not_zero(x)))


def model_with(layer):
    inputs = keras.Input((5, 3))
    outputs = keras.layers.LSTM(4, return_sequences=True)(layer(inputs))
    return keras.Model(inputs, keras.layers.Dense(1)(outputs))


def model_called_with_a_mask():
    inputs = keras.Input((5, 3))
    lstm = keras.layers.LSTM(4, return_sequences=True)
    outputs = lstm(inputs, mask=not_zero(inputs))
    return keras.Model(inputs, keras.layers.Dense(1)(outputs))


@pytest.mark.parametrize(
    "make_model",
    [
        lambda: model_with(keras.layers.Masking()),
        lambda: model_with(NotZero()),
        lambda: model_with(keras.layers.Lambda(lambda x: x, mask=not_zero)),
        model_called_with_a_mask,
        # What is inside another model is known to that one.
        lambda: keras.Sequential([model_called_with_a_mask()]),
        CallsWithMask,
    ],
    ids=["Masking", "own layer", "Lambda", "argument", "nested", "own model"],
)
def test_masks_count_whatever_makes_them(make_model):
    rng = np.random.default_rng(0)
    # No part has as many valid steps as the other.
    lengths = rng.integers(1, 6, size=(8, 1, 1))
    x = rng.random((8, 5, 3)) * (np.arange(5)[:, None] < lengths)
    y = rng.random((8, 5, 1))

    def trained(count):
        keras.utils.set_random_seed(0)
        model = make_model()
        model.compile("sgd", "mse", jit_compile=False)
        if count > 1:
            enable_microbatches(model, count)
        model.fit(x, y, batch_size=8, epochs=3, shuffle=False, verbose=0)
        return model

    assert_near(trained(2), trained(1), 1e-6)


def test_a_model_without_masks_is_not_traced_for_them(monkeypatch):
    traced = []
    forward = microbatches._forward

    def counted(model, batch):
        traced.append(batch)
        return forward(model, batch)

    monkeypatch.setattr(microbatches, "_forward", counted)
    fitted(SMALL.replace(Increment, num_microbatches=2), steps=1)
    assert len(traced) == 1


def test_regularizers_count():
    found = []
    for num_microbatches in (None, 2):
        keras.utils.set_random_seed(0)
        model = compiled(keras.layers.Dense(4, kernel_regularizer="l2"))
        if num_microbatches is not None:
            enable_microbatches(model, num_microbatches)
        history = model.fit(ONES, ONES, verbose=0)
        found.append((model, history.history["loss"]))
    assert_near(found[0][0], found[1][0])
    assert found[0][1] == pytest.approx(found[1][1])


def test_a_model_compiled_again_is_trained_with_what_it_has_now():
    model = compiled(keras.layers.Dense(4))
    enable_microbatches(model, 2).fit(ONES, ONES, verbose=0)
    model.compile(keras.optimizers.SGD(0.0), "mae", jit_compile=False)
    before = model.get_weights()
    history = model.fit(ONES, 100 * ONES, verbose=0)
    assert 90 < history.history["loss"][0] < 110
    for weights, same in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(weights, same)
    assert int(model.optimizer.iterations) == 1


def test_frozen_layers_stay():
    frozen = keras.layers.Dense(4, trainable=False)
    model = compiled(frozen, keras.layers.Dense(4))
    before = frozen.get_weights()
    enable_microbatches(model, 2).fit(ONES, 5 * ONES, verbose=0)
    np.testing.assert_array_equal(frozen.get_weights()[0], before[0])


def test_other_models_are_refused():
    model = compiled(keras.layers.BatchNormalization())
    with pytest.raises(InputError, match="must not change variables in its f"):
        enable_microbatches(model, 2).fit(ONES, ONES, verbose=0)
    whole = compiled(keras.layers.Dense(1))
    # `compile` turns it off if TensorFlow operations are deterministic.
    whole._jit_compile = True
    with pytest.raises(InputError, match="with jit_compile=False"):
        enable_microbatches(whole, 2)
    for number in (0, 2.0, True, "2", None):
        with pytest.raises(InputError, match=f"num_microbatches={number}$"):
            enable_microbatches(compiled(keras.layers.Dense(1)), number)
    again = enable_microbatches(compiled(keras.layers.Dense(1)), 2)
    again.compile("sgd", "mse")
    again._jit_compile = True
    with pytest.raises(InputError, match="with jit_compile=False"):
        again.fit(ONES, ONES, verbose=0)
    with pytest.raises(InputError, match="compiled=False"):
        enable_microbatches(keras.Sequential([keras.Input((4,))]), 2)
    few = enable_microbatches(compiled(keras.layers.Dense(4)), 8)
    with pytest.raises(
        tf.errors.InvalidArgumentError, match="at most the numb"
    ):
        few.fit(ONES, ONES, verbose=0)


def test_convolutions_are_not_compiled_where_order_must_not_matter(monkeypatch):
    monkeypatch.setattr(microbatches, "is_op_determinism_enabled", lambda: True)
    model = compiled(
        keras.layers.Reshape((4, 1)), keras.layers.Conv1D(1, 2, name="narrow")
    )
    with pytest.raises(InputError, match=r"must be False for .*layer `narrow`"):
        enable_microbatches(model, 2, jit_compile=True)
    assert enable_microbatches(model, 2) is model


def test_an_earlier_fit_makes_no_difference():
    model = compiled(keras.layers.Dense(4))
    model.fit(ONES, ONES, verbose=0)
    enable_microbatches(model, 3)
    steps = []
    inner = model.train_step
    model.train_step = lambda batch: steps.append(1) or inner(batch)
    model.fit(ONES, ONES, verbose=0)
    assert steps


def test_a_weight_without_gradient_stays():
    class Idle(keras.layers.Layer):
        def build(self, shape):
            self.idle = self.add_weight(shape=(1,), initializer="ones")

        def call(self, x):
            return x

    model = compiled(Idle(), keras.layers.Dense(4))
    model.compile(keras.optimizers.AdamW(0.1, weight_decay=0.5), "mse")
    model._jit_compile = False
    with pytest.warns(UserWarning, match="Gradients do not exist"):
        enable_microbatches(model, 2).fit(ONES, ONES, verbose=0)
    assert model.layers[0].idle.numpy() == 1.0


def test_an_unbuilt_model_is_built_by_its_first_batch():
    found = []
    for num_microbatches in (None, 2):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.layers.Dense(4)])
        model.compile("sgd", "mse", jit_compile=False)
        if num_microbatches is not None:
            enable_microbatches(model, num_microbatches)
        model.fit(ONES, 2 * ONES, verbose=0)
        found.append(model)
    assert_near(*found)


def test_it_is_for_one_device(mirrored):
    with mirrored.scope():
        model = compiled(keras.layers.Dense(1))
    with pytest.raises(
        InputError, match=r"outside the scope of a strategy.*Mirr"
    ):
        enable_microbatches(model, 2)


def test_a_model_that_counts_steps_is_refused():
    with pytest.raises(InputError, match="`prove_from_epoch` counts steps"):
        get_preset("increment-proved").replace(
            jit_compile=True, prove_from_epoch=6
        )


def test_microbatches_divide_the_batch():
    with pytest.raises(
        InputError, match=r"`num_microbatches` must divide .*128"
    ):
        SMALL.replace(num_microbatches=3)
