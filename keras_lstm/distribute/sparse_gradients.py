"""Gradients of embeddings, whose rows Keras gives to the optimizer one by one.

An optimizer that squares gradients, such as Adam, squares each summand of a row
by itself. For the weights of one device, it must get the same summands: one for
each time that an example reads a row, but only one for all examples where the
rows that are read do not depend on examples, as for positions.
"""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_lstm.core.errors import InputError

# What these return of a batch is its shape.
_SHAPES = ("Shape", "ShapeN", "Size", "Rank")


def adds_up_rows(optimizer: Any) -> bool:
    """Return whether an optimizer adds up what a row gets before it squares.

    Those that clip do, so it does not matter which examples read a row.

    Args:
        optimizer: a Keras optimizer.

    Returns:
        Whether it clips.
    """
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    names = ("clipnorm", "global_clipnorm", "clipvalue")
    return any(getattr(inner, name, None) for name in names)


def is_shared(gradient: Any, batch: Any) -> bool:
    """Return whether all examples read the same rows.

    Args:
        gradient: a gradient made in the graph of a function.
        batch: the batch, as the function got it.

    Returns:
        Whether the gradient is sparse and its rows do not depend on the batch.

    Raises:
        InputError: if some do and some do not.
    """
    if not isinstance(gradient, tf.IndexedSlices):
        return False
    indices = gradient.indices
    if not hasattr(indices, "op"):
        # Without a graph, what the rows depend on is not known.
        return False
    leaves = {x.name for x in keras.tree.flatten(batch) if x is not None}
    # A table that is read twice has the rows of both.
    parts = (
        list(indices.op.inputs)[:-1]
        if indices.op.type == "ConcatV2"
        else [indices]
    )
    found = {_depends(part, leaves) for part in parts}
    if len(found) > 1:
        raise InputError(
            "`model` must not read an Embedding both at rows that depend on "
            "the inputs and at rows that do not. Received: an Embedding of "
            f"shape {tuple(np.array(gradient.values.shape[1:]))}"
        )
    return found == {False}


def _depends(tensor: Any, leaves: set[str]) -> bool:
    """Return whether a tensor depends on more than the shapes of leaves.

    Tensors are told apart by their names, which are unique in a graph.
    """
    seen: set[str] = set()
    left = [tensor]
    while left:
        each = left.pop()
        if each.name in leaves:
            return True
        if each.name not in seen and each.op.type not in _SHAPES:
            seen.add(each.name)
            left += each.op.inputs
    return False


def mean_of_parts(gradients: Any, shared: bool) -> Any:
    """Return the mean of the gradients of parts of a batch.

    Args:
        gradients: sparse gradients, one for each part.
        shared: whether `is_shared` said so.

    Returns:
        The gradient of the batch.
    """
    first, count = gradients[0], len(gradients)
    if shared:
        return tf.IndexedSlices(
            tf.add_n([x.values for x in gradients]) / count,
            first.indices,
            first.dense_shape,
        )
    return tf.IndexedSlices(
        tf.concat([x.values for x in gradients], 0) / count,
        tf.concat([x.indices for x in gradients], 0),
        first.dense_shape,
    )
