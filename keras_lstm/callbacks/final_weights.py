"""The weights that `fit` ends with if the optimizer averages weights."""

from collections.abc import Sequence
from typing import Any

import keras


def averaging_optimizers(model: keras.Model) -> list[Any]:
    """Return the optimizers of a model that keep averages of its weights.

    At the end of `fit`, Keras replaces the weights by these averages.

    Args:
        model: a compiled model.

    Returns:
        Those with `use_ema=True`, also where others wrap them.
    """
    optimizer = getattr(model, "optimizer", None)
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    each = getattr(inner, "optimizers", [inner])
    return [one for one in each if getattr(one, "use_ema", False)]


def read_averaged(model: keras.Model) -> list[list[Any]]:
    """Return the values of the weights that optimizers average.

    Args:
        model: a compiled model.

    Returns:
        For each optimizer that averages, the values of its weights.
    """
    return [
        [keras.ops.convert_to_numpy(x) for x in each._trainable_variables]
        for each in averaging_optimizers(model)
    ]


def keep_weights(
    model: keras.Model, values: Sequence[Sequence[Any]] | None = None
) -> None:
    """Make `fit` end with given weights instead of averages.

    The weights and their averages are set to the same values, so that it makes
    no difference whether `SwapEMAWeights` has exchanged them.

    Args:
        model: the model in `fit`, at the end of an epoch.
        values: what `read_averaged` returned. Defaults to None: the weights
            that the model has.
    """
    values = read_averaged(model) if values is None else values
    for each, weights in zip(averaging_optimizers(model), values, strict=True):
        for variables in (
            each._trainable_variables,
            each._model_variables_moving_average,
        ):
            for variable, value in zip(variables, weights, strict=True):
                variable.assign(value)
