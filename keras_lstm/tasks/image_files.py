"""Images from NumPy, IDX, PNG and JPEG files."""

import pathlib
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from keras_lstm.core.errors import InputError, described
from keras_lstm.core.files import open_regular
from keras_lstm.tasks.idx import read_idx
from keras_lstm.tasks.notation import (
    Notation,
    Query,
    read_npy,
    to_float32,
)

_NPY = b"\x93NUMPY"
_IDX = (b"\x00\x00", b"\x1f\x8b")
# From black to white.
_SHADES = " .:-=+*#%@"


class ImageNotation(Notation):
    """Files of images; labels as numbers.

    Args:
        shape: rows and columns that the model reads.
        white: value of a white pixel in `.npy` and IDX files of bytes.
    """

    reads_lines = False

    def __init__(self, shape: tuple[int, ...], white: float) -> None:
        self._shape = shape
        self._white = white

    def read(self, text: str) -> list[Query]:
        """Read a file of one or more images."""
        images = read_images(pathlib.Path(text), self._shape, self._white)
        several = len(images) > 1
        return [
            Query(text, image, len(image), index if several else None)
            for index, image in enumerate(images)
        ]

    def for_script(self) -> dict[str, Any] | None:
        """Return the size of an image, and the value of a white pixel."""
        return image_for_script(self._shape, self._white)


def image_for_script(
    shape: tuple[int | None, ...], white: float
) -> dict[str, Any]:
    """Return what a script needs to read images of one size.

    Args:
        shape: rows and columns.
        white: value of a white pixel in bytes.
    """
    rows, columns = shape
    return {
        "reader": "image",
        "rows": rows,
        "columns": columns,
        "white": white,
    }


def read_images(
    path: pathlib.Path,
    shape: tuple[int, ...],
    white: float,
    resizes: bool = False,
) -> npt.NDArray[np.float32]:
    """Read a file of images.

    Args:
        path: a `.npy` file of one or more images, bytes or numbers from 0 to
            1; an IDX file, gzip-compressed or not; or a PNG or JPEG picture,
            which is converted to grey. The foreground must be white on
            black, as in MNIST.
        shape: rows and columns that the model reads.
        white: value of a white pixel in `.npy` and IDX files of bytes.
        resizes: whether to resize PNG and JPEG pictures of another size.
            Defaults to False.

    Returns:
        Pixels from 0 (black) to 1 (white), `(num_images, rows, columns)`.

    Raises:
        InputError: if the file cannot be read, has another format, or its
            images have another size or values outside the range.
    """  # noqa: DOC501 - `_wrong_size` returns an `InputError`.
    try:
        with open_regular(path) as file:
            start = file.read(6)
    except OSError as error:
        raise InputError(
            f"`input` must be a file of images. Received: {error}"
        ) from None
    if not start:
        raise InputError(f"`input` must hold images. Received: {path}, empty")
    if start == _NPY:
        values: Any = read_npy(path)
    elif start.startswith(_IDX):
        values = read_idx(path, 3)
    else:
        # This checks the size before it decodes anything.
        values, white = read_picture(path, shape, resizes=resizes), 255.0
    if values.ndim == 2:
        values = values[np.newaxis]
    if values.ndim != 3 or values.shape[1:] != shape or not len(values):
        raise _wrong_size(path, values.shape, shape)
    if values.dtype == np.uint8:
        if values.max() > white:
            raise InputError(
                f"`input` must hold bytes from 0 (black) to {white:g} (white). "
                f"Received: {path}, up to {values.max()}"
            )
        return (values / np.float32(white)).astype(np.float32)
    values = to_float32(values)
    if not ((values >= 0) & (values <= 1)).all():
        raise InputError(
            "`input` must hold bytes, or numbers from 0 (black) to 1 (white). "
            f"Received: {path}, from {values.min()} to {values.max()}"
        )
    return values


def read_picture(
    path: pathlib.Path,
    shape: tuple[int, ...] | None,
    *,
    argument: str = "input",
    resizes: bool = False,
) -> npt.NDArray[np.uint8]:
    """Read a PNG or JPEG picture, converted to grey.

    Args:
        path: the file.
        shape: rows and columns of the picture; None for any.
        argument: the name of the argument in error messages. Defaults to
            "input".
        resizes: whether to resize a picture of another size (bilinear, as
            Keras does by default). Defaults to False.

    Returns:
        Bytes from 0 (black) to 255 (white), `(rows, columns)`; transparent
        pixels are black.

    Raises:
        InputError: if the file cannot be read, has another format, or the
            picture another size.
    """  # noqa: DOC501 - `_wrong_size` returns an `InputError`.
    from PIL import Image, UnidentifiedImageError

    try:
        # Pillow warns of parts that it skips, such as damaged metadata.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=("PNG", "JPEG")) as picture:
                size = picture.size[::-1]
                if shape in (None, size):
                    return _grey(picture)
                if not resizes:
                    raise _wrong_size(path, size, shape or (), argument)
                grey = Image.fromarray(_grey(picture))
                rows, columns = shape or size
                resized = grey.resize(
                    (columns, rows), Image.Resampling.BILINEAR
                )
                return np.asarray(resized)
    except InputError:
        raise
    except UnidentifiedImageError:
        formats = "a .npy, IDX, PNG or JPEG file"
        raise InputError(
            f"`{argument}` must be "
            f"{formats if argument == 'input' else 'PNG or JPEG pictures'}. "
            f"Received: {path}, in none of these formats"
        ) from None
    except Image.DecompressionBombError as error:
        raise InputError(f"`{argument}` {path} is too large: {error}") from None
    # A damaged picture may raise nearly anything in Pillow's decoders.
    except Exception as error:
        raise InputError(
            f"`{argument}` {path} cannot be read: {described(error)}"
        ) from None


def _grey(picture: Any) -> Any:
    """Return bytes from 0 to 255; transparent pixels are black."""
    from PIL import Image

    if picture.mode.startswith("I"):
        # 16-bit values, which Pillow would clip at 255.
        return np.asarray(np.asarray(picture) // 257, np.uint8)
    if picture.has_transparency_data:
        foreground = picture.convert("RGBA")
        black = Image.new("RGBA", picture.size, (0, 0, 0, 255))
        picture = Image.alpha_composite(black, foreground)
    return np.asarray(picture.convert("L"))


def sketch_image(pixels: npt.NDArray[Any]) -> list[str]:
    """Return an image as characters, a line for each two rows.

    Args:
        pixels: from 0 (black) to 1 (white), `(rows, columns)`.
    """
    rows = pixels[: len(pixels) // 2 * 2]
    halved = rows.reshape(-1, 2, rows.shape[1]).mean(1)
    shades = np.minimum(halved * len(_SHADES), len(_SHADES) - 1)
    return ["".join(_SHADES[int(s)] for s in row) for row in shades]


def _wrong_size(
    path: pathlib.Path,
    found: tuple[int, ...],
    expected: tuple[int, ...],
    argument: str = "input",
) -> InputError:
    which = ", which the model reads" if argument == "input" else ""
    return InputError(
        f"`{argument}` must hold images of {expected[0]} x {expected[1]} "
        f"pixels{which}. Received: {path}, of {' x '.join(map(str, found))}"
    )
