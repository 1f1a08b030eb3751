import keras
import numpy as np
import pytest
from events import graph

from keras_lstm.datasets import make_dataset
from keras_lstm.optimization import compiled_model
from keras_lstm.options import InputError
from keras_lstm.presets import get_preset
from keras_lstm.sharded_training import train_in_shards
from keras_lstm.tasks.increment import Increment
from keras_lstm.training import train

SMALL = get_preset("increment").replace(
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


def assert_near(model, other):
    for weights, near in zip(
        model.get_weights(), other.get_weights(), strict=True
    ):
        np.testing.assert_allclose(weights, near, atol=1e-5)


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("shards", [1, 2, 4])
def test_shards_learn_what_the_whole_batch_does(shards, jit_compile):
    whole, logs = fitted(SMALL)
    changes = {"shards": shards, "jit_compile": jit_compile}
    sharded, sharded_logs = fitted(SMALL.replace(Increment, **changes))
    assert_near(sharded, whole)
    assert sharded_logs == pytest.approx(logs, abs=1e-6)
    # Counted over all that was seen.
    assert sharded_logs["token_accuracy"] == logs["token_accuracy"]
    assert int(sharded.optimizer.iterations) == 12


def test_several_steps_in_a_call_are_the_same_steps():
    one, _ = fitted(SMALL.replace(Increment, shards=2))
    several, _ = fitted(
        SMALL.replace(Increment, shards=2, steps_per_execution=3)
    )
    assert_near(one, several)


@keras.saving.register_keras_serializable("keras_lstm_tests")
class Seen(keras.metrics.Metric):
    """The outputs of the last batch."""

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
def test_each_shard_draws_noise_of_its_own(jit_compile):
    for shards in (1, 2):
        noise = keras.layers.GaussianNoise(1.0, seed=5)
        model = keras.Sequential(
            [keras.Input((3,)), noise, keras.layers.Dense(3)]
        )
        model.layers[-1].set_weights([np.eye(3), np.zeros(3)])
        metric = Seen()
        model.compile("sgd", "mse", metrics=[metric], jit_compile=False)
        train_in_shards(model, shards, jit_compile=jit_compile)
        zeros = np.zeros((8, 3), np.float32)
        model.fit(zeros, zeros, batch_size=8, verbose=0)
        assert len({tuple(row) for row in metric.seen.numpy()}) == 8
        # A step draws once, in as many parts as may be: a run that is
        # resumed goes on from here.
        assert noise.seed_generator.state.numpy().tolist() == [5, 1]


def test_sample_weights_count():
    found = []
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 8, 3)).astype(np.float32)
    for shards in (None, 4):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)])
        model.compile("sgd", "mse", jit_compile=False)
        if shards is not None:
            train_in_shards(model, shards)
        history = model.fit(
            x, y, sample_weight=np.arange(8.0), batch_size=8, verbose=0
        )
        found.append((model, history.history["loss"]))
    assert_near(found[0][0], found[1][0])
    assert found[0][1] == pytest.approx(found[1][1])


def test_a_run_learns_in_shards_and_shows_its_graph(tmp_path):
    changes = {"shards": 2, "jit_compile": True}
    result = train(
        SMALL.replace(Increment, **changes), tmp_path / "run", quiet=True
    )
    whole = train(SMALL, tmp_path / "whole", quiet=True)
    assert_near(result.model, whole.model)
    drawn = graph(tmp_path / "run" / "train")
    called = {function.signature.name for function in drawn.library.function}
    assert any("gradients_of_shard" in name for name in called)


def compiled(*layers):
    model = keras.Sequential([keras.Input((4,)), *layers])
    model.compile("sgd", "mse", jit_compile=False)
    return model


def test_other_models_are_refused():
    with pytest.raises(InputError, match=r"more than what is.*moving_mean"):
        train_in_shards(compiled(keras.layers.BatchNormalization()), 2)
    whole = compiled(keras.layers.Dense(1))
    # Keras does not let it be where TensorFlow is to be deterministic.
    whole._jit_compile = True
    with pytest.raises(InputError, match="with jit_compile=False"):
        train_in_shards(whole, 2)
    masked = compiled(
        keras.layers.Embedding(3, 2, mask_zero=True), keras.layers.LSTM(2)
    )
    train_in_shards(masked, 2)
    masked.fit(np.ones((4, 4)), np.ones((4, 2)), verbose=0)
    masked = compiled(keras.layers.Embedding(3, 2, mask_zero=True))
    train_in_shards(masked, 2)
    with pytest.raises(InputError, match="outputs have masks"):
        masked.fit(np.ones((4, 4)), np.ones((4, 4, 2)), verbose=0)


def test_it_is_for_one_device(mirrored):
    with mirrored.scope():
        model = compiled(keras.layers.Dense(1))
    with pytest.raises(InputError, match=r"`shards` must be 1 and .*2 repl"):
        train_in_shards(model, 2)


def test_shards_divide_the_batch(tmp_path):
    config = SMALL.replace(Increment, shards=3)
    with pytest.raises(InputError, match=r"`shards` must divide .*128"):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
