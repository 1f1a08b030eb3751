"""Gradients of embeddings, whose rows Keras gives to the optimizer one by one.

An optimizer that squares or clips gradients takes each summand of a row by
itself. For the weights of one device, it must get the same summands: one for
each time that an example reads a row, but only one for all examples where the
rows that are read do not depend on examples, as for positions.
"""

from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from keras_lstm.core.errors import InputError

# What these return of a batch is its shape.
_SHAPES = ("Shape", "ShapeN", "Size", "Rank")


def split_reads(gradient: Any) -> Any:
    """Return a sparse gradient's parts, one for each read of the table.

    Args:
        gradient: a gradient made in the graph of a function.

    Returns:
        List of sparse gradients; the gradient itself if it is not sparse.

    Raises:
        InputError: if it is sparse and there is no graph, from which to know
            which reads depend on examples.
    """
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    indices = gradient.indices
    if not hasattr(indices, "op"):
        raise InputError(
            "`model` must be compiled with run_eagerly=False if it has an "
            "Embedding, or train without microbatches or replicas. Received: "
            "run_eagerly=True"
        )
    # TensorFlow joins the gradients of several reads.
    if indices.op.type != "ConcatV2":
        return [gradient]
    parts = list(indices.op.inputs)[:-1]
    sizes = [tf.size(part) for part in parts]
    return [
        tf.IndexedSlices(values, part, gradient.dense_shape)
        for values, part in zip(
            tf.split(gradient.values, sizes, num=len(sizes)),
            parts,
            strict=True,
        )
    ]


def join_reads(parts: list[Any]) -> Any:
    """Return the gradient of a table from that of each read.

    Args:
        parts: the result of `split_reads`.
    """
    if len(parts) == 1:
        return parts[0]
    return tf.IndexedSlices(
        tf.concat([part.values for part in parts], 0),
        tf.concat([part.indices for part in parts], 0),
        parts[0].dense_shape,
    )


def is_shared(gradient: Any, batch: Any) -> bool:
    """Return whether all examples read the same rows.

    Args:
        gradient: the sparse gradient of one read.
        batch: the batch, as the function got it.

    Returns:
        Whether the rows do not depend on the batch, except on its shape.
    """
    leaves = {x.name for x in keras.tree.flatten(batch) if x is not None}
    # Tensors are told apart by their names, which are unique in a graph.
    seen: set[str] = set()
    left = [gradient.indices]
    while left:
        each = left.pop()
        if each.name in leaves:
            return False
        if each.name not in seen and each.op.type not in _SHAPES:
            seen.add(each.name)
            left += each.op.inputs
    return True


def mean_of_parts(gradients: Any, are_shared: Iterator[bool]) -> Any:
    """Return the mean of the gradients of parts of a batch.

    Args:
        gradients: results of `split_reads`, or None, one for each part.
        are_shared: what `is_shared` said of each sparse gradient.

    Returns:
        The gradient of the batch; None if no output depends on it.
    """
    if gradients[0] is None:
        return None
    if isinstance(gradients[0], list):
        reads = zip(*gradients, strict=True)
        return join_reads([_mean_read(x, next(are_shared)) for x in reads])
    # A mean would make a copy of all of them first.
    return tf.add_n(gradients) / len(gradients)


def _mean_read(parts: Any, shared: bool) -> Any:
    first, count = parts[0], len(parts)
    if shared:
        return tf.IndexedSlices(
            tf.add_n([x.values for x in parts]) / count,
            first.indices,
            first.dense_shape,
        )
    return tf.IndexedSlices(
        tf.concat([x.values for x in parts], 0) / count,
        tf.concat([x.indices for x in parts], 0),
        first.dense_shape,
    )


def sum_over_replicas(gradient: Any) -> Any:
    """Return the sum of a read's gradients over replicas, on the first only.

    On the others it is zero, because Keras joins the rows of all replicas.

    Args:
        gradient: a sparse gradient of rows that all examples read.
    """
    context = tf.distribute.get_replica_context()
    total = context.all_reduce("SUM", gradient.values)
    is_first = tf.equal(context.replica_id_in_sync_group, 0)
    return tf.IndexedSlices(
        tf.where(is_first, total, tf.zeros_like(total)),
        gradient.indices,
        gradient.dense_shape,
    )
