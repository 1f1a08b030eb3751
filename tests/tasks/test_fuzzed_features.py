"""Arrays, images and series of one's own: accepted, or refused in a line."""

import functools
import io

import fuzzing
import numpy as np
import pytest
from hypothesis import strategies as st
from PIL import Image

from keras_lstm.tasks.feature_sequences import FeatureSequences

RNG = np.random.default_rng(0)
ARRAYS = {
    "x": RNG.normal(size=(8, 3, 2)).astype(np.float32),
    "y": np.arange(8) % 2,
    "lengths": np.arange(8) % 3 + 1,
}
NAMES = ARRAYS | {"y": np.array(["no", "yes"])[ARRAYS["y"]]}
CSV = b"group,time,a,b,label\n" + b"".join(
    b"%d,%d,%d.5,%d,%s\n" % (row % 6, row, row, -row, b"xy"[row % 2 :][:1])
    for row in range(18)
)
SPLICES = [b",", b"\n", b"\0", b"\xff", b"nan", b"inf", b"1e400", b"_", b'"']
HEADERS = [b"<f8", b"|O", b"<U9", b"(8,)", b"True", b"-1", b"9" * 30, b"PK"]
FLAGS = st.fixed_dictionaries(
    {},
    optional={
        "bad_rows": st.just("skip"),
        "standardize": st.sampled_from(["each", "all"]),
        "num_steps": st.sampled_from([0, 3, 2**60]),
        "test_fraction": st.sampled_from([0.0, 0.5, 0.9, 1.0]),
        "validation_fraction": st.just(0.0),
    },
)


def read(folder, path, content, options):
    path.write_bytes(content)
    task = FeatureSequences(data=str(folder), **options)
    for split in vars(task.splits(0)).values():
        if split is not None and split.num_examples:
            inputs, _ = split.batch(np.arange(min(3, split.num_examples)))
            assert np.isfinite(inputs).all()
    task.remarks()
    task.summary()


@functools.cache
def archives():
    """Return valid archives."""
    found = []
    for write in (np.savez, np.savez_compressed):
        for values in (ARRAYS, NAMES):
            file = io.BytesIO()
            write(file, **values)
            found.append(file.getvalue())
    return found


@fuzzing.TIERS
def test_arrays(cases, tmp_path):
    path = tmp_path / "a.npz"
    fuzzing.survives(
        lambda case: read(path, path, *case),
        st.tuples(fuzzing.damaged(archives(), HEADERS), FLAGS),
        cases,
    )


@fuzzing.TIERS
def test_series(cases, tmp_path):
    path = tmp_path / "a.csv"
    fuzzing.survives(
        lambda case: read(path, path, *case),
        st.tuples(fuzzing.damaged([CSV], SPLICES), FLAGS),
        cases,
    )


@fuzzing.TIERS
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_images(cases, tmp_path, kind):
    for number, name in enumerate(("cat", "dog")):
        (tmp_path / name).mkdir()
        for index in range(4):
            pixels = np.full((4, 6), 90 * number + index, np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{index}.png")
    file = io.BytesIO()
    Image.fromarray(np.full((4, 6), 200, np.uint8)).save(file, kind)
    fuzzing.survives(
        lambda case: read(tmp_path, tmp_path / "dog" / "9.png", *case),
        st.tuples(fuzzing.damaged([file.getvalue()]), FLAGS),
        cases,
    )
