"""Labels that a model disagrees with for most of its training."""

from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from keras_lstm.models.logits import make_margin_function
from keras_lstm.tasks.datasets import check_dataset


class AreaUnderMargin(keras.callbacks.Callback):
    """Measure at the end of each epoch how well each example is learned.

    The margin of an example is the logit of its label minus the largest other
    logit, the lowest one for several outputs. Its mean over the epochs is low
    for examples that a model learns late, or by heart: mislabelled ones above
    all (Pleiss et al., 2020, arXiv:2001.10528).

    Args:
        dataset: the training examples, batches of inputs, class numbers and,
            if need be, weights, which do not count; in an order that stays,
            each example once.
        start_from_epoch: the first epoch to measure, from 0. Defaults to 0.

    Attributes:
        num_epochs: number of epochs measured.

    Raises:
        InputError: if `dataset` is not a `tf.data.Dataset`; during `fit`, if it
            has no examples, or other targets.

    Example:

    >>> x = np.array([[-2.0], [-1.0], [1.0], [2.0], [1.5]], np.float32)
    >>> y = np.array([0, 0, 1, 1, 0])
    >>> logits = keras.layers.Dense(2, kernel_initializer="zeros")
    >>> model = keras.Sequential([keras.Input((1,)), logits])
    >>> loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    >>> model.compile(keras.optimizers.SGD(0.5), loss, jit_compile=False)
    >>> dataset = tf.data.Dataset.from_tensor_slices((x, y)).batch(2)
    >>> margins = AreaUnderMargin(dataset)
    >>> history = model.fit(
    ...     x, y, epochs=30, shuffle=False, verbose=0, callbacks=[margins]
    ... )
    >>> int(margins.means().argmin())
    4
    """

    def __init__(
        self, dataset: tf.data.Dataset, start_from_epoch: int = 0
    ) -> None:
        super().__init__()
        check_dataset(dataset, "dataset")
        self._dataset = dataset
        self._start_from_epoch = start_from_epoch
        self._measure: Any = None
        self._forget()

    def _forget(self) -> None:
        self.num_epochs = 0
        self._sums: npt.NDArray[np.float64] = np.zeros(0)

    def set_model(self, model: keras.Model) -> None:
        """Set the model, whose margins to measure."""
        super().set_model(model)
        self._measure = make_margin_function(model)

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Forget what was measured before."""
        self._forget()

    def on_epoch_end(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Measure the margins of all examples."""
        if epoch < self._start_from_epoch:
            return
        margins = self._measure(self._dataset)
        before = self._sums if self.num_epochs else 0.0
        self._sums = margins.astype(np.float64) + before
        self.num_epochs += 1

    def means(self) -> npt.NDArray[np.float64]:
        """Return the mean margin of each example, `(num_examples,)`."""
        return self._sums / max(1, self.num_epochs)

    def get_state(self) -> dict[str, Any]:
        """Return the callback's state, for `ExactResume`."""
        return {"num_epochs": self.num_epochs, "sums": self._sums}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore the state that `get_state` returned."""
        self.num_epochs = state["num_epochs"]
        self._sums = np.asarray(state["sums"], np.float64)
