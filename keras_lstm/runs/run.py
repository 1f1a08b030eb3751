"""A finished run, read back from its folder."""

import dataclasses
import pathlib

import keras

from keras_lstm.core.errors import InputError
from keras_lstm.core.files import sha256_of
from keras_lstm.runs.model_file import read_model
from keras_lstm.runs.saved_run import SavedRun, read_run


@dataclasses.dataclass(frozen=True)
class Run(SavedRun):
    """A finished run, with its model.

    Args:
        run_dir: the run folder.
        config: the run's configuration.
        report: the run's report.
        model: the trained model, uncompiled.
        model_sha256: SHA-256 of the `model.keras` that it was read from.
    """

    model: keras.Model
    model_sha256: str


def load_run(run_dir: pathlib.Path, argument: str = "run_dir") -> Run:
    """Load a finished run from its folder.

    Args:
        run_dir: the run folder.
        argument: the name of the folder in error messages.

    Returns:
        The run.

    Raises:
        InputError: if the folder holds no finished run, a run of a newer
            version, or a model that is damaged, does not match the
            configuration or is replaced while it is read.
    """
    saved = read_run(run_dir, argument)
    path = saved.folder.model
    digest = sha256_of(path)
    model = read_model(path, saved.config, argument)
    # What is said of the model later names this file.
    if sha256_of(path) != digest:
        raise InputError(
            f"`{argument}` must not be trained while it is read. Received: "
            f"{argument}={run_dir}, whose model.keras was replaced meanwhile"
        )
    return Run(saved.run_dir, saved.config, saved.report, model, digest)
