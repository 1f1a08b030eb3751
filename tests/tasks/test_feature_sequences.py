"""Sequences of numbers from files and folders of one's own."""

import json
import pathlib
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest
from PIL import Image

from keras_lstm.cli import main
from keras_lstm.config import ModelConfig
from keras_lstm.config_file import read_config
from keras_lstm.core.errors import InputError
from keras_lstm.inference.streaming import Stream
from keras_lstm.models.build import build_model
from keras_lstm.models.early_prediction import build_stepwise_model
from keras_lstm.presets import get_preset
from keras_lstm.runs.model_file import read_model, save_model
from keras_lstm.runs.saved_run import read_run
from keras_lstm.tasks.datasets import make_dataset
from keras_lstm.tasks.feature_sequences import FeatureSequences
from keras_lstm.tasks.feature_table import PADDING_VALUE
from keras_lstm.tasks.labels import class_order
from keras_lstm.verification.evaluation import evaluate

ROOT = pathlib.Path(__file__).parents[2]
SMALL = ModelConfig(head="last_state", units=4, num_layers=1)


def arrays(num_train=40, num_test=10, steps=5, features=3):
    """Return arrays as Keras writes them; the class is in the first value."""
    rng = np.random.default_rng(0)
    found = {}
    for part, count in (("train", num_train), ("test", num_test)):
        y = np.arange(count) % 2
        x = rng.normal(size=(count, steps, features)).astype(np.float32)
        x[:, 0, 0] += 10 * y
        found |= {f"x_{part}": x, f"y_{part}": y}
    return found


def whole(**changes):
    """Return arrays x and y."""
    made = arrays()
    return {"x": made["x_train"], "y": made["y_train"]} | changes


def make(folder, values, write=np.savez, **options):
    path = folder / "data.npz"
    write(path, **values)
    return FeatureSequences(data=str(path), **options)


def all_of(split):
    inputs, targets = split.batch(np.arange(split.num_examples))
    return inputs.numpy(), targets.numpy()


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_arrays_of_training_and_test_are_the_parts(tmp_path, write):
    made = arrays()
    task = make(tmp_path, made, write, validation_fraction=0.25)
    splits = task.splits(0)
    assert task.input_shape == (5, 3)
    assert task.class_names == ("0", "1")
    sizes = [x.num_examples for x in (splits.train, splits.validation)]
    assert sizes == [30, 10]
    inputs, targets = all_of(splits.test)
    np.testing.assert_array_equal(inputs, made["x_test"])
    np.testing.assert_array_equal(targets, made["y_test"])
    # Each class in the same proportion.
    assert np.bincount(all_of(splits.validation)[1]).tolist() == [5, 5]
    assert splits.train.lengths is None


def test_arrays_without_parts_are_divided_by_the_seed(tmp_path):
    values = whole(y=np.array(["no", "yes"])[np.arange(40) % 2])
    parts = [
        all_of(make(tmp_path, values, split_seed=seed).splits(0).test)[0]
        for seed in (0, 0, 1)
    ]
    np.testing.assert_array_equal(parts[0], parts[1])
    assert not np.array_equal(parts[0], parts[2])
    task = make(tmp_path, values)
    assert task.class_names == ("no", "yes")
    counts = [
        split.num_examples
        for split in (lambda s: (s.train, s.validation, s.test))(task.splits(0))
    ]
    assert counts == [32, 4, 4]


def test_the_same_sequences_stay_in_one_part(tmp_path):
    x = np.repeat(arrays()["x_train"][:10], 4, 0)
    task = make(tmp_path, whole(x=x, y=np.repeat(np.arange(10) % 2, 4)))
    assert task.survey().defects.num_repeated == 30
    assert task.survey().defects.num_leaked == 0
    made = arrays()
    made["x_test"][0] = made["x_train"][0]
    task = make(tmp_path, made, validation_fraction=0.0)
    assert task.survey().defects.num_leaked == 1
    assert "1 validation and test sequences are in" in task.remarks()[-1]


