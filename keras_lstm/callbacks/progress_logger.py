"""Training progress on standard error."""

import time
from typing import Any

import keras

from keras_lstm.core.console import ProgressBar, duration, percent


class ProgressLogger(keras.callbacks.Callback):
    """Show training progress on standard error.

    On a terminal, a progress bar shows the epoch, the loss and the remaining
    time. There and elsewhere, such as in a log file, a line is printed per
    epoch, or every `log_every_steps` steps. An accuracy is printed as 100%
    only if it is exactly 1.

    Pass `verbose=0` to `fit` to turn off Keras's own progress bar.

    Args:
        log_every_steps: number of optimizer steps between two lines, counted
            across epochs. If None, a line is printed per epoch instead.
            Defaults to None.
        quiet: whether to show nothing. Defaults to False.

    Example:

    ```python
    model.fit(dataset, verbose=0, callbacks=[ProgressLogger()])
    ```
    """

    def __init__(
        self, log_every_steps: int | None = None, quiet: bool = False
    ) -> None:
        super().__init__()
        self.log_every_steps = log_every_steps
        self.quiet = quiet
        # Created in `on_train_begin`: KerasTuner copies callbacks, and a bar
        # cannot be copied.
        self._bar: ProgressBar
        self._open = False

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Start the progress bar and the clock."""
        self._steps = self._epoch = 0
        self._started = time.monotonic()
        self._epochs_here = 0
        self._bar = ProgressBar("training", self.quiet)
        self._bar.__enter__()
        self._open = True

    def on_epoch_begin(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Set the epoch that the bar shows."""
        self._epoch = epoch + 1

    def get_state(self) -> dict[str, Any]:
        """Return the callback's state, for `ExactResume`."""
        return {"epoch": self._epoch, "steps": self._steps}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore the state that `get_state` returned."""
        self._epoch, self._steps = state["epoch"], state["steps"]

    def on_train_batch_end(
        self, batch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Update the bar, and print a line if one is due."""
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
        """Print the epoch's line, unless lines are printed by steps."""
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
        """Close the progress bar."""
        self.close()

    def close(self) -> None:
        """Close the progress bar; call it if `fit` raised an exception."""
        if self._open:
            self._open = False
            self._bar.__exit__(None, None, None)


def _values(logs: dict[str, float] | None) -> str:
    return "  ".join(
        f"{name} {percent(value) if 'accuracy' in name else f'{value:.4g}'}"
        for name, value in (logs or {}).items()
    )
