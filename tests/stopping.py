"""Callback that stops training with an error of its own type."""

import keras


class StopError(Exception):
    """Error that no other code raises."""


class Stop(keras.callbacks.Callback):
    """Raise `StopError` after this many optimizer steps, or this epoch."""

    def __init__(self, after_steps=None, after_epoch=None):
        super().__init__()
        self.after_steps = after_steps
        self.after_epoch = after_epoch

    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.optimizer.iterations.numpy()) == self.after_steps:
            raise StopError

    def on_epoch_end(self, epoch, logs=None):
        if epoch == self.after_epoch:
            raise StopError