def test_two_axes_are_steps_of_one_feature(tmp_path):
    task = make(tmp_path, whole(x=arrays()["x_train"][:, :, 0]))
    assert task.input_shape == (5, 1)


def test_classes_that_are_numbers_are_in_their_order():
    assert class_order({"10", "9", "-1"}) == ("-1", "9", "10")
    assert class_order({"10", "9", "b"}) == ("10", "9", "b")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y": None}, r"y is missing. Received: arrays \['x'\]"),
        ({"x_train": np.zeros(1)}, "must be x and y, or x_train"),
        ({"x": np.zeros((40, 5, 3, 1))}, r"\(examples, steps, features\)"),
        ({"x": np.zeros((0, 5, 3))}, "and not be empty"),
        ({"x": np.full((40, 5, 3), "a")}, "x must be numbers"),
        ({"x": np.full((40, 5, 3), np.nan)}, r"x\[0\], step 0, feature 0"),
        ({"x": np.full((40, 5, 3), np.inf)}, "values must be finite"),
        ({"x": np.full((40, 5, 3), 1e19)}, "at most 1e.18 in size"),
        ({"x": np.full((40, 5, 3), PADDING_VALUE)}, "at most 1e.18 in size"),
        ({"y": np.zeros(39, int)}, "one label for each of the 40 examples"),
        ({"y": np.zeros(40, int)}, "at least two classes in the training"),
        ({"y": np.zeros(40)}, "y must be integers or strings"),
        ({"y": np.full(40, "")}, "y must name classes"),
        ({"lengths": np.full(40, 6)}, "lengths must be from 1 to 5"),
        ({"lengths": np.full(40, 0)}, "Received: 0 at index 0"),
        ({"lengths": np.full(3, 5)}, "one for each of the 40 examples"),
        (
            {"x": np.random.default_rng(0).normal(0, 1e-9, (40, 5, 3))},
            "use a smaller unit",
        ),
    ],
)
def test_arrays_of_another_kind_are_refused(tmp_path, changes, message):
    values = {k: v for k, v in whole(**changes).items() if v is not None}
    with pytest.raises(InputError, match=message):
        make(tmp_path, values)


def test_parts_of_other_shapes_or_classes_are_refused(tmp_path):
    made = arrays()
    with pytest.raises(InputError, match="x_test must have 3 features"):
        make(tmp_path, made | {"x_test": made["x_test"][:, :, :2]})
    with pytest.raises(InputError, match=r"x_test\[0\]: each class must be"):
        make(tmp_path, made | {"y_test": np.full(10, 7)})
    with pytest.raises(InputError, match="y_test is missing"):
        make(tmp_path, {k: v for k, v in made.items() if k != "y_test"})


def test_objects_are_never_unpickled(tmp_path):
    with pytest.raises(InputError, match="must be numbers or strings"):
        make(tmp_path, whole(y=np.array([print] * 40, object)))


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_header_that_claims_too_much_takes_no_memory(tmp_path, method):
    path = tmp_path / "data.npz"
    header = np.lib.format.header_data_from_array_1_0(np.zeros(3))
    with zipfile.ZipFile(path, "w", method) as archive:
        for name in ("x.npy", "y.npy"):
            with archive.open(name, "w") as member:
                np.lib.format.write_array_header_1_0(
                    member, header | {"shape": (2**40, 5, 3)}
                )
                member.write(b"\0" * 24)
    with pytest.raises(InputError, match="as large as its header says"):
        FeatureSequences(data=str(path))


def test_a_compressed_array_that_is_too_large_is_refused(tmp_path, monkeypatch):
    from keras_lstm.tasks import feature_arrays

    monkeypatch.setattr(feature_arrays, "_MAX_HELD", 100)
    with pytest.raises(InputError, match="x must have at most 100 bytes"):
        make(tmp_path, whole(), np.savez_compressed)


