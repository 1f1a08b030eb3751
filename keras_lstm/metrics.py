"""Exact accuracies: 1.0 means that nothing was wrong."""

from keras_lstm.models.metrics import SequenceAccuracy as SequenceAccuracy
from keras_lstm.models.metrics import TokenAccuracy as TokenAccuracy
