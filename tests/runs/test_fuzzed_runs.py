"""Whatever a run folder holds, reading it ends in one line or in a result."""

import hashlib
import io
import json
import zipfile

import fuzzing
import keras
import pytest
import safetensors.numpy
import tensorflow as tf
from hypothesis import strategies as st
from test_edited_runs import CONFIG
from test_folder import REPORT

from keras_lstm.callbacks.exact_resume import ExactResume
from keras_lstm.checkpoint.checkpoints import (
    CheckpointFolder,
    newest_options,
)
from keras_lstm.models.build import build_model
from keras_lstm.runs.folder import RunFolder
from keras_lstm.runs.model_file import read_model
from keras_lstm.runs.saved_run import read_run

SMALL = CONFIG.replace(units=2, num_bits=4, num_layers=1, input_noise=0.0)


@fuzzing.TIERS
def test_reports(cases, tmp_path):
    folder = RunFolder(tmp_path)
    valid = REPORT.to_mapping() | {"by_hold_length": [{"hold_length": 0}]}
    text = json.dumps(valid).encode()

    def read(data):
        folder.report.write_bytes(data)
        folder.read_report()

    trees = fuzzing.damaged_tree(valid).map(_to_json)
    fuzzing.survives(read, trees | fuzzing.damaged([text]), cases)


def _to_json(tree):
    return json.dumps(tree).encode("utf-8", "surrogatepass")


@fuzzing.TIERS
def test_configurations(cases, tmp_path):
    folder = RunFolder(tmp_path)
    folder.report.write_text(REPORT.to_json())
    folder.model.write_bytes(b"x")

    def read(data):
        folder.config.write_bytes(data)
        read_run(tmp_path)

    tokens = [b"&a ", b"*a", b"!!bool ", b"[" * 1000, b"{", b": ", b"- "]
    valid = [SMALL.to_yaml().encode()]
    fuzzing.survives(read, fuzzing.damaged(valid, tokens), cases)


@pytest.fixture(scope="module")
def members(tmp_path_factory):
    """Return the members of a saved model, by name."""
    path = tmp_path_factory.mktemp("saved") / "model.keras"
    build_model(SMALL.task, SMALL.model).save(path)
    with zipfile.ZipFile(path) as archive:
        return path.read_bytes(), {
            name: archive.read(name) for name in archive.namelist()
        }


@fuzzing.TIERS
def test_archives(cases, tmp_path, members):
    """Damage an archive, and its members within a whole archive."""
    whole, held = members
    description = json.loads(held["config.json"])

    def archive(changes):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as opened:
            for name, content in (held | changes).items():
                opened.writestr(name, content)
        return file.getvalue()

    def read(data):
        (tmp_path / "model.keras").write_bytes(data)
        read_model(tmp_path / "model.keras", SMALL)

    descriptions = fuzzing.damaged_tree(description).map(_to_json)
    weights = fuzzing.damaged([held["model.weights.h5"]])
    fuzzing.survives(
        read,
        st.one_of(
            fuzzing.damaged([whole]),
            descriptions.map(lambda text: archive({"config.json": text})),
            weights.map(lambda data: archive({"model.weights.h5": data})),
        ),
        cases,
    )


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """Return a small training: its model, dataset and last checkpoint."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    data = tf.data.Dataset.from_tensors((tf.ones((2, 1)), tf.ones((2, 1))))
    dataset = data.repeat()
    folder = tmp_path_factory.mktemp("begun")
    stop = keras.callbacks.EarlyStopping("loss")
    resume = ExactResume(folder, [stop], every_steps=1, options={"seed": 0})
    model.fit(
        resume.dataset(dataset.skip),
        epochs=2,
        steps_per_epoch=2,
        shuffle=False,
        verbose=0,
        callbacks=[resume, stop],
    )
    return model, dataset, CheckpointFolder(folder).newest()


@fuzzing.TIERS
def test_checkpoints(cases, tmp_path, begun):
    """Damage the state within a file whose digest is right."""
    model, dataset, whole = begun
    path = tmp_path / "step-000000004.ckpt"
    content = whole.to_bytes()
    texts = json.loads(_metadata(content)["checkpoint"])

    def write(data):
        path.write_bytes(hashlib.sha256(data).digest() + data)

    def read(data):
        write(data)
        newest_options(tmp_path)
        stop = keras.callbacks.EarlyStopping("loss")
        resume = ExactResume(tmp_path, [stop], verbose=0)
        resume.dataset(dataset.skip)
        # As `fit` does until it has restored the checkpoint.
        model.stop_training = False
        for callback in (keras.callbacks.History(), resume, stop):
            if isinstance(callback, keras.callbacks.History):
                model.history = callback
            callback.set_model(model)
            callback.set_params({"epochs": 5, "steps": 2})
            callback.on_train_begin()
        resume.on_epoch_begin(model._initial_epoch)

    def pack(tree):
        arrays = safetensors.numpy.load(content)
        return safetensors.numpy.save(arrays, {"checkpoint": json.dumps(tree)})

    trees = fuzzing.damaged_tree(texts).filter(_is_text).map(pack)
    fuzzing.survives(read, trees | fuzzing.damaged([content]), cases)


def _metadata(content):
    size = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + size])["__metadata__"]


def _is_text(tree):
    # Not what a file of the format can hold.
    return "\\ud" not in json.dumps(tree)