def test_a_changed_byte_is_found(tmp_path):
    make(tmp_path, whole())
    path = tmp_path / "data.npz"
    data = bytearray(path.read_bytes())
    data[400] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"x cannot be read.*BadZip"):
        FeatureSequences(data=str(path))
    path.write_bytes(data[:200])
    with pytest.raises(InputError, match=r"must be a NumPy archive"):
        FeatureSequences(data=str(path))


def test_data_of_no_known_kind_is_refused(tmp_path):
    (tmp_path / "x.bin").write_bytes(b"x")
    with pytest.raises(InputError, match="file; a folder with a folder of"):
        FeatureSequences(data=str(tmp_path / "x.bin"))
    with pytest.raises(InputError, match="without folders"):
        FeatureSequences(data=str(tmp_path))


# Standardization and masks.


def test_the_model_standardizes_as_numpy_does(tmp_path):
    x = arrays()["x_train"] * [1.0, 1e3, 0.0] + [0.0, -5e4, 7.0]
    x = x.astype(np.float32)
    task = make(tmp_path, whole(x=x), validation_fraction=0.25)
    train_inputs, _ = all_of(task.splits(0).train)
    model = build_model(task, SMALL)
    layer = model.get_layer("normalization")
    found = layer(x).numpy()
    mean = train_inputs.astype(np.float64).mean((0, 1))
    stddev = train_inputs.astype(np.float64).std((0, 1))
    expected = (x[:, :, :2] - mean[:2]) / stddev[:2]
    np.testing.assert_allclose(found[:, :, :2], expected, rtol=0, atol=1e-4)
    # A constant feature.
    np.testing.assert_array_equal(found[:, :, 2], 0.0)


def test_large_values_stay_finite(tmp_path):
    x = arrays()["x_train"] * 1e16
    task = make(tmp_path, whole(x=x))
    for precision in ("float32", "mixed_float16"):
        config = ModelConfig(
            head="last_state", units=4, num_layers=1, precision=precision
        )
        assert np.isfinite(build_model(task, config)(x).numpy()).all()


def test_bytes_share_one_mean_and_variance(tmp_path):
    x = np.random.default_rng(0).integers(256, size=(40, 5, 3), dtype=np.uint8)
    task = make(tmp_path, whole(x=x), test_fraction=0.0, validation_fraction=0)
    assert task.standardize == "all"
    np.testing.assert_allclose(task.statistics[0], [x.mean()], rtol=1e-6)
    np.testing.assert_allclose(task.statistics[1], [x.var()], rtol=1e-6)
    layer = build_model(task, SMALL).get_layer("normalization")
    expected = (x - x.mean()) / x.std()
    np.testing.assert_allclose(layer(x), expected, rtol=0, atol=1e-4)


@pytest.fixture
def unequal(tmp_path):
    """Return a task of sequences of different lengths."""
    lengths = np.arange(40) % 5 + 1
    return make(tmp_path, whole(lengths=lengths))


def test_padding_changes_nothing(unequal):
    assert unequal.input_shape == (None, 3)
    model = build_model(unequal, SMALL)
    split = unequal.splits(0).train
    inputs, _ = all_of(split)
    together = model(inputs).numpy()
    assert np.isfinite(together).all()
    assert sorted(set(split.lengths)) == [1, 2, 3, 4, 5]
    for index in range(8):
        alone, _ = split.batch(np.array([index]))
        assert alone.shape == (1, split.lengths[index], 3)
        np.testing.assert_allclose(
            model(alone)[0], together[index], rtol=0, atol=1e-6
        )


def test_masks_end_at_the_right(unequal):
    inputs, _ = all_of(unequal.splits(0).train)
    mask = (inputs != PADDING_VALUE).all(-1)
    assert (np.diff(mask.astype(int), axis=1) <= 0).all()
    # What the random inputs of an export must keep to as well.
    random = unequal.random_inputs(np.random.default_rng(0), (50, 6, 3))
    mask = (random != PADDING_VALUE).all(-1)
    assert mask[:, 0].all()
    assert 10 < (~mask[:, -1]).sum() < 40
    assert (np.diff(mask.astype(int), axis=1) <= 0).all()


