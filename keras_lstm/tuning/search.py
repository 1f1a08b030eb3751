"""A search for hyperparameters: run, resumed, and reported in its folder."""

import contextlib
import pathlib
import sys

import keras_tuner

from keras_lstm.checkpoint.preemption import PreemptionHandler
from keras_lstm.core.errors import InputError, RunError
from keras_lstm.core.files import locked, remove_temporary, write_text
from keras_lstm.tuning.folder import (
    check_folder,
    check_same_search,
    remove_search,
    settings_path,
)
from keras_lstm.tuning.results import Trial, read_trials, write_results
from keras_lstm.tuning.settings import Search
from keras_lstm.tuning.tuners import make_tuner


def run(
    folder: pathlib.Path, search: Search, resume: bool, overwrite: bool
) -> list[Trial]:
    """Run a search to its end and write its results.

    Check the folder with `check_folder` first: here it is made and locked
    before it is checked.

    Where KerasTuner's variables make this process the chief, the trials are
    run by its workers.

    Args:
        folder: where the search's files go.
        search: what to search.
        resume: resume the search in the folder.
        overwrite: remove the search in the folder.

    Returns:
        The trials, best first.

    Raises:
        InputError: see `check_folder`.
        TrainingInterrupted: if SIGTERM or SIGINT comes.
    """
    with locked(folder), PreemptionHandler() as preemption:
        # Another process may have been faster than the first check.
        check_folder(folder, search, resume, overwrite)
        if overwrite:
            remove_search(folder)
        remove_temporary(folder)
        write_text(settings_path(folder), search.to_yaml())
        run_trials(folder, search)
        preemption.check()
        trials = read_trials(folder, search)
        write_results(folder, search, trials)
    return trials


def run_trials(folder: pathlib.Path, search: Search) -> None:
    """Run trials until there are no more; as the chief, have them run.

    Raises:
        InputError: if the folder is of another search, or no trial can be
            run.
        RunError: if one trial after the other fails.
    """
    tuner = make_tuner(folder, search)
    # A worker waits here for the chief, who writes down what is searched.
    tuner.oracle.get_space()
    check_same_search(folder, search)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            tuner.search(verbose=0)
    except keras_tuner.errors.FatalError as error:
        raise InputError(str(error)) from None
    # KerasTuner gives up after some failures in a row.
    except RuntimeError as error:
        reason = str(error).strip().splitlines()
        raise RunError(f"the search gave up: {reason[-1]}") from None
