import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_lstm.config import ModelConfig
from keras_lstm.core.errors import InputError
from keras_lstm.models.build import build_model
from keras_lstm.tasks.image_rows import ImageRows
from keras_lstm.tasks.increment import Increment

TASK = Increment(num_bits=6)


def test_per_step_answers_at_any_length():
    model = build_model(TASK, ModelConfig())
    assert model.output_shape == (None, None, 2)
    for length in (1, 6, 50):
        logits = model(np.zeros((3, length), np.int32))
        assert logits.shape == (3, length, 2)


def test_last_state_answers_once_for_all_bits():
    model = build_model(TASK, ModelConfig("last_state"))
    assert model.output_shape == (None, 6, 2)
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds == [
        *("InputLayer", "Embedding", "LSTM", "LSTM", "Dense", "Reshape")
    ]


def test_images_are_read_row_by_row():
    model = build_model(ImageRows(), ModelConfig("last_state", 16, 1))
    assert model.input_shape == (None, 28, 28)
    assert model.output_shape == (None, 10)


def test_the_options_reach_the_layers():
    config = ModelConfig(
        units=5,
        num_layers=3,
        embedding_dim=4,
        dropout=0.25,
        input_noise=0.5,
        layer_noise=0.125,
    )
    layers = build_model(TASK, config).layers
    found = {
        layer.name: getattr(layer, "units", None)
        or getattr(layer, "stddev", None)
        or getattr(layer, "rate", None)
        or getattr(layer, "output_dim", None)
        for layer in layers[1:]
    }
    assert found == {
        "embedding": 4,
        "input_dropout": 0.25,
        "noise_1": 0.5,
        "lstm_1": 5,
        "noise_2": 0.125,
        "lstm_2": 5,
        "noise_3": 0.125,
        "lstm_3": 5,
        "output_dropout": 0.25,
        "logits": 2,
    }


def test_the_seed_decides_the_initial_values():
    def weights(seed):
        return build_model(TASK, ModelConfig(), seed).get_weights()

    for one, same, other in zip(
        weights(0), weights(0), weights(1), strict=True
    ):
        np.testing.assert_array_equal(one, same)
        assert one.ndim == 1 or (one != other).any()


@pytest.mark.parametrize("value", [1.0, -8.0])
def test_the_forget_bias_is_an_option(value):
    config = ModelConfig(units=3, forget_bias=value)
    model = build_model(TASK, config)
    for name in ("lstm_1", "lstm_2"):
        bias = model.get_layer(name).get_weights()[2]
        expected = [0] * 3 + [value] * 3 + [0] * 6
        assert bias.tolist() == expected


def test_no_two_layers_start_alike():
    config = ModelConfig(units=10, embedding_dim=10)
    model = build_model(TASK, config)
    first, second = (model.get_layer(f"lstm_{i}") for i in (1, 2))
    for one, other in zip(
        first.get_weights()[:2], second.get_weights()[:2], strict=True
    ):
        assert (one != other).any()


@pytest.mark.parametrize(
    ("text", "check"),
    [
        ("zeros", lambda w: (w == 0).all()),
        ("constant(0.1)", lambda w: np.allclose(w, 0.1)),
        ("random_normal(1.0)", lambda w: 0.9 < w.std() < 1.1),
        ("truncated_normal(1.0)", lambda w: 1.5 < abs(w).max() <= 2.3),
        ("random_uniform(0.5)", lambda w: 0.48 < abs(w).max() <= 0.5),
        ("random_uniform", lambda w: abs(w).max() <= 0.05),
        ("glorot_uniform", lambda w: abs(w).max() < 0.4),
    ],
)
def test_initialisers_are_options(text, check):
    config = ModelConfig("last_state", 256, output_kernel_initializer=text)
    model = build_model(TASK, config)
    assert check(model.get_layer("logits").get_weights()[0])


@pytest.mark.parametrize(
    "text", ["he", "zeros(1)", "constant(x)", "constant(nan)", "", "zeros()"]
)
def test_an_unknown_initialiser_is_refused(text):
    with pytest.raises(InputError, match="`recurrent_initializer` must be"):
        ModelConfig(recurrent_initializer=text)


def test_features_may_have_a_target_at_each_step():
    task = types.SimpleNamespace(
        name="tagging",
        num_symbols=None,
        num_classes=4,
        input_shape=(6, 3),
        output_shape=(6,),
        mask_value=None,
        statistics=None,
    )
    model = build_model(task, ModelConfig(units=2))
    assert model.input_shape == (None, None, 3)
    assert model.output_shape == (None, None, 4)


def test_images_need_the_last_state():
    with pytest.raises(InputError, match="`head` must be last_state"):
        build_model(ImageRows(), ModelConfig("per_step"))


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_keeps_variables_and_logits_in_float32(precision):
    model = build_model(TASK, ModelConfig(precision=precision))
    assert model.get_layer("lstm_1").compute_dtype == precision[6:]
    assert {str(w.dtype) for w in model.weights} == {"float32"}
    assert model(np.zeros((1, 6), np.int32)).dtype == tf.float32


def test_a_saved_model_needs_nothing_but_keras(tmp_path):
    config = ModelConfig(units=4, dropout=0.1, input_noise=1.0)
    model = build_model(TASK, config)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    modules = {type(layer).__module__.split(".")[0] for layer in again.layers}
    assert modules == {"keras"}
    inputs = np.eye(6, dtype=np.int32)
    np.testing.assert_array_equal(model(inputs), again(inputs))


@pytest.mark.gpu
def test_a_gpu_trains_with_cudnn():
    if not tf.config.list_physical_devices("GPU"):
        pytest.skip("needs a GPU")
    model = build_model(TASK, ModelConfig())
    model.compile("adam", "sparse_categorical_crossentropy", jit_compile=False)
    inputs = np.zeros((8, 6), np.int32)
    model.fit(inputs, inputs, verbose=0)
    graph = model.train_function.get_concrete_function(
        iter(tf.data.Dataset.from_tensors((inputs, inputs)))
    ).graph
    assert "CudnnRNN" in str(graph.as_graph_def())
