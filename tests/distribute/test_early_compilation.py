import os
import subprocess
import sys
import threading

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_lstm.distribute import microbatches
from keras_lstm.distribute.early_compilation import (
    can_compile_early,
    compile_early,
)
from keras_lstm.distribute.microbatches import enable_microbatches
from keras_lstm.presets import get_preset
from keras_lstm.tasks.datasets import make_dataset
from keras_lstm.tasks.increment import Increment
from keras_lstm.training.compile import compiled_model

CONFIG = get_preset("increment-noise").replace(
    Increment,
    num_bits=6,
    units=8,
    strategy="default",
    num_microbatches=2,
    jit_compile=True,
)

PROGRAM = """
import tensorflow as tf
from test_early_compilation import plain_model, x, y

@tf.function(jit_compile=True)
def never_called(x):
    return 2 * x

never_called.get_concrete_function(tf.TensorSpec([3]))
data = tf.data.Dataset.from_tensors((x, y)).repeat(4)
plain_model(metrics=["mae"]).fit(data, verbose=0)
"""


x = np.random.default_rng(0).random((8, 3)).astype("float32")
y = x.sum(-1, keepdims=True)


def plain_model(*layers, loss="mse", metrics=()):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((3,)), *layers, keras.layers.Dense(1)]
    )
    model.compile("adam", loss, metrics=metrics, jit_compile=False)
    return enable_microbatches(model, 2, jit_compile=True)


def fitted():
    keras.utils.set_random_seed(0)
    splits = CONFIG.task.splits(seed=0)
    model = compiled_model(CONFIG, splits)
    dataset = make_dataset(splits.train, 16, training=True)
    model.fit(dataset, steps_per_epoch=4, shuffle=False, verbose=0)
    return model


def doubled(function=lambda x: 2 * x):
    return tf.function(function, jit_compile=True, autograph=False)


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """Names of the files that XLA writes, one for each that it compiles."""
    dump = tmp_path_factory.mktemp("dump")
    folder = os.path.dirname(__file__)
    subprocess.run(
        [sys.executable, "-c", PROGRAM],
        check=True,
        env=os.environ
        | {
            "PYTHONPATH": os.pathsep.join([folder, *sys.path]),
            "XLA_FLAGS": f"--xla_dump_to={dump} --xla_dump_hlo_as_text",
        },
    )
    return [x.name for x in dump.glob("*.before_optimizations.txt")]


def test_a_microbatch_is_compiled_once(programs):
    # If its name or options differed, XLA would compile the program again when
    # the step calls it.
    assert sum("gradients_of_microbatch" in name for name in programs) == 1


def test_tracing_alone_still_compiles_nothing(programs):
    message = "remove distribute/early_compilation.py: tracing compiles"
    assert not any("never_called" in name for name in programs), message


def test_weights_are_those_of_a_step_that_is_compiled_when_called(monkeypatch):
    threads = []

    def compile_and_count(*args):
        threads.append(compile_early(*args))

    monkeypatch.setattr(microbatches, "compile_early", compile_and_count)
    early = fitted()
    assert len(threads) == 1
    assert isinstance(threads[0], threading.Thread)
    monkeypatch.setattr(microbatches, "compile_early", lambda *args: None)
    late = fitted()
    for weights, same in zip(
        early.get_weights(), late.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(weights, same)


class Doubled(keras.layers.Layer):
    """Doubles numbers until they are large: zeros never are."""

    def call(self, inputs):
        grown = tf.while_loop(
            lambda v: tf.reduce_sum(v) < 1000.0,
            lambda v: 2.0 * v,
            [tf.stop_gradient(inputs)],
        )
        return grown[0] + inputs


def own_loss(y_true, y_pred):
    return tf.square(y_true - y_pred)


def test_what_might_not_end_on_zeros_is_not_called_with_them():
    model = plain_model(Doubled())
    history = model.fit(x, y, batch_size=8, epochs=2, verbose=0)
    assert len(history.history["loss"]) == 2


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (plain_model, True),
        (lambda: plain_model(loss=keras.losses.Huber()), True),
        (lambda: plain_model(loss=keras.losses.huber), True),
        (lambda: plain_model(Doubled()), False),
        (lambda: plain_model(keras.layers.Lambda(lambda x: x)), False),
        (lambda: plain_model(loss=own_loss), False),
        # A method of a C type, which has no module.
        (lambda: plain_model(loss=str.join), False),
    ],
)
def test_code_of_others_is_told(model, expected):
    made = model()
    assert not can_compile_early(made)
    made.optimizer.build(made.trainable_variables)
    assert can_compile_early(made) is expected


def test_an_operation_that_is_no_layer_is_not_stock():
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Dense(1)(inputs * 2))
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    assert not can_compile_early(model)


def test_the_interpreter_waits_also_for_a_thread_of_a_daemon():
    found = []

    def start():
        found.append(compile_early(doubled(), tf.ones(3)))

    daemon = threading.Thread(target=start, daemon=True)
    daemon.start()
    daemon.join()
    assert not found[0].daemon
    found[0].join()


def test_nothing_is_done_where_no_thread_can_be_started(monkeypatch):
    def start(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    assert compile_early(doubled(), tf.ones(3)) is None


def test_nothing_is_done_where_a_shape_is_not_known():
    function = doubled()

    @tf.function(input_signature=[tf.TensorSpec([None])])
    def caller(x):
        assert compile_early(function, x) is None
        return function(x)

    assert caller(tf.ones(3)).numpy().tolist() == [2, 2, 2]


def test_nothing_is_done_where_functions_run_eagerly():
    tf.config.run_functions_eagerly(True)
    try:
        assert compile_early(doubled(), tf.ones(3)) is None
    finally:
        tf.config.run_functions_eagerly(False)


def test_an_error_is_that_of_the_call_that_follows(monkeypatch):
    def unknown_to_xla(x):
        return tf.py_function(lambda x: x, [x], tf.float32)

    seen = []
    monkeypatch.setattr(threading, "excepthook", seen.append)
    function = doubled(unknown_to_xla)
    thread = compile_early(function, tf.ones(3))
    thread.join()
    assert not seen
    with pytest.raises(tf.errors.InvalidArgumentError, match="XLA"):
        function(tf.ones(3))