def test_batches_have_similar_lengths(unequal):
    dataset = make_dataset(unequal.splits(0).train, 4, training=True)
    for inputs, _ in dataset.take(6).as_numpy_iterator():
        steps = (inputs[:, :, 0] != PADDING_VALUE).sum(1)
        assert steps.max() == inputs.shape[1]
        assert steps.max() - steps.min() <= 2


def test_lengths_may_be_allowed_to_differ(tmp_path):
    assert make(tmp_path, whole(), num_steps=0).mask_value == PADDING_VALUE
    with pytest.raises(InputError, match="must have sequences of 4 steps"):
        make(tmp_path, whole(), num_steps=4)


@pytest.mark.parametrize("kind", ["equal", "unequal"])
def test_the_model_file_is_read_back(tmp_path, kind, unequal):
    task = unequal if kind == "unequal" else make(tmp_path, whole())
    config = get_preset("rows").replace(**task.to_mapping(), units=4)
    model = build_model(config.task, config.model, seed=1)
    path = tmp_path / "model.keras"
    save_model(model, path)
    inputs, _ = all_of(task.splits(0).test)
    expected = model(inputs).numpy()
    for read in (read_model(path, config), keras.saving.load_model(path)):
        np.testing.assert_array_equal(read(inputs), expected)
    other = config.replace(mean=json.dumps([9.0, 9.0, 9.0]))
    with pytest.raises(InputError, match="`normalization` with mean="):
        read_model(path, other)


def test_a_configuration_is_read_back_without_the_data(unequal):
    config = get_preset("rows").replace(data=unequal.data)
    pathlib.Path(unequal.data).unlink()
    file = read_config(config.to_yaml(), FeatureSequences)
    again = get_preset("rows").replace(**file.values)
    assert again == config
    assert again.task == unequal
    assert build_model(again.task, SMALL).output_shape == (None, 2)
    with pytest.raises(InputError, match=r"data\.npz"):
        again.task.splits(0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mean": "[1"}, "`mean` must be a JSON list of finite numbers"),
        ({"mean": "[NaN]"}, "`mean` must be a JSON list of finite numbers"),
        ({"variance": "[0.0]"}, "`variance` must be above 0"),
        ({"mean": "[1, 2]", "variance": "[1]"}, "must have one number, or"),
        ({"mean": "[1, 2]", "num_features": 3}, "each of 3 features"),
        ({"classes": '["a"]'}, "`classes` must have at least two different"),
        ({"image_size": "3"}, "`image_size` must be ROWS,COLUMNS"),
        ({"test_fraction": 0.95}, "must be at most 1 together"),
    ],
)
def test_options_that_fit_no_data_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        FeatureSequences(**options)


def test_other_data_is_tested_on_whole(tmp_path):
    task = make(tmp_path, arrays())
    (tmp_path / "b").mkdir()
    made = arrays(steps=5, num_train=12, num_test=6)
    other = tmp_path / "b" / "data.npz"
    np.savez(other, **made)
    splits = task.to_evaluate(data=str(other)).splits(0)
    assert splits.test.num_examples == 18
    assert evaluate(build_model(task, SMALL), splits.test).num_examples == 18
    np.savez(other, **arrays(steps=4))
    with pytest.raises(InputError, match="must have sequences of 5 steps"):
        task.to_evaluate(data=str(other))
    np.savez(other, **arrays(features=2))
    with pytest.raises(InputError, match="must have 3 features"):
        task.to_evaluate(data=str(other))
    np.savez(other, **(made | {"y_test": np.full(6, 5)}))
    with pytest.raises(InputError, match="must be in the training part"):
        task.to_evaluate(data=str(other))
    with pytest.raises(InputError, match="must be arrays, as the data trained"):
        task.to_evaluate(data=str(write_series(tmp_path)))


