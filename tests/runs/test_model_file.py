"""`model.keras` is read as data, and must match the configuration."""

import io
import json
import random
import zipfile

import h5py
import keras
import numpy as np
import pytest
from test_presets import FOUND

from keras_lstm.core.errors import InputError, RunError
from keras_lstm.core.files import sha256_of
from keras_lstm.models.build import build_model, count_parameters
from keras_lstm.presets import PRESETS, get_preset
from keras_lstm.runs import run as runs
from keras_lstm.runs.model_file import _differences, read_model, save_model
from keras_lstm.runs.saved_run import SavedRun
from keras_lstm.tasks.increment import Increment

CONFIG = get_preset("increment").replace(
    Increment, num_bits=6, units=3, dropout=0.1
)


@pytest.fixture(scope="module")
def members(tmp_path_factory):
    """Return the members of a saved model by name, and its weights."""
    path = tmp_path_factory.mktemp("saved") / "model.keras"
    model = build_model(CONFIG.task, CONFIG.model, seed=7)
    model.save(path)
    with zipfile.ZipFile(path) as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    return held, model.get_weights()


def write(path, members, kind=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def read(tmp_path, members, **changes):
    """Read a model, some of whose members are changed."""
    named = {"config": "config.json", "weights": "model.weights.h5"}
    changes = {named[name]: content for name, content in changes.items()}
    return read_model(
        write(tmp_path / "model.keras", members[0] | changes), CONFIG
    )


@pytest.mark.parametrize("kind", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_model_has_the_weights_that_keras_loads(tmp_path, members, kind):
    path = write(tmp_path / "model.keras", members[0], kind)
    read = read_model(path, CONFIG)
    stock = keras.saving.load_model(path)
    assert not read.compiled
    assert len(members[1]) == 9
    for mine, theirs, saved in zip(
        read.get_weights(), stock.get_weights(), members[1], strict=True
    ):
        np.testing.assert_array_equal(mine, saved)
        np.testing.assert_array_equal(theirs, saved)


@pytest.mark.parametrize("name", PRESETS)
def test_parameters_are_counted_without_a_model(name):
    preset = get_preset(name).replace(**FOUND.get(name, {}))
    encoder = {"encoder_units": 5, "encoder_steps": 3}
    for values in ({}, {"units": 7} | ({} if preset.task.pads else encoder)):
        config = preset.replace(fallback=None, **values)
        model = build_model(config.task, config.model)
        assert count_parameters(config.task, config.model) == (
            model.count_params()
        )


def layer(config, name):
    return next(x for x in config["config"]["layers"] if x["name"] == name)


def set_option(name, key, value):
    def change(config):
        layer(config, name)["config"][key] = value

    return change


def without(name, key):
    def change(config):
        del layer(config, name)["config"][key]

    return change


def set_call(config):
    layer(config, "input_dropout")["inbound_nodes"][0]["kwargs"] = {
        "training": True
    }


def add_layer(config):
    new = {"name": "new", "class_name": "Dense", "config": {}}
    config["config"]["layers"].append(new)


def repeat_layer(config):
    config["config"]["layers"].append(config["config"]["layers"][-1])


def remove_layer(config):
    config["config"]["layers"].pop(1)


EVIL = {
    "module": "keras.utils",
    "class_name": "function",
    "config": "set_random_seed",
    "registered_name": "function",
}
OTHERS = [
    (set_option("lstm_1", "activation", EVIL), "`lstm_1` with activation={"),
    (set_option("lstm_1", "go_backwards", True), "`lstm_1` with go_backwards="),
    (set_option("lstm_2", "unknown", 3), "`lstm_2` with unknown=3"),
    (set_option("logits", "units", 9), "`logits` with units=9"),
    (set_option("logits", "dtype", "float16"), "`logits` with dtype=float16"),
    (without("lstm_1", "return_sequences"), "`lstm_1` without return_seq"),
    (without("embedding", "output_dim"), "`embedding` without output_dim"),
    (lambda c: c.update(compile_config={"jit_compile": True}), "a compiled mo"),
    (set_call, "`input_dropout` with training=True"),
    (add_layer, "with the layer `new`, a Dense layer"),
    (repeat_layer, "two layers of one name"),
    (remove_layer, "without the layer `embedding`"),
    (lambda c: c["config"].update(output_layers=[]), "output_layers="),
]


@pytest.mark.parametrize(("change", "message"), OTHERS)
def test_a_file_that_describes_other_layers_is_refused(
    tmp_path, members, change, message
):
    config = json.loads(members[0]["config.json"])
    change(config)
    with pytest.raises(InputError) as info:
        read(tmp_path, members, config=json.dumps(config))
    text = str(info.value).replace("'", "")
    assert "the model that its config.yaml describes" in text
    assert message in text


def test_a_setting_that_a_model_within_the_model_lacks_is_noticed():
    inner = keras.Sequential(
        [keras.Input((5, 2)), keras.layers.LSTM(3, return_sequences=True)],
        name="inner",
    )
    inputs = keras.Input((5, 2))
    model = keras.Model(inputs, keras.layers.Dense(2)(inner(inputs)))
    built, saved = json.loads(model.to_json()), json.loads(model.to_json())
    assert list(_differences(saved, built)) == []
    del layer(saved, "inner")["config"]["layers"][1]["config"]["units"]
    assert list(_differences(saved, built)) == ["layer `inner` without units"]


def test_what_a_file_names_is_not_called(tmp_path, members):
    config = json.loads(members[0]["config.json"])
    set_option("lstm_1", "activation", EVIL)(config)
    keras.utils.set_random_seed(5)
    expected = random.getstate()
    keras.utils.set_random_seed(5)
    with pytest.raises(InputError, match="set_random_seed"):
        read(tmp_path, members, config=json.dumps(config))
    assert random.getstate() == expected


def test_options_of_other_versions_of_keras_are_no_difference(
    tmp_path, members
):
    config = json.loads(members[0]["config.json"])
    set_option("lstm_1", "of_a_newer_keras", None)(config)
    del layer(config, "lstm_1")["config"]["unroll"]
    read(tmp_path, members, config=json.dumps(config))


def changed(weights, change):
    """Return a file of weights after a change."""
    file = io.BytesIO(weights)
    with h5py.File(file, "a") as opened:
        change(opened)
    return file.getvalue()


KERNEL = "layers/dense/vars/0"


def replaced(**options):
    def change(file):
        values = np.asarray(file[KERNEL])
        del file[KERNEL]
        file.create_dataset(KERNEL, **{"data": values} | options)

    return change


def link(to):
    def change(file):
        del file[KERNEL]
        file[KERNEL] = to

    return change


def unstored(file):
    del file[KERNEL]
    # HDF5 allocates nothing until something is written.
    file.create_dataset(KERNEL, (3, 2), "<f4")


def cycle(file):
    file["layers/again"] = file["layers"]


def several(file):
    for index in range(500):
        file.create_group(f"layers/{index}")


def external(file):
    del file[KERNEL]
    file.create_dataset(KERNEL, (3, 2), "<f4", external=[("x", 0, 24)])


PLAIN = "is no plain array of float32"
DAMAGES = [
    (replaced(chunks=(1, 2)), PLAIN),
    (replaced(data=np.zeros((3, 2), np.float64)), PLAIN),
    (replaced(data=np.zeros((3, 2), ">f4")), PLAIN),
    (lambda f: f[KERNEL].attrs.update(dtype="bfloat16"), PLAIN),
    (unstored, PLAIN),
    (external, PLAIN),
    (link(h5py.ExternalLink("other.h5", KERNEL)), "link to something else"),
    (link(h5py.SoftLink("/layers/dense/vars/1")), "link to something else"),
    (cycle, "more than 96 objects"),
    (several, "more than 96 objects"),
    (replaced(data=np.zeros((2, 3), np.float32)), "weights of other shapes"),
    (replaced(data=np.zeros((4, 2), np.float32)), "parameters instead of"),
    (lambda f: f.move("layers/dense", "layers/dense_1"), "cannot be loaded"),
]


@pytest.mark.parametrize(("change", "message"), DAMAGES)
def test_weights_that_keras_would_not_write_are_refused(
    tmp_path, members, change, message
):
    weights = changed(members[0]["model.weights.h5"], change)
    with pytest.raises(InputError, match=message):
        read(tmp_path, members, weights=weights)


def test_a_large_array_takes_no_memory(tmp_path, members):
    def change(file):
        del file[KERNEL]
        file.create_dataset(KERNEL, (2**40, 2), "<f4")

    weights = changed(members[0]["model.weights.h5"], change)
    with pytest.raises(InputError, match=PLAIN):
        read(tmp_path, members, weights=weights)


@pytest.mark.parametrize("name", ["config.json", "model.weights.h5"])
def test_a_member_that_expands_is_not_read(tmp_path, members, name):
    bomb = {**members[0], name: bytes(2**22)}
    path = write(tmp_path / "model.keras", bomb, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 2**16
    with pytest.raises(InputError, match=f"{name} of 4,194,304 bytes"):
        read_model(path, CONFIG)


def test_a_large_configuration_is_not_built(tmp_path, members):
    path = write(tmp_path / "model.keras", members[0])
    config = CONFIG.replace(units=16384, num_layers=64)
    with pytest.raises(InputError, match="instead of 136,"):
        read_model(path, config)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is damaged: it is empty"),
        (b"PK", "is damaged: File is not a zip file"),
        (bytes(2**22), "a file of 4,194,304 bytes"),
    ],
)
def test_a_file_that_is_no_archive_is_refused(tmp_path, content, message):
    path = tmp_path / "model.keras"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_model(path, CONFIG)


@pytest.mark.parametrize("name", ["config.json", "model.weights.h5"])
@pytest.mark.parametrize("content", [None, b"", b"{}", b"[" * 100_000])
def test_a_damaged_member_is_refused(tmp_path, members, name, content):
    damaged = {**members[0], name: content}
    if content is None:
        del damaged[name]
    path = write(tmp_path / "model.keras", damaged)
    with pytest.raises(InputError, match="cannot be loaded, it is damaged"):
        read_model(path, CONFIG)


def test_a_file_that_does_not_hold_the_weights_is_noticed(
    tmp_path, monkeypatch
):
    model = build_model(CONFIG.task, CONFIG.model, seed=7)
    save_model(model, tmp_path / "model.keras")
    save = keras.Model.save

    def save_others(model, path):
        other = keras.models.clone_model(model)
        save(other, path)

    monkeypatch.setattr(type(model), "save", save_others)
    with pytest.raises(RunError, match=r"model\.keras holds other weights"):
        save_model(model, tmp_path / "model.keras")


def test_a_run_knows_which_file_its_model_is_of(tmp_path, members, monkeypatch):
    path = write(tmp_path / "model.keras", members[0])
    saved = SavedRun(tmp_path, CONFIG, None)
    monkeypatch.setattr(runs, "read_run", lambda *_: saved)
    run = runs.load_run(tmp_path)
    # What is said of its model stays about this file.
    assert run.model_sha256 == sha256_of(path)

    def replaced(*arguments):
        model = read_model(*arguments)
        save_model(run.model, path)
        return model

    monkeypatch.setattr(runs, "read_model", replaced)
    with pytest.raises(InputError, match=r"model\.keras was replaced meanwh"):
        runs.load_run(tmp_path)
