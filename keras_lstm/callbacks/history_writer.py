"""Keeps history.csv up to date."""

import csv
import io
import pathlib
from typing import Any

import keras

from keras_lstm.core.files import write_text


class HistoryWriter(keras.callbacks.Callback):
    """Writes a CSV file with a row per epoch, whole after each of them.

    It holds no wall-clock times, so that two runs that do the same write the
    same file.

    Args:
        path: the file.
    """

    def __init__(self, path: pathlib.Path) -> None:
        super().__init__()
        self.path = path

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Forgets an earlier `fit`."""
        self._rows: list[dict[str, float]] = []

    def get_state(self) -> dict[str, Any]:
        """What a training that is resumed needs to know."""
        return {"rows": self._rows}

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes on from `get_state`."""
        self._rows = state["rows"]

    def on_epoch_end(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Writes the file anew, with this epoch's row."""
        self._rows.append({"epoch": epoch + 1} | (logs or {}))
        self._write()

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Writes it where a training that is resumed was done already."""
        self._write()

    def _write(self) -> None:
        names = list(dict.fromkeys(name for row in self._rows for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self._rows)
        write_text(self.path, text.getvalue())
