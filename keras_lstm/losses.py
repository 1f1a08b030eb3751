"""Losses that Keras does not have."""

from keras_lstm.models.losses import (
    SmoothedCrossentropy as SmoothedCrossentropy,
)