def test_changed_data_is_refused(tmp_path):
    task = make(tmp_path, whole())
    np.savez(task.data, **whole(x=arrays()["x_train"] + 1))
    with pytest.raises(InputError, match="must have the `data_sha256`"):
        task.splits(0)


# Folders of images.


def write_images(folder, size=(4, 6)):
    for number, name in enumerate(("cat", "dog")):
        (folder / name).mkdir(parents=True)
        for index in range(10):
            pixels = np.full(size, 100 * number + index, np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{index}.png")
    return folder


def test_folders_are_classes_of_images(tmp_path):
    task = FeatureSequences(data=str(write_images(tmp_path / "pets")))
    assert (task.input_shape, task.class_names) == ((4, 6), ("cat", "dog"))
    assert task.standardize == "all"
    splits = task.splits(0)
    inputs, targets = all_of(splits.train)
    assert inputs.shape == (16, 4, 6)
    pixels = np.rint(inputs[:, 0, 0] * 255)
    np.testing.assert_array_equal(targets, pixels >= 100)
    np.testing.assert_allclose(task.statistics[0], inputs.mean(), rtol=1e-5)
    assert len(task.sketch(inputs[0])) == 2


def test_images_are_resized_only_if_asked_to(tmp_path):
    folder = write_images(tmp_path / "pets")
    odd = folder / "dog" / "99.png"
    Image.fromarray(np.zeros((8, 12), np.uint8)).save(odd)
    with pytest.raises(InputError, match=r"4 x 6 pixels. Received: .*99\.png"):
        FeatureSequences(data=str(folder))
    task = FeatureSequences(data=str(folder), image_size="2,3")
    assert task.input_shape == (2, 3)
    (query,) = task.notation(False).read(str(odd))
    assert query.value.shape == (2, 3)


def test_a_file_that_is_no_image_is_named(tmp_path):
    folder = write_images(tmp_path / "pets")
    (folder / "dog" / "notes.txt").write_text("not read")
    (folder / "dog" / "5.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"PNG or JPEG pictures.*dog/5\.png"):
        FeatureSequences(data=str(folder))
    (folder / "bird").mkdir()
    with pytest.raises(InputError, match="bird, without any"):
        FeatureSequences(data=str(folder))


# Time series in tables.

ROWS = [
    *("name,when,a,b,note,label", "p,2,3,30,x,up", "q,0,5,50,x,down"),
    *("p,0,1,10,x,up", "p,1,2,20,x,up", "q,1,6,60,x,down"),
]


def write_series(folder, rows=ROWS, name="data.csv"):
    path = folder / name
    path.write_text("\n".join([*rows, ""]), encoding="utf-8")
    return path


def series(folder, rows=ROWS, **options):
    options = {
        **{"group": "name", "time": "when"},
        **{"validation_fraction": 0.0, "test_fraction": 0.0},
    } | options
    return FeatureSequences(data=str(write_series(folder, rows)), **options)


def test_rows_of_a_group_are_a_sequence_in_the_order_of_time(tmp_path):
    task = series(tmp_path)
    assert task.input_shape == (None, 2)
    assert task.features == '["a", "b"]'
    assert task.class_names == ("down", "up")
    split = task.splits(0).train
    inputs, targets = all_of(split)
    assert inputs[0].tolist() == [[1, 10], [2, 20], [3, 30]]
    assert inputs[1, :2].tolist() == [[5, 50], [6, 60]]
    assert (inputs[1, 2] == PADDING_VALUE).all()
    assert targets.tolist() == [1, 0]
    assert split.lines.tolist() == [2, 3]


def test_columns_are_found_by_their_names_not_their_places(tmp_path):
    rows = ["id,group,time,value,label"]
    rows += [f"{i},{i // 5},{i},{i / 7},{'ab'[i // 5 % 2]}" for i in range(100)]
    task = FeatureSequences(data=str(write_series(tmp_path, rows)))
    assert (task.group, task.time, task.target) == ("group", "time", "label")
    assert task.survey().table.lengths.tolist() == [5] * 20


def test_dates_and_json_lines_are_read_as_well(tmp_path):
    rows = [
        {"id": i % 2, "date": f"2024-01-{9 - i:02}", "v": i, "class": i % 2 > 0}
        for i in range(6)
    ]
    path = write_series(tmp_path, map(json.dumps, rows), "data.jsonl")
    task = FeatureSequences(
        data=str(path), validation_fraction=0.0, test_fraction=0.0
    )
    assert (task.group, task.time, task.target) == ("id", "date", "class")
    assert task.class_names == ("false", "true")
    inputs, _ = all_of(task.splits(0).train)
    assert inputs[:, :, 0].tolist() == [[4, 2, 0], [5, 3, 1]]


def test_a_column_tells_the_part_of_each_series(tmp_path, capsys):
    rows = [
        f"{g},{t},{g}.{t},{'ab'[g % 2]},{part}"
        for g, part in enumerate(["train", "train", "val", "val", "test"])
        for t in range(2)
    ]
    path = write_series(tmp_path, ["group,time,x,y,fold", *rows])
    task = FeatureSequences(data=str(path), part="fold")
    splits = task.splits(0)
    assert all_of(splits.test)[0][:, 0, 0].tolist() == [4.0]
    assert splits.validation.num_examples == 2
    # Without the option, it is suggested; not beside other data to test on.
    alone = FeatureSequences(data=str(path))
    assert alone.suggested()["part"] == task.suggested()["part"] == "fold"
    beside = FeatureSequences(data=str(path), test_data=str(path))
    assert "part" not in beside.suggested()
    assert main(["data", str(path), "--task", "rows"]) == 0
    assert "--part fold" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        (ROWS, {"group": "nam"}, "`nam` is no column.* Did you mean `name`"),
        (ROWS, {"target": "z"}, r"no column of .* Known: a, b, label"),
        (ROWS, {"group": None}, "`group` must name a column"),
        (ROWS, {"image_size": "2,2"}, "`image_size` is for images only"),
        ([*ROWS, "p,3,4,40,x,down"], {}, "line 7: label must be the same in"),
        ([*ROWS, "p,3,4,,x,up"], {}, "line 7: column b must have a value"),
        ([*ROWS, "p,3,four,1,x,up"], {}, "line 7: column a must be a number"),
        ([*ROWS, "p,3,nan,1,x,up"], {}, "line 7: column a must be a number"),
        ([*ROWS, "p,3,inf,1,x,up"], {}, "line 7: column a must be a number"),
        ([*ROWS, "p,late,1,1,x,up"], {}, "line 7: column when must be a num"),
        ([*ROWS, "p,2024-01-01,1,1,x,up"], {}, "when must be a number every"),
        ([*ROWS, "p,3"], {}, "line 7: a row must have 6 columns"),
        (ROWS[:1], {}, "must hold at least one row"),
        (["name,when,label", "p,1,up"], {}, "must have a column of numbers"),
    ],
)
def test_rows_that_cannot_be_read_are_refused(tmp_path, rows, options, message):
    with pytest.raises(InputError, match=message):
        series(tmp_path, rows, **options)


