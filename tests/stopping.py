"""Callbacks that stop training with an error of their own type."""

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


class StopAtCall(keras.callbacks.Callback):
    """Raise `StopError` after a number of steps of all calls of `fit`."""

    def __init__(self, at):
        super().__init__()
        self.left = at

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if not self.left:
            raise StopError

    def get_state(self):
        return {}

    def set_state(self, state):
        pass
