import dataclasses

import pytest
import yaml

from keras_lstm.config_file import read_config
from keras_lstm.core.errors import InputError
from keras_lstm.core.options import option
from keras_lstm.presets import PRESETS, get_preset
from keras_lstm.tasks.image_rows import ImageRows
from keras_lstm.tasks.increment import Decrement, Increment


@pytest.mark.parametrize("name", PRESETS)
def test_a_configuration_survives_yaml(name):
    config = get_preset(name)
    changed = config.replace(type(config.task), seed=7, units=5, epochs=3)
    file = read_config(changed.to_yaml(), type(config.task))
    assert file.preset == config.preset
    base = get_preset(file.preset)
    assert base.replace(file.task, **file.values) == changed


def test_another_task_keeps_the_options_it_shares():
    config = get_preset("increment").replace(Increment, num_bits=7)
    assert config.replace(Decrement).task == Decrement(num_bits=7)


def test_an_option_of_another_task_is_refused():
    with pytest.raises(InputError, match="`dataset` is no option of incr"):
        get_preset("increment").replace(Increment, dataset="mnist")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model: {unitz: 3}", "`unitz` is no option of `model`.*`units`"),
        ("modle: {units: 3}", "`modle` is no key of `config`.*`model`"),
        ("model: {num_bits: 3}", "`num_bits` is no option of `model`"),
        ("model: [units]", "`model` must be a mapping"),
        ("[1, 2]", "`config` must be a mapping"),
        ("model: {units: [", "`config` must be YAML"),
        ("seed: 2024-99-99", "`config` must be YAML"),
        ("[" * 5000, "`config` must be YAML"),
        ("task: {name: incremnt}", "Did you mean `increment`"),
        ("task: {name: image-rows, num_bits: 3}", "`num_bits` is no option"),
    ],
)
def test_a_bad_config_file_is_refused(text, message):
    with pytest.raises(InputError, match=message):
        read_config(text, Increment)


def test_a_wrong_type_in_a_config_file_is_refused():
    file = read_config("model: {units: '32'}", Increment)
    with pytest.raises(InputError, match="`units` must be an integer"):
        get_preset("increment").replace(Increment, **file.values)


def test_a_number_may_be_written_without_a_point():
    file = read_config("training: {learning_rate: 1e-3}", Increment)
    config = get_preset("increment").replace(Increment, **file.values)
    assert config.training.learning_rate == 0.001


@pytest.mark.parametrize("name", ["units", "quiet", "seed"])
def test_a_tasks_option_needs_a_name_of_its_own(name):
    field = (name, int, option(3, "not used"))
    task = dataclasses.make_dataclass(
        "Own", [field], bases=(Increment,), frozen=True
    )
    with pytest.raises(InputError, match=f"`{name}` is taken.*task=Own"):
        get_preset("increment").replace(task)


def test_yaml_names_the_task_and_every_option():
    mapping = yaml.safe_load(get_preset("digits").to_yaml())
    assert (
        mapping["task"]
        == {"name": "image-rows"} | ImageRows(dataset="digits").to_mapping()
    )
    assert mapping["model"]["units"] == 128


def test_an_option_is_not_given_under_both_names():
    text = "training: {clipnorm: 1.0, global_clipnorm: 2.0}"
    with pytest.raises(InputError, match=r"clipnorm=1\.0, global_clipnorm=2"):
        read_config(text, Increment)
