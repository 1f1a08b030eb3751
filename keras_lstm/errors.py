"""Errors that the command line prints as one line."""

from keras_lstm.checkpoint.preemption import (
    TrainingInterrupted as TrainingInterrupted,
)
from keras_lstm.core.errors import InputError as InputError
from keras_lstm.core.errors import RunError as RunError
