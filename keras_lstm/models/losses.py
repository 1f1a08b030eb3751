"""A loss that Keras offers for one-hot targets only."""

from typing import Any

import keras
from keras import ops

from keras_lstm.core.errors import InputError


@keras.saving.register_keras_serializable("keras_lstm")
class SmoothedSparseCategoricalCrossentropy(keras.losses.Loss):
    """Cross-entropy of class numbers and logits, with label smoothing.

    `SparseCategoricalCrossentropy` has no `label_smoothing` in Keras up to
    3.15 (https://github.com/keras-team/keras/issues/23487, closed since). This
    loss applies `CategoricalCrossentropy` to one-hot targets.

    Args:
        label_smoothing: fraction of each target to spread evenly over all
            classes, from 0 to 1 (Szegedy et al., 2016, arXiv:1512.00567).
        name: name of the loss.
        **kwargs: further arguments of `keras.losses.Loss`.

    Raises:
        InputError: if `label_smoothing` is not from 0 to 1.
    """

    def __init__(
        self,
        label_smoothing: float,
        name: str = "smoothed_sparse_categorical_crossentropy",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        if not 0 <= label_smoothing <= 1:
            raise InputError(
                "`label_smoothing` must be from 0 to 1. Received: "
                f"label_smoothing={label_smoothing}"
            )
        self.label_smoothing = label_smoothing

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss of each output.

        Args:
            y_true: class numbers, `(batch_size, *output_shape)`, or with a
                last axis of size 1.
            y_pred: logits, `(batch_size, *output_shape, num_classes)`.

        Returns:
            The loss, `(batch_size, *output_shape)`; NaN where a target is not
            one of the classes.
        """
        if len(y_true.shape) == len(y_pred.shape) and y_true.shape[-1] == 1:
            y_true = ops.squeeze(y_true, -1)
        num_classes = y_pred.shape[-1]
        is_class = ops.logical_and(y_true >= 0, y_true < num_classes)
        hot = ops.where(is_class, 1.0, float("nan"))
        return keras.losses.categorical_crossentropy(
            ops.one_hot(y_true, num_classes) * hot[..., None],
            y_pred,
            from_logits=True,
            label_smoothing=self.label_smoothing,
        )

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        config = super().get_config()
        return config | {"label_smoothing": self.label_smoothing}
