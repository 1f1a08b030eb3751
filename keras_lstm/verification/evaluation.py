"""A split, measured: every example once."""

import dataclasses

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from keras_lstm.core.errors import InputError
from keras_lstm.models.early_prediction import build_stepwise_model
from keras_lstm.models.logits import margins_of, predictions_of
from keras_lstm.tasks.datasets import make_dataset
from keras_lstm.tasks.task import Split

_BATCH = 1024


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """A model's answers to a whole split, in its order.

    Args:
        targets: the right classes, `(num_examples, *output_shape)`.
        predictions: the model's, of the same shape.
        margins: the right class's logit minus the largest other, likewise.
        confidences: the probability that the model gives its prediction.
    """

    targets: npt.NDArray[np.int32]
    predictions: npt.NDArray[np.int32]
    margins: npt.NDArray[np.float32]
    confidences: npt.NDArray[np.float32]

    @classmethod
    def of(
        cls, targets: npt.NDArray[np.int32], logits: npt.NDArray[np.float32]
    ) -> "Evaluation":
        """What logits come to, `(num_examples, *output_shape, num_classes)`."""
        margins = margins_of(tf.constant(logits), targets).numpy()
        confidences = tf.reduce_max(tf.nn.softmax(logits), -1).numpy()
        return cls(targets, predictions_of(logits), margins, confidences)

    @property
    def num_examples(self) -> int:
        """Examples asked."""
        return len(self.targets)

    @property
    def num_wrong(self) -> int:
        """Examples with any output wrong."""
        return self.num_wrong_of_first(self.num_examples)

    def num_wrong_of_first(self, head: int) -> int:
        """Examples with any output wrong among the first `head`."""
        wrong = self.predictions[:head] != self.targets[:head]
        return int(wrong.reshape(len(wrong), -1).any(-1).sum())

    def confident_mistakes(self) -> npt.NDArray[np.int64]:
        """Return indices of the wrong examples, the most confident first."""
        is_wrong = self.predictions != self.targets
        confidences = np.where(is_wrong, self.confidences, -1.0)
        most = confidences.reshape(len(is_wrong), -1).max(1)
        wrong = np.flatnonzero(most >= 0)
        return wrong[np.argsort(-most[wrong], kind="stable")]

    @property
    def num_tokens(self) -> int:
        """Outputs asked: one for each position of each example."""
        return self.targets.size

    @property
    def num_wrong_tokens(self) -> int:
        """Outputs that are wrong."""
        return int((self.predictions != self.targets).sum())


def evaluate(model: keras.Model, split: Split) -> Evaluation:
    """Asks a model every example of a split once.

    Args:
        model: from inputs, `(batch_size, *input_shape)`, to logits,
            `(batch_size, *output_shape, num_classes)`.
        split: the examples.

    Raises:
        InputError: the split has no end.
    """
    if split.num_examples is None:
        raise InputError("`split` has no end and cannot be evaluated on")
    dataset = make_dataset(split, _BATCH)
    targets = np.concatenate([y for _, y in dataset.as_numpy_iterator()])
    logits = model.predict(dataset, verbose=0)
    return Evaluation.of(targets, logits)


def accuracy_by_step(
    model: keras.Model, split: Split
) -> npt.NDArray[np.float64]:
    """How many of a split are right when a model is asked after each step.

    For a model with the last_state head and one answer to an input: its Dense
    layer is applied to the last LSTM's state at every time step.

    Args:
        model: from inputs, `(batch_size, timesteps, features)`, to logits,
            `(batch_size, num_classes)`.
        split: the examples.

    Returns:
        The share that is right after each step, `(timesteps,)`.
    """
    dataset = make_dataset(split, _BATCH)
    targets = np.concatenate([y for _, y in dataset.as_numpy_iterator()])
    logits = build_stepwise_model(model).predict(dataset, verbose=0)
    right = predictions_of(logits) == targets[:, np.newaxis]
    return right.sum(0) / len(targets)
