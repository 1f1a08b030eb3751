"""Losses that Keras does not have."""

from keras_lstm.models import losses as _losses

SmoothedSparseCategoricalCrossentropy = (
    _losses.SmoothedSparseCategoricalCrossentropy
)
