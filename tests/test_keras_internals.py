"""Pins what docs/keras-internals.md says of Keras and TensorFlow.

A test of a gap passes while stock Keras has it. When one fails, its message
says which code of the package can go. A test of a private name passes while
the name exists.
"""

# Long because all rows of the document that are about Keras are tested here.

import ast
import importlib.util
import inspect
import pathlib
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from events import scalars
from keras.src.models.functional import Functional
from stopping import Stop, StopError

from keras_lstm.callbacks.tensorboard import TensorBoard
from keras_lstm.checkpoint.callback_state import (
    _ATTRIBUTES,
    find_callbacks,
    get_callback_state,
)
from keras_lstm.core.errors import InputError
from keras_lstm.models.gradient_norm import record_gradient_norm
from keras_lstm.models.weights import supported_layers
from keras_lstm.monitoring.activations import lstm_layers

ROOT = pathlib.Path(__file__).parents[1]
layers = keras.layers
X = np.random.default_rng(0).normal(size=(16, 4)).astype("float32")
Y = X.sum(1, keepdims=True)


def compiled(*body, optimizer="sgd", **options):
    keras.utils.set_random_seed(0)
    body = body or (layers.Dense(1),)
    model = keras.Sequential([keras.Input((4,)), *body])
    model.compile(optimizer, "mse", **({"jit_compile": False} | options))
    return model


def fit(model, *callbacks, **options):
    """Train on two batches an epoch, and return the weights."""
    options = {"batch_size": 8, "shuffle": False, "verbose": 0} | options
    model.fit(X, Y, callbacks=list(callbacks), **options)
    return np.concatenate([w.ravel() for w in model.get_weights()])


# Private names.


@pytest.fixture(scope="module")
def objects():
    embedding = layers.Embedding(3, 2, mask_zero=True)
    lstm = layers.LSTM(2, stateful=True)
    lstm(keras.Input((3, 2), batch_size=1))
    dense = layers.Dense(1)
    dense(keras.Input((2,)))
    node = dense._inbound_nodes[0]
    optimizer = keras.optimizers.SGD()
    model = compiled(optimizer=optimizer)
    averaging = keras.optimizers.SGD(use_ema=True)
    averaging.build(model.trainable_variables)
    return {
        "model": model,
        "compiled loss": model._compile_loss,
        "optimizer": optimizer,
        "averaging optimizer": averaging,
        "LossScaleOptimizer": keras.optimizers.LossScaleOptimizer(optimizer),
        "layer": dense,
        "stateful layer": lstm,
        "masked output": embedding(np.array([[1, 2, 0]])),
        "node": node,
        "arguments": node.arguments,
        "StatelessScope": keras.StatelessScope(),
        "loss": keras.metrics.Mean(name="loss"),
        "TensorBoard": keras.callbacks.TensorBoard(),
        "TensorBoard class": keras.callbacks.TensorBoard,
        "graph": tf.function(lambda: 1).get_concrete_function().graph,
    }


