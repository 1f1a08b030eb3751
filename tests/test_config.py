import dataclasses

import pytest
import yaml

from keras_lstm.config_file import read_config
from keras_lstm.core.errors import InputError
from keras_lstm.core.options import option
from keras_lstm.presets import PRESETS, get_preset
from keras_lstm.tasks.image_rows import ImageRows
from keras_lstm.tasks.increment import Decrement, Increment
from keras_lstm.tasks.transducer import TransducerTask


@pytest.mark.parametrize("name", PRESETS)
def test_a_configuration_survives_yaml(name):
    config = get_preset(name)
    found = {}
    if name == "sequences":
        found = {"vocabulary": '["a"]', "classes": '["x", "y"]'}
    if name == "rows":
        found = {"num_features": 3, "classes": '["x", "y"]'}
    changed = config.replace(seed=7, units=5, epochs=3, **found)
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
        ("seed: !!bool maybe", "`config` must be YAML"),
        ("seed: !!int ''", "`config` must be YAML"),
        ("seed: !!float ''", "`config` must be YAML"),
        ("seed: !!timestamp x", "`config` must be YAML"),
        (f"seed: {'9' * 5000}", "`config` must be YAML"),
        ("seed: 1\nseed: 2", "a duplicate key seed, line 2"),
        ("model: &a {units: *a}", "an alias of what holds it"),
        ("#" * 500_001, "must have at most 500,000 characters"),
        (f"{'9' * 401}: 3", r"`9{18}\.\.\.9{19}` is no key"),
        ('"a\\nb\\e[2J": 3', r"`a\\nb\\x1b\[2J` is no key"),
        ("task: {name: no_module:X}", "installed, or named on the command"),
        ("task: {name: image-rows, num_bits: 3}", "`num_bits` is no option"),
    ],
)
def test_a_bad_config_file_is_refused(text, message):
    with pytest.raises(InputError, match=message):
        read_config(text, Increment)


def test_aliases_are_limited_as_expanded():
    # Each list holds the one before eight times: 2^24 values, in 270 bytes.
    lines = ["- &a0 [x, x, x, x, x, x, x, x]"]
    for i in range(1, 8):
        lines.append(f"- &a{i} [{', '.join([f'*a{i - 1}'] * 8)}]")
    with pytest.raises(InputError, match="more than 10,000 values") as caught:
        read_config("\n".join(lines), Increment)
    assert len(str(caught.value)) < 200


def test_aliases_and_merge_keys_are_read():
    text = "model: &m {units: &n 3}\ntraining: {batch_size: *n}\n"
    file = read_config(text, Increment)
    assert file.values == {"units": 3, "batch_size": 3}
    text = "model:\n  <<: {units: 3, dropout: 0.5}\n  units: 4\n"
    assert read_config(text, Increment).values["units"] == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"model: {{units: {'9' * 401}}}", "`units` must be an integer below"),
        (f"model: {{forget_bias: {'9' * 401}}}", "must be a finite number"),
        ("training: {learning_rate: 1e308}", "that float32 can hold"),
        ("model: {units: [[1, [2, [3]]]]}", r"units=\[\[1, \[\.\.\.\]\]\]"),
        ('preset: "a\\nb"', r"`a\\nb` is no preset"),
        ("preset: 3", "`3` is no preset"),
    ],
)
def test_values_that_no_option_takes_are_refused(text, message):
    file = read_config(text, Increment)

    def make():
        preset = get_preset(file.preset or "increment")
        preset.replace(Increment, **file.values)

    with pytest.raises(InputError, match=message):
        make()


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


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ({"head": "last_state"}, "needs the per_step head"),
        ({"encoder_units": 4}, "needs a model without `encoder_units`"),
        ({"precision": "mixed_float16"}, "needs the precision float32"),
        ({"num_microbatches": 2}, "`num_microbatches` 1"),
        ({"jit_compile": True}, "`jit_compile` False"),
        ({"ema_fraction": 0.5}, "`ema_fraction` keeps others"),
    ],
)
def test_a_preset_is_not_proved_if_other_options_exclude_it(values, rule):
    preset = get_preset("increment")
    assert preset.training.prove_from_epoch == 1
    assert preset.replace(units=8).training.prove_from_epoch == 1
    assert preset.replace(**values).training.prove_from_epoch is None
    with pytest.raises(InputError, match=rule):
        preset.replace(**values, prove_from_epoch=2)


def test_a_large_machine_is_not_proved_unless_asked():
    class Large(TransducerTask):
        """Write the sum of all symbols so far, modulo 20."""

        name = "large"
        next_state = tuple(
            tuple((state + symbol) % 20 for symbol in range(20))
            for state in range(20)
        )
        output = next_state

    assert get_preset("increment", Large).training.prove_from_epoch is None
    asked = get_preset("increment").replace(Large, prove_from_epoch=1)
    assert asked.training.prove_from_epoch == 1
