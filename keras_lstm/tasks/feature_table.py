"""Labelled sequences of features, whatever they were read from."""

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from keras_lstm.core.errors import InputError, shown
from keras_lstm.tasks.labels import class_order
from keras_lstm.tasks.stored import numpy_batch
from keras_lstm.tasks.task import Split

# The value of each feature of a step after the end of a sequence: the lowest
# of float32, which no data holds.
PADDING_VALUE = float(np.finfo(np.float32).min)
# Squares of larger values come near the largest of float32.
MAX_VALUE = 1e18
# `Normalization` of Keras divides by 1e-7 at least.
_MIN_STDDEV = 1e-6
# Relative to the mean: below this, float32 holds nothing of a variation.
_MIN_VARIATION = 1e-6
# Values that are handled at once.
_MAX_VALUES = 2**20


@dataclasses.dataclass(frozen=True)
class FeatureTable:
    """Labelled sequences of features.

    Args:
        blocks: the time steps of all sequences, arrays of shape
            `(num_steps, features)`, in memory or mapped from a file.
        block: which of the blocks each sequence is in, `(num_examples,)`.
        starts: the first step of each sequence in its block.
        lengths: the number of steps of each sequence.
        labels: the class of each sequence, an index in `names`.
        names: the names of all classes, in their order.
        forced: the part that each sequence must be in, -1 for any.
        place: returns where a sequence comes from, for messages.
        sha256: SHA-256 of the data.
        scale: factor of the values in `blocks`. Defaults to 1.
        has_one_unit: whether all features are in the same unit, as pixels
            are. Defaults to False.
        features: names of the features, if they have any.
        ignored: names of columns that are no features, since most of their
            values are no numbers.
        groups: the name of each sequence, if it has one.
        lines: number of each sequence's first line in its file, or None.
        num_bad: number of rows that were skipped.
    """

    blocks: tuple[npt.NDArray[np.generic], ...]
    block: npt.NDArray[np.int8]
    starts: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int32]
    names: tuple[str, ...]
    forced: npt.NDArray[np.int8]
    place: Callable[[int], str]
    sha256: str
    scale: float = 1.0
    has_one_unit: bool = False
    features: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    lines: npt.NDArray[np.int64] | None = None
    num_bad: int = 0

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def num_features(self) -> int:
        """Number of features of a time step."""
        return int(self.blocks[0].shape[1])

    @property
    def num_steps(self) -> int:
        """Number of time steps of each sequence, 0 if they differ."""
        first = int(self.lengths[0])
        return first if (self.lengths == first).all() else 0

    def padded(self, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Return sequences, padded at the end to the longest of them.

        Args:
            indices: which sequences, `(batch_size,)`.

        Returns:
            The sequences, `(batch_size, timesteps, features)`.
        """
        lengths = self.lengths[indices]
        within = np.arange(int(lengths.max(initial=0)))
        is_step = within < lengths[:, np.newaxis]
        places = self.starts[indices][:, np.newaxis] + within
        shape = (*is_step.shape, self.num_features)
        found = np.full(shape, PADDING_VALUE, np.float32)
        for number, steps in enumerate(self.blocks):
            chosen = is_step & (self.block[indices] == number)[:, np.newaxis]
            found[chosen] = self._scaled(steps[places[chosen]])
        return found

    def sequence(self, index: int) -> npt.NDArray[np.float32]:
        """Return one sequence, `(timesteps, features)`."""
        start, length = self.starts[index], self.lengths[index]
        steps = self.blocks[self.block[index]]
        return self._scaled(steps[start : start + length])

    def _scaled(
        self, steps: npt.NDArray[np.generic]
    ) -> npt.NDArray[np.float32]:
        with np.errstate(over="ignore"):
            values = np.asarray(steps, np.float32)
        return values if self.scale == 1.0 else values * np.float32(self.scale)

    def keys(self, seed: int) -> npt.NDArray[np.uint64]:
        """Return a hash of each sequence, and refuse values that are none.

        Args:
            seed: the hashes differ for each seed.

        Returns:
            The hashes, `(num_examples,)`: the same for the same steps.

        Raises:
            InputError: if a value is NaN, infinite or too large.
        """
        key = seed.to_bytes(8, "little")
        found = np.empty(len(self), np.uint64)
        for index in range(len(self)):
            steps = self.sequence(index)
            # False for NaN.
            is_good = np.abs(steps) <= MAX_VALUE
            if not is_good.all():
                raise self._bad_value(index, steps, is_good)
            digest = hashlib.blake2b(steps.tobytes(), digest_size=8, key=key)
            found[index] = int.from_bytes(digest.digest(), "little")
        return found

    def _bad_value(
        self,
        index: int,
        steps: npt.NDArray[np.float32],
        is_good: npt.NDArray[np.bool_],
    ) -> InputError:
        step, feature = np.argwhere(~is_good)[0].tolist()
        name = self.features[feature] if self.features else feature
        return InputError(
            f"`data` {self.place(index)}, step {step}, feature {shown(name)}: "
            f"values must be finite, and at most {MAX_VALUE:.0e} in size. "
            f"Received: {steps[step, feature]}"
        )

    def statistics(
        self, indices: npt.NDArray[np.int64], in_one: bool
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return the mean and the variance of each feature.

        Args:
            indices: the sequences to read, at least one.
            in_one: whether all features share one mean and one variance.

        Returns:
            The mean and the variance, `(features,)`, or `(1,)` if `in_one`;
            the variance of a feature that is constant in float32 is 0.

        Raises:
            InputError: if a feature varies so little that the model would not
                see it.
        """
        count = 0
        size = 1 if in_one else self.num_features
        mean, squares = np.zeros(size), np.zeros(size)
        for chunk in self._chunks(indices):
            values = np.concatenate([self.sequence(i) for i in chunk])
            values = values.astype(np.float64).reshape(-1, size)
            # Chan, Golub and LeVeque (1979): sums of parts, joined.
            number = len(values)
            difference = values.mean(0) - mean
            squares += ((values - values.mean(0)) ** 2).sum(0)
            squares += difference**2 * (count * number / (count + number))
            mean += difference * (number / (count + number))
            count += number
        stddev = np.sqrt(squares / count)
        is_constant = stddev <= _MIN_VARIATION * np.abs(mean)
        too_small = ~is_constant & (stddev < _MIN_STDDEV)
        if too_small.any():
            feature = int(np.argmax(too_small))
            name = self.features[feature] if self.features else feature
            raise InputError(
                f"`data` must have features of a standard deviation of at "
                f"least {_MIN_STDDEV:.0e}: use a smaller unit. Received: "
                f"{stddev[feature]:.3g} for feature {shown(name)}"
            )
        return mean, np.where(is_constant, 0.0, stddev**2)

    def _chunks(
        self, indices: npt.NDArray[np.int64]
    ) -> Iterator[npt.NDArray[np.int64]]:
        """Yield the indices in parts of a bounded number of values."""
        values = np.cumsum(self.lengths[indices] * self.num_features)
        ends = np.arange(_MAX_VALUES, int(values[-1]), _MAX_VALUES)
        for chunk in np.split(indices, np.searchsorted(values, ends)):
            if len(chunk):
                yield chunk


def join_tables(tables: Sequence[FeatureTable], sha256: str) -> FeatureTable:
    """Return the sequences of several tables as one.

    Args:
        tables: tables of the same number of features and the same scale.
        sha256: SHA-256 of the data of all.

    Returns:
        The sequences, table after table; the table itself if it is one.
    """
    if len(tables) == 1:
        return tables[0]
    names = class_order({name for table in tables for name in table.names})
    numbers = {name: number for number, name in enumerate(names)}
    ends = np.cumsum([len(table) for table in tables])
    firsts = np.cumsum([0, *(len(table.blocks) for table in tables)])

    def place(index: int) -> str:
        table = int(np.searchsorted(ends, index, "right"))
        return tables[table].place(
            index - int(ends[table]) + len(tables[table])
        )

    def joined(arrays: Iterable[npt.NDArray[Any] | None]) -> Any:
        known = [each for each in arrays if each is not None]
        return np.concatenate(known) if len(known) == len(tables) else None

    return dataclasses.replace(
        tables[0],
        blocks=tuple(block for table in tables for block in table.blocks),
        block=joined(
            (table.block + first).astype(np.int8)
            for table, first in zip(tables, firsts, strict=False)
        ),
        starts=joined(table.starts for table in tables),
        lengths=joined(table.lengths for table in tables),
        labels=joined(
            np.array([numbers[x] for x in table.names], np.int32)[table.labels]
            for table in tables
        ),
        names=names,
        forced=joined(table.forced for table in tables),
        place=place,
        sha256=sha256,
        has_one_unit=all(table.has_one_unit for table in tables),
        groups=tuple(name for table in tables for name in table.groups),
        lines=joined(table.lines for table in tables),
        num_bad=sum(table.num_bad for table in tables),
    )


def make_split(
    table: FeatureTable,
    indices: npt.NDArray[np.int64],
    labels: npt.NDArray[np.int32],
    shape: tuple[int | None, ...],
) -> Split:
    """Return sequences of a table as a split.

    Args:
        table: the table.
        indices: the sequences.
        labels: the class number of each of them.
        shape: `(timesteps, features)`; None for `timesteps` if they differ.

    Returns:
        The split.
    """
    return Split(
        len(indices),
        functools.partial(_batch, table, indices, labels, shape),
        lengths=table.lengths[indices] if shape[0] is None else None,
        lines=None if table.lines is None else table.lines[indices],
    )


def _batch(
    table: FeatureTable,
    chosen: npt.NDArray[np.int64],
    labels: npt.NDArray[np.int32],
    shape: tuple[int | None, ...],
    indices: Any,
) -> tuple[Any, Any]:
    def read(rows: Any) -> tuple[Any, Any]:
        return table.padded(chosen[rows]), labels[rows]

    return numpy_batch(read, indices, np.float32, shape, ())
