"""Evaluation of a model on a split: every example once."""

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
    """A model's predictions for a whole split, in its order.

    Args:
        targets: the right classes, `(num_examples, *output_shape)`; -1 after
            the end of a sequence.
        predictions: the predicted classes, of the same shape; -1 after the
            end of a sequence, and where a logit is NaN.
        margins: the target's logit minus the largest other logit, of the same
            shape; infinite after the end of a sequence.
        confidences: the probability that the model gives its prediction, of
            the same shape.
    """

    targets: npt.NDArray[np.int32]
    predictions: npt.NDArray[np.int32]
    margins: npt.NDArray[np.float32]
    confidences: npt.NDArray[np.float32]

    @classmethod
    def of(
        cls, targets: npt.NDArray[np.int32], logits: npt.NDArray[np.float32]
    ) -> "Evaluation":
        """Return the evaluation of a model's logits.

        Args:
            targets: the right classes, `(num_examples, *output_shape)`; -1
                after the end of a sequence.
            logits: `(num_examples, *output_shape, num_classes)`.

        Returns:
            The evaluation.

        Raises:
            InputError: if the shapes do not go together, or there is one class.
        """
        if logits.shape[:-1] != targets.shape:
            raise InputError(
                "`model` must output logits with the shape of the targets, "
                "and an axis of classes. Received: logits of shape "
                f"{logits.shape}, targets of shape {targets.shape}"
            )
        margins = margins_of(tf.constant(logits), targets).numpy()
        confidences = tf.reduce_max(tf.nn.softmax(logits), -1).numpy()
        is_end = targets < 0
        return cls(
            targets,
            np.where(is_end, -1, predictions_of(logits)).astype(np.int32),
            np.where(is_end, np.float32(np.inf), margins),
            confidences,
        )

    @classmethod
    def joined(
        cls, parts: "list[Evaluation]", order: npt.NDArray[np.int64]
    ) -> "Evaluation":
        """Return the evaluation of all parts, whose sequences may differ.

        Args:
            parts: the evaluations of parts, whose padding may differ.
            order: the place of each example of the parts in the whole.

        Returns:
            The evaluation.
        """
        joined = []
        for field, padding in (
            ("targets", -1),
            ("predictions", -1),
            ("margins", np.inf),
            ("confidences", 0.0),
        ):
            arrays = [getattr(part, field) for part in parts]
            if arrays[0].ndim > 1:
                most = max(array.shape[1] for array in arrays)
                arrays = [
                    np.pad(
                        array,
                        ((0, 0), (0, most - array.shape[1])),
                        constant_values=padding,
                    )
                    for array in arrays
                ]
            values = np.concatenate(arrays)
            whole = np.empty_like(values)
            whole[order] = values
            joined.append(whole)
        return cls(*joined)

    @property
    def num_examples(self) -> int:
        """Number of examples."""
        return len(self.targets)

    @property
    def num_wrong(self) -> int:
        """Number of examples with any output wrong."""
        return self.num_wrong_of_first(self.num_examples)

    def num_wrong_of_first(self, count: int) -> int:
        """Return how many of the first `count` examples are wrong."""
        wrong = self.predictions[:count] != self.targets[:count]
        return int(wrong.reshape(len(wrong), -1).any(-1).sum())

    def confident_mistakes(self) -> npt.NDArray[np.int64]:
        """Return the indices of wrong examples, the most confident first."""
        is_wrong = self.predictions != self.targets
        # Without an answer, NaN, there is no confidence.
        known = np.nan_to_num(self.confidences, nan=0.0)
        confidences = np.where(is_wrong, known, -1.0)
        most = confidences.reshape(len(is_wrong), -1).max(1)
        wrong = np.flatnonzero(most >= 0)
        return wrong[np.argsort(-most[wrong], kind="stable")]

    @property
    def num_tokens(self) -> int:
        """Number of outputs: one for each position of each example."""
        return int((self.targets >= 0).sum())

    @property
    def num_wrong_tokens(self) -> int:
        """Number of wrong outputs."""
        return int((self.predictions != self.targets).sum())


def evaluate(model: keras.Model, split: Split) -> Evaluation:
    """Evaluate a model on every example of a split, once.

    Args:
        model: from inputs, `(batch_size, *input_shape)`, to logits,
            `(batch_size, *output_shape, num_classes)`.
        split: the examples.

    Returns:
        The predictions, in the order of the split.

    Raises:
        InputError: if the split is endless, or `model` outputs another shape or
            one class.
    """
    if split.num_examples is None:
        raise InputError(
            "`split` must be finite. Received: split.num_examples=None"
        )
    dataset = make_dataset(split, _BATCH)
    if split.lengths is not None:
        return _evaluate_lengths(model, dataset, split.in_order, split.lengths)
    targets = np.concatenate([y for _, y in dataset.as_numpy_iterator()])
    logits = model.predict(dataset, verbose=0)
    return Evaluation.of(targets, logits)


def _evaluate_lengths(
    model: keras.Model,
    dataset: tf.data.Dataset,
    order: npt.NDArray[np.int64],
    lengths: npt.NDArray[np.int64],
) -> Evaluation:
    """Evaluate a model on sequences of different lengths.

    Batches differ in their number of steps, which `predict` cannot join.

    Args:
        model: the model.
        dataset: batches of inputs and targets.
        order: the indices of the examples in the dataset.
        lengths: the length of each example of the split.

    Returns:
        The predictions, in the order of the split.
    """
    # Traced once for all lengths, unlike `predict_on_batch`.
    infer = tf.function(
        lambda inputs: model(inputs, training=False),
        reduce_retracing=True,
        autograph=False,
    )
    parts: list[Evaluation] = []
    done = 0
    for inputs, targets in dataset.as_numpy_iterator():
        ends = lengths[order[done : done + len(inputs)]]
        done += len(inputs)
        logits = infer(tf.constant(inputs)).numpy()
        parts.append(Evaluation.of(without_padding(targets, ends), logits))
    return Evaluation.joined(parts, order)


def without_padding(
    targets: npt.NDArray[np.int32], lengths: npt.NDArray[np.int64]
) -> npt.NDArray[np.int32]:
    """Return targets with -1 after the end of each sequence.

    Args:
        targets: class numbers, `(batch_size,)` or `(batch_size, timesteps)`.
        lengths: number of steps of each example.

    Returns:
        The targets.
    """
    if targets.ndim == 1:
        return targets
    is_step = np.arange(targets.shape[1]) < lengths[:, np.newaxis]
    return np.where(is_step, targets, -1).astype(np.int32)


def accuracy_by_step(
    model: keras.Model, split: Split
) -> npt.NDArray[np.float64]:
    """Return a model's accuracy on a split after each time step.

    For a model with the last_state head and one label per input: its Dense
    layer is applied to the last LSTM's output at every time step.

    Args:
        model: from inputs, `(batch_size, timesteps, features)`, to logits,
            `(batch_size, num_classes)`.
        split: the examples.

    Returns:
        The fraction of examples predicted right after each time step,
        `(timesteps,)`.
    """
    dataset = make_dataset(split, _BATCH)
    targets = np.concatenate([y for _, y in dataset.as_numpy_iterator()])
    logits = build_stepwise_model(model).predict(dataset, verbose=0)
    right = predictions_of(logits) == targets[:, np.newaxis]
    return right.sum(0) / len(targets)
