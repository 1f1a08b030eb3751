"""Diagnostics of a model during training.

Diagnostics are specific to a kind of task. The `TensorBoard` callback requests
numbers after an epoch, pictures and texts less often, and points for the
Projector at the end.
"""

import functools
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from keras_lstm.core.drawing import Plot
from keras_lstm.core.seeds import derive_seed
from keras_lstm.models.logits import margins_of, predictions_of
from keras_lstm.monitoring.activations import (
    activations,
    logits_by_step,
    lstm_layers,
    most_correlated_unit,
)
from keras_lstm.monitoring.pictures import plot_activations
from keras_lstm.monitoring.plots import (
    confusion_plot,
    mistakes_plot,
    shares_plot,
)
from keras_lstm.tasks.hard_inputs import set_hold_lengths
from keras_lstm.tasks.make import make_splits
from keras_lstm.tasks.task import Split, Task
from keras_lstm.tasks.transducer import TransducerTask, get_machine
from keras_lstm.verification.evaluation import Evaluation
from keras_lstm.verification.reporting import failures_markdown
from keras_lstm.verification.verify import Failure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MAX_LENGTHS = 32
_INPUTS_PER_LENGTH = 16
_NUM_RANDOM = 128
# Bounds memory: fewer inputs are used if they are long.
_MAX_SYMBOLS = 2**17
_MAX_POSITIONS = 64
_NUM_IMAGES = 500
# More points slow the Projector down.
_MAX_POINTS = 1000
# Activations are computed for every fourth input.
_ACTIVATIONS_STRIDE = 4
_MAX_LISTED = 50


class Points(NamedTuple):
    """Vectors for the Projector, and their metadata.

    Args:
        vectors: the vectors, `(num_points, size)`.
        columns: mapping from column names to a value for each point.
    """

    vectors: npt.NDArray[np.float32]
    columns: dict[str, list[Any]]


