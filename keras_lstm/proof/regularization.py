"""Training towards a proof: boxes that the network learns to stay in."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_lstm.core.errors import InputError
from keras_lstm.models.weights import supported_layers
from keras_lstm.proof.boxes import make_boxes
from keras_lstm.tasks.transducer import TransducerTask


class ProofRegularization(keras.layers.Layer):
    """Adds to the loss what keeps a network from being proved.

    Put it behind a model's logits, which it passes through, and train the
    model that results; the one given stays as it is and shares the weights.

    For each state of the machine and each symbol read last there is a box: all
    states of the network within `radius` of a center, which follows the
    network. At each training step every box is pushed through the network by
    interval arithmetic, once for each symbol. To the loss are added

    - the cross-entropy of the worst answer over each box,
    - by how much what arrives sticks out of its box, in radii,
    - and how far the forget gates are open over the boxes: behind an open one
      bounds on c add up, and no box holds them.

    Interval bound propagation (Gowal et al., 2018, arXiv:1810.12715), on a
    network that is fed back its own bounds.

    Args:
        model: from symbols to logits, `(batch_size, timesteps, num_classes)`:
            Embedding, LSTM layers and Dense.
        task: the machine.
        radius: half of a box's width, of every h and c.
        warmup_steps: training steps before anything is added; the network
            first has to find states that differ.
        ramp_steps: steps over which the boxes then grow to their width.

    Raises:
        InputError: layers that this does not understand.

    Example:

    >>> model = build_model(Increment(), ModelConfig(units=8, num_layers=1))
    >>> regularization = ProofRegularization(model, Increment())
    >>> training_model = keras.Model(model.input, regularization(model.output))
    """

    # At inference; what reads a model's layers leaves this one out.
    is_identity_at_inference = True

    # How far a center moves towards what arrives, at each step.
    _FOLLOW = 0.3
    # What arrives should leave this share of the radius free.
    _SLACK = 0.2

    def __init__(
        self,
        model: keras.Model,
        task: TransducerTask,
        radius: float = 0.1,
        warmup_steps: int = 100,
        ramp_steps: int = 300,
    ) -> None:
        super().__init__(name="proof_regularization", dtype="float32")
        layers = supported_layers(model, task.num_symbols)
        if type(layers[-1]) is keras.layers.Reshape:
            raise InputError(
                "`model` must answer at every time step. Received: "
                "head=last_state"
            )
        if not radius > 0:
            raise InputError(
                f"`radius` must be above 0. Received: radius={radius}"
            )
        self.radius = radius
        self.warmup_steps = warmup_steps
        self.ramp_steps = ramp_steps
        # In a function, where Keras does not take them for layers of its own.
        self._layers_of_model = lambda: layers
        states, _, successors = make_boxes(task, num_remembered=1)
        self._num_boxes = len(states)
        # From each box by each symbol: to which box, with which answer.
        self._rows = [
            (box, symbol, successors[box, symbol], task.output[state][symbol])
            for box, state in enumerate(states)
            for symbol in range(task.num_symbols)
        ]

    def build(self, input_shape: Any) -> None:
        """Makes the centers and the count of steps."""
        _, *lstms, _ = self._layers_of_model()
        self._centers = [
            self.add_weight(
                shape=(self._num_boxes, lstm.units),
                initializer="zeros",
                trainable=False,
                aggregation="mean",
                name=f"{name}_{number}",
            )
            for number, lstm in enumerate(lstms, 1)
            for name in "hc"
        ]
        self._steps = self.add_weight(
            shape=(),
            initializer="zeros",
            trainable=False,
            aggregation="mean",
            name="steps",
        )

    def call(self, logits: Any, training: bool = False) -> Any:
        """Passes the logits through; in training adds to the loss."""
        if training:
            self.add_loss(self._terms())
        return logits

    def _terms(self) -> Any:
        encoding, *lstms, dense = self._layers_of_model()
        done = (self._steps - self.warmup_steps) / self.ramp_steps
        share = ops.clip(done, 0.0, 1.0)
        self._steps.assign_add(1.0)
        sources, symbols, targets, answers = np.array(self._rows).T
        radius = self.radius * share
        # The box where reading starts is that one point.
        reach = np.where(sources == 0, 0.0, 1.0)[:, np.newaxis] * radius
        low = high = _encode(encoding, symbols)
        loss = 0.0
        for number, lstm in enumerate(lstms):
            centers = self._centers[2 * number : 2 * number + 2]
            h, c = (ops.take(center, sources, axis=0) for center in centers)
            low, high, c_low, c_high, forget_high = _advance(
                lstm,
                (low, high),
                (h - reach, h + reach),
                (c - reach, c + reach),
            )
            loss += ops.mean(ops.softplus(forget_high + 1.0))
            arrived = [(low, high), (c_low, c_high)]
            for center, bounds in zip(centers, arrived, strict=True):
                ends = ops.take(center, targets, axis=0)
                out = ops.maximum(bounds[1] - ends, ends - bounds[0])
                out = ops.relu(out - (1 - self._SLACK) * radius)
                loss += ops.mean(out) / self.radius
                self._follow(center, bounds, targets)
        worst = _worst_logits(dense, low, high, answers)
        loss += ops.mean(
            keras.losses.sparse_categorical_crossentropy(
                answers, worst, from_logits=True
            )
        )
        return ops.where(done > 0, loss, 0.0)

    def _follow(self, center: Any, bounds: Any, targets: Any) -> None:
        """Moves a center towards the middle of all that arrives in its box."""
        arrives = targets == np.arange(self._num_boxes)[:, np.newaxis]
        arrives = arrives[..., np.newaxis]
        low = ops.min(ops.where(arrives, bounds[0], np.inf), axis=1)
        high = ops.max(ops.where(arrives, bounds[1], -np.inf), axis=1)
        # Nothing arrives where reading starts.
        middle = ops.where(arrives.any(1), (low + high) / 2, 0.0)
        center.assign(center + self._FOLLOW * (middle - center))


def _encode(layer: keras.layers.Layer, symbols: Any) -> Any:
    if isinstance(layer, keras.layers.Embedding):
        return ops.take(layer.embeddings, symbols, axis=0)
    return ops.one_hot(symbols, layer.num_tokens)


def _worst_logits(
    dense: keras.layers.Dense, low: Any, high: Any, answers: Any
) -> Any:
    """Each logit at its greatest against the right one, which is 0."""
    columns = ops.transpose(dense.kernel)
    difference = columns - ops.take(columns, answers, axis=0)[:, np.newaxis]
    middle, reach = (
        bound[:, np.newaxis] for bound in ((low + high) / 2, (high - low) / 2)
    )
    worst = ops.sum(middle * difference + reach * ops.abs(difference), -1)
    return worst + dense.bias - ops.take(dense.bias, answers)[:, np.newaxis]


def _advance(lstm: keras.layers.LSTM, x: Any, h: Any, c: Any) -> Any:
    """Bounds on an LSTM layer's next h and c, and on its forget gate's z."""
    middle, reach = lstm.cell.bias, 0.0
    kernels = (lstm.cell.kernel, lstm.cell.recurrent_kernel)
    for (low, high), kernel in zip((x, h), kernels, strict=True):
        middle += ops.matmul((low + high) / 2, kernel)
        reach += ops.matmul((high - low) / 2, ops.abs(kernel))
    lows, highs = (
        ops.split(bound, 4, axis=-1)
        for bound in (middle - reach, middle + reach)
    )
    z_i, z_f, z_g, z_o = zip(lows, highs, strict=True)
    forgotten = _product(_mapped(ops.sigmoid, z_f), c)
    added = _product(_mapped(ops.sigmoid, z_i), _mapped(ops.tanh, z_g))
    c = [a + b for a, b in zip(forgotten, added, strict=True)]
    h = _product(_mapped(ops.sigmoid, z_o), _mapped(ops.tanh, c))
    return *h, *c, z_f[1]


def _mapped(function: Any, bounds: Any) -> Any:
    return [function(bound) for bound in bounds]


def _product(x: Any, y: Any) -> Any:
    corners = ops.stack([a * b for a in x for b in y])
    return ops.min(corners, axis=0), ops.max(corners, axis=0)
