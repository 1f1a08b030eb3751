"""A finished run, read back from its folder."""

import dataclasses
import pathlib

import keras

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
            version, or a model that is damaged or does not match the
            configuration.
    """
    saved = read_run(run_dir, argument)
    model = read_model(saved.folder.model, saved.config, argument)
    return Run(saved.run_dir, saved.config, saved.report, model)
