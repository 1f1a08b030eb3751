"""Tests of messages about packages that are not installed."""

import importlib.metadata
import re

import pytest

from keras_lstm.core.errors import InputError
from keras_lstm.core.extras import require_package, require_packages


def test_a_package_that_is_there_is_no_error():
    require_package("numpy", "onnx", "`this`")


def test_the_advice_names_the_packages_themselves(monkeypatch):
    monkeypatch.delenv("KERAS_LSTM_SCRIPT", raising=False)
    monkeypatch.setattr(
        importlib.metadata,
        "requires",
        lambda name: [
            "numpy<3,>=2.0",
            'onnx<2,>=1.17; extra == "onnx"',
            "tf2onnx>=1.17 ; extra == 'onnx'",
            'aalpy<3,>=2; extra == "extract"',
        ],
    )
    with pytest.raises(
        InputError,
        match=re.escape(
            "`format` onnx needs packages that are not installed, not-there: "
            "pip install 'onnx<2,>=1.17' 'tf2onnx>=1.17'. Received: "
        ),
    ):
        require_packages(("numpy", "not_there"), "onnx", "`format` onnx")


def test_the_script_of_a_checkout_installs_them(monkeypatch):
    monkeypatch.setenv("KERAS_LSTM_SCRIPT", "scripts/keras-lstm")
    with pytest.raises(
        InputError,
        match=r"begin the command with scripts/keras-lstm --with extract\. ",
    ):
        require_package("not_there", "extract", "`extract`")


def test_the_metadata_of_this_package_has_the_extras(monkeypatch):
    monkeypatch.delenv("KERAS_LSTM_SCRIPT", raising=False)
    with pytest.raises(InputError, match=r"pip install 'aalpy.*'\. Received"):
        require_package("not_there", "extract", "`extract`")


def test_a_folder_of_the_same_name_is_no_package(tmp_path, monkeypatch):
    (tmp_path / "some_folder").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(InputError, match="not installed, some-folder: "):
        require_package("some_folder", "extract", "`extract`")
