"""TensorBoard summaries beyond those of Keras."""

import pathlib
import struct
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf
from tensorboard.plugins.hparams import api as hparams_api
from tensorboard.plugins.image import metadata as image_metadata

from keras_lstm.core.drawing import Drawing, Plot, png_of
from keras_lstm.models.gradient_norm import GradientNorms, record_gradient_norm
from keras_lstm.tasks.datasets import check_dataset

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from keras_lstm.monitoring.diagnostics import Diagnostics

# Maximum fractions of the training time.
_SCALARS_FRACTION = 0.01
_FIGURES_FRACTION = 0.01
# Estimate for the first figures, before any are timed.
_FIGURES_SECONDS = 0.5


class TensorBoard(keras.callbacks.TensorBoard):
    """Keras's TensorBoard callback, with diagnostics of LSTMs.

    In addition to Keras's summaries, it writes for each tab of TensorBoard:

    - Scalars: after each epoch, the mean and the largest gradient norm before
      clipping, the examples per second, and the seconds per step. For a dataset
      from `watch`, the latter are split into waiting for input and computing.
      With `diagnostics`, also the accuracy by carry length (for images, by the
      number of rows read).
    - Images, with `diagnostics`: accuracies by epoch, activations and, for
      images, mistakes and the confusion matrix.
    - Text, with `diagnostics`: wrong predictions of a sequence task.
    - Projector, with `diagnostics`: token embeddings and hidden states.
    - Graphs: the train step, which Keras 3 does not write.
    - HParams: the values in `hparams`, next to the metrics.

    After an epoch, diagnostics are skipped if scalars would exceed 1% of the
    training time so far, or images and text another 1%. Images and text are
    written at most after epochs 1, 2, 4, 8, and so on. At the end of training,
    all diagnostics are written.

    The class has the same name as Keras's because KerasTuner gives a separate
    folder and HParams per trial only to callbacks of this name.

    Args:
        log_dir: path of the folder for the event files. Defaults to "logs".
        diagnostics: diagnostics of the model, such as `SequenceDiagnostics` or
            `ImageDiagnostics`; see `make_diagnostics`. If None, only those
            summaries are written that need no task. Defaults to None.
        hparams: mapping of names to values for the HParams tab. Defaults to
            None.
        write_graph: whether to write the graph of the train step. Defaults to
            True.
        **options: further arguments of `keras.callbacks.TensorBoard`, such as
            `profile_batch`.

    Example:

    ```python
    board = TensorBoard("logs/mine", SequenceDiagnostics(task))
    model.fit(
        board.watch(dataset),
        epochs=16,
        steps_per_epoch=100,
        callbacks=[board],
    )
    ```
    """

    def __init__(
        self,
        log_dir: str | pathlib.Path = "logs",
        diagnostics: "Diagnostics | None" = None,
        hparams: Mapping[str, Any] | None = None,
        write_graph: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(log_dir, write_graph=False, **options)
        self.diagnostics = diagnostics
        self.hparams = dict(hparams or {})
        # Keras 3 cannot write it: its train function is not a `tf.function`.
        self._writes_step_graph = write_graph
        self._clock = _StepClock()
        self._norms: GradientNorms | None = None
        self._epochs_at_figures = 0
        self._drawings: list[tuple[str, Drawing[bytes], int]] = []
        self._clear()

    def watch(self, dataset: tf.data.Dataset) -> tf.data.Dataset:
        """Measure how long training waits for each batch of a dataset.

        The waiting time of a step lasts from its beginning until its batch has
        arrived. Measuring it requires training on one device with
        `steps_per_execution=1`; otherwise batches are fetched ahead of a step.

        Args:
            dataset: the dataset to train on.

        Returns:
            The dataset to pass to `fit`, with the same elements.

        Raises:
            InputError: if `dataset` is not a `tf.data.Dataset`.
        """
        check_dataset(dataset, "dataset")
        arrived = self._clock.arrived

        def note_arrival(*batch: Any) -> Any:
            size = tf.size(tf.nest.flatten(batch)[0])
            call = tf.numpy_function(arrived, [size], [])
            with tf.control_dependencies([call]):
                noted = tf.nest.map_structure(tf.identity, batch)
            return noted if is_tuple else noted[0]

        is_tuple = isinstance(dataset.element_spec, tuple)
        options = tf.data.Options()
        # A prefetch after this point would hide the waiting time.
        options.experimental_optimization.inject_prefetch = False
        unconverted = tf.autograph.experimental.do_not_convert(note_arrival)
        return dataset.map(unconverted).with_options(options)

    def set_model(self, model: keras.Model) -> None:
        """Make the optimizer record gradient norms."""
        super().set_model(model)
        self._norms = None
        if getattr(model, "optimizer", None) is None:
            return
        self._norms, first = record_gradient_norm(model.optimizer)
        if first:
            # A train step traced before does not record them.
            model.train_function = None

    def get_state(self) -> dict[str, Any]:
        """Return the callback's state, for `ExactResume`."""
        kept = self.diagnostics.get_state() if self.diagnostics else {}
        return {"diagnostics": kept, "drawn": self._epochs_at_figures}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore the state that `get_state` returned."""
        self._epochs_at_figures = state["drawn"]
        if self.diagnostics is not None:
            # Version 0.1 saved them as `probe`.
            name = "diagnostics" if "diagnostics" in state else "probe"
            self.diagnostics.set_state(state[name])

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Reset the state of an earlier `fit`, and start the clocks."""
        super().on_train_begin(logs)
        self._epochs_at_figures = 0
        self._last_epoch = self._last_scalars_epoch = -1
        self._traced = False
        if self.diagnostics is not None:
            self.diagnostics.forget()
        self._graph_written = not self._writes_step_graph
        self._scalars_budget = _TimeBudget(_SCALARS_FRACTION, 0.0)
        self._figures_budget = _TimeBudget(_FIGURES_FRACTION, _FIGURES_SECONDS)
        self._clear()
        self._hparams_written = not self.hparams

    def on_train_batch_begin(
        self, batch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Start the step's clock."""
        super().on_train_batch_begin(batch, logs)
        if self._norms is not None and not self._steps:
            # Norms recorded so far are not of this epoch.
            self._norms.clear()
        if self._traced and not self._timed_steps:
            self._examples_before = self._count_examples()
            self._clock.clear()
        self._clock.start()

    def on_train_batch_end(
        self, batch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Stop the step's clock."""
        steps, seconds = self.model.steps_per_execution, self._clock.stop()
        self._steps += steps
        # The first call includes the tracing.
        if self._traced:
            self._timed_steps += steps
            self._seconds += seconds
        self._traced = True
        # Otherwise Keras makes summaries of each step and never writes them.
        if (
            self.update_freq != "epoch"
            or self.write_steps_per_second
            or self._should_trace
        ):
            super().on_train_batch_end(batch, logs)

    def on_test_begin(self, logs: dict[str, float] | None = None) -> None:
        """Summarize the epoch before Keras resets its number of examples."""
        super().on_test_begin(logs)
        self._summarize()

    def on_epoch_end(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Write the epoch's summaries."""
        super().on_epoch_end(epoch, logs)
        self._summarize()
        self._last_epoch = epoch
        self.finish_figures(only_ready=True)
        with self._train_writer.as_default():
            for name, value in self._measured.items():
                tf.summary.scalar(name, value, step=epoch)
            if not self._graph_written and self._norms is not None:
                self._graph_written = True
                if self._norms.graph is not None:
                    tf.summary.graph(self._norms.graph.as_graph_def())
        self._clear()
        if not self._hparams_written:
            self._hparams_written = True
            self._write_hparams(logs or {})
        if self.diagnostics is None:
            return
        if self._scalars_budget.is_due():
            self._write_scalars(self.diagnostics, epoch)
        if (
            epoch + 1 >= 2 * self._epochs_at_figures
            and self._figures_budget.is_due()
        ):
            self._write_figures(self.diagnostics, epoch)

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Write the diagnostics of the final model."""
        epoch = self._last_epoch
        if self.diagnostics is not None and epoch >= 0:
            if self._last_scalars_epoch < epoch:
                self._write_scalars(self.diagnostics, epoch)
            self._write_figures(self.diagnostics, epoch)
            from keras_lstm.monitoring.projector import write_projector

            write_projector(
                pathlib.Path(self.log_dir), self.diagnostics.points(self.model)
            )
        super().on_train_end(logs)
        # `write_figure` and `write_text` then open new files.
        self._writers: dict[str, Any] = {}

    def write_figure(
        self, name: str, figure: "Figure | Plot", step: int = 0
    ) -> None:
        """Write a figure to the Images tab, during `fit` or after it.

        Args:
            name: name of the figure.
            figure: the Matplotlib figure, or a function that returns it.
            step: the step to show it at, such as an epoch, counted from 0.
                Defaults to 0.
        """
        if callable(figure):
            self._drawings.append((name, Drawing(figure, png_of), step))
            self.finish_figures(only_ready=True)
        else:
            self._write_png(name, png_of(figure), step)

    def finish_figures(self, only_ready: bool = False) -> None:
        """Write the figures that another process draws, once they are there.

        Args:
            only_ready: whether to wait for none. Defaults to False.
        """
        while self._drawings:
            if only_ready and not self._drawings[0][1].is_ready:
                break
            name, drawing, step = self._drawings.pop(0)
            self._write_png(name, drawing.result, step)

    def _write_png(self, name: str, png: bytes, step: int) -> None:
        # `tf.summary.image` would encode pixels again.
        size = [str(x).encode() for x in struct.unpack(">2I", png[16:24])]
        metadata = image_metadata.create_summary_metadata(None, None)
        with self._root_writer.as_default():
            tf.summary.write(name, tf.constant([*size, png]), step, metadata)
        self._root_writer.flush()

    def write_text(self, name: str, text: str, step: int = 0) -> None:
        """Write text to the Text tab, during `fit` or after it.

        Args:
            name: name of the text.
            text: the text, in Markdown.
            step: the step to show it at, such as an epoch, counted from 0.
                Defaults to 0.
        """
        with self._root_writer.as_default():
            tf.summary.text(name, text, step=step)
        self._root_writer.flush()

    @property
    def _root_writer(self) -> Any:
        if "root" not in self._writers:
            self._writers["root"] = tf.summary.create_file_writer(self.log_dir)
        return self._writers["root"]

    def _write_hparams(self, logs: dict[str, float]) -> None:
        """Write the values, and the names of the metrics to show with them."""
        metrics = []
        for name in logs:
            group = "validation" if name.startswith("val_") else "train"
            tag = f"epoch_{name.removeprefix('val_')}"
            metrics.append(
                hparams_api.Metric(tag, group=group, display_name=name)
            )
        values = {
            name: value
            if isinstance(value, bool | int | float | str)
            else str(value)
            for name, value in self.hparams.items()
        }
        with self._root_writer.as_default():
            hparams_api.hparams_config(
                [hparams_api.HParam(name) for name in values], metrics
            )
            hparams_api.hparams(values, pathlib.Path(self.log_dir).name)

    def _write_scalars(self, diagnostics: "Diagnostics", epoch: int) -> None:
        with self._scalars_budget, self._root_writer.as_default():
            for name, value in diagnostics.scalars(self.model, epoch).items():
                tf.summary.scalar(name, value, step=epoch)
        self._last_scalars_epoch = epoch

    def _write_figures(self, diagnostics: "Diagnostics", epoch: int) -> None:
        with self._figures_budget:
            for name, figure in diagnostics.figures(self.model).items():
                self.write_figure(name, figure, epoch)
            for name, text in diagnostics.texts(self.model).items():
                self.write_text(name, text, epoch)
        self._epochs_at_figures = epoch + 1

    def _clear(self) -> None:
        """Reset the sums of the epoch."""
        self._steps = self._timed_steps = 0
        self._seconds = 0.0
        self._measured: dict[str, float] = {}

    def _summarize(self) -> None:
        if not self._steps or self._measured:
            return
        if self._norms is not None and (norms := self._norms.take()):
            self._measured["gradient_norm/mean"] = norms[0]
            self._measured["gradient_norm/largest"] = norms[1]
        if not self._timed_steps:
            return
        examples = self._count_examples() - self._examples_before
        if examples > 0:
            self._measured["examples_per_second"] = examples / self._seconds
        seconds = self._seconds / self._timed_steps
        # With several steps per call, only the first one's start is known.
        if (
            self.model.steps_per_execution == 1
            and self._clock.arrivals == self._timed_steps
        ):
            waited = self._clock.waited / self._timed_steps
            self._measured["step_seconds/input_wait"] = waited
            self._measured["step_seconds/compute"] = seconds - waited
        self._measured["step_seconds/total"] = seconds

    def _count_examples(self) -> float:
        """Return the number of examples in the epoch's loss so far."""
        for metric in self.model.metrics:
            if metric.name == "loss":
                return float(keras.ops.convert_to_numpy(metric.count))
        return 0.0


class _StepClock:
    """Clock for steps and for the time they wait for their batches.

    `tf.timestamp` cannot be used: it fails if TensorFlow has to be
    deterministic.

    Attributes:
        waited: time spent waiting since the last `clear`, in seconds.
        arrivals: number of batches that arrived since the last `clear`.
    """

    def __init__(self) -> None:
        self._began = 0.0
        self._running = False
        self.clear()

    def __deepcopy__(self, memo: dict[int, Any]) -> "_StepClock":
        """Return this clock: the pipeline calls it, not a callback's copy."""
        return self

    def clear(self) -> None:
        self.waited = 0.0
        self.arrivals = 0

    def start(self) -> None:
        self._began = time.perf_counter()
        self._running = True

    def stop(self) -> float:
        """Stop the clock and return the seconds since its start."""
        self._running = False
        return time.perf_counter() - self._began

    def arrived(self, _: Any) -> None:
        """Count a batch; called by the pipeline. Ignored between steps."""
        if self._running:
            self.waited += time.perf_counter() - self._began
            self.arrivals += 1


class _TimeBudget:
    """Limit of repeated work to a fraction of the time since now.

    The first time is not counted, because it includes tracing and the import of
    modules.

    Args:
        fraction: fraction of the time, below 1.
        seconds: estimate of the time that the work takes, in seconds.
    """

    def __init__(self, fraction: float, seconds: float) -> None:
        self._fraction = fraction
        self._last = seconds
        self._total: float | None = None
        self._began = time.monotonic()

    def is_due(self) -> bool:
        """Return whether the work would stay within the budget."""
        elapsed = time.monotonic() - self._began
        return (self._total or 0.0) + self._last <= self._fraction * elapsed

    def __enter__(self) -> None:
        self._started = time.monotonic()

    def __exit__(self, *error: object) -> None:
        took = time.monotonic() - self._started
        if self._total is None:
            self._total = self._last = 0.0
            return
        self._total += took
        self._last = took
