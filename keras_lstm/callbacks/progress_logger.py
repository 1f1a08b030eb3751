"""Training progress on a terminal, in a notebook or in a log."""

import time
from typing import Any

import keras
import numpy as np

from keras_lstm.core.console import duration, percent, print_status
from keras_lstm.core.display import Block, Display, open_display, sparkline
from keras_lstm.distribute.strategies import is_chief

# As wide as most values, so that the text stays where it is.
_VALUE_WIDTH = 8


class ProgressLogger(keras.callbacks.Callback):
    """Show training progress on standard error.

    On a terminal, a block at the bottom shows a bar, the loss and the
    accuracies with their curves, what is still wrong, and the remaining time.
    In a notebook, an output of the cell shows the same. Elsewhere, such as in
    a log file, a line is printed per epoch. With `log_every_steps`, a line is
    printed every so many steps, wherever the program runs. An accuracy is
    shown as 100% only if it is exactly 1.

    Of several workers, only the chief has the block. It is updated at most
    four times a second.

    Pass `verbose=0` to `fit` to turn off Keras's own progress bar.

    Args:
        log_every_steps: number of training steps between two lines, counted
            across epochs (`steps_per_execution` for each call of the compiled
            step). If None, a line is printed per epoch instead, where no block
            is shown. Defaults to None.
        quiet: whether to show nothing. Defaults to False.
        num_validation: number of validation examples, to show how many are
            wrong by the metric `val_sequence_accuracy`; None for unknown.
            Defaults to None.

    Example:

    ```python
    model.fit(dataset, verbose=0, callbacks=[ProgressLogger()])
    ```
    """

    def __init__(
        self,
        log_every_steps: int | None = None,
        quiet: bool = False,
        num_validation: int | None = None,
    ) -> None:
        super().__init__()
        self.log_every_steps = log_every_steps
        self.quiet = quiet
        self.num_validation = num_validation
        # Created in `on_train_begin`: KerasTuner copies callbacks, and a
        # display cannot be copied.
        self._display: Display | None = None

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Start the display and the clock."""
        self.close()
        self._steps = self._epoch = self._epochs_here = self._skipped = 0
        self._started = time.monotonic()
        self._first_step: int | None = None
        self._steps_per_epoch: int | None = self.params["steps"]
        if self._steps_per_epoch is not None:
            # The last call of an epoch counts as a whole one.
            together = self.model.steps_per_execution
            calls = -(-self._steps_per_epoch // together)
            self._steps_per_epoch = calls * together
        self._is_partial = False
        self._logs: dict[str, float] = {}
        self._curves: dict[str, list[float]] = {}
        self._notes: dict[str, list[str]] = {}
        strategy = getattr(self.model, "distribute_strategy", None)
        if not self.quiet and (strategy is None or is_chief(strategy)):
            self._display = open_display()

    def on_epoch_begin(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Set the epoch that is shown."""
        self._epoch = epoch + 1
        self._epoch_began = self._steps
        if not (self._steps or self._epochs_here):
            # `initial_epoch`.
            self._skipped = epoch

    def get_state(self) -> dict[str, Any]:
        """Return the callback's state, for `ExactResume`."""
        return {
            "epoch": self._epoch,
            "steps": self._steps,
            "skipped": self._skipped,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore the state that `get_state` returned."""
        self._epoch, self._steps = state["epoch"], state["steps"]
        # Older versions did not count them.
        self._skipped = state.get("skipped", 0)
        self._is_partial = True

    def on_train_batch_end(
        self, batch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Update the display, and print a line if one is due."""
        before = self._steps
        if self._first_step is None:
            self._first_step = before
        self._steps += self.model.steps_per_execution
        if self._display is not None and self._display.is_due:
            self._logs |= logs or {}
            self._update()
        every = self.log_every_steps
        if every and self._steps // every > before // every:
            self._line(f"step {self._steps:,}  {_values(logs)}")

    def on_epoch_end(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Update the display; without one, print the epoch's line."""
        self._epochs_here += 1
        if self._display is not None:
            self._end_epoch(logs or {})
        elif not self.log_every_steps:
            epochs = self.params["epochs"]
            seconds = time.monotonic() - self._started
            left = seconds / self._epochs_here * (epochs - epoch - 1)
            self._line(
                f"epoch {epoch + 1}/{epochs}  {_values(logs)}  "
                f"{duration(seconds)}, at most {duration(left)} left"
            )

    def note(self, name: str, text: str, more: str = "") -> None:
        """Show a sentence until the next of the same name; print it in a log.

        Args:
            name: what the sentence is about.
            text: the sentence.
            more: what to add to it in a block. Defaults to "".
        """
        if self._display is None:
            self._line(text)
        else:
            self._notes[name] = [text, more] if more else [text]
            self._update()

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Leave the display as it is in the end."""
        if self._display is not None:
            took = duration(time.monotonic() - self._started)
            self._display.update(self._block(f"ended after {took}"))
        self.close()

    def close(self) -> None:
        """Close the display; call it if `fit` raised an exception."""
        if self._display is not None:
            self._display.close()
            self._display = None

    def _line(self, text: str) -> None:
        if self._display is not None:
            self._display.line(text)
        elif not self.quiet:
            print_status(text)

    def _end_epoch(self, logs: dict[str, float]) -> None:
        """Show the metrics of an epoch, and what is wrong in validation."""
        self._logs |= logs
        for name, value in logs.items():
            self._curves.setdefault(name, []).append(_mean(value))
        # The length of a dataset may be known only after its end. A resumed
        # epoch may be the rest of one.
        if not (self._is_partial or self._steps_per_epoch):
            self._steps_per_epoch = self._steps - self._epoch_began
        self._is_partial = False
        accuracy = logs.get("val_sequence_accuracy")
        if accuracy is not None and self.num_validation:
            count = self.num_validation
            num_wrong = round((1 - accuracy) * count)
            # Rounding must not make "none" of one.
            num_wrong = max(num_wrong, int(accuracy != 1.0))
            self._notes["validation"] = [
                f"epoch {self._epoch}: {num_wrong:,} of {count:,} validation "
                "examples are wrong"
            ]
        self._update()

    def _update(self) -> None:
        """Update the display, unless it was a moment ago."""
        if self._display is not None and self._display.is_due:
            self._display.update(self._block(self._left()))

    def _left(self) -> str:
        """Return the time that the remaining steps take at most."""
        steps, first = self._steps_per_epoch, self._first_step
        if not steps or first is None:
            return "time left unknown"
        done = max(1, self._steps - first)
        epochs = self.params["epochs"] - self._skipped
        left = max(0, epochs * steps - self._steps)
        seconds = (time.monotonic() - self._started) / done * left
        return f"at most {duration(seconds)} left"

    def _block(self, ending: str) -> Block:
        epochs, steps = self.params["epochs"], self._steps_per_epoch
        share = None
        if steps:
            share = self._steps / ((epochs - self._skipped) * steps)
        values: dict[bool, list[str]] = {False: [], True: []}
        for name, value in self._logs.items():
            fact = f"{name} {_value(name, value):<{_VALUE_WIDTH}}"
            if name in ("loss", "val_loss") or "accuracy" in name:
                curve = sparkline(self._curves.get(name, []), 12)
                fact = f"{fact} {curve}" if len(curve) > 1 else fact
            values[name.startswith("val_")].append(fact)
        place = f"epoch {self._epoch}/{epochs}  step {self._steps:,}"
        return Block(
            "training",
            share,
            f"{place}  {ending}",
            [values[False], values[True], *self._notes.values()],
        )


def _mean(value: Any) -> float:
    """Return the mean of a metric that is an array, as Keras's progress bar."""
    return float(np.mean(value))


def _values(logs: dict[str, float] | None) -> str:
    return "  ".join(
        f"{name} {_value(name, value)}" for name, value in (logs or {}).items()
    )


def _value(name: str, value: float) -> str:
    value = _mean(value)
    return percent(value) if "accuracy" in name else f"{value:.4g}"