def test_bad_rows_may_be_skipped(tmp_path):
    rows = [*ROWS, "p,3,nan,1,x,up", "p,3"]
    task = series(tmp_path, rows, bad_rows="skip")
    assert task.splits(0).train.lengths.tolist() == [3, 2]
    assert task.remarks()[1] == "2 bad rows are skipped"


def test_a_fraction_that_has_no_effect_is_told(tmp_path):
    rows = [f"{row},train" for row in ROWS]
    rows[0] = f"{ROWS[0]},part"
    fractions = {"validation_fraction": 0.1, "test_fraction": 0.4}
    task = series(tmp_path, rows, part="part", **fractions)
    assert task.remarks()[1] == "`test_fraction` has no effect beside `part`"


# Predictions.


def test_files_to_predict_are_read(tmp_path):
    notation = make(tmp_path, whole()).notation(False)
    values = arrays()["x_test"]
    path = tmp_path / "x.npy"
    np.save(path, values)
    queries = notation.read(str(path))
    np.testing.assert_array_equal(notation.encode(queries), values)
    np.save(path, values[0])
    (query,) = notation.read(str(path))
    described = notation.describe([query], np.array([1]), np.array([0.75]))
    assert described[0].text == f"{path} → 1  (75%)"
    assert described[0].fields["class"] == "1"
    for bad, message in (
        (values[:, :4], "sequences of 5 steps of 3 features"),
        (values * np.inf, "that are finite and at most 1e"),
        (values.astype(complex), "bytes .uint8. or other numbers"),
    ):
        np.save(path, bad)
        with pytest.raises(InputError, match=message):
            notation.read(str(path))


