"""Notation of sequences of features: files, and the names of classes."""

import dataclasses
import pathlib
from typing import Any

import numpy as np
import numpy.typing as npt

from keras_lstm.core.errors import InputError, shown
from keras_lstm.tasks.feature_series import SeriesColumns, read_series
from keras_lstm.tasks.feature_table import MAX_VALUE
from keras_lstm.tasks.image_files import image_for_script, read_images
from keras_lstm.tasks.notation import (
    Notation,
    Query,
    read_npy,
    to_float32,
)
from keras_lstm.tasks.records import RecordFile


class FeatureNotation(Notation):
    """Files of sequences of features; classes by their names.

    Args:
        shape: shape of a sequence, `(timesteps, features)`; None for
            `timesteps` if they differ.
        class_names: names of the classes.
        is_image: whether sequences are images.
        resizes: whether images of another size are resized.
        columns: what the columns of a table are; None if it was no table that
            the model was trained on.
    """

    reads_lines = False

    def __init__(
        self,
        shape: tuple[int | None, int],
        class_names: tuple[str, ...],
        is_image: bool,
        resizes: bool,
        columns: SeriesColumns | None,
    ) -> None:
        self._shape = shape
        self.class_names = class_names
        self._is_image = is_image
        self._resizes = resizes
        self._columns = columns

    def read(self, text: str) -> list[Query]:
        """Read a file of one or more sequences."""
        path = pathlib.Path(text)
        if self._is_image and self._shape[0] is not None:
            size = (self._shape[0], self._shape[1])
            images = read_images(path, size, 255.0, self._resizes)
            return _queries(text, list(images))
        if self._columns is not None and path.suffix.lower() != ".npy":
            columns = dataclasses.replace(self._columns, target=None, part=None)
            file = RecordFile(path, "input")
            table = read_series(file, columns, skips_bad_rows=False)
            values = [table.sequence(index) for index in range(len(table))]
            for each in values:
                self._check_steps(text, each)
            queries = _queries(text, values)
            return [
                dataclasses.replace(query, text=f"{text}: {name}", index=None)
                for query, name in zip(queries, table.groups, strict=True)
            ]
        return _queries(text, self._read_array(text))

    def for_script(self) -> dict[str, Any] | None:
        """Return what a script needs to read images; None for others."""
        if not self._is_image or self._shape[0] is None:
            return None
        return image_for_script(self._shape, 255.0)

    def _read_array(self, text: str) -> list[npt.NDArray[np.float32]]:
        steps, features = self._shape
        values = read_npy(pathlib.Path(text), "fiub")
        # As in training, (examples, steps) are examples of one feature.
        if features == 1 and values.ndim in (1, 2):
            values = values[..., np.newaxis]
        if values.ndim == 2:
            values = values[np.newaxis]
        if (
            values.ndim != 3
            or values.shape[2] != features
            or steps not in (None, values.shape[1])
            or not values.size
        ):
            any_steps = "any number of" if steps is None else steps
            raise InputError(
                f"`input` must hold sequences of {any_steps} steps of "
                f"{features} features. Received: {text}, of shape "
                f"{shown(values.shape)}"
            )
        found = to_float32(values)
        # False for NaN.
        if not (np.abs(found) <= MAX_VALUE).all():
            raise InputError(
                "`input` must hold numbers that are finite and at most "
                f"{MAX_VALUE:.0e} in size. Received: {text}"
            )
        return list(found)

    def _check_steps(self, text: str, values: npt.NDArray[Any]) -> None:
        if self._shape[0] not in (None, len(values)):
            raise InputError(
                f"`input` must hold sequences of {self._shape[0]} steps. "
                f"Received: {text}, with one of {len(values)}"
            )


def _queries(text: str, values: list[npt.NDArray[Any]]) -> list[Query]:
    several = len(values) > 1
    return [
        Query(text, each, len(each), index if several else None)
        for index, each in enumerate(values)
    ]