class Diagnostics(Protocol):
    """Interface of diagnostics for the `TensorBoard` callback.

    Each call evaluates the model again.
    """

    def scalars(self, model: keras.Model, epoch: int) -> dict[str, float]:
        """Return numbers after an epoch, and record them for `figures`."""

    def figures(self, model: keras.Model) -> "dict[str, Plot | Figure]":
        """Return pictures of the epochs so far and of the current model."""

    def texts(self, model: keras.Model) -> dict[str, str]:
        """Return texts in Markdown."""

    def points(self, model: keras.Model) -> dict[str, Points]:
        """Return points for the Projector."""

    def forget(self) -> None:
        """Discard the records of an earlier training."""

    def get_state(self) -> dict[str, Any]:
        """Return the records of the epochs so far."""

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore the records that `get_state` returned."""


class _FixedInputs:
    """Inputs on which models are evaluated repeatedly."""

    def __init__(self, inputs: Any) -> None:
        self._inputs = tf.constant(inputs)
        self._model: keras.Model | None = None

    def __call__(self, model: keras.Model) -> npt.NDArray[np.float32]:
        """Return the model's logits for the inputs.

        The model is traced once. `predict` would evaluate all inputs on every
        replica of a strategy.

        Args:
            model: the model.

        Returns:
            The logits, of the shape of the model's output.
        """
        if self._model is not model:
            self._model = model
            self._traced = tf.function(
                lambda x: model(x, training=False), autograph=False
            )
        return self._traced(self._inputs).numpy()


class SequenceDiagnostics:
    """Diagnostics of a sequence task.

    The model is evaluated on inputs of every hold length, for increment the
    length of the carry; on up to 32 lengths of long sequences.

    Args:
        task: the machine.
        seed: seed of the inputs. Defaults to 0.
    """

    def __init__(self, task: TransducerTask, seed: int = 0) -> None:
        self.task = task
        self._inputs = _inputs_by_hold_length(task, seed)
        self._logits_of = _FixedInputs(self._inputs)
        self._targets = task.targets(self._inputs)
        self._hold_lengths = task.hold_length(self._inputs)
        # In long sequences, neighboring positions are averaged.
        count = min(_MAX_POSITIONS, task.num_bits)
        starts = np.linspace(0, task.num_bits, count, endpoint=False)
        self._positions = starts.astype(int)
        self.forget()

    def forget(self) -> None:
        """Discard the records of an earlier training."""
        self._epochs: list[int] = []
        self._by_length: list[list[float]] = []
        self._by_position: list[list[float]] = []

    @property
    def _lengths(self) -> list[int]:
        return np.unique(self._hold_lengths).tolist()

    def scalars(self, model: keras.Model, epoch: int) -> dict[str, float]:
        """Return the sequence accuracy for each hold length, and record it."""
        right = predictions_of(self._logits_of(model)) == self._targets
        whole = right.all(-1)
        by_length = [
            float(whole[self._hold_lengths == length].mean())
            for length in self._lengths
        ]
        self._epochs.append(epoch + 1)
        self._by_length.append(by_length)
        sizes = np.diff(self._positions, append=self.task.num_bits)
        by_position = np.add.reduceat(right.mean(0), self._positions) / sizes
        self._by_position.append(by_position.tolist())
        name = f"sequence_accuracy_by_{self._hold_label}"
        width = len(str(self.task.num_bits))
        return {
            f"{name}/{length:0{width}}": fraction
            for length, fraction in zip(self._lengths, by_length, strict=True)
        }

    def figures(self, model: keras.Model) -> "dict[str, Plot | Figure]":
        """Return accuracies by hold length and position, and activations."""
        task = self.task
        found: dict[str, Plot | Figure] = {}
        if self._epochs:
            found[f"sequence_accuracy_by_{self._hold_label}"] = shares_plot(
                self._by_length,
                self._epochs,
                self._lengths,
                f"{task.hold_label} length",
                f"{task.name}: sequence accuracy",
            )
            found["token_accuracy_by_position"] = shares_plot(
                self._by_position,
                self._epochs,
                self._positions.tolist(),
                "position, least significant first",
                f"{task.name}: token accuracy",
            )
        if layers := lstm_layers(model):
            found["activations"] = self._plot_activations(model, layers)
        return found

    def texts(self, model: keras.Model) -> dict[str, str]:
        """Return the wrong predictions for the inputs, decoded, worst first."""
        logits = self._logits_of(model)
        predictions = predictions_of(logits)
        margins = margins_of(tf.constant(logits), self._targets).numpy().min(-1)
        wrong = np.flatnonzero((predictions != self._targets).any(-1))
        worst = wrong[np.argsort(margins[wrong], kind="stable")]
        failures = [
            Failure(
                self._inputs[i],
                self._targets[i],
                predictions[i],
                int(self._hold_lengths[i]),
                float(margins[i]),
            )
            for i in worst[:_MAX_LISTED]
        ]
        heading = (
            f"{len(wrong):,} of the {len(self._inputs):,} answers asked for "
            "here are wrong."
        )
        table = failures_markdown(self.task, failures)
        return {"wrong_answers": f"{heading}\n\n{table}".strip()}

    def points(self, model: keras.Model) -> dict[str, Points]:
        """Return the token embedding, and the last h after each symbol."""
        found = {}
        for layer in model.layers:
            if type(layer) is keras.layers.Embedding:
                vectors = layer.get_weights()[0][: self.task.num_symbols]
                symbols = list(map(self.task.symbol_name, range(len(vectors))))
                found[layer.name] = Points(vectors, {"symbol": symbols})
        layers = lstm_layers(model)
        if not layers:
            return found
        rows = max(1, _MAX_POINTS // self.task.num_bits)
        rng = np.random.default_rng(0)
        chosen = rng.permutation(len(self._inputs))[:rows]
        inputs = self._inputs[chosen]
        h = activations(model, layers[-1], inputs)["h"]
        states = self.task.states(inputs)[:, 1:]
        steps = np.broadcast_to(np.arange(self.task.num_bits), inputs.shape)
        found[f"{layers[-1].name}_h"] = Points(
            h.reshape(-1, h.shape[-1])[:_MAX_POINTS],
            {
                "state": [
                    self.task.state_name(state)
                    for state in states.ravel().tolist()[:_MAX_POINTS]
                ],
                "symbol": [
                    self.task.symbol_name(symbol)
                    for symbol in inputs.ravel().tolist()[:_MAX_POINTS]
                ],
                "step": steps.ravel().tolist()[:_MAX_POINTS],
            },
        )
        return found

    def get_state(self) -> dict[str, Any]:
        """Return the records of the epochs so far."""
        return {
            "epochs": self._epochs,
            "by_length": self._by_length,
            "by_position": self._by_position,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore the records that `get_state` returned."""
        self._epochs = list(state["epochs"])
        self._by_length = list(state["by_length"])
        self._by_position = list(state["by_position"])

    @property
    def _hold_label(self) -> str:
        return f"{self.task.hold_label.replace(' ', '_')}_length"

    def _plot_activations(
        self, model: keras.Model, layers: list[keras.layers.LSTM]
    ) -> Plot:
        inputs = self._inputs[::_ACTIVATIONS_STRIDE]
        hold_lengths = self._hold_lengths[::_ACTIVATIONS_STRIDE]
        states = self.task.states(inputs)[:, 1:]
        found = {x.name: activations(model, x, inputs) for x in layers}
        parts = {
            f"{part} of {name}": each[part]
            for name, each in found.items()
            for part in ("h", "c")
        }
        part, unit, state, correlation = most_correlated_unit(parts, states)
        # Inputs of a short, a medium and the longest hold length.
        order = np.argsort(hold_lengths, kind="stable")
        last = len(order) - 1
        shown = order[[last // 5, last // 2, last]]
        layer = layers[-1].name
        return functools.partial(
            plot_activations,
            self.task,
            inputs[shown],
            layer,
            {name: values[shown] for name, values in found[layer].items()},
            (
                f"{part}, unit {unit}",
                parts[part][shown, :, unit],
                state,
                correlation,
            ),
        )


def _inputs_by_hold_length(
    task: TransducerTask, seed: int
) -> npt.NDArray[np.int32]:
    """Return inputs of up to 32 hold lengths; random ones if there are none."""
    rng = np.random.default_rng(derive_seed(seed, "probe"))
    most = max(_MAX_LENGTHS, _MAX_SYMBOLS // task.num_bits)

    def random(rows: int) -> npt.NDArray[np.int32]:
        shape = (rows, task.num_bits)
        return rng.integers(task.num_symbols, size=shape, dtype=np.int32)

    if task.hold_symbols and task.leave_symbols:
        count = min(_MAX_LENGTHS, task.num_bits)
        lengths = np.linspace(0, task.num_bits - 1, count).astype(int)
        repeated = np.repeat(lengths, min(_INPUTS_PER_LENGTH, most // count))
        inputs = set_hold_lengths(task, random(len(repeated)), repeated)
    else:
        inputs = random(min(_NUM_RANDOM, most))
    inside = inputs[task.in_domain(task.states(inputs)[:, -1])]
    if len(inside):
        return inside
    # The task itself can sample from a narrow domain.
    indices = tf.range(min(_NUM_RANDOM, most), dtype=tf.int64)
    split = make_splits(task, seed).train
    drawn, _ = split.batch(indices[: split.num_examples])
    return np.asarray(drawn, np.int32)


class ImageDiagnostics:
    """Diagnostics of a task on images that are read row by row.

    Args:
        split: images, not those of the test split; the first 500 are used.
        num_classes: number of classes.
    """

    def __init__(self, split: Split, num_classes: int) -> None:
        self.num_classes = num_classes
        num_examples = min(_NUM_IMAGES, split.num_examples or _NUM_IMAGES)
        images, targets = split.batch(tf.range(num_examples, dtype=tf.int64))
        self._images = np.asarray(images, np.float32)
        self._logits_of = _FixedInputs(self._images)
        self._targets = np.asarray(targets, np.int32)
        self.forget()

    def forget(self) -> None:
        """Discard the records of an earlier training."""
        self._epochs: list[int] = []
        self._by_row: list[list[float]] = []

    def scalars(self, model: keras.Model, epoch: int) -> dict[str, float]:
        """Return the accuracy after some numbers of rows; record it for all."""
        by_row = self._accuracy_by_row(model)
        if by_row is None:
            return {}
        self._epochs.append(epoch + 1)
        self._by_row.append(by_row)
        rows = np.unique(np.linspace(1, len(by_row), 7).astype(int)).tolist()
        return {f"accuracy_by_rows/{row:02}": by_row[row - 1] for row in rows}

    def figures(self, model: keras.Model) -> "dict[str, Plot | Figure]":
        """Return mistakes, the confusion matrix and the accuracy by rows."""
        result = Evaluation.of(self._targets, self._logits_of(model))
        found: dict[str, Plot | Figure] = {
            "mistakes": mistakes_plot(result, self._images),
            "confusion": confusion_plot(result, self.num_classes),
        }
        if self._epochs:
            found["accuracy_by_rows"] = shares_plot(
                self._by_row,
                self._epochs,
                list(range(1, len(self._by_row[0]) + 1)),
                "rows read",
                "Accuracy by number of rows read",
            )
        return found

    def texts(self, model: keras.Model) -> dict[str, str]:
        """Return no texts: the pictures show the mistakes."""
        return {}

    def points(self, model: keras.Model) -> dict[str, Points]:
        """Return the last h after each row, labeled by class."""
        layers = lstm_layers(model)
        if not layers:
            return {}
        rows = self._images.shape[1]
        images = self._images[: max(1, _MAX_POINTS // rows)]
        h = activations(model, layers[-1], images)["h"]
        count, timesteps, units = h.shape
        targets = self._targets[:count]
        steps = np.arange(1, timesteps + 1)
        return {
            f"{layers[-1].name}_h": Points(
                h.reshape(-1, units),
                {
                    "class": np.repeat(targets, timesteps).tolist(),
                    "rows": np.tile(steps, count).tolist(),
                    "image": np.repeat(np.arange(count), timesteps).tolist(),
                },
            )
        }

    def get_state(self) -> dict[str, Any]:
        """Return the records of the epochs so far."""
        return {"epochs": self._epochs, "by_row": self._by_row}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore the records that `get_state` returned."""
        self._epochs = list(state["epochs"])
        self._by_row = list(state["by_row"])

    def _accuracy_by_row(self, model: keras.Model) -> list[float] | None:
        layers = lstm_layers(model)
        if not layers:
            return None
        h = activations(model, layers[-1], self._images)["h"]
        logits = logits_by_step(model, h)
        if logits is None:
            return None
        right = predictions_of(logits) == self._targets[:, np.newaxis]
        return right.mean(0).tolist()


def make_diagnostics(
    task: Task, validation: Split | None, seed: int
) -> Diagnostics | None:
    """Return the diagnostics for a task.

    Args:
        task: the task that the model learns.
        validation: the task's validation split; used for images only.
        seed: seed of the inputs of a sequence task.

    Returns:
        The diagnostics; None if the task has none.
    """
    machine = get_machine(task)
    if machine is not None:
        return SequenceDiagnostics(machine, seed)
    if validation is None or not task.inputs_are_images:
        return None
    return ImageDiagnostics(validation, task.num_classes)
