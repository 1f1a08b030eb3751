"""A search for hyperparameters: run, resumed, and reported in its folder."""

import contextlib
import pathlib
import sys

import keras_tuner

from keras_lstm.checkpoint.preemption import (
    PreemptionHandler,
    TrainingInterrupted,
)
from keras_lstm.core.console import print_status
from keras_lstm.core.errors import InputError, RunError
from keras_lstm.core.files import locked, remove_temporary, write_text
from keras_lstm.core.shell import folder_word, shell_text
from keras_lstm.tasks.registry import task_name
from keras_lstm.tuning.folder import (
    check_folder,
    check_same_search,
    remove_search,
    settings_path,
)
from keras_lstm.tuning.results import Trial, read_trials, write_results
from keras_lstm.tuning.search_page import write_page_of_search
from keras_lstm.tuning.settings import Search
from keras_lstm.tuning.tuners import make_tuner
from keras_lstm.tuning.watch import watching


def run(
    folder: pathlib.Path, search: Search, resume: bool, overwrite: bool
) -> list[Trial]:
    """Run a search to its end and write its results.

    Call `check_folder` first: this function creates and locks the folder
    before it checks it.

    If KerasTuner's variables make this process the chief, its workers run the
    trials.

    Args:
        folder: the search folder.
        search: the search to run.
        resume: whether to resume the search in the folder.
        overwrite: whether to remove the search in the folder.

    Returns:
        The trials, best first.

    Raises:
        InputError: if `check_folder` refuses the folder, another process has
            locked it, or a trial's configuration cannot be run.
        RunError: if several trials fail in a row.
        TrainingInterrupted: if SIGTERM or SIGINT is received.
    """
    with locked(folder), PreemptionHandler() as preemption:
        # Another process may have started a search before the lock.
        check_folder(folder, search, resume, overwrite)
        if overwrite:
            remove_search(folder)
        remove_temporary(folder)
        write_text(settings_path(folder), search.to_yaml())
        try:
            with watching(folder, search):
                run_trials(folder, search)
            preemption.check()
        except TrainingInterrupted as stop:
            name = task_name(type(search.config.task))
            command = [
                "keras-lstm",
                "tune",
                name,
                "--run-dir",
                folder_word(folder),
            ]
            how = shell_text([*command, "--resume"])
            print_status(f"{stop.signal_name}: stopped. To go on: {how}")
            raise
        trials = read_trials(folder, search)
        write_results(folder, search, trials)
        write_page_of_search(folder, search, trials)
    return trials


def run_trials(folder: pathlib.Path, search: Search) -> None:
    """Run all trials of a search; as the chief, let the workers run them.

    Args:
        folder: the search folder.
        search: the search to run.

    Raises:
        InputError: if the folder holds another search, or a trial's
            configuration cannot be run.
        RunError: if several trials fail in a row.
    """
    tuner = make_tuner(folder, search)
    # A worker waits here until the chief has written the settings.
    tuner.oracle.get_space()
    check_same_search(folder, search)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            tuner.search(verbose=0)
    except keras_tuner.errors.FatalError as error:
        raise InputError(str(error)) from None
    # KerasTuner gives up after several failures in a row.
    except RuntimeError as error:
        reason = str(error).strip().splitlines()
        raise RunError(f"the search gave up: {reason[-1]}") from None
