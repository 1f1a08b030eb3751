import io
import types

import numpy as np
import pytest
from rich.console import Console

from keras_lstm.callbacks import progress_logger
from keras_lstm.callbacks.progress_logger import ProgressLogger
from keras_lstm.core.display import Display


def drive(logger, epochs=2, steps=3, per_call=1):
    logger.set_params({"epochs": epochs, "steps": steps})
    logger.set_model(types.SimpleNamespace(steps_per_execution=per_call))
    logger.on_train_begin()
    for epoch in range(epochs):
        logger.on_epoch_begin(epoch)
        for batch in range(0, steps, per_call):
            logger.on_train_batch_end(batch, {"loss": 0.5})
        logger.on_epoch_end(epoch, {"loss": 0.25, "val_sequence_accuracy": 1.0})
    logger.on_train_end()


def test_without_a_terminal_there_is_a_line_an_epoch(capfd):
    drive(ProgressLogger())
    out, err = capfd.readouterr()
    lines = err.splitlines()
    assert out == ""
    assert len(lines) == 2
    assert lines[0].startswith(
        "epoch 1/2  loss 0.25  val_sequence_accuracy 100%  "
    )
    assert "left" in lines[0]
    assert not set("\r\b\x1b") & set(err)


def test_lines_by_steps_count_over_all_epochs(capfd):
    drive(ProgressLogger(log_every_steps=2))
    assert capfd.readouterr().err.splitlines() == [
        f"step {step}  loss 0.5" for step in (2, 4, 6)
    ]


def test_several_steps_in_one_call_are_counted(capfd):
    drive(ProgressLogger(log_every_steps=3), steps=8, per_call=4)
    assert capfd.readouterr().err.splitlines() == [
        f"step {step}  loss 0.5" for step in (4, 8, 12, 16)
    ]


class Recorder(Display):
    """Keeps the text of each block that is shown."""

    is_due = True

    def __init__(self):
        super().__init__()
        self.blocks, self.lines, self.is_closed = [], [], False

    def _show(self, block):
        console = Console(file=io.StringIO(), width=90)
        console.print(block)
        self.blocks.append(console.file.getvalue())

    def line(self, text):
        self.lines.append(text)

    def close(self):
        self.is_closed = True


@pytest.fixture
def recorder(monkeypatch):
    found = Recorder()
    monkeypatch.setattr(progress_logger, "open_display", lambda: found)
    return found


def texts(recorder):
    """Return the lines of each block, with single spaces."""
    return [
        [" ".join(line.split()) for line in block.splitlines()]
        for block in recorder.blocks
    ]


def begun(epochs, steps, together=1):
    """Return a logger of a `fit` that has just begun."""
    logger = ProgressLogger()
    logger.set_params({"epochs": epochs, "steps": steps})
    logger.set_model(types.SimpleNamespace(steps_per_execution=together))
    logger.on_train_begin()
    return logger


def stopped_clock(monkeypatch):
    """Return a list with the time, which goes on when it is set."""
    now = [0.0]
    monkeypatch.setattr(progress_logger.time, "monotonic", lambda: now[0])
    return now


def test_a_block_instead_of_lines(recorder, capfd):
    drive(ProgressLogger())
    assert capfd.readouterr() == ("", "")
    assert recorder.lines == []
    assert recorder.is_closed
    found = texts(recorder)
    # A block for each of six steps, for two epochs, and the last.
    assert len(found) == 9
    assert found[0][0].endswith(" 16%")
    assert found[0][1].startswith("epoch 1/2 step 1 at most ")
    assert found[0][2] == "loss 0.5"
    assert found[-1][0].endswith("100%")
    assert found[-1][1].startswith("epoch 2/2 step 6 ended after ")
    assert found[-1][2:] == [
        "loss 0.25 ▁▁",
        "val_sequence_accuracy 100% ▁▁",
    ]


def test_what_is_wrong_in_validation_is_counted(recorder):
    logger = ProgressLogger(num_validation=1000)
    drive(logger, epochs=1)
    last = "epoch 1: 0 of 1,000 validation examples are wrong"
    assert texts(recorder)[-1][-1] == last
    # None is said only of an accuracy of exactly 1.
    logger.on_train_begin()
    logger.on_epoch_begin(0)
    logger.on_epoch_end(0, {"val_sequence_accuracy": 0.9999999})
    assert "epoch 1: 1 of 1,000" in texts(recorder)[-1][-1]


def test_sentences_stay_in_the_block_and_are_lines_in_a_log(recorder, capfd):
    logger = begun(1, 1)
    logger.note("wrong", "7 are wrong", "the worst: 01")
    logger.note("wrong", "5 are wrong", "the worst: 11")
    logger.note("proof", "no proof")
    found = texts(recorder)[-1][-2:]
    assert found == ["5 are wrong the worst: 11", "no proof"]
    assert capfd.readouterr().err == ""
    logger.close()
    logger.note("wrong", "3 are wrong", "the worst: 01")
    assert capfd.readouterr().err == "3 are wrong\n"


