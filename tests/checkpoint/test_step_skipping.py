import keras
import numpy as np


def test_keras_still_cannot_begin_within_an_epoch(tmp_path):
    """If this fails, `SkippedSteps` is no longer needed."""

    class StopError(Exception):
        pass

    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 2:
                raise StopError

    def fit(callbacks):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        backup = keras.callbacks.BackupAndRestore(tmp_path / "b", save_freq=1)
        try:
            model.fit(
                *(np.ones((10, 2)), np.ones(10)),
                batch_size=2,
                shuffle=False,
                verbose=0,
                callbacks=[backup, *callbacks],
            )
        except StopError:
            return None
        return int(model.optimizer.iterations.numpy())

    fit([Stop()])
    # Three steps before the stop, then all five again.
    assert fit([]) == 8
