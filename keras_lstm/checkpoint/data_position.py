"""The position of `fit` in a tf.data.Dataset."""

import dataclasses
import pathlib
import tempfile
import zlib
from typing import Any

import numpy as np
import tensorflow as tf

from keras_lstm.core.errors import InputError

_HOW = (
    "make it reproducible, or pass a function from a number of steps to the "
    "dataset without its first batches"
)
_NO_NUMBERS = (tf.string.as_datatype_enum, tf.resource.as_datatype_enum)
# Values of `external_state_policy`.
_IGNORE, _FAIL = 1, 2
# What tf.data saves once for each shuffle: how often it has drawn seeds.
_SHUFFLE_KEY = b"epoch_num_random_samples"
# Datasets that start their inputs when they need them.
_LATE = ("CacheDataset", "ConcatenateDataset", "RepeatDataset")


class NotResumableError(InputError):
    """Raised for a dataset whose elements cannot be found again.

    Args:
        received: what the dataset is.
    """

    def __init__(self, received: str) -> None:
        super().__init__(
            "`dataset` must have the same elements whenever the script is "
            f"started: {_HOW}. Received: {received}"
        )


@dataclasses.dataclass(frozen=True)
class DataOrder:
    """How the elements of a dataset can be found again.

    Args:
        is_shuffled: whether each pass has its own order.
        has_iterator_state: whether tf.data can save the state of an iterator.
        num_shuffles: number of shuffles whose seeds a state must hold.
        has_late_shuffle: whether a shuffle with a new order for each pass
            starts later than the iterator that it is in, or not at all, such
            as before `repeat` or `cache`.
        fingerprint: checksum of the numbers in the pipeline, such as seeds,
            sizes and arrays, but not of texts, such as paths.
    """

    is_shuffled: bool
    has_iterator_state: bool
    num_shuffles: int
    has_late_shuffle: bool
    fingerprint: int


def read_order(dataset: tf.data.Dataset) -> DataOrder:
    """Find out whether a dataset makes the same elements in every process.

    Args:
        dataset: the dataset.

    Returns:
        How its elements can be found again.

    Raises:
        NotResumableError: if it shuffles or draws without a seed, calls
            Python, or has an order that depends on time.
    """
    try:
        graph, saves = _describe(dataset)
    except tf.errors.OpError as error:
        raise NotResumableError(
            f"one that tf.data cannot describe: {error.message.splitlines()[0]}"
        ) from None
    shuffles = draws = False
    parts = [graph.node, *(f.node_def for f in graph.library.function)]
    for nodes in parts:
        constants = {node.name: node for node in nodes if node.op == "Const"}
        for node in nodes:
            _check_node(node)
            seeds = _seeds(node, constants)
            if seeds is None:
                continue
            if not any(seeds):
                raise NotResumableError(
                    f"one that draws without a seed ({node.op}): pass `seed`, "
                    "or call `keras.utils.set_random_seed` first"
                )
            shuffles |= "Dataset" in node.op
            draws |= "Dataset" not in node.op
    if dataset.options().deterministic is False:
        raise NotResumableError("one that is not deterministic")
    if draws and any("Parallel" in node.op for node in graph.node):
        raise NotResumableError("one that draws random numbers in parallel")
    return DataOrder(
        *(shuffles, saves, *_find_shuffles(graph), _fingerprint(graph.node))
    )


def save_iterator(iterator: Any) -> dict[str, np.ndarray]:
    """Return the state of a tf.data iterator.

    Args:
        iterator: the iterator of one device.

    Returns:
        The bytes of the files of a `tf.train.Checkpoint`, by their suffix.
    """
    with tempfile.TemporaryDirectory() as name:
        prefix = pathlib.Path(name) / "iterator"
        tf.train.Checkpoint(iterator=iterator).write(str(prefix))
        return {
            path.name.removeprefix(prefix.name): np.frombuffer(
                path.read_bytes(), np.uint8
            )
            for path in sorted(prefix.parent.iterdir())
        }


