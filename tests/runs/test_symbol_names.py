"""Models of machines read the names of their symbols."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_lstm import Stream, find_proof
from keras_lstm.core.errors import InputError
from keras_lstm.models import without_symbol_names
from keras_lstm.models.build import build_model
from keras_lstm.presets import get_preset
from keras_lstm.runs.model_file import read_model, save_model
from keras_lstm.tasks.machine import FiniteStateMachine

NAMES = ("coin", "push")
TEXTS = np.array([["push", "coin", "coin"], ["coin", "push", "push"]], object)
NUMBERS = np.array([[1, 0, 0], [0, 1, 1]])


def made(machine=None):
    task = FiniteStateMachine()
    if machine is not None:
        task = FiniteStateMachine(machine=machine)
    config = get_preset("machine").replace(units=4, machine=task.machine)
    return config, build_model(config.task, config.model)


def saved(path, config, model):
    save_model(model, path, config.task)
    return keras.saving.load_model(path)


@pytest.mark.parametrize("head", ["per_step", "last_state"])
def test_a_saved_model_reads_names_as_the_network_reads_numbers(tmp_path, head):
    config, _ = made()
    config = config.replace(
        head=head,
        num_bits=3,
        prove_from_epoch=None,
        fallback=None,
        sampling="uniform",
    )
    model = build_model(config.task, config.model)
    loaded = saved(tmp_path / "model.keras", config, model)
    np.testing.assert_array_equal(
        loaded(tf.constant(TEXTS)), model(tf.constant(NUMBERS))
    )


def test_the_network_of_a_saved_model_reads_numbers(tmp_path):
    config, model = made()
    loaded = saved(tmp_path / "model.keras", config, model)
    for use in (Stream, lambda given: find_proof(given, config.task)):
        with pytest.raises(InputError, match="`model` must read numbers of"):
            use(loaded)
    found = without_symbol_names(loaded)
    logits = [Stream(each).feed_logits(NUMBERS[0]) for each in (found, model)]
    np.testing.assert_array_equal(*logits)
    with pytest.raises(InputError, match="must read names of symbols"):
        without_symbol_names(found)


def test_an_unknown_name_is_an_error(tmp_path):
    config, model = made()
    loaded = saved(tmp_path / "model.keras", config, model)
    with pytest.raises(tf.errors.InvalidArgumentError, match="in vocabular"):
        loaded(tf.constant([["coin", "pull"]]))


def test_a_run_is_read_with_names_and_as_it_was_saved_before(tmp_path):
    config, model = made()
    path = tmp_path / "model.keras"
    # Without the task, no layer has the names.
    for task in (config.task, None):
        save_model(model, path, task)
        found = read_model(path, config)
        assert found.inputs[0].dtype == "int32"
        for one, other in zip(found.weights, model.weights, strict=True):
            np.testing.assert_array_equal(one, other)


def test_names_in_another_order_are_refused(tmp_path):
    config, model = made()
    path = tmp_path / "model.keras"
    machine = config.task.machine.replace("coin", "x")
    machine = machine.replace("push", "coin").replace("x:", "push:")
    other, _ = made(machine)
    assert other.task.table.symbols != config.task.table.symbols
    save_model(model, path, other.task)
    with pytest.raises(InputError, match="layer `names` with vocabulary="):
        read_model(path, config)


def test_names_that_the_layer_does_not_take_stay_numbers(tmp_path):
    config, model = made(
        "name: odd\nstates:\n  a: {'[UNK]': a / x, b: c / y}\n"
        "  c: {'[UNK]': c / y, b: a / x}\n"
    )
    assert config.task.token_kind is None
    loaded = saved(tmp_path / "model.keras", config, model)
    assert loaded.inputs[0].dtype == "int32"
    assert read_model(tmp_path / "model.keras", config) is not None
