import pytest

from keras_lstm.callbacks.history_writer import HistoryWriter
from keras_lstm.core.errors import InputError


def test_the_file_is_whole_after_every_epoch(tmp_path):
    path = tmp_path / "history.csv"
    writer = HistoryWriter(path)
    writer.on_train_begin()
    writer.on_epoch_end(0, {"loss": 0.5})
    assert path.read_text() == "epoch,loss\n1,0.5\n"
    writer.on_epoch_end(1, {"loss": 0.25, "val_loss": 1.5})
    assert path.read_text() == "epoch,loss,val_loss\n1,0.5,\n2,0.25,1.5\n"
    assert [p.name for p in tmp_path.iterdir()] == ["history.csv"]


def test_a_second_fit_starts_anew(tmp_path):
    path = tmp_path / "history.csv"
    writer = HistoryWriter(path)
    for _ in range(2):
        writer.on_train_begin()
        writer.on_epoch_end(0, {"loss": 0.5})
    assert path.read_text() == "epoch,loss\n1,0.5\n"


def test_a_folder_that_is_missing_is_told_before_training(tmp_path):
    writer = HistoryWriter(tmp_path / "none" / "history.csv")
    with pytest.raises(InputError, match="`path` must be in a folder that ex"):
        writer.on_train_begin()
