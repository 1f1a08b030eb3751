"""The function that runs `keras-lstm report`."""

import argparse

from keras_lstm.cli.resolve import read_run_of
from keras_lstm.cli.startup import loading_tensorflow
from keras_lstm.core.errors import escaped
from keras_lstm.runs.folder import SEARCH_SETTINGS
from keras_lstm.tasks.registry import get_task


def report_command(arguments: argparse.Namespace) -> int:
    """Run `keras-lstm report`; return the exit code."""
    folder = arguments.run_dir
    if (folder / SEARCH_SETTINGS).is_file():
        # Only a search needs this.
        from keras_lstm.tuning.search_page import rewrite_search_page

        if arguments.task is not None:
            # A module that is imported here may be named by the search.
            get_task(arguments.task)
        page = rewrite_search_page(folder)
    else:
        read_run_of(folder, arguments.task)
        with loading_tensorflow():
            from keras_lstm.pages.run_page import rewrite_run_page
            from keras_lstm.runs.run import load_run
        run = load_run(folder)
        rewrite_run_page(run)
        page = run.folder.page
    print(f"Page: {escaped(str(page))}")
    return 0
