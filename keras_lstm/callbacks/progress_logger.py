"""Shows a training's progress on standard error."""

import time

import keras

from keras_lstm.console import ProgressBar, percent


class ProgressLogger(keras.callbacks.Callback):
    """A progress bar on a terminal; elsewhere a line per epoch, or more often.

    Give `verbose=0` to `fit` with it.

    Args:
        log_every_steps: a line each time this many steps are done, counted
            over all epochs; None for one per epoch.
    """

    def __init__(self, log_every_steps: int | None = None) -> None:
        super().__init__()
        self.log_every_steps = log_every_steps
        # Opened in `on_train_begin`: KerasTuner copies callbacks.
        self._bar: ProgressBar

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Starts the bar and the clock."""
        self._steps = 0
        self._started = time.monotonic()
        self._bar = ProgressBar("training")
        self._bar.__enter__()

    def on_epoch_begin(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Notes which epoch it is."""
        self._epoch = epoch + 1

    def on_train_batch_end(
        self, batch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Moves the bar."""
        self._steps += 1
        epochs, steps = self.params["epochs"], self.params["steps"]
        loss = (logs or {}).get("loss", float("nan"))
        if steps and self._bar.on_terminal:
            note = f"epoch {self._epoch}/{epochs}  loss {loss:.4g}"
            self._bar.update(self._steps, epochs * steps, note)
        if self.log_every_steps and self._steps % self.log_every_steps == 0:
            self._bar.line(f"step {self._steps:,}  {_values(logs)}")

    def on_epoch_end(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Prints the epoch's line."""
        if self.log_every_steps:
            return
        epochs = self.params["epochs"]
        seconds = time.monotonic() - self._started
        left = seconds / (epoch + 1) * (epochs - epoch - 1)
        self._bar.line(
            f"epoch {epoch + 1}/{epochs}  {_values(logs)}  "
            f"{seconds:.0f} s, at most {left:.0f} s left"
        )

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Ends the bar."""
        self._bar.__exit__(None, None, None)


def _values(logs: dict[str, float] | None) -> str:
    return "  ".join(
        f"{name} {percent(value) if 'accuracy' in name else f'{value:.4g}'}"
        for name, value in (logs or {}).items()
    )
