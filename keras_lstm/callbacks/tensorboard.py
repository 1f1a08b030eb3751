"""What TensorBoard shows of a training, beyond what Keras writes."""

import pathlib
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf
from tensorboard.plugins.hparams import api as hparams_api

from keras_lstm.models.gradient_norm import GradientNorms, record_gradient_norm

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from keras_lstm.monitoring.diagnostics import Diagnostics

# What asking and drawing may take of the training's time.
_SHARE_TO_ASK = 0.01
_SHARE_TO_DRAW = 0.01
# What drawing takes, before it is known.
_SECONDS_TO_DRAW = 0.5


class TensorBoard(keras.callbacks.TensorBoard):
    """Keras's, and what makes an LSTM understood.

    Beside Keras's scalars, after each epoch: the gradient's norm, examples per
    second, the time of a step, split into waiting for input and computing
    where the dataset is from `watch`. With diagnostics: accuracy by carry
    length or rows read, pictures of what happens inside, wrong answers, points
    for the Projector. The Graphs tab gets the train step, HParams the values
    given.

    Asking takes at most 1% of the training's time, drawing as much: after short
    epochs they are left out. Pictures are drawn after epochs 1, 2, 4, 8, ... at
    most, and at the end.

    It is called what Keras's is called because KerasTuner gives folders and
    HParams of their own to callbacks of this name only.

    Args:
        log_dir: where everything goes.
        diagnostics: what to ask the model, see `make_diagnostics`.
        hparams: values for the HParams tab, by name.
        write_graph: whether to write the train step's graph.
        **options: Keras's own, such as `profile_batch`.

    Example:

    ```python
    board = TensorBoard("logs/mine", SequenceDiagnostics(task))
    model.fit(board.watch(dataset), callbacks=[board], ...)
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
        # Keras 3 writes none: its train function is no `tf.function`.
        self._writes_step_graph = write_graph
        self._clock = _StepClock()
        self._norms: GradientNorms | None = None
        self._drawn = 0
        self._clear()

    def watch(self, dataset: tf.data.Dataset) -> tf.data.Dataset:
        """The dataset, with the time noted that each batch is waited for.

        From the beginning of a step until its batch is there. For training on
        one device, one step at a time: others fetch batches ahead.
        """
        arrived = self._clock.arrived

        def note_arrival(*batch: Any) -> Any:
            size = tf.size(tf.nest.flatten(batch)[0])
            call = tf.numpy_function(arrived, [size], [])
            with tf.control_dependencies([call]):
                noted = tf.nest.map_structure(tf.identity, batch)
            return noted if is_tuple else noted[0]

        is_tuple = isinstance(dataset.element_spec, tuple)
        options = tf.data.Options()
        # Behind this nothing may be fetched ahead.
        options.experimental_optimization.inject_prefetch = False
        without_autograph = tf.autograph.experimental.do_not_convert(
            note_arrival
        )
        return dataset.map(without_autograph).with_options(options)

    def set_model(self, model: keras.Model) -> None:
        """Has the optimizer note gradients, before the train step is traced."""
        super().set_model(model)
        self._norms = None
        if getattr(model, "optimizer", None) is None:
            return
        self._norms, first = record_gradient_norm(model.optimizer)
        if first:
            model.train_function = None

    def get_state(self) -> dict[str, Any]:
        """What a training that is resumed needs to know."""
        diagnostics = (
            {} if self.diagnostics is None else self.diagnostics.get_state()
        )
        return {"diagnostics": diagnostics, "drawn": self._drawn}

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes on from `get_state`."""
        self._drawn = state["drawn"]
        if self.diagnostics is not None:
            # Version 0.1 called it a probe.
            name = "diagnostics" if "diagnostics" in state else "probe"
            self.diagnostics.set_state(state[name])

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Starts the clocks."""
        super().on_train_begin(logs)
        self._drawn = 0
        self._last_epoch = self._last_asked = -1
        self._traced = False
        if self.diagnostics is not None:
            self.diagnostics.forget()
        self._graph_written = not self._writes_step_graph
        self._asking = _Share(_SHARE_TO_ASK, 0.0)
        self._drawing = _Share(_SHARE_TO_DRAW, _SECONDS_TO_DRAW)
        self._clear()
        self._hparams_written = not self.hparams

    def on_train_batch_begin(
        self, batch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Starts the step's clock."""
        super().on_train_batch_begin(batch, logs)
        if self._norms is not None and not self._steps:
            # What was noted before is not of this epoch's steps.
            self._norms.clear()
        if self._traced and not self._timed_steps:
            self._examples_before = self._count_examples()
            self._clock.clear()
        self._clock.start()

    def on_train_batch_end(
        self, batch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Stops the step's clock."""
        steps, seconds = self.model.steps_per_execution, self._clock.stop()
        self._steps += steps
        # The first one is traced.
        if self._traced:
            self._timed_steps += steps
            self._seconds += seconds
        self._traced = True
        # Keras makes summaries of each step that it then does not write.
        if (
            self.update_freq != "epoch"
            or self.write_steps_per_second
            or self._should_trace
        ):
            super().on_train_batch_end(batch, logs)

    def on_test_begin(self, logs: dict[str, float] | None = None) -> None:
        """Sums up the epoch before Keras forgets how many examples it had."""
        super().on_test_begin(logs)
        self._sum_up()

    def on_epoch_end(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Writes what the epoch came to."""
        super().on_epoch_end(epoch, logs)
        self._sum_up()
        self._last_epoch = epoch
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
        if self._asking.is_due():
            self._ask(self.diagnostics, epoch)
        if epoch + 1 >= 2 * self._drawn and self._drawing.is_due():
            self._draw(self.diagnostics, epoch)

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Draws the model as it is at the end."""
        epoch = self._last_epoch
        if self.diagnostics is not None and epoch >= 0:
            if self._last_asked < epoch:
                self._ask(self.diagnostics, epoch)
            self._draw(self.diagnostics, epoch)
            from keras_lstm.monitoring.projector import write_projector

            write_projector(
                pathlib.Path(self.log_dir), self.diagnostics.points(self.model)
            )
        super().on_train_end(logs)
        # What is written later gets files of its own.
        self._writers: dict[str, Any] = {}

    def write_figure(self, name: str, figure: "Figure", step: int = 0) -> None:
        """Adds a picture of one's own, during `fit` or after."""
        from keras_lstm.monitoring.pictures import pixels

        with self._root_writer.as_default():
            tf.summary.image(name, pixels(figure)[None], step=step)
        self._root_writer.flush()

    def write_text(self, name: str, text: str, step: int = 0) -> None:
        """Adds a text of one's own, in Markdown, during `fit` or after."""
        with self._root_writer.as_default():
            tf.summary.text(name, text, step=step)
        self._root_writer.flush()

    @property
    def _root_writer(self) -> Any:
        if "root" not in self._writers:
            self._writers["root"] = tf.summary.create_file_writer(self.log_dir)
        return self._writers["root"]

    def _write_hparams(self, logs: dict[str, float]) -> None:
        """The values, and which scalars to show beside them."""
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

    def _ask(self, diagnostics: "Diagnostics", epoch: int) -> None:
        with self._asking, self._root_writer.as_default():
            for name, value in diagnostics.scalars(self.model, epoch).items():
                tf.summary.scalar(name, value, step=epoch)
        self._last_asked = epoch

    def _draw(self, diagnostics: "Diagnostics", epoch: int) -> None:
        with self._drawing:
            for name, figure in diagnostics.figures(self.model).items():
                self.write_figure(name, figure, epoch)
            for name, text in diagnostics.texts(self.model).items():
                self.write_text(name, text, epoch)
        self._drawn = epoch + 1

    def _clear(self) -> None:
        """Forgets the epoch's sums."""
        self._steps = self._timed_steps = 0
        self._seconds = 0.0
        self._measured: dict[str, float] = {}

    def _sum_up(self) -> None:
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
        # Of several steps in one call only the first begin is seen.
        if (
            self.model.steps_per_execution == 1
            and self._clock.arrivals == self._timed_steps
        ):
            waited = self._clock.waited / self._timed_steps
            self._measured["step_seconds/input_wait"] = waited
            self._measured["step_seconds/compute"] = seconds - waited
        self._measured["step_seconds/total"] = seconds

    def _count_examples(self) -> float:
        """Those that the loss has been averaged over in this epoch."""
        for metric in self.model.metrics:
            if metric.name == "loss":
                return float(keras.ops.convert_to_numpy(metric.count))
        return 0.0


class _StepClock:
    """Times steps, and adds up how long their batches are waited for.

    TensorFlow's own clock refuses to be read where it is to be deterministic.

    Attributes:
        waited: seconds, since the clock was cleared.
        arrivals: batches, likewise.
    """

    def __init__(self) -> None:
        self._began = 0.0
        self._running = False
        self.clear()

    def __deepcopy__(self, memo: dict[int, Any]) -> "_StepClock":
        """The same: the pipeline calls this one, whoever copies callbacks."""
        return self

    def clear(self) -> None:
        self.waited = 0.0
        self.arrivals = 0

    def start(self) -> None:
        self._began = time.perf_counter()
        self._running = True

    def stop(self) -> float:
        """The seconds since the start."""
        self._running = False
        return time.perf_counter() - self._began

    def arrived(self, _: Any) -> None:
        """Called by the pipeline; between steps it counts for nothing."""
        if self._running:
            self.waited += time.perf_counter() - self._began
            self.arrivals += 1


class _Share:
    """Keeps work to a share of the time since now.

    Args:
        share: below 1.
        seconds: what the work takes the first time, which does not count: it
            is traced, modules are loaded.
    """

    def __init__(self, share: float, seconds: float) -> None:
        self._share = share
        self._last = seconds
        self._total: float | None = None
        self._began = time.monotonic()

    def is_due(self) -> bool:
        """Whether the work would keep to its share."""
        elapsed = time.monotonic() - self._began
        return (self._total or 0.0) + self._last <= self._share * elapsed

    def __enter__(self) -> None:
        self._started = time.monotonic()

    def __exit__(self, *error: object) -> None:
        took = time.monotonic() - self._started
        if self._total is None:
            self._total = self._last = 0.0
            return
        self._total += took
        self._last = took
