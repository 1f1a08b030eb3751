"""Images read row by row: a row is a time step, a pixel is a feature."""

import dataclasses
import functools
import os
import pathlib
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from keras_lstm.core.errors import InputError
from keras_lstm.core.options import option
from keras_lstm.tasks.augmentation import random_warp
from keras_lstm.tasks.idx import IdxError, read_idx
from keras_lstm.tasks.image_files import ImageNotation, sketch_image
from keras_lstm.tasks.notation import Notation
from keras_lstm.tasks.task import Split, Splits, Task

_Images = npt.NDArray[np.uint8]
_Labels = npt.NDArray[np.uint8]

# The file names under which MNIST and Fashion-MNIST are published.
_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


@dataclasses.dataclass(frozen=True)
class _Dataset:
    shape: tuple[int, int]
    # The value of a white pixel.
    white: float
    num_validation: int


_DATASETS = {
    # 5,000 of 60,000, as many as TensorFlow 1's `read_data_sets` took.
    "mnist": _Dataset((28, 28), 255.0, 5000),
    "fashion_mnist": _Dataset((28, 28), 255.0, 5000),
    "digits": _Dataset((8, 8), 16.0, 180),
}
_NUM_CLASSES = 10
_NUM_DIGITS_TEST = 360


@dataclasses.dataclass(frozen=True)
class ImageRows(Task):
    """Classify an image that is read from its first row to its last.

    Inputs are `(rows, columns)`, which are `(timesteps, features)`, pixels
    scaled to [0, 1]; targets are class numbers, `()`. The validation split is
    the end of the training files; the test files are used for the final
    figure only.
    """

    name = "image-rows"
    default_preset: ClassVar[str] = "image-rows"
    data_options = ("dataset", "data_dir")
    training_options = (
        "test_first",
        "rotation",
        "scale",
        "shear",
        "shift",
        "elastic",
    )
    example_label = "image"
    step_label = "row"

    dataset: str = option(
        "mnist",
        "image dataset; digits ships with scikit-learn and needs no network",
        choices=tuple(_DATASETS),
    )
    data_dir: str | None = option(
        None,
        "folder that holds the IDX files, itself or in a subfolder with the "
        "dataset's name; by default the environment variable "
        "KERAS_LSTM_DATA_DIR, then a download by Keras",
    )
    test_first: int | None = option(
        None,
        "number of first test images to report separately as well",
        minimum=1,
    )

    rotation: float = option(
        0.0,
        "augmentation: largest random rotation of training images, in radians",
        minimum=0.0,
        maximum=3.2,
    )
    scale: float = option(
        0.0,
        "augmentation: largest random scaling, up or down, as the natural "
        "logarithm of the factor",
        minimum=0.0,
        maximum=1.0,
    )
    shear: float = option(
        0.0,
        "augmentation: largest random shear, in pixels per row",
        minimum=0.0,
        maximum=1.0,
    )
    shift: float = option(
        0.0,
        "augmentation: largest random shift along each axis, in pixels",
        minimum=0.0,
        maximum=28.0,
    )
    elastic: float = option(
        0.0,
        "augmentation: standard deviation of a smooth random displacement of "
        "each pixel, along each axis, in pixels",
        minimum=0.0,
        maximum=28.0,
    )

    @property
    def inputs_are_images(self) -> bool:
        """True."""
        return True

    @property
    def num_symbols(self) -> None:
        """None: the inputs are features."""
        return None

    @property
    def num_classes(self) -> int:
        """Ten, for every dataset."""
        return _NUM_CLASSES

    @property
    def input_shape(self) -> tuple[int, ...]:
        """`(rows, columns)`."""
        return _DATASETS[self.dataset].shape

    @property
    def output_shape(self) -> tuple[int, ...]:
        """`()`: one label."""
        return ()

    @property
    def num_first_tested(self) -> int | None:
        """The option `test_first`."""
        return self.test_first

    def notation(self, any_length: bool) -> Notation:
        """Return the notation of image files."""
        return ImageNotation(self.input_shape, self.white)

    def sketch(self, inputs: npt.NDArray[Any]) -> list[str]:
        """Return the image as characters, a line for each two rows."""
        return sketch_image(inputs)

    @property
    def white(self) -> float:
        """Value of a white pixel in the dataset's files."""
        return _DATASETS[self.dataset].white

    def splits(self, seed: int) -> Splits:
        """Return the dataset's own training and test images.

        Args:
            seed: unused: the splits are the same for every seed.

        Returns:
            The three splits.

        Raises:
            InputError: if the files cannot be found, downloaded or read, or
                hold other data than the dataset's.
        """
        (images, labels), test = self._load()
        cut = len(images) - _DATASETS[self.dataset].num_validation
        if cut <= 0:
            raise InputError(
                f"`dataset` {self.dataset} needs more than "
                f"{_DATASETS[self.dataset].num_validation} training images, "
                "the number that is taken for validation. Received: "
                f"{len(images)}"
            )
        train = self._split(images[:cut], labels[:cut])
        return Splits(
            dataclasses.replace(train, augment=self._augmentation()),
            self._split(images[cut:], labels[cut:]),
            self._split(*test),
        )

    def _split(self, images: _Images, labels: _Labels) -> Split:
        import tensorflow as tf

        white = self.white
        images, labels = tf.constant(images), tf.constant(labels)

        def batch(indices: Any) -> tuple[Any, Any]:
            pixels = tf.cast(tf.gather(images, indices), tf.float32) / white
            return pixels, tf.cast(tf.gather(labels, indices), tf.int32)

        without_autograph = tf.autograph.experimental.do_not_convert(batch)
        return Split(int(images.shape[0]), without_autograph)

    def _augmentation(self) -> Any:
        limits = {
            "rotation": self.rotation,
            "scale": self.scale,
            "shear": self.shear,
            "shift": self.shift,
            "elastic": self.elastic,
        }
        if not any(limits.values()):
            return None
        return functools.partial(random_warp, **limits)

    def _load(self) -> tuple[tuple[_Images, _Labels], tuple[_Images, _Labels]]:
        if self.dataset == "digits":
            return _load_digits()
        folder = self._folder()
        if folder is None:
            train, test = self._download()
        else:
            train, test = [
                _read_pair(folder, *_FILES[part]) for part in ("train", "test")
            ]
        for images, labels in (train, test):
            self._check(images, labels)
        return train, test

    def _check(self, images: _Images, labels: _Labels) -> None:
        shape = self.input_shape
        if images.shape[1:] != shape:
            raise InputError(
                f"`dataset` {self.dataset} must have images of {shape[0]} x "
                f"{shape[1]} pixels. Received: "
                f"{' x '.join(map(str, images.shape[1:]))}"
            )
        if not len(labels) or labels.max() >= _NUM_CLASSES:
            raise InputError(
                f"`dataset` {self.dataset} must have labels from 0 to "
                f"{_NUM_CLASSES - 1}. Received: "
                f"{labels.max() if len(labels) else 'no labels'}"
            )

    def _folder(self) -> pathlib.Path | None:
        """Return the folder of the IDX files; None to download them."""
        given = self.data_dir or os.environ.get("KERAS_LSTM_DATA_DIR")
        if not given:
            return None
        try:
            folder = pathlib.Path(given).expanduser()
        except RuntimeError as error:
            raise InputError(
                f"`data_dir` must be a folder ({error}). Received: "
                f"data_dir={given}"
            ) from None
        name = _FILES["train"][0]
        for candidate in (folder / self.dataset, folder):
            if any(
                (candidate / f"{name}{end}").exists() for end in ("", ".gz")
            ):
                return candidate
        if self.data_dir is None:
            return None
        raise InputError(
            f"`data_dir` must hold {name} or {name}.gz, itself or in a "
            f"subfolder {self.dataset}. Received: data_dir={self.data_dir}"
        )

    def _download(self) -> Any:
        import keras

        module = getattr(keras.datasets, self.dataset)
        try:
            return module.load_data()
        # Keras reports a failed download as a plain `Exception`.
        except Exception as error:
            raise InputError(
                f"`dataset` {self.dataset} was not found on this machine and "
                "could not be downloaded: set --data-dir or "
                "KERAS_LSTM_DATA_DIR to the folder of its IDX files, or use "
                f"--dataset digits. Received: {' '.join(str(error).split())}"
            ) from None


def _read_pair(
    folder: pathlib.Path, images_name: str, labels_name: str
) -> tuple[_Images, _Labels]:
    images_path, labels_path = (
        compressed
        if (compressed := folder / f"{name}.gz").exists()
        else folder / name
        for name in (images_name, labels_name)
    )
    images, labels = read_idx(images_path, 3), read_idx(labels_path, 1)
    if len(images) != len(labels):
        raise IdxError(
            f"`{labels_path}` must hold one label for each of the "
            f"{len(images)} images. Received: {len(labels)} labels"
        )
    return images, labels


def _load_digits() -> tuple[tuple[_Images, _Labels], tuple[_Images, _Labels]]:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    # Its images are ordered by writer, so shuffle them before the cut, and
    # alike for every seed, so that results compare.
    images, test_images, labels, test_labels = train_test_split(
        digits.images.astype(np.uint8),
        digits.target.astype(np.uint8),
        test_size=_NUM_DIGITS_TEST,
        stratify=digits.target,
        random_state=0,
    )
    return (images, labels), (test_images, test_labels)
