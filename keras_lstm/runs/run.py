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
    """A finished run, with its model.

    Args:
        run_dir: the run folder.
        config: the run's configuration.
        report: the run's report.
        model: the trained model, uncompiled.
    """

    model: keras.Model


def load_run(run_dir: pathlib.Path, argument: str = "run_dir") -> Run:
    """Load a finished run from its folder.

    Args:
        run_dir: the run folder.
        argument: the name of the folder in error messages.

    Returns:
        The run.

    Raises:
        InputError: if the folder holds no finished run, a run of a newer
            version, or a model that cannot be loaded or does not match the
            configuration.
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
    """Load a run's model in Keras's safe mode.

    Args:
        run_dir: the run folder.
        argument: the name of the folder in error messages.

    Returns:
        The model, uncompiled.

    Raises:
        InputError: if there is no model, it cannot be loaded, or it has a
            Lambda layer.
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
    # Keras raises whatever error the damaged part of the file causes.
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"`{path}` cannot be loaded: {reason}") from None
    # Safe mode admits Lambda layers that name a function.
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.Lambda):
            raise InputError(
                f"`{path}` cannot be loaded: layer `{layer.name}` is a Lambda "
                "layer, which may run arbitrary code"
            )
    return model


def _shapes(model: keras.Model) -> list[Any]:
    """Return the shapes that tell models of different options apart."""
    weights = [tuple(weight.shape) for weight in model.weights]
    return [model.input_shape, model.output_shape, weights]