def test_tables_to_predict_need_no_classes(tmp_path):
    task = series(tmp_path)
    path = write_series(
        tmp_path, ["b,a,when,name", "2,1,0,r", "4,3,1,r", "6,5,0,s"], "new.csv"
    )
    first, second = task.notation(True).read(str(path))
    assert first.value.tolist() == [[1, 2], [3, 4]]
    assert second.text == f"{path}: s"


def test_a_model_predicts_after_any_number_of_steps(unequal):
    model = build_model(unequal, SMALL)
    inputs = arrays()["x_test"]
    stepwise = build_stepwise_model(model)(inputs).numpy()
    np.testing.assert_allclose(
        stepwise[:, 2], model(inputs[:, :3]), rtol=0, atol=1e-6
    )


def test_a_stream_of_steps_is_standardized_as_well(tmp_path):
    model = build_model(make(tmp_path, whole()), SMALL)
    inputs = arrays()["x_test"][0]
    logits = Stream(model).feed_logits(inputs)
    np.testing.assert_allclose(
        logits[-1], model(inputs[np.newaxis])[0], rtol=0, atol=1e-6
    )


def test_what_knows_no_masks_needs_equal_lengths(unequal):
    config = get_preset("rows").replace(**unequal.to_mapping())
    with pytest.raises(InputError, match="inputs of one length"):
        config.replace(early_prediction=0.3)
    with pytest.raises(InputError, match="sequences of one length"):
        config.replace(encoder_units=8)


# Real data.


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return the folder of what the benchmark writes."""
    path = tmp_path_factory.mktemp("own")
    script = ROOT / "scripts" / "benchmarks" / "own_features.py"
    subprocess.run([sys.executable, str(script), str(path)], check=True)
    return path


def trained(path, *options):
    """Train on data from the command line; return the report."""
    run_dir = path.with_name(f"run-{path.name}")
    command = ["train", "rows", "--data", str(path), "--quiet", *options]
    assert main([*command, "--run-dir", str(run_dir)]) == 0
    return read_run(run_dir).report


@pytest.mark.slow
def test_digits_are_learned_from_a_folder_of_pictures(folder, capsys):
    report = trained(folder / "digits")
    assert report.sequence_accuracy >= 0.96
    assert report.sequence_accuracy > report.baselines["mean_of_steps"]
    pictures = sorted((folder / "digits" / "7").iterdir())[:20]
    run_dir = str(folder / "run-digits")
    assert main(["predict", run_dir, *map(str, pictures)]) == 0
    assert capsys.readouterr().out.count("png → 7  (") >= 18


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vowels.npz", "vowels.csv"])
def test_speakers_are_told_apart_by_their_vowels(folder, name):
    options = ["--bidirectional", "true", "--epochs", "60"]
    if name.endswith("csv"):
        options += ["--group", "series", "--target", "speaker"]
        options += ["--part", "part"]
    report = trained(folder / name, "--validation-fraction", "0", *options)
    assert report.test_num_examples == 370
    assert report.sequence_accuracy >= 0.97
