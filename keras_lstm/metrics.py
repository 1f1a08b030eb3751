"""Accuracies that are 1.0 only if every prediction is right."""

from keras_lstm.models.metrics import SequenceAccuracy as SequenceAccuracy
from keras_lstm.models.metrics import TokenAccuracy as TokenAccuracy
