import gzip

import numpy as np
import pytest
import tensorflow as tf

from keras_lstm.core.errors import InputError
from keras_lstm.tasks.idx import IdxError
from keras_lstm.tasks.image_files import read_images
from keras_lstm.tasks.image_rows import ImageRows


def whole(split):
    images, labels = split.batch(tf.range(split.num_examples))
    return images.numpy(), labels.numpy()


def test_digits_come_with_scikit_learn():
    splits = ImageRows(dataset="digits").splits(seed=0)
    sizes = [s.num_examples for s in (splits.train, splits.validation)]
    assert [*sizes, splits.test.num_examples] == [1257, 180, 360]
    images, labels = whole(splits.train)
    assert images.shape == (1257, 8, 8)
    assert (images.min(), images.max()) == (0.0, 1.0)
    assert set(labels) == set(range(10))


def test_digits_are_cut_alike_for_every_seed():
    tests = [
        whole(ImageRows(dataset="digits").splits(seed).test)[0]
        for seed in (0, 1)
    ]
    np.testing.assert_array_equal(*tests)


def test_mnist_is_cut_as_the_tutorials_reader_does(mnist_dir):
    splits = ImageRows(data_dir=str(mnist_dir)).splits(seed=0)
    sizes = [
        split.num_examples
        for split in (splits.train, splits.validation, splits.test)
    ]
    assert sizes == [55_000, 5_000, 10_000]
    images, labels = splits.test.batch(tf.range(5))
    assert labels.numpy().tolist() == [7, 2, 1, 0, 4]
    assert images.numpy().max() == 1.0
    # Pixels are bytes over 255, row after row.
    assert images.numpy()[0, 7, 6] == np.float32(84 / 255)


@pytest.mark.parametrize("dataset", ["mnist", "fashion_mnist"])
@pytest.mark.parametrize("place", ["itself", "subfolder", "environment"])
def test_files_are_found(tmp_path, write_dataset, monkeypatch, dataset, place):
    monkeypatch.delenv("KERAS_LSTM_DATA_DIR", raising=False)
    folder = tmp_path / dataset if place == "subfolder" else tmp_path
    folder.mkdir(exist_ok=True)
    write_dataset(folder)
    data_dir = str(tmp_path)
    if place == "environment":
        monkeypatch.setenv("KERAS_LSTM_DATA_DIR", data_dir)
        data_dir = None
    splits = ImageRows(dataset=dataset, data_dir=data_dir).splits(seed=0)
    sizes = [
        split.num_examples
        for split in (splits.train, splits.validation, splits.test)
    ]
    assert sizes == [200, 5000, 50]


def test_compressed_files_are_found(tmp_path, write_dataset):
    write_dataset(tmp_path)
    for path in list(tmp_path.iterdir()):
        packed = path.with_name(f"{path.name}.gz")
        packed.write_bytes(gzip.compress(path.read_bytes(), 1))
        path.unlink()
    splits = ImageRows(data_dir=str(tmp_path)).splits(seed=0)
    assert splits.train.num_examples == 200


def test_without_files_or_network_one_line_says_what_to_do(monkeypatch):
    import keras

    def fail():
        raise Exception("URL fetch failure\non https: None -- unreachable")

    monkeypatch.delenv("KERAS_LSTM_DATA_DIR", raising=False)
    monkeypatch.setattr(keras.datasets.mnist, "load_data", fail)
    with pytest.raises(InputError, match="--data-dir or KERAS_L") as caught:
        ImageRows().splits(seed=0)
    assert "\n" not in str(caught.value)


def test_a_download_by_keras_is_used(monkeypatch):
    import keras

    rng = np.random.default_rng(0)
    pairs = [
        (
            rng.integers(256, size=(count, 28, 28), dtype=np.uint8),
            rng.integers(10, size=count, dtype=np.uint8),
        )
        for count in (5003, 7)
    ]
    monkeypatch.delenv("KERAS_LSTM_DATA_DIR", raising=False)
    monkeypatch.setattr(
        keras.datasets.fashion_mnist, "load_data", lambda: pairs
    )
    splits = ImageRows(dataset="fashion_mnist").splits(seed=0)
    np.testing.assert_array_equal(whole(splits.test)[1], pairs[1][1])
    assert splits.train.num_examples == 3


def test_a_folder_without_files_is_refused(tmp_path):
    with pytest.raises(InputError, match="`data_dir` must hold train-images"):
        ImageRows(data_dir=str(tmp_path)).splits(seed=0)


def test_a_missing_test_file_is_refused(tmp_path, write_dataset):
    write_dataset(tmp_path)
    (tmp_path / "t10k-images-idx3-ubyte").unlink()
    with pytest.raises(IdxError, match=r"t10k-images-idx3-ubyte.*No such"):
        ImageRows(data_dir=str(tmp_path)).splits(seed=0)


def test_labels_that_do_not_match_the_images_are_refused(
    tmp_path, write_dataset, write_idx
):
    write_dataset(tmp_path)
    write_idx(tmp_path / "t10k-labels-idx1-ubyte", np.zeros(49))
    with pytest.raises(IdxError, match=r"each of the 50 images.*49 labels"):
        ImageRows(data_dir=str(tmp_path)).splits(seed=0)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("t10k-images-idx3-ubyte", np.zeros((50, 8, 8)), "Received: 8 x 8"),
        ("t10k-labels-idx1-ubyte", np.full(50, 10), "Received: 10"),
    ],
)
def test_files_of_another_dataset_are_refused(
    tmp_path, write_dataset, write_idx, name, values, message
):
    write_dataset(tmp_path)
    write_idx(tmp_path / name, values)
    with pytest.raises(InputError, match=message):
        ImageRows(data_dir=str(tmp_path)).splits(seed=0)


def test_too_few_training_images_are_refused(tmp_path, write_dataset):
    write_dataset(tmp_path, num_train=5000)
    with pytest.raises(InputError, match="needs more than 5000 training"):
        ImageRows(data_dir=str(tmp_path)).splits(seed=0)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b"{'descr': '|u1', 'shape': (", "cannot be read"),
        (b"'''", "cannot be read: "),
        (
            b"{'descr': '|u1', 'fortran_order': False, 'shape': (%s,)}"
            % (b"9" * 30),
            "cannot be read: OverflowError",
        ),
        (b"{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", "read"),
    ],
)
def test_damaged_arrays_are_refused(tmp_path, header, message):
    size = len(header).to_bytes(2, "little")
    (tmp_path / "x.npy").write_bytes(b"\x93NUMPY\x01\0" + size + header)
    with pytest.raises(InputError, match=message):
        read_images(tmp_path / "x.npy", (8, 8), 255.0)


def test_bytes_above_white_are_refused(tmp_path):
    # The bytes of digits end at 16, so those of a picture are another scale.
    np.save(tmp_path / "x.npy", np.full((8, 8), 17, np.uint8))
    with pytest.raises(InputError, match=r"to 16 \(white\).*, up to 17"):
        read_images(tmp_path / "x.npy", (8, 8), 16.0)
    np.save(tmp_path / "x.npy", np.full((8, 8), 16, np.uint8))
    assert (read_images(tmp_path / "x.npy", (8, 8), 16.0) == 1).all()
