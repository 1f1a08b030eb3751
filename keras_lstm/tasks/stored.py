"""Sequences of different lengths, stored in a temporary file.

What is held in memory is a few bytes for each sequence, not its steps.
"""

import array
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt


class SequenceStore:
    """Sequences in a file that is gone when the program ends.

    Add the sequences with `append`, then read them with `padded`.

    Args:
        dtype: the type of a step.
    """

    def __init__(self, dtype: Any) -> None:
        self._dtype = np.dtype(dtype)
        self._lengths = array.array("q")
        # In the folder that the variable TMPDIR names, under no name.
        self._file = tempfile.TemporaryFile(prefix="keras-lstm-")  # noqa: SIM115

    def append(self, sequence: npt.NDArray[Any]) -> None:
        """Add a sequence, `(timesteps,)`."""
        self._lengths.append(len(sequence))
        self._file.write(np.ascontiguousarray(sequence, self._dtype).data)

    def finish(self) -> None:
        """Make the sequences readable; call this once, after the last one."""
        self._file.flush()
        self.lengths = np.array(self._lengths, np.int64)
        self._ends = np.cumsum(self.lengths)
        count = int(self.lengths.sum())
        # A file without bytes cannot be mapped.
        self._steps: npt.NDArray[Any] = (
            np.memmap(self._file, self._dtype, "r", shape=(count,))
            if count
            else np.zeros(count, self._dtype)
        )
        # What is mapped stays.
        self._file.close()

    def __len__(self) -> int:
        return len(self._lengths)

    def padded(
        self, indices: npt.NDArray[np.int64], padding: Any
    ) -> npt.NDArray[Any]:
        """Return sequences, padded at the end to the longest of them.

        Args:
            indices: which sequences, `(batch_size,)`.
            padding: the value of the steps after a sequence's end.

        Returns:
            The sequences, `(batch_size, timesteps)`.
        """
        lengths = self.lengths[indices]
        longest = int(lengths.max(initial=0))
        within = np.arange(longest)
        found = np.full((len(indices), longest), padding, self._dtype)
        is_step = within < lengths[:, np.newaxis]
        starts = self._ends[indices] - lengths
        found[is_step] = self._steps[(starts[:, np.newaxis] + within)[is_step]]
        return found


def numpy_batch(
    read: Callable[[Any], tuple[Any, Any]],
    indices: Any,
    input_type: Any,
    input_shape: tuple[int | None, ...],
    output_shape: tuple[int | None, ...],
) -> tuple[Any, Any]:
    """Return a batch that a function reads outside of TensorFlow.

    Args:
        read: returns the inputs, of `input_type`, and the targets, int32, of
            indices, `(batch_size,)`; its result depends on them alone.
        indices: the indices, a tensor.
        input_type: NumPy type of the inputs.
        input_shape: shape of one input; None for sizes that differ.
        output_shape: shape of one target.

    Returns:
        The inputs and the targets, for `Split.batch`.
    """
    import tensorflow as tf

    inputs, targets = tf.numpy_function(
        read, [indices], (input_type, tf.int32), stateful=False
    )
    return (
        tf.ensure_shape(inputs, (None, *input_shape)),
        tf.ensure_shape(targets, (None, *output_shape)),
    )
