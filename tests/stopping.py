"""Ends a training on purpose."""

import keras


class StopError(Exception):
    """So that nothing else is taken for it."""


class Stop(keras.callbacks.Callback):
    """Raises after so many optimizer steps, or as an epoch ends."""

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
