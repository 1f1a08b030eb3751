"""Losses of a batch that is computed in parts, as if it were computed whole.

Microbatches and replicas each see a part of a batch. A loss of the whole batch
is not always the mean of its parts' losses: with masks it is weighted by what
is valid in each part, and a sum over examples is the sum of the parts'. Here
each part's loss is multiplied by what makes the total right.
"""

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from keras_lstm.core.errors import InputError

_KINDS = ("mean", "sum")
_MEANS = ("mean", "sum_over_batch_size")
# Regularizers that are sums over the elements of a tensor.
_SUMS = (
    keras.regularizers.L1,
    keras.regularizers.L2,
    keras.regularizers.L1L2,
)
# Attribute of a masked prediction: how many positions of the whole batch count.
_TOTAL = "_keras_lstm_total"
# Packages whose layers make no masks of their own, but for some of Keras's.
_WITHOUT_OWN_MASKS = ("keras", "keras_lstm")


@dataclasses.dataclass(frozen=True)
class Part:
    """A part of a batch, and how the parts' losses are combined.

    Args:
        num_parts: number of parts.
        scalar_losses: "mean" or "sum", what a loss is over examples that a
            function or layer returns as a scalar; None if it is not known.
        example_share: number of parts times the part's share of the examples;
            None if all parts have the same number of examples.
        sum_scale: what a sum over the part's examples is multiplied by.
        mean_scale: what a mean over the part's examples is multiplied by that
            Keras has not scaled already.
    """

    num_parts: int
    scalar_losses: str | None
    example_share: Any
    sum_scale: float
    mean_scale: float

    def of_mean(self, loss: Any) -> Any:
        """Return a mean over the part's examples, weighted by their number."""
        if self.example_share is None:
            return loss
        return loss * tf.cast(self.example_share, loss.dtype)

    def of_scalar(self, loss: Any, origin: str) -> Any:
        """Return a scalar loss, scaled by what the user says that it is.

        Args:
            loss: the loss of the part.
            origin: where the loss comes from, for the error.

        Returns:
            The part's contribution to the loss.

        Raises:
            InputError: if the user has not said it.
        """
        if self.scalar_losses is None:
            raise InputError(
                "`scalar_losses` must be 'mean' or 'sum' for a loss that is a "
                "scalar: what it is over the examples of a batch; or return "
                "one value per example, which Keras averages. Received: "
                f"scalar_losses=None, and a scalar from {origin}"
            )
        if self.scalar_losses == "sum":
            return loss * self.sum_scale
        return self.of_mean(loss * self.mean_scale)


def check_scalar_losses(scalar_losses: str | None) -> None:
    """Check the argument that says what scalar losses are.

    Args:
        scalar_losses: the argument.

    Raises:
        InputError: if it is neither "mean", "sum" nor None.
    """
    if scalar_losses not in (*_KINDS, None):
        raise InputError(
            "`scalar_losses` must be 'mean', 'sum' or None. Received: "
            f"scalar_losses={scalar_losses!r}"
        )


def check_own_methods(
    model: keras.Model, names: tuple[str, ...], or_else: str
) -> None:
    """Check that a model computes its steps and its loss as Keras does.

    Args:
        model: any model.
        names: names of the methods that must not be overridden.
        or_else: what a user may do who cannot move the loss, for the error.

    Raises:
        InputError: if the model's class overrides one of them.
    """
    for name in names:
        if getattr(type(model), name) is not getattr(keras.Model, name):
            raise InputError(
                f"`model` must not have a `{name}` of its own: what it does "
                "with a part of a batch is not known. Move its loss to "
                f"`compile(loss=...)` or to a layer's `add_loss`, or {or_else}"
                f". Received: {model.name} ({type(model).__name__})"
            )


def mark_total(y_pred: Any, total: Any) -> None:
    """Note on a masked prediction how much of the whole batch counts.

    Args:
        y_pred: the part's prediction, with a Keras mask.
        total: number of positions that count in the whole batch.
    """
    setattr(y_pred, _TOTAL, total)


def may_mask(model: keras.Model) -> bool:
    """Return whether outputs may have masks: own layers', or those of symbols.

    A stock layer passes a mask on that it is called with, as `mask=` or by the
    layer before.

    Args:
        model: a built model.
    """
    return any(
        isinstance(layer, (keras.layers.Masking, keras.layers.Lambda))
        or getattr(layer, "mask_zero", False)
        or type(layer).__module__.split(".")[0] not in _WITHOUT_OWN_MASKS
        or masked_outputs(getattr(layer, "outputs", None) or [])
        for layer in model._flatten_layers()
    )


def masked_outputs(y_pred: Any) -> list[Any]:
    """Return the predictions that have a Keras mask."""
    leaves = keras.tree.flatten(y_pred)
    return [x for x in leaves if getattr(x, "_keras_mask", None) is not None]


def count_mask(y_pred: Any) -> Any:
    """Return the number of positions that a prediction's mask lets count."""
    return tf.reduce_sum(tf.cast(y_pred._keras_mask, tf.float32))


@dataclasses.dataclass(frozen=True)
class AddedLoss:
    """A loss that a layer added in its forward pass.

    Args:
        value: the loss, of any shape.
        origin: the layer, for errors.
        is_mean: whether it is known to be a mean over examples, or not to
            depend on them.
    """

    value: Any
    origin: str
    is_mean: bool


def added_losses(model: keras.Model) -> list[AddedLoss]:
    """Return the losses that layers added, without those of regularizers.

    Args:
        model: the model, right after its forward pass.

    Returns:
        The losses.
    """
    return [
        AddedLoss(
            loss,
            f"`add_loss` of `{layer.name}` ({type(layer).__name__})",
            _adds_means(layer),
        )
        for layer in [model, *model._flatten_layers(include_self=False)]
        for loss in layer._get_own_losses()
    ]


