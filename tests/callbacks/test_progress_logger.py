import concurrent.futures
import os
import pty
import sys
import types

import pytest

from keras_lstm.callbacks.progress_logger import ProgressLogger


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


def read_to_the_end(terminal):
    """Return all text written to a terminal until its other end closes."""
    parts = []
    while True:
        try:
            part = os.read(terminal, 65536)
        # On Linux, reading fails once the other end is closed.
        except OSError:
            part = b""
        if not part:
            return b"".join(parts).decode()
        parts.append(part)


def test_a_terminal_gets_a_bar(monkeypatch):
    reader, writer = pty.openpty()
    with (
        concurrent.futures.ThreadPoolExecutor() as pool,
        os.fdopen(writer, "w") as terminal,
    ):
        reading = pool.submit(read_to_the_end, reader)
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setattr(sys, "stderr", terminal)
        drive(ProgressLogger())
    shown = reading.result()
    os.close(reader)
    assert "training" in shown
    assert "epoch 2/2  loss 0.5" in shown
    assert "epoch 1/2  loss 0.25" in shown


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
