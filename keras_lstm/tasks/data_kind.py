"""Which task reads a file or a folder of one's own."""

import pathlib
from collections.abc import Collection

from keras_lstm.core.errors import InputError
from keras_lstm.core.options import declared_options
from keras_lstm.tasks.feature_sequences import FeatureSequences
from keras_lstm.tasks.feature_series import is_series
from keras_lstm.tasks.records import RecordFile, is_record_file
from keras_lstm.tasks.task import Task
from keras_lstm.tasks.token_rows import INPUT_NAMES
from keras_lstm.tasks.token_sequences import TokenSequences

DATA_TASKS: dict[str, type[Task]] = {
    task.name: task for task in (TokenSequences, FeatureSequences)
}


def task_for_data(
    path: pathlib.Path, options: Collection[str] = ()
) -> type[Task]:
    """Return the task that reads such data.

    Args:
        path: a file or a folder. A table is a time series if its columns say
            so; otherwise its rows are sequences of tokens.
        options: names of options that are given. One that only time series
            have says that the table is one.
    """
    if path.is_dir() or not is_record_file(path):
        return FeatureSequences
    series, tokens = (
        {field.name for field, _, _ in declared_options(task)}
        for task in (FeatureSequences, TokenSequences)
    )
    if set(options) & (series - tokens):
        return FeatureSequences
    try:
        file = RecordFile(path)
        names = {name.lower() for name in file.columns}
        if names.isdisjoint(INPUT_NAMES) and is_series(file):
            return FeatureSequences
    except InputError:
        # The task says what is wrong with the file.
        pass
    return TokenSequences
