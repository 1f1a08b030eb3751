"""Which task reads a file, if nobody says so."""

import pytest

from keras_lstm.cli import main
from keras_lstm.tasks.data_kind import task_for_data

SERIES = ["id,time,a,b,kind", "p,0,1,2,x", "p,1,2,3,x", "q,0,4,5,y"]


def write(path, lines):
    path.write_text("\n".join([*lines, ""]))
    return path


@pytest.mark.parametrize(
    ("name", "lines", "expected"),
    [
        ("a.csv", ["text,label", "ab,x"], "sequences"),
        ("a.csv", SERIES, "rows"),
        # Most columns are no numbers.
        ("a.csv", ["id,date,who,said,label", "1,2,x,y,z"], "sequences"),
        # A usual name of sequences of tokens.
        ("a.csv", ["id,time,word,a,b,label", "1,2,x,3,4,y"], "sequences"),
        ("a.csv", ["time,a,b,c", "1,2,3,4"], "sequences"),
        ("a.csv", [], "sequences"),
        ("a.npz", ["no archive"], "rows"),
        ("a.bin", ["no data"], "rows"),
    ],
)
def test_files_tell_their_task(tmp_path, name, lines, expected):
    assert task_for_data(write(tmp_path / name, lines)).name == expected


def test_a_folder_is_of_images_whatever_its_name(tmp_path):
    (tmp_path / "pictures.csv").mkdir()
    assert task_for_data(tmp_path / "pictures.csv").name == "rows"


def test_time_series_are_shown_as_such(tmp_path, capsys):
    path = write(tmp_path / "a.csv", SERIES)
    assert main(["data", str(path)]) == 2
    message = capsys.readouterr().err
    assert "`target` must name a column. Received: target=None" in message
    options = ["--target", "kind", "--test-fraction", "0"]
    assert main(["data", str(path), *options]) == 0
    assert "2 sequences" in capsys.readouterr().out
