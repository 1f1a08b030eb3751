"""Losses that Keras lacks."""

from keras_lstm.models.losses import (
    SmoothedSparseCategoricalCrossentropy as SmoothedSparseCategoricalCrossentropy,  # noqa: E501
)
