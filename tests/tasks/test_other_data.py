"""Files and folders for the validation and test parts of numbers."""

import pathlib

import numpy as np
import pytest
from PIL import Image

from keras_lstm.core.errors import InputError
from keras_lstm.tasks.feature_sequences import FeatureSequences

NAMES = ("validation_data", "test_data")


def write_arrays(path, count=40, first=0.0, features=2, labels=("a", "b")):
    x = np.zeros((count, 3, features), np.float32)
    x[:, 0, 0] = first + np.arange(count)
    np.savez(path, x=x, y=np.array(labels)[np.arange(count) % len(labels)])
    return str(path)


def firsts(split):
    return split.batch(np.arange(split.num_examples))[0].numpy()[:, 0, 0]


def make(folder, write, **options):
    """Return the task of three files, written by `write`."""
    paths = {
        name: write(folder / f"{name}.npz", count, first)
        for name, count, first in (
            ("data", 40, 0.0),
            *zip(NAMES, (6, 4), (100.0, 200.0), strict=True),
        )
    }
    return FeatureSequences(**paths, **options)


def test_other_archives_are_the_other_parts(tmp_path):
    task = make(tmp_path, write_arrays)
    splits = task.splits(0)
    assert np.sort(firsts(splits.train)).tolist() == list(range(40))
    assert firsts(splits.validation).tolist() == list(range(100, 106))
    assert firsts(splits.test).tolist() == list(range(200, 204))
    # Statistics are of the training part alone.
    assert task.standardize == "each"
    np.testing.assert_allclose(task.statistics[0], [39 / 2 / 3, 0.0])


@pytest.mark.parametrize("name", NAMES)
def test_one_other_part_leaves_the_rest_to_be_divided(tmp_path, name):
    other = write_arrays(tmp_path / "other.npz", 6, 100.0)
    data = write_arrays(tmp_path / "data.npz")
    splits = FeatureSequences(data=data, **{name: other}).splits(0)
    sizes = {"validation_data": (36, 6, 4), "test_data": (36, 4, 6)}[name]
    parts = (splits.train, splits.validation, splits.test)
    assert tuple(part.num_examples for part in parts) == sizes
    given = parts[1 + NAMES.index(name)]
    assert firsts(given).tolist() == list(range(100, 106))


def test_what_is_in_two_files_is_found(tmp_path):
    data = write_arrays(tmp_path / "data.npz")
    other = write_arrays(tmp_path / "other.npz", 6, 36.0)
    task = FeatureSequences(data=data, test_data=other, validation_fraction=0.0)
    assert task.survey().defects.num_leaked == 4
    assert any(
        "4 validation and test sequences are in" in x for x in task.remarks()
    )


def test_a_change_of_any_file_is_found(tmp_path):
    task = make(tmp_path, write_arrays)
    write_arrays(tmp_path / "test_data.npz", 4, 300.0)
    with pytest.raises(InputError, match="`data_sha256`"):
        task.splits(0)


def test_other_data_is_evaluated_without_them(tmp_path):
    task = make(tmp_path, write_arrays)
    other = write_arrays(tmp_path / "more.npz", 5, 7.0)
    splits = task.to_evaluate(data=other).splits(0)
    assert firsts(splits.test).tolist() == [7.0, 8.0, 9.0, 10.0, 11.0]
    assert splits.validation is None


def test_tables_need_the_same_columns(tmp_path):
    def write(name, rows, columns="id,t,a,b,label"):
        path = tmp_path / name
        path.write_text("\n".join([columns, *rows, ""]))
        return str(path)

    rows = [f"{g},{t},{g},{t},{'xy'[g % 2]}" for g in range(8) for t in (1, 0)]
    data = write("data.csv", rows)
    # Other columns of numbers are no features.
    other = write("test.csv", ["0,1,9,8,7,x"], "id,t,c,a,b,label")
    task = FeatureSequences(data=data, test_data=other)
    splits = task.splits(0)
    assert splits.test.batch(np.arange(1))[0][0, 0].numpy().tolist() == [8, 7]
    assert splits.test.lines.tolist() == [2]
    bad = write("bad.csv", ["0,1,9,x"], "id,t,a,label")
    with pytest.raises(InputError, match=r"`b` is no column of .*bad\.csv"):
        FeatureSequences(data=data, test_data=bad)


def write_images(folder, size=(4, 6), first=0):
    for number, name in enumerate(("cat", "dog")):
        (folder / name).mkdir(parents=True)
        for index in range(10):
            pixels = np.full(size, first + 100 * number + index, np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{index}.png")
    return str(folder)


def test_folders_of_images_may_be_the_parts(tmp_path):
    data = write_images(tmp_path / "train")
    other = write_images(tmp_path / "test", first=50)
    splits = FeatureSequences(data=data, test_data=other).splits(0)
    pixels = np.rint(firsts(splits.test) * 255)
    assert pixels.tolist() == [*range(50, 60), *range(150, 160)]
    large = write_images(tmp_path / "large", (8, 6))
    with pytest.raises(
        InputError, match=r"images of 4 x 6 pixels, as .* 8 x 6"
    ):
        FeatureSequences(data=data, test_data=large)


def refused(folder, message, **options):
    data = write_arrays(folder / "data.npz")
    with pytest.raises(InputError, match=message):
        FeatureSequences(data=data, **options)


def test_other_data_that_does_not_fit_is_refused(tmp_path):
    wide = write_arrays(tmp_path / "wide.npz", features=3)
    message = "`test_data` must have 2 features, as .* 3 features in"
    refused(tmp_path, message, test_data=wide)
    new = write_arrays(tmp_path / "new.npz", labels=("a", "c"))
    refused(tmp_path, r"new\.npz, x\[1\]: each class must be", test_data=new)
    path = pathlib.Path(tmp_path / "none.npz")
    refused(
        tmp_path, "`validation_data` must be a NumPy", validation_data=str(path)
    )
    images = write_images(tmp_path / "pets")
    refused(tmp_path, "`test_data` must be arrays, as", test_data=images)


def test_an_archive_with_a_test_part_takes_no_other(tmp_path):
    x, y = np.arange(8.0).reshape(4, 2), np.array([0, 1, 0, 1])
    path = tmp_path / "parts.npz"
    np.savez(path, x_train=x, y_train=y, x_test=x, y_test=y)
    other = write_arrays(tmp_path / "other.npz", features=1)
    with pytest.raises(InputError, match="must not be given for an archive"):
        FeatureSequences(data=str(path), test_data=other)
    # Its training part stays whole if other data is to validate on.
    splits = FeatureSequences(
        data=str(path), validation_data=other, classes='["0", "1", "a", "b"]'
    )
    assert splits.splits(0).train.num_examples == 4


def test_which_part_other_data_is_changes_the_digest(tmp_path):
    data = write_arrays(tmp_path / "data.npz")
    other = write_arrays(tmp_path / "other.npz", 6, 100.0)
    found = {
        FeatureSequences(data=data, **{name: other}).data_sha256
        for name in NAMES
    }
    assert len(found) == 2
    assert FeatureSequences(data=data).data_sha256 not in found
