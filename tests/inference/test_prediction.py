import concurrent.futures
import io
import json
import os
import subprocess
import sys
import zlib

import keras
import numpy as np
import pytest
from handmade import CONSTRUCTED
from PIL import Image

from keras_lstm.cli import main
from keras_lstm.config import ModelConfig
from keras_lstm.core.errors import InputError, RunError
from keras_lstm.inference import prediction
from keras_lstm.inference.prediction import read_lines
from keras_lstm.models.build import build_model
from keras_lstm.presets import get_preset
from keras_lstm.tasks.image_files import read_images
from keras_lstm.tasks.image_rows import ImageRows
from keras_lstm.tasks.increment import Increment
from keras_lstm.tasks.notation import ArrayNotation, Query
from keras_lstm.training.train import train


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Return the folder of finished runs; `proved` makes no mistakes."""
    folder = tmp_path_factory.mktemp("runs")
    proved = get_preset("increment").replace(
        Increment, num_bits=8, **CONSTRUCTED
    )
    train(proved, folder / "proved", quiet=True)
    short = get_preset("increment").replace(
        Increment, num_bits=6, units=4, epochs=1, head="last_state"
    )
    train(short, folder / "short", quiet=True)
    digits = get_preset("digits").replace(ImageRows, epochs=1)
    train(digits, folder / "digits", quiet=True)
    return folder


def typed(text):
    """Return a standard input with these bytes in it."""
    return io.TextIOWrapper(io.BytesIO(text))


def predict(runs, name, *inputs):
    return main(["predict", str(runs / name), *map(str, inputs)])


def test_numbers_are_answered_in_their_own_notation(runs, capsys):
    inputs = ["7", "0b0111", "0x1f", "00000111", "255", "0xffffffffffffffff"]
    assert predict(runs, "proved", *inputs) == 0
    assert capsys.readouterr().out.splitlines() == [
        "7 → 8  right",
        "0b0111 → 0b1000  right",
        "0x1f → 0x20  right",
        "00000111 → 00001000  right",
        "255 → 256  right",
        "0xffffffffffffffff → 0x10000000000000000  right",
    ]


def test_wrong_answers_are_marked(runs, capsys):
    assert predict(runs, "short", "7", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["input"] == "7"
    assert found["target"] == "8"
    assert not found["right"]
    said = int(found["prediction"])
    marks = "".join("^" if bit == "1" else "." for bit in f"{said ^ 8:06b}")
    assert found["wrong_symbols"] == marks
    assert predict(runs, "short", "7") == 0
    assert capsys.readouterr().out == (
        f"7 → {said}  WRONG: 8 is right; {said:06b} has wrong {marks}\n"
    )


def test_a_stream_is_answered_line_by_line(runs, tmp_path, capsys, monkeypatch):
    path = tmp_path / "numbers"
    path.write_text("1\n\nx\n0b11\n")
    monkeypatch.setattr(sys, "stdin", typed(b"5\n-1\n"))
    assert predict(runs, "proved", f"@{path}", "4", "-", "--json") == 1
    out, err = capsys.readouterr()
    found = [json.loads(line) for line in out.splitlines()]
    assert [(each["input"], each["prediction"]) for each in found] == [
        *(("1", "2"), ("0b11", "0b100"), ("4", "5"), ("5", "6")),
    ]
    assert [each.get("line") for each in found] == [1, 4, None, 1]
    first, second = err.splitlines()
    assert first.startswith(f"{path}, line 3: `input` must be 8 digits")
    assert second.startswith("standard input, line 2: `input` must be a number")


@pytest.mark.parametrize(
    ("name", "inputs", "message"),
    [
        ("proved", ["12x"], "`input` must be 8 digits below 2"),
        ("proved", ["1", "-5"], "a number that is not negative"),
        ("proved", ["@nowhere"], "`input` must be a file after @"),
        ("proved", ["@empty"], "`input` must not be empty"),
        ("proved", ["7", "--rows", "3"], "`rows` is for images"),
        ("short", ["64"], "at most 6 bits, which the last_state head reads"),
        ("digits", ["nowhere.png"], "`input` must be a file of images"),
        ("digits", ["empty"], "`input` must hold images. Received: empty"),
        ("digits", ["large.png"], "8 x 8 pixels, which the model reads. "),
        ("digits", ["text"], "a .npy, IDX, PNG or JPEG file"),
        ("digits", ["half.png"], "cannot be read"),
        ("digits", ["huge.png"], "is too large"),
        ("digits", ["large.npy"], "large.npy, of 3 x 9 x 8"),
        ("digits", ["short.npy"], "short.npy cannot be read"),
        ("digits", ["object.npy"], "object.npy cannot be read"),
        ("digits", ["bright.npy"], "from 0 (black) to 1 (white)"),
        ("digits", ["integers.npy"], "bytes (uint8) or floating-point"),
        ("digits", ["good.npy", "--rows", "9"], "`rows` must be at most 8"),
        ("digits", ["good.npy", "text"], "a .npy, IDX, PNG or JPEG file"),
        ("nothing", ["7"], "must hold a finished run"),
    ],
)
def test_bad_input_is_one_line(
    runs, tmp_path, monkeypatch, capsys, name, inputs, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").write_text("")
    (tmp_path / "text").write_text("no picture at all")
    Image.new("L", (9, 8)).save("large.png")
    Image.new("L", (8, 8)).save("half.png")
    whole = (tmp_path / "half.png").read_bytes()
    (tmp_path / "half.png").write_bytes(whole[:45])
    # A header that announces 16 gigapixels.
    huge = bytearray(whole)
    huge[16:24] = (2**17).to_bytes(4, "big") * 2
    huge[29:33] = zlib.crc32(huge[12:29]).to_bytes(4, "big")
    (tmp_path / "huge.png").write_bytes(huge)
    for part, values in {
        "good": np.zeros((2, 8, 8), np.uint8),
        "large": np.zeros((3, 9, 8)),
        "short": np.zeros((2, 8, 8)),
        "bright": np.full((8, 8), 2.0),
        "integers": np.zeros((8, 8), np.int64),
        "object": np.array([{}]),
    }.items():
        np.save(f"{part}.npy", values, allow_pickle=True)
    short = (tmp_path / "short.npy").read_bytes()
    (tmp_path / "short.npy").write_bytes(short[:-1])
    capsys.readouterr()
    assert predict(runs, name, *inputs) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert message in err


def test_standard_input_without_anything_is_refused(runs, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", typed(b""))
    assert predict(runs, "proved", "-") == 2
    assert "Received: standard input, empty" in capsys.readouterr().err


def test_images_are_named(runs, tmp_path, capsys, write_idx):
    images = np.random.default_rng(0).integers(17, size=(3, 8, 8), dtype="u1")
    model = keras.saving.load_model(runs / "digits" / "model.keras")
    logits = model.predict(images / np.float32(16), verbose=0)
    expected = logits.argmax(-1).tolist()
    np.save(tmp_path / "bytes.npy", images)
    np.save(tmp_path / "shares.npy", (images / 16)[0])
    write_idx(tmp_path / "images-idx3-ubyte", images)
    Image.fromarray((images[0] / 16 * 255).astype("u1")).save(
        tmp_path / "one.png"
    )
    names = ("bytes.npy", "shares.npy", "images-idx3-ubyte", "one.png")
    paths = [tmp_path / name for name in names]
    assert predict(runs, "digits", *paths, "--json") == 0
    found = [json.loads(x) for x in capsys.readouterr().out.splitlines()]
    assert [each["class"] for each in found] == [
        *(*expected, expected[0], *expected, expected[0])
    ]
    assert [each.get("index") for each in found[:4]] == [0, 1, 2, None]
    confidences = np.exp(logits).max(-1) / np.exp(logits).sum(-1)
    for each, confidence in zip(found[:3], confidences, strict=True):
        assert each["probability"] == pytest.approx(confidence, rel=1e-5)
    assert predict(runs, "digits", paths[1]) == 0
    assert capsys.readouterr().out.startswith(f"{paths[1]} → {expected[0]}  (")


def test_an_answer_after_some_rows(runs, tmp_path, capsys):
    images = np.random.default_rng(0).random((2, 8, 8), np.float32)
    changed = images.copy()
    changed[:, 5:] = 1.0
    np.save(tmp_path / "a.npy", images)
    np.save(tmp_path / "b.npy", changed)
    found = []
    for rows in ("5", "6"):
        both = [tmp_path / "a.npy", tmp_path / "b.npy"]
        assert predict(runs, "digits", *both, "--rows", rows, "--json") == 0
        lines = map(json.loads, capsys.readouterr().out.splitlines())
        found.append([line["probability"] for line in lines])
    # After five rows the model has not read the sixth, where images differ.
    assert found[0][:2] == found[0][2:]
    assert found[1][:2] != found[1][2:]


def test_lengths_may_differ_within_a_stream(runs):
    task = Increment(num_bits=8)
    model = build_model(task, ModelConfig(units=3))
    lines = read_lines([str(2**n) for n in range(0, 70, 3)])
    bad = []
    predictions = [
        each.fields
        for batch in prediction.predict(
            model,
            task,
            lines,
            any_length=True,
            on_bad_line=lambda line, error: bad.append(line),
        )
        for each in batch
    ]
    assert [int(each["input"]) for each in predictions] == [
        2**n for n in range(0, 70, 3)
    ]
    assert [int(each["target"]) for each in predictions] == [
        2**n + 1 for n in range(0, 70, 3)
    ]
    assert not bad


def test_lines_that_are_no_text_are_bad_lines(runs, tmp_path, capsys):
    path = tmp_path / "numbers"
    # Editors on Windows write a byte order mark first.
    path.write_bytes(b"\xef\xbb\xbf7\r\n\xff\r\n8")
    assert predict(runs, "proved", f"@{path}") == 1
    out, err = capsys.readouterr()
    assert out.splitlines() == ["7 → 8  right", "8 → 9  right"]
    assert err.startswith(f"{path}, line 2: ")
    assert "\\xff" in err


def test_a_line_without_end_is_cut(tmp_path, monkeypatch):
    monkeypatch.setattr(prediction, "_MAX_LINE", 10)
    path = tmp_path / "long"
    path.write_bytes(b"1\n" + b"1" * 100)
    found = [
        (line.number, line.text, line.is_cut)
        for lines in read_lines([f"@{path}"])
        for line in lines
    ]
    assert found == [(1, "1", False), (2, "1" * 10, True)]


def test_a_line_that_is_too_long_is_one_bad_line(runs, tmp_path, capsys):
    path = tmp_path / "long"
    path.write_bytes(b"7\n0b" + b"1" * (2**20 + 2**17) + b"\n8\n")
    assert predict(runs, "proved", f"@{path}") == 1
    out, err = capsys.readouterr()
    assert out.splitlines() == ["7 → 8  right", "8 → 9  right"]
    assert err.startswith(f"{path}, line 2: `input` must be a line of at most")
    assert err.count("\n") == 1
    assert len(err) < 400


def test_closed_standard_input_is_one_line(runs, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    assert predict(runs, "proved", "5", "-") == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "standard input is closed" in err
    assert predict(runs, "proved", "5") == 0


def test_whoever_writes_into_a_pipe_is_answered_at_once(runs):
    command = [sys.executable, "-m", "keras_lstm", "predict", runs / "proved"]
    with subprocess.Popen(
        [*command, "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        # An encoding that lacks the arrow must not stop the predictions.
        env=os.environ | {"PYTHONIOENCODING": "latin1"},
    ) as process:
        for number in (7, 8):
            process.stdin.write(f"{number}\n")
            process.stdin.flush()
            line = process.stdout.readline()
            assert line == f"{number} ? {number + 1}  right\n"
        process.stdin.close()
        assert process.wait() == 0


def test_a_pipe_that_does_not_wait_is_read_to_its_end(monkeypatch):
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    with (
        open(reading) as stdin,
        open(writing, "w") as pipe,
        concurrent.futures.ThreadPoolExecutor() as pool,
    ):
        monkeypatch.setattr(sys, "stdin", stdin)
        lines = read_lines(["-"])
        assert next(lines) == []
        first = pool.submit(next, lines)
        pipe.write("5\n")
        pipe.close()
        assert [line.text for line in first.result()] == ["5"]
        assert os.get_blocking(reading)


def test_the_name_of_a_file_is_one_line(tmp_path):
    path = tmp_path / "a\nb\x1b[2J"
    path.write_text("5\n")
    _, (line,), *_ = read_lines([f"@{path}"])
    assert line.place == f"{tmp_path}/a\\nb\\x1b[2J, line 1"
    assert line.origin == {"source": str(path), "line": 1}


def test_a_label_without_a_probability_is_no_error():
    queries = ArrayNotation((1,)).describe(
        [Query("a\nb", np.zeros(1), 1)], np.array([-1]), np.array([np.nan])
    )
    ((text, fields),) = queries
    assert text == "a\\nb → -1  (nan)"
    assert fields == {"input": "a\nb", "class": -1, "probability": None}


def test_outputs_that_are_no_numbers_are_an_error():
    task = Increment(num_bits=4)
    model = build_model(task, ModelConfig())
    model.set_weights([np.full_like(w, np.nan) for w in model.get_weights()])
    lines = [[prediction.Line("7"), prediction.Line("3")]]
    answers = prediction.predict(
        model, task, lines, any_length=False, on_bad_line=pytest.fail
    )
    with pytest.raises(RunError, match="does not answer 2 of 2 inputs: its"):
        list(answers)


def test_a_pipe_may_stand_for_a_file(runs, tmp_path, capsys):
    os.mkfifo(tmp_path / "pipe")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        written = pool.submit((tmp_path / "pipe").write_text, "5\n")
        assert predict(runs, "proved", f"@{tmp_path / 'pipe'}") == 0
        written.result()
    assert capsys.readouterr().out == "5 → 6  right\n"


def test_pictures_of_all_kinds_are_the_same_picture(tmp_path):
    grey = np.random.default_rng(0).integers(256, size=(8, 8), dtype="u1")
    white = np.full_like(grey, 255)
    pictures = {
        "grey": Image.fromarray(grey),
        "16 bits": Image.fromarray(grey.astype("u2") * 257),
        "colour": Image.fromarray(np.stack([grey] * 3, -1)),
        "transparent": Image.fromarray(np.stack([white] * 3 + [grey], -1)),
    }
    for name, picture in pictures.items():
        picture.save(tmp_path / f"{name}.png")
        found = read_images(tmp_path / f"{name}.png", (8, 8), 16)
        np.testing.assert_allclose(found[0] * 255, grey, atol=1)


@pytest.mark.parametrize(
    ("rows", "changes", "message"),
    [
        (3, {"bidirectional": True}, "a model that reads forwards only"),
        (9, {}, "must be at most 8"),
        (None, {"bidirectional": True}, None),
        (8, {}, None),
    ],
)
def test_rows_after_which_a_model_does_not_predict(rows, changes, message):
    config = get_preset("digits").replace(**changes)
    if message is None:
        prediction.check_rows(rows, config)
        return
    with pytest.raises(InputError, match=message):
        prediction.check_rows(rows, config)


def test_arrays_may_have_any_number_of_steps(tmp_path):
    notation = ArrayNotation((None, 3))
    path = str(tmp_path / "a.npy")
    for shape, count in (((5, 3), 1), ((2, 1, 3), 2)):
        np.save(path, np.zeros(shape, np.float32))
        queries = notation.read(path)
        assert [query.num_steps for query in queries] == [shape[-2]] * count
    for shape in ((5, 2), (0, 3), (3,), (1, 2, 5, 3)):
        np.save(path, np.zeros(shape, np.float32))
        with pytest.raises(InputError, match="arrays of any number x 3, which"):
            notation.read(path)
