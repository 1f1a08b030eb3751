"""Data as people have it: misnamed, laid out in parts, or with an offset."""

import json

import numpy as np
import pytest
from PIL import Image

from keras_lstm.cli import main
from keras_lstm.core.errors import InputError
from keras_lstm.tasks.feature_sequences import FeatureSequences
from keras_lstm.tasks.partition import TEST, VALIDATION
from keras_lstm.tasks.records import RecordFile
from keras_lstm.tasks.token_sequences import TokenSequences
from keras_lstm.verification.baselines import baselines


def pressures(count, offset=1013.0, seed=0):
    """Return two classes of readings, 8 apart, far from zero."""
    rng = np.random.default_rng(seed)
    y = np.arange(count) % 2
    return rng.normal(offset + 8 * y[:, None], 1, (count, 10)), y


def test_the_baseline_sees_features_with_an_offset(tmp_path):
    x, y = pressures(200)
    np.savez(tmp_path / "p.npz", x=x, y=y)
    task = FeatureSequences(data=str(tmp_path / "p.npz"))
    found = baselines(task, task.splits(0))
    assert found["mean_of_steps"] == 1.0
    assert found["majority_class"] < 0.7


def test_a_perfect_model_is_evaluated(tmp_path, capsys):
    x, y = pressures(300)
    np.savez(tmp_path / "p.npz", x=x, y=y)
    run, data = str(tmp_path / "run"), str(tmp_path / "p.npz")
    flags = ["--data", data, "--units", "8", "--epochs", "4", "--quiet"]
    flags += ["--batch-size", "16", "--run-dir", run]
    assert main(["train", "rows", *flags]) == 0
    capsys.readouterr()
    assert main(["evaluate", run, "--json"]) == 0
    details = json.loads(capsys.readouterr().out)
    assert (details["num_wrong"], details["mistakes"]) == (0, [])
    # Its training part is in the file.
    assert main(["evaluate", run, "--data", data]) == 0
    out, err = capsys.readouterr()
    assert "is what the model was trained on" in err
    assert "of 300 sequences are right: 0 are wrong" in out
    other, labels = pressures(40, seed=1)
    np.savez(tmp_path / "q.npz", x=other, y=labels)
    assert main(["evaluate", run, "--data", str(tmp_path / "q.npz")]) == 0
    assert "was trained on" not in capsys.readouterr().err


def test_folders_of_parts_are_no_classes(tmp_path):
    for part in ("train", "Test"):
        folder = tmp_path / part / "cat"
        folder.mkdir(parents=True)
        Image.new("L", (4, 4)).save(folder / "a.png")
    with pytest.raises(InputError, match="not for each part: give Test as"):
        FeatureSequences(data=str(tmp_path))


def test_arrays_for_validation_are_used(tmp_path):
    made = {}
    for part, count in (("train", 60), ("val", 12), ("test", 20)):
        x, y = pressures(count, seed=count)
        made |= {f"x_{part}": x, f"y_{part}": y}
    path = tmp_path / "parts.npz"
    np.savez(path, **made, names=np.array(["pressure"]))
    task = FeatureSequences(data=str(path))
    parts = task.survey().parts
    assert np.bincount(parts).tolist() == [60, 12, 20]
    assert (parts[60:72] == VALIDATION).all()
    assert (parts[72:] == TEST).all()
    assert FeatureSequences(
        data=str(path), validation_fraction=0.0
    ).has_validation
    with pytest.raises(InputError, match="`validation_data` must not be"):
        FeatureSequences(data=str(path), validation_data=str(path))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("length", "length is not read"),
        ("x_valid", "x_valid is not read"),
        ("lens_train", "lens_train is not read"),
        ("y_val", "y_val is not read"),
    ],
)
def test_misnamed_arrays_are_refused(tmp_path, name, message):
    x, y = pressures(20)
    np.savez(tmp_path / "a.npz", x=x, y=y, **{name: y})
    with pytest.raises(InputError, match=message):
        FeatureSequences(data=str(tmp_path / "a.npz"))
    np.savez(tmp_path / "b.npz", x=x, y=y, y_names=y, x_mean=x, length_unit=y)
    assert FeatureSequences(data=str(tmp_path / "b.npz")).num_classes == 2


def test_blanks_do_not_divide_a_group(tmp_path):
    path = tmp_path / "users.csv"
    rows = [f"word{i} text,{i % 2},u{i % 10}{' ' * (i % 3)}" for i in range(90)]
    path.write_text("\n".join(["text,label,user", *rows]))
    task = TokenSequences(data=str(path), group="user")
    parts = task.survey().parts
    for user in range(10):
        assert len(set(parts[user::10].tolist())) == 1
    path.write_text("\n".join(["text,label,user", *rows, "a b,0, "]))
    with pytest.raises(InputError, match="line 92: column user must have"):
        TokenSequences(data=str(path), group="user")


def test_keys_of_later_objects_are_columns_as_well(tmp_path):
    path = tmp_path / "a.jsonl"
    rows = ['{"x": 1}', "[1]", *['{"y": 2, "x": 1}'] * 3, '{"x": 1, "z": 1}']
    path.write_text("\n".join(rows))
    # One that most lack is no column.
    assert RecordFile(path).columns == ["x", "y"]


def series(text):
    """Return a table of 20 series of 3 steps, with a column of text."""
    rows = ["group,time,value,note,label"]
    for group in range(20):
        rows += [
            f"g{group},{step},{group + step},{text},{group % 2}"
            for step in range(3)
        ]
    return "\n".join(rows)


def test_what_is_not_used_is_said(tmp_path, capsys):
    path = tmp_path / "series.csv"
    path.write_text(series('"0,5"'))
    task = FeatureSequences(data=str(path))
    line = "not used, since most values are no numbers: note"
    assert line in task.remarks()
    assert line in task.summary()
    path.write_text(series("7"))
    (line,) = (
        x
        for x in FeatureSequences(data=str(path)).summary()
        if x.startswith("note")
    )
    assert line.split() == ["note", "7", "constant"]
    # A flag of time series alone says what the table is.
    options = ["--group", "group", "--time", "time", "--target", "label"]
    assert main(["data", str(path), *options]) == 0
    assert "keras-lstm train rows --data" in capsys.readouterr().out


def test_tags_of_punctuation_are_one_for_each_token(tmp_path):
    path = tmp_path / "tags.tsv"
    rows = [
        f"the cat{i} sat{' .' * (i % 2)}\tD N V{' P' * (i % 2)}"
        for i in range(40)
    ]
    path.write_text("\n".join(["sentence\ttags", *rows]))
    source = TokenSequences(data=str(path), input="sentence", target="tags")
    assert (source.tokens, source.target_kind) == ("spaces", "per_token")
    assert source.num_classes == 4