@pytest.mark.parametrize(
    ("of", "name", "user"),
    [
        ("model", "_initial_epoch", "ExactResume"),
        ("model", "_flatten_layers", "ExactResume"),
        ("model", "distribute_strategy", "ExactResume, enable_multi_worker"),
        ("model", "train_function", "SkippedSteps, TensorBoard"),
        ("model", "_maybe_symbolic_build", "enable_multi_worker"),
        ("model", "_symbolic_build", "enable_multi_worker"),
        ("model", "_loss_tracker", "enable_microbatches"),
        ("model", "_compile_loss", "part_loss"),
        ("model", "_compute_loss", "part_loss"),
        ("model", "_losses_override", "part_loss"),
        ("model", "_get_own_losses", "added_losses"),
        ("model", "_get_regularization_losses", "part_loss"),
        ("model", "_call_has_training_arg", "enable_microbatches"),
        ("compiled loss", "_flat_losses", "part_loss"),
        ("compiled loss", "_metrics", "part_loss"),
        ("optimizer", "_trainable_variables", "ModelState, keep_weights"),
        (
            "averaging optimizer",
            "_model_variables_moving_average",
            "keep_weights",
        ),
        ("optimizer", "_clip_gradients", "clip_aggregated_gradients"),
        ("optimizer", "_all_reduce_sum_gradients", "clip_aggregated_gradients"),
        ("optimizer", "_distribution_strategy", "record_gradient_norm"),
        ("LossScaleOptimizer", "inner_optimizer", "clip_aggregated_gradients"),
        ("layer", "_inbound_nodes", "supported_layers, lstm_layers"),
        ("layer", "quantization_mode", "supported_layers"),
        ("stateful layer", "states", "ExactResume"),
        ("masked output", "_keras_mask", "SequenceAccuracy, TokenAccuracy"),
        ("node", "input_tensors", "lstm_layers"),
        ("arguments", "args", "supported_layers"),
        ("arguments", "kwargs", "supported_layers"),
        ("StatelessScope", "state_mapping", "enable_microbatches"),
        ("StatelessScope", "get_current_value", "enable_microbatches"),
        ("loss", "count", "TensorBoard._count_examples"),
        ("TensorBoard", "_should_trace", "TensorBoard.on_train_batch_end"),
        ("TensorBoard class", "_train_writer", "TensorBoard.on_epoch_end"),
        ("TensorBoard", "_writers", "TensorBoard.on_train_end"),
        ("graph", "outer_graph", "GradientNorms"),
    ],
)
def test_a_private_name_still_exists(objects, of, name, user):
    assert hasattr(objects[of], name), f"{of} has no {name}: see {user}"


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """Return Keras's callbacks with state, as they are within `fit`."""
    path = tmp_path_factory.mktemp("saved") / "model.keras"
    made = {
        kind: kind(path) if kind is keras.callbacks.ModelCheckpoint else kind()
        for kind in _ATTRIBUTES
    }
    callbacks = keras.callbacks.CallbackList(
        list(made.values()), model=compiled(optimizer=keras.optimizers.SGD())
    )
    # SwapEMAWeights would need averages to begin with.
    callbacks.callbacks.remove(made[keras.callbacks.SwapEMAWeights])
    callbacks.on_train_begin()
    callbacks.on_epoch_begin(0)
    return made