def restore_iterator(iterator: Any, state: dict[str, np.ndarray]) -> None:
    """Restore the state of a tf.data iterator.

    Args:
        iterator: an iterator of the same dataset.
        state: the result of `save_iterator`.
    """
    with tempfile.TemporaryDirectory() as name:
        prefix = pathlib.Path(name) / "iterator"
        for suffix, content in state.items():
            path = prefix.with_name(prefix.name + pathlib.Path(suffix).name)
            path.write_bytes(content.tobytes())
        checkpoint = tf.train.Checkpoint(iterator=iterator)
        checkpoint.read(str(prefix)).assert_consumed()


def count_saved_shuffles(state: dict[str, np.ndarray]) -> int:
    """Return the number of shuffles whose seeds are in an iterator's state.

    tf.data reads ahead. Where a batch was the last one of a pass, it no longer
    has the shuffle that it was made from, and the state does not have the
    seeds of the next pass.

    Args:
        state: the result of `save_iterator`.
    """
    return sum(each.tobytes().count(_SHUFFLE_KEY) for each in state.values())


def skip_elements(iterator: Any, count: int) -> None:
    """Draw elements from an iterator and drop them.

    Args:
        iterator: the iterator.
        count: number of elements.

    Raises:
        InputError: if there are fewer.
    """
    try:
        for _ in range(count):
            next(iterator)
    except (StopIteration, tf.errors.OutOfRangeError):
        raise InputError(
            "`dataset` must have at least the batches that were trained on "
            "before. Received: fewer"
        ) from None


def _describe(dataset: tf.data.Dataset) -> tuple[Any, bool]:
    """Return a dataset's graph, and whether all its state is in iterators."""
    variant = tf.data.experimental.to_variant(dataset)
    try:
        serialized = tf.raw_ops.DatasetToGraphV2(
            input_dataset=variant, external_state_policy=_FAIL
        )
        saves = True
    except tf.errors.FailedPreconditionError:
        serialized = tf.raw_ops.DatasetToGraphV2(
            input_dataset=variant, external_state_policy=_IGNORE
        )
        saves = False
    return tf.compat.v1.GraphDef.FromString(serialized.numpy()), saves


def _find_shuffles(graph: Any) -> tuple[int, bool]:
    """Return the number of shuffles, and whether one starts late."""
    nodes = {node.name: node for node in graph.node}
    shuffles: set[str] = set()
    any_late = False
    seen: set[tuple[str, bool]] = set()
    left = [
        (name, False)
        for node in graph.node
        if node.op == "_Retval"
        for name in node.input
    ]
    while left:
        name, is_late = left.pop()
        node = nodes[name.split(":")[0].removeprefix("^")]
        if (node.name, is_late) in seen:
            continue
        seen.add((node.name, is_late))
        if "Shuffle" in node.op and "Dataset" in node.op:
            shuffles.add(node.name)
            # The others have one order, whenever they start.
            any_late |= is_late and node.attr["reshuffle_each_iteration"].b
        is_late |= node.op.startswith(_LATE)
        left += [(each, is_late) for each in node.input]
    return len(shuffles), any_late


def _check_node(node: Any) -> None:
    if "PyFunc" in node.op or node.op == "GeneratorDataset":
        raise NotResumableError(
            "one that calls Python code, such as a generator"
        )
    if node.attr["deterministic"].s == b"false":
        raise NotResumableError("one that is not deterministic")
    if node.op.startswith(("Assign", "RngReadAndSkip")):
        raise NotResumableError(
            "one that changes a variable, such as the seed of a random layer"
        )


def _seeds(node: Any, constants: dict[str, Any]) -> list[int] | None:
    """Return the two seeds of a node that draws; None if it draws nothing."""
    if node.op.startswith("Stateless"):
        return None
    if "seed" in node.attr and "seed2" in node.attr:
        return [node.attr["seed"].i, node.attr["seed2"].i]
    if "Shuffle" in node.op or node.op.startswith("RandomDataset"):
        first = 0 if node.op.startswith("RandomDataset") else 2
        names = [name.split(":")[0] for name in node.input]
        return [
            int(tf.make_ndarray(constants[name].attr["value"].tensor))
            for name in names[first : first + 2]
            if name in constants
        ]
    return None


def _fingerprint(nodes: Any) -> int:
    checksums = sorted(
        zlib.crc32(node.attr["value"].tensor.SerializeToString())
        for node in nodes
        if node.op == "Const" and node.attr["dtype"].type not in _NO_NUMBERS
    )
    return zlib.crc32(np.array(checksums, np.uint32).tobytes())