def _adds_means(layer: keras.layers.Layer) -> bool:
    # Layers of this package say it.
    if getattr(type(layer), "adds_means", False):
        return True
    # Keras divides an activity regularizer's sum by the number of examples.
    return type(layer).__module__.startswith("keras.") and isinstance(
        layer.activity_regularizer, _SUMS
    )


def part_loss(
    model: keras.Model,
    part: Part,
    added: list[AddedLoss],
    batch: tuple[Any, Any, Any],
    y_pred: Any,
    *,
    training: bool,
) -> tuple[Any, list[Any]]:
    """Return a part's contribution to the loss.

    Args:
        model: the model, whose compiled loss is built.
        part: the part.
        added: what `added_losses` returned after the part's forward pass.
        batch: inputs, targets and sample weights of the part.
        y_pred: the predictions; `mark_total` was called for those with masks.
        training: whether the part is trained on.

    Returns:
        The contribution, and those of the model's losses one by one, if there
        are several.
    """
    x, y, sample_weight = batch
    # Keras itself scales what layers add.
    as_added = dataclasses.replace(
        part, mean_scale=1.0, sum_scale=float(part.num_parts)
    )
    scaled = []
    for each in added:
        if len(each.value.shape):
            scaled.append(tf.reduce_sum(each.value) * as_added.sum_scale)
        elif each.is_mean:
            scaled.append(part.of_mean(each.value))
        else:
            scaled.append(as_added.of_scalar(each.value, each.origin))
    regularizers = model._get_regularization_losses()
    compile_loss = model._compile_loss
    with _replaced(model, "_losses_override", [*scaled, *regularizers]):
        if compile_loss is None:
            return model._compute_loss(
                x, y, y_pred, sample_weight, training=training
            ), []
        wrapped = [
            each._replace(loss=_PartialLoss(each.loss, part))
            for each in compile_loss._flat_losses
        ]
        recorders = [_Recorder() for _ in compile_loss.metrics]
        with (
            _replaced(compile_loss, "_flat_losses", wrapped),
            _replaced(compile_loss, "_metrics", recorders),
        ):
            loss = model._compute_loss(
                x, y, y_pred, sample_weight, training=training
            )
    return loss, [recorder.value for recorder in recorders]


@contextlib.contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(owner, name)
    object.__setattr__(owner, name, value)
    try:
        yield
    finally:
        object.__setattr__(owner, name, before)


class _Recorder:
    """Stand-in for the metric of one of several losses."""

    value: Any = None

    def update_state(self, value: Any, sample_weight: Any = None) -> None:
        self.value = value


class _PartialLoss:
    """A loss function, scaled so that the parts' contributions make the whole.

    Args:
        loss: the loss object that Keras made of the compiled loss.
        part: the part.
    """

    def __init__(self, loss: Any, part: Part) -> None:
        self._loss = loss
        self._part = part

    def __call__(
        self, y_true: Any, y_pred: Any, sample_weight: Any = None
    ) -> Any:
        loss, part = self._loss, self._part
        value = loss(y_true, y_pred, sample_weight)
        mask = getattr(y_pred, "_keras_mask", None)
        origin = f"loss `{loss.name}`"
        per_example = _before_reduction(loss, y_true, y_pred)
        if per_example is None or not len(per_example.shape):
            # Keras multiplies a scalar by each weight, and takes the mean.
            if mask is not None or sample_weight is not None:
                raise InputError(
                    "`loss` must return one value per example for a model "
                    "with masks, sample weights or class weights. Received: a "
                    f"scalar from {origin}"
                )
            return part.of_scalar(value, origin)
        if loss.reduction == "sum":
            return value * part.sum_scale
        if loss.reduction not in _MEANS:
            raise InputError(
                "`loss` must be reduced to a mean or a sum over examples. "
                f"Received: reduction={loss.reduction} of {origin}"
            )
        if getattr(per_example, "_keras_mask", None) is not None:
            raise InputError(
                "`loss` must not choose what counts in its mean: each part of "
                "a batch would count its own. Use the mask of a layer, such as "
                "Embedding(mask_zero=True), or reduction='sum'. Received: "
                f"{origin}, with ignore_class="
                f"{getattr(loss, 'ignore_class', None)}"
            )
        if mask is None:
            return part.of_mean(value)
        share = tf.math.divide_no_nan(
            part.num_parts * count_mask(y_pred), getattr(y_pred, _TOTAL)
        )
        return value * tf.cast(share, value.dtype)


def _before_reduction(loss: Any, y_true: Any, y_pred: Any) -> Any:
    """Return a loss before Keras reduces it; None if that is not known."""
    if type(loss).__call__ is not keras.losses.Loss.__call__:
        return None
    if getattr(loss, "fn", None) is keras.losses.circle:
        raise InputError(
            "`loss` must be a mean or a sum over examples. Received: circle, "
            "which compares the examples of a batch with one another"
        )
    if isinstance(loss, keras.losses.Dice | keras.losses.Tversky):
        axes = loss.axis if isinstance(loss.axis, tuple | list) else ()
        if not axes or 0 in axes:
            raise InputError(
                "`loss` must be a mean or a sum over examples. Received: "
                f"{type(loss).__name__} with axis={loss.axis}, which is a "
                "ratio of sums over the batch; leave axis 0 out"
            )
    y_true, y_pred = keras.tree.map_structure(
        lambda x: keras.ops.convert_to_tensor(x, dtype=loss.dtype),
        (y_true, y_pred),
    )
    return loss.call(y_true, y_pred)
