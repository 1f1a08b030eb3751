"""A finished run, read back from its folder."""

import dataclasses
import pathlib
from typing import Any

import keras

from keras_lstm.core.errors import InputError
from keras_lstm.models.build import build_model
from keras_lstm.runs.folder import RunFolder
from keras_lstm.runs.saved_run import SavedRun, read_run


@dataclasses.dataclass(frozen=True)
class Run(SavedRun):
    """What a run folder holds.

    Args:
        run_dir: the folder.
        config: how it was trained.
        report: what `report.json` says.
        model: the trained model, uncompiled.
    """

    model: keras.Model


def load_run(run_dir: pathlib.Path, argument: str = "run_dir") -> Run:
    """Read a run folder.

    Args:
        run_dir: the folder.
        argument: what error messages call it.

    Raises:
        InputError: if it holds no finished run, one of a newer version, or a
            model that cannot be loaded or is another.
    """
    saved = read_run(run_dir, argument)
    model = load_model(run_dir, argument)
    expected = build_model(saved.config.task, saved.config.model)
    if not model.built or _shapes(model) != _shapes(expected):
        raise InputError(
            f"`{argument}` must hold the model that its config.yaml "
            f"describes. Received: another model, {argument}={run_dir}"
        )
    return Run(saved.run_dir, saved.config, saved.report, model)


def load_model(run_dir: pathlib.Path, argument: str = "run_dir") -> keras.Model:
    """Loads a run's model, in safe mode.

    Args:
        run_dir: the run's folder.
        argument: what error messages call it.

    Raises:
        InputError: there is none, or it cannot be read.
    """
    path = RunFolder(run_dir).model
    if not path.is_file():
        raise InputError(
            f"`{argument}` must hold a finished run. Received: "
            f"{argument}={run_dir}"
            ", without model.keras"
        )
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    # Keras raises what the broken part of the file happens to cause.
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"`{path}` cannot be loaded: {reason}") from None
    # Safe mode lets those pass that name a function.
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.Lambda):
            raise InputError(
                f"`{path}` cannot be loaded: layer `{layer.name}` is a Lambda "
                "layer, which may run any code"
            )
    return model


def _shapes(model: keras.Model) -> list[Any]:
    """What tells a model of one configuration from one of another."""
    weights = [tuple(weight.shape) for weight in model.weights]
    return [model.input_shape, model.output_shape, weights]