@pytest.mark.parametrize(
    ("kind", "name"),
    [(kind, name) for kind, names in _ATTRIBUTES.items() for name in names],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_callback_still_has_each_attribute_that_is_saved(begun, kind, name):
    # `get_callback_state` would save None for a name that is gone.
    assert name in vars(begun[kind]), (
        f"{kind.__name__} has no {name}: see `_ATTRIBUTES` in callback_state.py"
    )


def test_keras_builds_through_the_method_that_is_replaced():
    """`enable_multi_worker` replaces it on the instance."""
    model = compiled()
    signature = inspect.signature(model._maybe_symbolic_build)
    assert list(signature.parameters) == ["iterator", "data_batch"]
    assert "data_batch" in inspect.signature(model._symbolic_build).parameters
    calls = []
    model._maybe_symbolic_build = lambda **given: calls.append(list(given))
    fit(model)
    model.evaluate(X, Y, verbose=0)
    assert calls == [["iterator"]] * 2


def test_the_initial_epoch_is_still_minded_and_private():
    """If it is public, `ExactResume` can set the public one."""
    assert not hasattr(compiled(), "initial_epoch"), (
        "Model.initial_epoch is public: ExactResume can set it"
    )
    model = compiled()
    model._initial_epoch = 2
    fit(model, epochs=3)
    assert model.history.epoch == [2]


def test_the_variables_that_are_not_weights_are_those_of_seeds():
    model = compiled(
        layers.GaussianNoise(0.1),
        layers.Dropout(0.2),
        layers.LayerNormalization(),
    )
    weights = {id(weight) for weight in model.weights}
    others = [x for x in model.non_trainable_variables if id(x) not in weights]
    assert [id(x) for x in others] == [
        id(layer.seed_generator.state) for layer in model.layers[:2]
    ], "see `_seed_states` in microbatches.py"


def test_keras_still_takes_the_mean_of_the_parts_losses(mirrored):
    """If replicas weigh masks, `sum_losses_over_replicas` is not needed."""
    found = []
    for strategy in (tf.distribute.get_strategy(), mirrored):
        with strategy.scope():
            model = keras.Sequential([keras.Input((2, 1)), layers.Masking()])
            model.compile(loss="mse", jit_compile=False)
        x = np.float32([[[1], [1]], [[1], [0]], [[1], [0]], [[3], [0]]])
        found.append(model.evaluate(x, 0 * x, batch_size=4, verbose=0))
    assert found[0] == pytest.approx(13 / 5)
    assert found[1] == pytest.approx((3 / 3 + 10 / 2) / 2)


def test_a_scope_knows_variables_by_their_identity():
    variable = keras.Variable(1.0)
    with keras.StatelessScope([(variable, tf.constant(2.0))]) as scope:
        pass
    assert set(scope.state_mapping) == {id(variable)}, "see enable_microbatches"


def test_a_stock_model_is_told_by_its_class():
    class Own(keras.Model):
        pass

    inputs = keras.Input((2,))
    for model, stock in (
        (keras.Model(inputs, layers.Dense(1)(inputs)), True),
        (compiled(), True),
        (Own(), False),
    ):
        found = type(model) in (keras.Sequential, Functional)
        assert found == stock, "see `_check_model` in weights.py"
        replaced = {name for name in vars(model) if hasattr(type(model), name)}
        assert replaced <= {"build", "loss", "quantize"}, (
            "Keras wraps other methods: see `_WRAPPED_BY_KERAS` in weights.py"
        )


def test_a_config_lists_layers_by_class_and_settings():
    model = keras.Sequential([keras.Input((3, 2)), layers.LSTM(4)])
    functional = keras.Model(model.inputs, model.outputs)
    (found,) = (
        layer["config"]["return_sequences"]
        for layer in functional.get_config()["layers"]
        if layer["class_name"] == "LSTM"
    )
    assert found is False, "see build_stepwise_model"


# Training.


def test_keras_callbacks_still_forget_their_state_on_resume(tmp_path):
    """keras#17012 for ModelCheckpoint."""

    def train(folder, *last):
        noise = layers.Dropout(0.5, seed=1)
        # This rate makes the loss grow, so that the first epoch is the best.
        model = compiled(
            noise, layers.Dense(1), optimizer=keras.optimizers.SGD(2.0)
        )
        callbacks = [
            keras.callbacks.ModelCheckpoint(
                tmp_path / f"{folder}.keras", "loss", save_best_only=True
            ),
            keras.callbacks.EarlyStopping("loss", patience=9),
            keras.callbacks.ReduceLROnPlateau("loss", patience=9),
        ]
        backup = keras.callbacks.BackupAndRestore(tmp_path / folder)
        fit(model, *callbacks, backup, *last, epochs=3)
        return callbacks, model

    whole, expected = train("whole")
    assert expected.history.history["loss"] == sorted(
        expected.history.history["loss"]
    )
    with pytest.raises(StopError):
        train("run", Stop(after_epoch=1))
    resumed, model = train("run")
    for one, other in zip(whole, resumed, strict=True):
        assert get_callback_state(one) != get_callback_state(other), (
            f"BackupAndRestore restores {type(one).__name__}: remove it from "
            "`_ATTRIBUTES` in callback_state.py"
        )
    assert model.history.epoch == [2], (
        "fit continues the history: ExactResume._resume need not restore it"
    )


def test_keras_callbacks_still_give_no_state():
    kinds = [
        kind
        for kind in vars(keras.callbacks).values()
        if isinstance(kind, type) and hasattr(kind, "get_state")
    ]
    assert not kinds, f"{kinds} have get_state: remove them from `_ATTRIBUTES`"


def test_callbacks_are_still_called_by_their_list():
    found = []

    class Look(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            found.extend(find_callbacks(self))

    callbacks = [keras.callbacks.TerminateOnNaN(), Look()]
    keras.callbacks.CallbackList(callbacks).on_train_begin()
    assert found == callbacks
    # Keras has no other way to tell.
    assert not any(
        isinstance(value, list | keras.callbacks.CallbackList)
        for value in vars(callbacks[1]).values()
    )


def test_keras_still_starts_a_new_history_on_every_call():
    model = compiled()
    fit(model)
    fit(model, epochs=2)
    assert model.history.epoch == [0, 1], (
        "fit continues the history: ExactResume._resume need not restore it"
    )


def test_the_variables_of_a_model_still_lack_the_states_of_layers():
    model = keras.Sequential(
        [keras.Input((3, 2), batch_size=1), layers.LSTM(2, stateful=True)]
    )
    known = {id(variable) for variable in model.variables}
    for state in model.layers[0].states:
        assert id(state) not in known, (
            "model.variables has the states: ExactResume._variables need not "
            "collect them"
        )


def test_a_traced_step_still_does_not_see_a_changed_optimizer(tmp_path):
    model = compiled()
    fit(model)
    norms, _ = record_gradient_norm(model.optimizer)
    fit(model)
    assert norms.take() is None, (
        "fit traces again: TensorBoard.set_model need not reset train_function"
    )
    # The callback makes the first step trace again.
    model = compiled()
    fit(model)
    fit(model, TensorBoard(tmp_path))
    assert scalars(tmp_path / "train")["gradient_norm/mean"][0][1] > 0


def test_keras_still_tells_callbacks_neither_examples_nor_gradients():
    class Look(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.logs = logs

    look, model = Look(), compiled()
    fit(model, look)
    assert set(look.params) == {"verbose", "epochs", "steps"}, (
        "can TensorBoard._count_examples go?"
    )
    assert set(look.logs) == {"loss"}, "can record_gradient_norm go?"
    words = ("clip", "grad", "norm")
    found = {
        name
        for name in dir(keras.optimizers.SGD())
        if name[0] != "_" and any(word in name for word in words)
    }
    assert found == {
        *("apply_gradients", "clipnorm", "clipvalue", "global_clipnorm"),
        "gradient_accumulation_steps",
    }, "can record_gradient_norm go?"
    (loss,) = (metric for metric in model.metrics if metric.name == "loss")
    assert float(loss.count) == len(X), "see TensorBoard._count_examples"


def test_keras_still_computes_a_batch_as_a_whole():
    sizes = set()

    class Look(layers.Layer):
        def call(self, inputs):
            sizes.add(inputs.shape[0])
            return inputs

    model = compiled(Look(), layers.Dense(1))
    dataset = tf.data.Dataset.from_tensor_slices((X, Y))
    sizes.clear()
    dataset = dataset.batch(8, drop_remainder=True)
    model.fit(dataset, shuffle=False, verbose=0)
    assert sizes == {8}, "Keras splits batches: can enable_microbatches go?"
    for function in (keras.Model.compile, keras.Model.fit):
        names = " ".join(inspect.signature(function).parameters)
        assert "micro" not in names, "can enable_microbatches go?"


def test_a_loss_scale_optimizer_still_hides_the_settings_of_the_inner_one():
    inner = keras.optimizers.SGD(clipnorm=1.0, use_ema=True)
    outer = keras.optimizers.LossScaleOptimizer(inner)
    assert (outer.clipnorm, outer.use_ema) == (None, False), (
        "LossScaleOptimizer passes them on: no need for `inner_optimizer`"
    )


def test_keras_still_ends_a_fit_that_was_stopped_with_averages():
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.weights = self.model.get_weights()
            self.model.stop_training = True

    stop = Stop()
    optimizer = keras.optimizers.SGD(0.1, use_ema=True)
    model = compiled(optimizer=optimizer)
    fit(model, stop)
    assert not np.array_equal(model.get_weights()[0], stop.weights[0]), (
        "keep_weights can go"
    )


def test_keras_still_summarizes_each_step_in_vain(tmp_path, monkeypatch):
    made = []
    scalar = tf.summary.scalar

    def note(name, *arguments, **options):
        made.append(name)
        return scalar(name, *arguments, **options)

    monkeypatch.setattr(tf.summary, "scalar", note)
    fit(compiled(), keras.callbacks.TensorBoard(tmp_path / "stock"))
    assert made.count("batch_loss") == 2, (
        "TensorBoard.on_train_batch_end of the package can go"
    )
    assert "batch_loss" not in scalars(tmp_path / "stock" / "train")
    made.clear()
    fit(compiled(), TensorBoard(tmp_path / "ours"))
    assert "batch_loss" not in made


# Layers, models and metrics.


def test_the_input_of_a_layer_still_tells_no_state_that_is_an_array():
    inputs = keras.Input((3, 2))
    lstm = layers.LSTM(2)
    lstm(inputs, initial_state=[np.ones((1, 2))] * 2)
    assert lstm.input is inputs, (
        "layer.input tells it: `_check_model` in weights.py need not read nodes"
    )


def test_lstms_that_are_shared_or_given_a_state_are_left_out():
    inputs = keras.Input((3, 2))
    shared = layers.LSTM(2, return_sequences=True)
    given = layers.LSTM(2, return_sequences=True)
    plain = layers.LSTM(2, name="plain")
    x = shared(shared(inputs))
    model = keras.Model(
        inputs, plain(given(x, initial_state=[x[:, 0], x[:, 1]]))
    )
    assert lstm_layers(model) == [plain]


def test_keras_lstm_still_returns_no_gates():
    lstm = layers.LSTM(2, return_sequences=True, return_state=True)
    assert len(lstm(X[:, :, None])) == 3, "can `activations` go?"
    names = " ".join(inspect.signature(layers.LSTM).parameters)
    assert "gate" not in names, "can `activations` go?"


def test_keras_still_knows_two_forget_biases_only():
    lstm = layers.LSTM(2, unit_forget_bias=2.5)
    lstm.build((None, 3, 2))
    found = lstm.get_weights()[2][2:4].tolist()
    assert found == [1.0, 1.0], "`_set_forget_bias` in build.py can go"


def test_a_quantized_layer_has_other_weights_and_is_refused(copier):
    model, _ = copier
    layer = model.get_layer("logits")
    before = [weight.dtype for weight in layer.weights]
    layer.quantize("int8")
    assert layer.quantization_mode == "int8"
    assert [weight.dtype for weight in layer.weights] != before, (
        "quantized layers keep their weights: supported_layers may take them"
    )
    with pytest.raises(InputError, match="its weights are quantized"):
        supported_layers(model, 2)


def test_keras_still_tracks_layers_in_a_list():
    class Holder(layers.Layer):
        def __init__(self, held):
            super().__init__()
            self.held = held

    dense = layers.Dense(1)
    dense.build((None, 2))
    assert len(Holder([dense]).weights) == 2, (
        "lists are not tracked: ProofRegularization need not hide its layers"
    )
    assert Holder(lambda: [dense]).weights == []


def test_keras_still_gives_metrics_a_mask_only_on_the_predictions():
    seen = []

    class Look(keras.metrics.Metric):
        def update_state(self, y_true, y_pred, sample_weight=None, **others):
            mask = getattr(y_pred, "_keras_mask", None)
            seen.append((mask is not None, sample_weight, others))

        def result(self):
            return 0.0

    embedding = layers.Embedding(3, 1, mask_zero=True)
    model = keras.Sequential([keras.Input((3,), dtype="int32"), embedding])
    model.compile("sgd", "mse", metrics=[Look()])
    model.fit(np.array([[1, 2, 0]]), np.zeros((1, 3, 1)), verbose=0)
    assert seen
    for masked, sample_weight, others in seen:
        assert masked, "see `update_state` in metrics.py"
        assert (sample_weight, others) == (None, {}), (
            "Keras passes the mask: `update_state` in metrics.py need not "
            "read `_keras_mask`"
        )


def test_joined_outputs_still_lose_their_masks():
    masked = layers.Embedding(3, 1, mask_zero=True)(np.array([[1, 0]]))
    joined = tf.concat([masked, masked], 0)
    assert getattr(joined, "_keras_mask", None) is None, (
        "masks are joined: enable_microbatches need not refuse them"
    )


def test_add_weight_of_a_metric_still_takes_no_aggregation():
    stock = inspect.signature(keras.metrics.Metric.add_weight)
    assert "aggregation" not in stock.parameters, (
        "`_add_counter` in metrics.py can call add_weight"
    )


# Replicas.


def train_with(strategy, option=None, value=None):
    """Train with one option of `check_compiled`, and return the weights."""
    optimizer, options = {}, {}
    if option == "steps_per_execution":
        options[option] = value
    elif option not in (None, "jit_compile"):
        optimizer = {option: value, "use_ema": option[:3] == "ema"}
    with strategy.scope():
        model = compiled(
            optimizer=keras.optimizers.SGD(0.1, **optimizer), **options
        )
        # `compile` turns it off if TensorFlow has to be deterministic.
        model._jit_compile = option == "jit_compile"
    return fit(model)


def test_two_replicas_train_as_one_device_without_these_options(mirrored):
    expected = train_with(tf.distribute.get_strategy())
    np.testing.assert_allclose(train_with(mirrored), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("option", "value", "issue"),
    [
        ("steps_per_execution", 2, "keras#19246"),
        ("jit_compile", True, "keras#20763"),
        ("gradient_accumulation_steps", 2, "keras#20582"),
        ("ema_overwrite_frequency", 2, "no issue"),
    ],
)
def test_keras_still_cannot_do_it_on_two_replicas(
    mirrored, option, value, issue
):
    try:
        found = train_with(mirrored, option, value)
    except (RuntimeError, tf.errors.InvalidArgumentError):
        return
    alone = tf.distribute.get_strategy()
    expected = train_with(alone, option, value)
    assert np.abs(found - expected).max() > 1e-4, (
        f"`{option}` works on two replicas ({issue}): check_compiled need not "
        "refuse it"
    )


WORKER = """
import keras, numpy, tensorflow as tf

strategy = tf.distribute.MultiWorkerMirroredStrategy()
ones = numpy.ones((8, 3), "float32")
options = tf.data.Options()
policy = tf.data.experimental.AutoShardPolicy.DATA
options.experimental_distribute.auto_shard_policy = policy
dataset = tf.data.Dataset.from_tensor_slices((ones, ones[:, :1]))
dataset = dataset.repeat().batch(4).with_options(options)
for stock in (True, False):
    with strategy.scope():
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse", jit_compile=False)
        if not stock:
            model._symbolic_build(data_batch=(ones[:2], ones[:2, :1]))
            model._maybe_symbolic_build = lambda **given: None
    try:
        model.fit(dataset, steps_per_epoch=2, shuffle=False, verbose=0)
        found = "works"
    except Exception as error:
        found = "fails"
    print("stock" if stock else "built", found, flush=True)
"""


@pytest.mark.slow
def test_keras_still_cannot_fit_on_two_workers(monkeypatch):
    """keras#20585."""
    # Each worker has one device, as in a cluster of machines.
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    path = ROOT / "scripts" / "local_cluster.py"
    spec = importlib.util.spec_from_file_location("local_cluster", path)
    cluster = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(cluster)
    processes = cluster.start([sys.executable, "-c", WORKER], 2)
    try:
        lines = [
            process.communicate(timeout=300)[0].splitlines()
            for process in processes
        ]
    except subprocess.TimeoutExpired:
        pytest.fail("the workers hang; they should fail (keras#20585)")
    finally:
        cluster.end(processes)
    for each in lines:
        assert "stock works" not in each, (
            "fit works on two workers (keras#20585): enable_multi_worker can go"
        )
        assert "built works" not in each, (
            "metrics need no axis (keras#20585): `_add_axis` in "
            "multi_worker.py can go"
        )
        assert {"stock fails", "built fails"} <= set(each), each


def test_keras_still_imports_packages_that_it_does_without():
    from keras.src.saving import file_editor
    from keras.src.visualization import plot_image_gallery
    from keras.src.wrappers import sklearn_wrapper
    from tensorflow.python.keras.engine import training_arrays_v1

    found = [plot_image_gallery.plt, sklearn_wrapper.sklearn]
    found.append(training_arrays_v1.issparse)
    if importlib.util.find_spec("IPython"):
        found.append(file_editor.ipython)
    for each in found:
        assert each is not None, (
            "import keras leaves out IPython, scikit-learn, SciPy or pyplot: "
            "see `_without_optional_imports` in cli/startup.py"
        )


# The document.


def defined(path):
    """Return the names of the functions of a file of tests."""
    body = ast.parse((ROOT / path).read_text()).body
    return {node.name for node in body if isinstance(node, ast.FunctionDef)}


def test_every_row_of_the_document_names_tests_that_exist():
    text = (ROOT / "docs" / "keras-internals.md").read_text()
    rows = re.findall(r"^\| (?!place |---).*", text, re.M)
    assert len(rows) > 30
    # A test without a file before it, in its cell, is in one of these two.
    here = set()
    for name in ("keras", "keras_tuner"):
        here |= defined(f"tests/test_{name}_internals.py")
    named = set()
    for row in rows:
        cells = row.split("|")[1:-1]
        assert len(cells) in (4, 6), row
        for cell in cells[4 if len(cells) == 6 else 3 :]:
            words = re.findall(r"`(tests/[\w/]+\.py|test_\w+)`", cell)
            assert any(word.startswith("test_") for word in words), row
            known = here
            for word in words:
                if word.endswith(".py"):
                    known = defined(word)
                else:
                    assert word in known, (word, row)
                    named.add(word)
    tests = {name for name in here if name.startswith("test_")}
    assert tests - named == {
        "test_every_row_of_the_document_names_tests_that_exist",
        "test_two_replicas_train_as_one_device_without_these_options",
    }


def test_keras_still_multiplies_the_inputs_of_an_lstm_step_by_step():
    layer = keras.layers.LSTM(4)
    layer.build((2, 5, 3))
    traced = tf.function(layer).get_concrete_function(tf.TensorSpec((2, 5, 3)))
    loops = [
        [node.op for node in function.node_def].count("MatMul")
        for function in traced.graph.as_graph_def().library.function
    ]
    # Of the inputs, and of the state.
    assert max(loops) == 2, (
        "LSTMs multiply all inputs at once: see whether "
        "`models/large_products.py` is still faster"
    )