def test_lines_by_steps_go_above_the_block(recorder):
    drive(ProgressLogger(log_every_steps=3))
    assert recorder.lines == ["step 3  loss 0.5", "step 6  loss 0.5"]


def test_the_steps_of_an_epoch_may_be_known_only_after_it(recorder):
    logger = begun(2, None)
    logger.on_epoch_begin(0)
    logger.on_train_batch_end(0, {"loss": 0.5})
    assert texts(recorder)[-1][0] == (
        "training epoch 1/2 step 1 time left unknown"
    )
    logger.on_train_batch_end(1, {"loss": 0.5})
    logger.on_epoch_end(0, {"loss": 0.5})
    assert texts(recorder)[-1][0].endswith(" 50%")


def test_time_is_of_the_steps_since_the_resumption(recorder, monkeypatch):
    now = stopped_clock(monkeypatch)
    logger = begun(10, 10)
    logger.set_state({"epoch": 9, "steps": 90})
    logger.on_epoch_begin(9)
    now[0] += 3.0
    logger.on_train_batch_end(0, {"loss": 0.5})
    first = texts(recorder)[-1]
    assert first[0].endswith(" 91%")
    assert first[1] == "epoch 10/10 step 91 at most 27 s left"


def test_epochs_before_the_first_one_are_not_counted(recorder, monkeypatch):
    now = stopped_clock(monkeypatch)
    logger = begun(10, 2)
    for epoch in (8, 9):
        logger.on_epoch_begin(epoch)
        for batch in range(2):
            now[0] += 1.0
            logger.on_train_batch_end(batch, {"loss": 0.5})
    shares = [block[0].split()[-1] for block in texts(recorder)]
    assert shares == ["25%", "50%", "75%", "100%"]
    assert texts(recorder)[0][1] == "epoch 9/10 step 1 at most 3 s left"
    # The same, after a resumption in the tenth.
    state = logger.get_state() | {"steps": 3}
    logger.on_train_begin()
    logger.on_epoch_begin(9)
    logger.set_state(state)
    logger.on_train_batch_end(1, {"loss": 0.5})
    assert texts(recorder)[-1][0].endswith(" 100%")


def test_the_rest_of_an_epoch_tells_no_length(recorder):
    logger = begun(4, None)
    logger.on_epoch_begin(0)
    logger.set_state({"epoch": 1, "steps": 1})
    logger.on_train_batch_end(1, {"loss": 0.5})
    logger.on_epoch_end(0, {"loss": 0.5})
    assert "time left unknown" in texts(recorder)[-1][0]
    logger.on_epoch_begin(1)
    for batch in range(2):
        logger.on_train_batch_end(batch, {"loss": 0.5})
    logger.on_epoch_end(1, {"loss": 0.5})
    assert texts(recorder)[-1][0].endswith(" 50%")


def test_the_last_call_of_an_epoch_counts_as_a_whole_one(recorder):
    logger = begun(1, 10, together=8)
    logger.on_epoch_begin(0)
    shares = []
    for batch in (7, 9):
        logger.on_train_batch_end(batch, {"loss": 0.5})
        shares.append(texts(recorder)[-1][0].split()[-1])
    assert shares == ["50%", "100%"]


def test_only_the_chief_has_a_block(recorder, monkeypatch):
    monkeypatch.setattr(progress_logger, "is_chief", lambda strategy: False)
    logger = ProgressLogger()
    logger.set_params({"epochs": 1, "steps": 1})
    logger.set_model(
        types.SimpleNamespace(
            distribute_strategy=object(), steps_per_execution=1
        )
    )
    logger.on_train_begin()
    assert logger._display is None


def test_a_second_fit_closes_the_display_of_one_that_failed(recorder):
    logger = begun(1, 1)
    assert not recorder.is_closed
    logger.on_train_begin()
    assert recorder.is_closed


@pytest.mark.parametrize(
    ("fraction", "text"),
    [
        (1.0, "100%"),
        (0.99999999, "99.9999%"),
        (0.5, "50%"),
        (0.0, "0%"),
        (0.123456, "12.3456%"),
    ],
)
def test_only_exactly_one_is_a_hundred_percent(fraction, text):
    from keras_lstm.core.console import percent

    assert percent(fraction) == text


def test_metrics_that_are_arrays_are_shown_as_their_mean(capfd):
    logger = ProgressLogger(log_every_steps=1)
    logger.set_params({"epochs": 1, "steps": 1})
    logger.set_model(types.SimpleNamespace(steps_per_execution=1))
    logger.on_train_begin()
    logger.on_epoch_begin(0)
    logs = {"f1_score": np.array([0.25, 0.75])}
    logger.on_train_batch_end(0, logs)
    logger.on_epoch_end(0, logs)
    logger.on_train_end()
    assert "step 1  f1_score 0.5" in capfd.readouterr().err
