"""Images from folders, one for each class, as sequences of rows."""

import hashlib
import os
import pathlib

import numpy as np

from keras_lstm.core.errors import InputError, shown
from keras_lstm.core.files import sha256_of
from keras_lstm.tasks.feature_table import FeatureTable
from keras_lstm.tasks.image_files import read_picture
from keras_lstm.tasks.partition import is_part_name

_SUFFIXES = (".png", ".jpg", ".jpeg")


def read_image_folders(
    path: pathlib.Path,
    size: tuple[int, int] | None,
    argument: str = "data",
) -> FeatureTable:
    """Read images as `keras.utils.image_dataset_from_directory` does.

    Args:
        path: a folder with a folder for each class, whose PNG and JPEG files
            are read, also from folders in it; others are ignored.
        size: rows and columns to resize images to; None if all must have the
            size of the first.
        argument: name of the option that gives the path. Defaults to "data".

    Returns:
        The images, a row for a time step, grey, from 0 (black) to 1 (white).
        They are held in memory as bytes.

    Raises:
        InputError: if there are no such folders or images, a file is no
            image, or images differ in size.
    """
    found = hashlib.sha256()
    files: list[pathlib.Path] = []
    labels: list[int] = []
    images = []
    names = class_folders(path, argument)
    shape = size
    for number, name in enumerate(names):
        paths = _image_paths(path / name)
        if not paths:
            raise InputError(
                f"`{argument}` must have a PNG or JPEG file for each class. "
                f"Received: {path / name}, without any"
            )
        for file in paths:
            # The digest has what is read, and in which order.
            found.update(os.fsencode(file.relative_to(path)) + b"\0")
            found.update(_digest(file, argument))
            image = read_picture(
                file, shape, argument=argument, resizes=size is not None
            )
            shape = (image.shape[0], image.shape[1])
            images.append(image)
            labels.append(number)
            files.append(file)
    rows, columns = shape or (0, 0)
    count = len(files)
    return FeatureTable(
        blocks=(np.concatenate(images).reshape(count * rows, columns),),
        block=np.zeros(count, np.int8),
        starts=np.arange(count, dtype=np.int64) * rows,
        lengths=np.full(count, rows, np.int64),
        labels=np.array(labels, np.int32),
        names=names,
        forced=np.full(count, -1, np.int8),
        place=lambda index: str(files[index]),
        sha256=found.hexdigest(),
        scale=1 / 255,
        has_one_unit=True,
    )


def class_folders(
    path: pathlib.Path, argument: str = "data"
) -> tuple[str, ...]:
    """Return the names of the folders in a folder, in alphabetical order.

    Args:
        path: the folder. What is hidden in it is ignored.
        argument: name of the option that gives it. Defaults to "data".

    Raises:
        InputError: if it cannot be read, or has no folders.
    """
    try:
        names = sorted(
            each.name
            for each in path.iterdir()
            if each.is_dir() and not each.name.startswith(".")
        )
    except (OSError, ValueError) as error:
        raise InputError(
            f"`{argument}` cannot be read: {error}. Received: {argument}={path}"
        ) from None
    if not names:
        raise InputError(
            f"`{argument}` must be a folder with a folder of images for each "
            f"class. Received: {path}, without folders"
        )
    if all(is_part_name(name) for name in names):
        raise InputError(
            f"`{argument}` must have a folder for each class, not for each "
            f"part: give {names[0]} as `data`, the others as `test_data` and "
            f"`validation_data`. Received: {path} with {', '.join(names)}"
        )
    for name in names:
        # A name that is no UTF-8 cannot be written into config.yaml.
        if not name.isprintable():
            raise InputError(
                f"`{argument}` must have folders with names that can be "
                f"printed. Received: {shown(name)} in {path}"
            )
    return tuple(names)


def _image_paths(folder: pathlib.Path) -> list[pathlib.Path]:
    """Return the images below a folder, in alphabetical order."""
    paths = []
    for above, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths += [
            pathlib.Path(above, name)
            for name in names
            if name.lower().endswith(_SUFFIXES) and not name.startswith(".")
        ]
    return sorted(paths)


def _digest(path: pathlib.Path, argument: str) -> bytes:
    try:
        return bytes.fromhex(sha256_of(path))
    except OSError as error:
        raise InputError(
            f"`{argument}` cannot be read: {error}. Received: {path}"
        ) from None
