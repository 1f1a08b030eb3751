"""Training for provability: boxes that the network learns to stay in."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_lstm.core.errors import InputError
from keras_lstm.models.weights import (
    identity_at_inference,
    supported_layers,
)
from keras_lstm.proof.boxes import make_boxes
from keras_lstm.tasks.transducer import TransducerTask

# Bounds are arrays of the lower ones and the upper ones, `(2, rows, units)`.
_SIGNS = np.array([-1.0, 1.0], np.float32).reshape(2, 1, 1)
# From bounds to middle and half the width, and back.
_TO_MIDDLE = np.array([[0.5, 0.5], [-0.5, 0.5]], np.float32)
_TO_ENDS = np.array([[1.0, -1.0], [1.0, 1.0]], np.float32)


@identity_at_inference
class ProofRegularization(keras.layers.Layer):
    """Regularization layer that trains a network to be provable.

    Apply it to a model's logits, which it returns unchanged, and train the
    resulting model. The original model is not changed; it shares the weights.

    For each machine state and last symbol read there is a box: all network
    states within `radius` of a center, which follows the network. At each
    training step, every box is propagated through the network by interval
    arithmetic, once for each symbol. The layer adds to the loss

    - the cross-entropy of the worst-case logits over each box,
    - the distance by which what arrives sticks out of its box, in radii,
    - and a penalty on how far the forget gates are open over the boxes: behind
      an open gate, bounds on c add up until no box holds them.

    This is interval bound propagation (Gowal et al., 2018, arXiv:1810.12715),
    applied to a network whose bounds are fed back to it.

    Args:
        model: model of Embedding, LSTM and Dense layers, from symbols,
            `(batch_size, timesteps)`, to logits,
            `(batch_size, timesteps, num_classes)`.
        task: the machine.
        radius: half the width of a box, for every h and c. Defaults to 0.1.
        warmup_steps: training steps before the terms are added; the network
            must first learn distinct states. Defaults to 100.
        ramp_steps: training steps over which the boxes then grow to their full
            width. Defaults to 300.
        containment_weight: weight of the distance. Defaults to 1.
        forget_weight: weight of the penalty. Defaults to 1.
        wait_steps: steps for which the terms wait after the warmup, at most,
            until the network answers right from the centers of all boxes.
            Defaults to 0.

    Raises:
        InputError: if `model` has unsupported layers or a last_state head,
            `radius` is not above 0, or a weight is below 0.

    Example:

    >>> model = build_model(Increment(), ModelConfig(units=8, num_layers=1))
    >>> regularization = ProofRegularization(model, Increment())
    >>> training_model = keras.Model(model.input, regularization(model.output))
    """

    # Fraction of the way that a center moves towards what arrives, per step.
    _FOLLOW = 0.3
    # Fraction of the radius that should stay free around what arrives.
    _SLACK = 0.2

    # What it adds does not depend on examples (see
    # `distribute.partial_losses`).
    adds_means = True

    def __init__(
        self,
        model: keras.Model,
        task: TransducerTask,
        radius: float = 0.1,
        warmup_steps: int = 100,
        ramp_steps: int = 300,
        containment_weight: float = 1.0,
        forget_weight: float = 1.0,
        wait_steps: int = 0,
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
        for name, weight in (
            ("containment_weight", containment_weight),
            ("forget_weight", forget_weight),
        ):
            if not weight >= 0:
                raise InputError(
                    f"`{name}` must be at least 0. Received: {name}={weight}"
                )
        self.radius = radius
        self.warmup_steps = warmup_steps
        self.wait_steps = wait_steps
        self.ramp_steps = ramp_steps
        self.containment_weight = containment_weight
        self.forget_weight = forget_weight
        # Wrapped in a function so that Keras does not track them as sublayers.
        self._layers_of_model = lambda: layers
        states, _, successors = make_boxes(task, num_remembered=1)
        self._num_boxes = len(states)
        # Each row: a box, a symbol, the box it leads to, and the target.
        self._rows = [
            (box, symbol, successors[box, symbol], task.output[state][symbol])
            for box, state in enumerate(states)
            for symbol in range(task.num_symbols)
        ]

    def build(self, input_shape: Any) -> None:
        """Create the centers and the step counter."""
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
        """Return the logits; during training, add the terms to the loss."""
        if training:
            self.add_loss(self._terms())
        return logits

    def _terms(self) -> Any:
        encoding, *lstms, dense = self._layers_of_model()
        done = (self._steps - self.warmup_steps) / self.ramp_steps
        fraction = ops.clip(done, 0.0, 1.0)
        begun = self._steps >= self.warmup_steps + 1
        sources, symbols, successors, targets = np.array(self._rows).T
        radius = self.radius * fraction
        # The first box is a single point: the state where reading starts.
        wide = (sources > 0)[:, np.newaxis].astype(np.float32)
        width = _SIGNS * wide * radius
        x = ops.stack([_encode(encoding, symbols)] * 2)
        loss = 0.0
        for number, lstm in enumerate(lstms):
            centers = self._centers[2 * number : 2 * number + 2]
            center = ops.concatenate(centers, axis=-1)
            boxes = ops.take(center, sources, axis=0) + width
            h, c = ops.split(boxes, 2, axis=-1)
            h, c, forget_high = _advance(lstm, x, h, c)
            opened = ops.mean(ops.softplus(forget_high + 1.0))
            loss += self.forget_weight * opened
            arrived = ops.concatenate([h, c], axis=-1)
            ends = ops.take(center, successors, axis=0)
            away = (arrived - ends) * _SIGNS
            out = ops.maximum(*ops.unstack(away)) - (1 - self._SLACK) * radius
            # The means for h and for c, which are as large, are added.
            out = 2 * ops.mean(ops.relu(out)) / self.radius
            loss += self.containment_weight * out
            middles = _middles(arrived, successors, self._num_boxes)
            center += self._FOLLOW * (middles - center)
            for each, value in zip(
                centers, ops.split(center, 2, axis=-1), strict=True
            ):
                each.assign(value)
            x = h
        worst = _worst_logits(dense, x, targets)
        loss += ops.mean(
            keras.losses.sparse_categorical_crossentropy(
                targets, worst, from_logits=True
            )
        )
        self._count_step(worst)
        return ops.where(begun, loss, 0.0)

    def _count_step(self, worst: Any) -> None:
        """Count a training step; below 0 those for which the terms wait."""
        counted = self._steps + 1
        if self.wait_steps:
            # The right logit minus itself is 0.
            right = ops.sum(ops.cast(worst >= 0, "int32")) == len(self._rows)
            waits = (self._steps == self.warmup_steps) | (self._steps < 0)
            begins = right | (self._steps <= -self.wait_steps)
            waited = ops.minimum(self._steps, 0) - 1
            counted = ops.where(
                waits,
                ops.where(begins, self.warmup_steps + 1, waited),
                counted,
            )
        self._steps.assign(counted)


def _encode(layer: keras.layers.Layer, symbols: Any) -> Any:
    if isinstance(layer, keras.layers.Embedding):
        return ops.take(layer.embeddings, symbols, axis=0)
    return ops.one_hot(symbols, layer.num_tokens)


def _middles(arrived: Any, successors: Any, num_boxes: int) -> Any:
    """Return the middle of what arrives in each box."""
    rows = [np.flatnonzero(successors == box) for box in range(num_boxes)]
    most = max(map(len, rows))
    # Those of boxes where fewer arrive are repeated.
    chosen = np.stack([np.resize(each, most) for each in rows]).astype(np.int32)
    signed = ops.take(arrived * _SIGNS, chosen, axis=1)
    middles = ops.mean(ops.max(signed, axis=2) * _SIGNS, axis=0)
    # Nothing arrives in the first box, whose center stays 0.
    some = np.array([len(each) > 0 for each in rows], np.float32)
    return middles * some[:, np.newaxis]


def _worst_logits(dense: keras.layers.Dense, h: Any, targets: Any) -> Any:
    """Return upper bounds on each logit minus the right one."""
    classes = np.eye(dense.units, dtype=np.float32)
    minus_right = classes - classes[targets][:, np.newaxis]
    difference = ops.matmul(minus_right, ops.transpose(dense.kernel))
    middle, reach = ops.unstack(_mixed(_TO_MIDDLE, h)[:, :, np.newaxis])
    worst = ops.sum(middle * difference + reach * ops.abs(difference), -1)
    return worst + ops.matmul(minus_right, dense.bias)


def _advance(lstm: keras.layers.LSTM, x: Any, h: Any, c: Any) -> Any:
    """Return bounds on the next h and c, and an upper one on z_f."""
    cell = lstm.cell
    kernel = ops.concatenate([cell.kernel, cell.recurrent_kernel])
    kernels = ops.stack([kernel, ops.abs(kernel)])
    read = _mixed(_TO_MIDDLE, ops.concatenate([x, h], axis=-1))
    z = _mixed(_TO_ENDS, ops.matmul(read, kernels)) + cell.bias
    z_i, z_f, z_g, z_o = ops.split(z, 4, axis=-1)
    c = _product(ops.sigmoid(z_f), c)
    c += _product(ops.sigmoid(z_i), ops.tanh(z_g))
    return _product(ops.sigmoid(z_o), ops.tanh(c)), c, z_f[1]


def _mixed(weights: Any, bounds: Any) -> Any:
    """Return sums of the lower and the upper bounds with some weights."""
    return ops.tensordot(weights, bounds, 1)


def _product(positive: Any, bounds: Any) -> Any:
    """Return bounds on a product whose first factor is at least 0."""
    other = ops.flip(positive, axis=0)
    return ops.relu(bounds) * positive - ops.relu(-bounds) * other
