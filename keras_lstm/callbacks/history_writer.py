"""A CSV file of the metrics of each epoch."""

import csv
import io
import pathlib
from typing import Any

import keras

from keras_lstm.core.errors import InputError, shown
from keras_lstm.core.files import write_text


class HistoryWriter(keras.callbacks.Callback):
    """Write the metrics of each epoch to a CSV file.

    The file has a row per epoch: its number, counted from 1, and all entries
    of `logs`. A value that an epoch lacks is left empty, so metrics may appear
    in later epochs only.

    Unlike Keras's `CSVLogger`, it replaces the whole file after each epoch, so
    that a reader never sees half a row, and continues the file of a training
    that `ExactResume` resumes. The file contains no times: two runs with the
    same results write the same bytes.

    Args:
        path: path of the CSV file. A file that exists is replaced.

    Raises:
        InputError: when `fit` begins, if the folder of `path` does not exist.

    Example:

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "history.csv"
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    >>> model.compile(keras.optimizers.SGD(0.0), "mse")
    >>> model.layers[0].set_weights([np.ones((1, 1)), np.zeros(1)])
    >>> history = model.fit(
    ...     np.ones((4, 1)),
    ...     np.full((4, 1), 3.0),
    ...     epochs=2,
    ...     shuffle=False,
    ...     verbose=0,
    ...     callbacks=[HistoryWriter(path)],
    ... )
    >>> print(path.read_text())
    epoch,loss
    1,4.0
    2,4.0
    <BLANKLINE>
    """

    def __init__(self, path: pathlib.Path | str) -> None:
        super().__init__()
        self.path = pathlib.Path(path)

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Clear the rows of an earlier `fit`."""
        if not self.path.parent.is_dir():
            raise InputError(
                "`path` must be in a folder that exists. Received: "
                f"path={shown(str(self.path))}"
            )
        self._rows: list[dict[str, float]] = []

    def get_state(self) -> dict[str, Any]:
        """Return the callback's state, for `ExactResume`."""
        return {"rows": self._rows}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore the state that `get_state` returned."""
        self._rows = state["rows"]

    def on_epoch_end(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Add the epoch's row and write the file."""
        self._rows.append({"epoch": epoch + 1} | (logs or {}))
        self._write()

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Write the file; needed if a resumed training has no epochs left.

        Of a `fit` that `ExactResume` passes over, the file is there.
        """
        if self._rows:
            self._write()

    def _write(self) -> None:
        names = list(dict.fromkeys(name for row in self._rows for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self._rows)
        write_text(self.path, text.getvalue())
