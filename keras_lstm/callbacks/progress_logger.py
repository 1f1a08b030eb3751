"""Shows a training's progress on standard error."""

import time
from typing import Any

import keras

from keras_lstm.core.console import ProgressBar, duration, percent


class ProgressLogger(keras.callbacks.Callback):
    """A progress bar on a terminal; elsewhere a line per epoch, or more often.

    Give `verbose=0` to `fit` with it.

    Args:
        log_every_steps: a line each time this many steps are done, counted
            over all epochs; None for one per epoch.
        quiet: show nothing.
    """

    def __init__(
        self, log_every_steps: int | None = None, quiet: bool = False
    ) -> None:
        super().__init__()
        self.log_every_steps = log_every_steps
        self.quiet = quiet
        # Opened in `on_train_begin`: KerasTuner copies callbacks.
        self._bar: ProgressBar
        self._open = False

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Starts the bar and the clock."""
        self._steps = self._epoch = 0
        self._started = time.monotonic()
        self._epochs_here = 0
        self._bar = ProgressBar("training", self.quiet)
        self._bar.__enter__()
        self._open = True

    def on_epoch_begin(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Notes which epoch it is."""
        self._epoch = epoch + 1

    def get_state(self) -> dict[str, Any]:
        """What a training that is resumed needs to know."""
        return {"epoch": self._epoch, "steps": self._steps}

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes on from `get_state`."""
        self._epoch, self._steps = state["epoch"], state["steps"]

    def on_train_batch_end(
        self, batch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Moves the bar."""
        before = self._steps
        self._steps += self.model.steps_per_execution
        epochs, steps = self.params["epochs"], self.params["steps"]
        loss = (logs or {}).get("loss", float("nan"))
        if steps and self._bar.on_terminal:
            note = f"epoch {self._epoch}/{epochs}  loss {loss:.4g}"
            self._bar.update(self._steps, epochs * steps, note)
        every = self.log_every_steps
        if every and self._steps // every > before // every:
            self._bar.line(f"step {self._steps:,}  {_values(logs)}")

    def on_epoch_end(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Prints the epoch's line."""
        self._epochs_here += 1
        if self.log_every_steps:
            return
        epochs = self.params["epochs"]
        seconds = time.monotonic() - self._started
        left = seconds / self._epochs_here * (epochs - epoch - 1)
        self._bar.line(
            f"epoch {epoch + 1}/{epochs}  {_values(logs)}  "
            f"{duration(seconds)}, at most {duration(left)} left"
        )

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Ends the bar."""
        self.close()

    def close(self) -> None:
        """Ends the bar, where `fit` did not get to its end as well."""
        if self._open:
            self._open = False
            self._bar.__exit__(None, None, None)


def _values(logs: dict[str, float] | None) -> str:
    return "  ".join(
        f"{name} {percent(value) if 'accuracy' in name else f'{value:.4g}'}"
        for name, value in (logs or {}).items()
    )
