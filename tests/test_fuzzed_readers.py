"""Whatever is read from outside a run folder is accepted, or refused in a line.

Command lines, YAML, data files, standard input and TF_CONFIG.
"""

import contextlib
import functools
import gzip
import io
import json
import os
import pathlib
import struct
import sys
import types
import zlib

import fuzzing
import numpy as np
import pytest
import yaml
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from keras_lstm.cli.parser import parse_arguments
from keras_lstm.cli.resolve import parse_positive, parse_steps, resolve_config
from keras_lstm.config import ModelConfig, TrainingConfig
from keras_lstm.config_file import read_config
from keras_lstm.core.errors import InputError
from keras_lstm.core.options import declared_options
from keras_lstm.distribute.cluster import read_cluster
from keras_lstm.inference.prediction import read_lines
from keras_lstm.presets import get_preset
from keras_lstm.tasks.idx import read_idx
from keras_lstm.tasks.image_files import read_images
from keras_lstm.tasks.image_rows import ImageRows
from keras_lstm.tasks.increment import Add, Increment
from keras_lstm.tasks.notation import ArrayNotation, SymbolNotation

# Command lines. Pairs of a flag and a value are damaged.

FLAGS = [
    f"--{field.name.replace('_', '-')}"
    for cls in (Increment, ImageRows, ModelConfig, TrainingConfig)
    for field, _, _ in declared_options(cls)
]
OTHER_FLAGS = ["--seed", "--preset", "--run-dir", "--config", "--profile-steps"]
OTHER_FLAGS += ["--log-every-steps", "--resume", "--smoke", "--task", "--help"]
OTHER_FLAGS += ["--init-from", "--search", "--workers", "--max-trials", "--"]
VALUES = ["0", "1", "2", "7", "128", "0.5", "1e-3", "none", "true", "adam"]
VALUES += ["per_step", "carry", "permutation", "digits", "increment", "cosine"]
VALUES += ["orthogonal", "constant(0.1)", "constant(1e308)", "zeros(1)"]
VALUES += ["random_uniform(-1)", "glorot_uniform", "1,2", "3,9" + "9" * 30]
VALUES += ["-1", "--", "-", "", "=", "\0", "\n", "\udcff", "@x", "1_0", "٣"]
VALUES += ["1e308", "1e400", "-inf", "nan", "9" * 401, "9" * 5000, "x" * 9999]
COMMANDS = [["train"], ["tune"], ["predict", "x"], ["verify"], ["export"], []]
TASKS = ["increment", "add", "image-rows", "", "x", ":", "no_module:X", "a.b:c"]


@st.composite
def command_lines(draw):
    argv = [*draw(st.sampled_from(COMMANDS)), draw(st.sampled_from(TASKS))]
    words = st.one_of(st.sampled_from(VALUES), st.text(max_size=8))
    for _ in range(draw(st.integers(0, 5))):
        flag = draw(
            st.sampled_from(draw(st.sampled_from([FLAGS, OTHER_FLAGS])))
        )
        joined = draw(st.integers(0, 5))
        value = draw(words)
        if joined == 0:
            argv.append(f"{flag}={value}")
        elif joined == 1:
            argv.append(draw(st.sampled_from([flag, value])))
        else:
            argv += [flag, value]
    return argv


@fuzzing.TIERS
def test_command_lines(cases, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def read(argv):
        with contextlib.redirect_stdout(io.StringIO()):
            try:
                arguments = parse_arguments(argv)
            # After --help.
            except SystemExit:
                assert {"--help", "-h"} & set(argv)
                return
        if argv[0] == "train":
            parse_positive(arguments.log_every_steps, "log_every_steps")
            parse_steps(arguments.profile_steps)
        if argv[0] in ("train", "tune"):
            read_config(resolve_config(arguments).to_yaml(), Increment)

    fuzzing.survives(read, command_lines(), cases)


# YAML.

CONFIG = get_preset("increment").to_yaml().encode()
SHORT = b"task: {num_bits: 5}\nmodel: &m {units: 3}\ntraining: {epochs: 2}\n"
YAML = [b"!!bool ", b"!!int ", b"!!float ", b"!!timestamp ", b"!!binary ", b'"']
YAML += [b"!!null ", b"!!set ", b"!!omap ", b"!!pairs ", b"!!python/name:os. "]
YAML += [b"&m ", b"*m", b"&a [*a, *a]", b"<<: *m\n", b"{", b"}", b"[", b"]"]
YAML += [b": ", b"- ", b"? ", b"| ", b"> ", b"%YAML 9.9\n", b"---\n", b"...\n"]
YAML += [b"\t", b"\n  ", b"# ", b"'", b"1:59:59", b"9" * 5000, b"[" * 3000]
YAML += [b".inf", b".nan", b"0x", b"0b", b"1e999", b"\xff\xfe", b"\xc2\x85"]
YAML += [b"2024-99-99", b"task: {name: 'no_module:X'}\n", b"units: 3\n", b"=="]


def read_yaml(text):
    file = read_config(text, Increment)
    preset = get_preset(file.preset or "increment", file.task or Increment)
    preset.replace(file.task, **file.values)


@fuzzing.TIERS
def test_yaml(cases):
    fuzzing.survives(
        lambda data: read_yaml(data.decode("utf-8", "replace")),
        fuzzing.damaged([CONFIG, SHORT], YAML),
        cases,
    )


@fuzzing.TIERS
def test_yaml_of_other_values(cases):
    fuzzing.survives(
        lambda tree: read_yaml(yaml.safe_dump(tree)),
        fuzzing.damaged_tree(yaml.safe_load(CONFIG)),
        cases,
    )


# Files of images and arrays.

IDX = bytes([0, 0, 8, 3, *(0, 0, 0, 2), *(0, 0, 0, 3), *(0, 0, 0, 4)])
IDX += bytes(range(24))


def in_file(read, path, data):
    path.write_bytes(data)
    return read(path)


@fuzzing.TIERS
def test_idx_files(cases, tmp_path):
    fuzzing.survives(
        functools.partial(
            in_file, lambda path: read_idx(path, 3), tmp_path / "x"
        ),
        fuzzing.damaged([IDX, gzip.compress(IDX)], [b"\x1f\x8b\x08"]),
        cases,
    )


def pictures():
    """Return pictures of 8 x 8 pixels in all formats that are read."""
    grey = np.arange(0, 256, 4, np.uint8).reshape(8, 8)
    image = Image.fromarray(grey)
    colours = image.convert("RGB")
    info = PngImagePlugin.PngInfo()
    info.add_text("name", "value", zip=True)
    info.add_itxt("name", "value", "en", "name", zip=True)
    kinds = {
        "grey": (image, "PNG", {}),
        "text": (image, "PNG", {"pnginfo": info, "icc_profile": b"x" * 40}),
        "bits": (image.convert("1"), "PNG", {}),
        "palette": (image.convert("P"), "PNG", {"transparency": b"\0" * 9}),
        "transparent": (colours.convert("RGBA"), "PNG", {}),
        "deep": (Image.fromarray(grey.astype("u2") * 257), "PNG", {}),
        "jpeg": (image, "JPEG", {}),
        "progressive": (colours, "JPEG", {"progressive": True, "exif": b"x"}),
        "cmyk": (colours.convert("CMYK"), "JPEG", {}),
    }
    found = []
    for picture, kind, options in kinds.values():
        file = io.BytesIO()
        picture.save(file, kind, **options)
        found.append(file.getvalue())
    return found


def with_checksums(data):
    """Return a PNG file whose checksums are right, to get past them."""
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        return data
    out, at = data[:8], 8
    while at + 12 <= len(data):
        (size,) = struct.unpack(">I", data[at : at + 4])
        chunk = data[at + 4 : at + 8 + size]
        out += data[at : at + 4] + chunk
        out += struct.pack(">I", zlib.crc32(chunk))
        at += 12 + size
    return out + data[at:]


@fuzzing.TIERS
def test_pictures(cases, tmp_path):
    tokens = [b"acTL", b"fcTL", b"fdAT", b"IDAT", b"iCCP", b"eXIf", b"tRNS"]
    tokens += [b"\xff\xd8", b"\xff\xe1\0\x10Exif\0\0", b"\xff\xe2MPF\0"]
    damaged = fuzzing.damaged(pictures(), tokens)
    fuzzing.survives(
        functools.partial(
            in_file,
            lambda path: read_images(path, (8, 8), 255.0),
            tmp_path / "x",
        ),
        st.one_of(damaged, damaged.map(with_checksums)),
        cases,
    )


def npy(header, body, version=1):
    """Return a .npy file with a header of the right length."""
    header = header + b"\n"
    size = struct.pack("<H" if version == 1 else "<I", len(header) % 65536)
    return b"\x93NUMPY" + bytes([version, 0]) + size + header + body


HEADER = b"{'descr': '|u1', 'fortran_order': False, 'shape': (2, 8, 8), }"
HEADERS = [HEADER, HEADER.replace(b"|u1", b"<f4"), HEADER.replace(b"2,", b"")]
NPY = [b"'|O'", b"'<f8'", b"'>f2'", b"'<U9'", b"('u1', 3)", b"[('a', 'u1')]"]
NPY += [b"'M8[ns]'", b"True", b"None", b"1" * 30, b"-1", b"(", b")", b"{", b"'"]
NPY += [b"10L", b"\\", b"'''", b"\n", b"9" * 5000, b"#", b"(" * 200, b"0", b","]
NPY += [
    b"'\\N{x}'",
    b"'\\x",
    b"1_0",
    b"0x",
    b"0777",
    b"1j",
    b"b''",
    b"\0",
    b"*",
]


@fuzzing.TIERS
def test_npy_files(cases, tmp_path):
    body = np.linspace(0, 1, 256, dtype="<f4").tobytes()
    path = tmp_path / "x.npy"

    def read(data):
        path.write_bytes(data)
        with contextlib.suppress(InputError):
            ArrayNotation((8, 8)).read(str(path))
        read_images(path, (8, 8), 255.0)

    whole = [
        npy(header, body[: 128 if b"u1" in header else 512])
        for header in HEADERS
    ]
    headers = fuzzing.damaged(HEADERS, NPY).map(lambda text: npy(text, body))
    fuzzing.survives(read, st.one_of(headers, fuzzing.damaged(whole)), cases)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_regular_file_is_refused(tmp_path, make):
    make(tmp_path / "x")
    for read in (
        lambda path: read_idx(path, 3),
        lambda path: read_images(path, (8, 8), 255.0),
        lambda path: ArrayNotation((8, 8)).read(str(path)),
    ):
        for path in (tmp_path / "x", pathlib.Path("/dev/zero")):
            with pytest.raises(InputError, match="Not a regular file"):
                read(path)


# Standard input.

LINES = b"7\n0b101\n0x1f\n00001\n\n 12 \r\n-5\nabc\n1 0 1 1\n\xc3\xa9\n"
NUMBERS = [
    b"9" * 20000,
    b"0b" + b"1" * 5000,
    b"0x",
    b"\0",
    b"\r",
    b"\n",
    b"\xff",
]
NUMBERS += [
    b"\xef\xbb\xbf",
    "٣".encode(),
    b"\xe2\x80\xa8",
    b"\x1b[2J",
    b"_",
    b"-",
]


class Pieces:
    """A stream that gives its bytes in pieces."""

    def __init__(self, data, size):
        self._file = io.BytesIO(data)
        self._size = size

    def read1(self, size):
        return self._file.read(min(size, self._size))


@fuzzing.TIERS
def test_standard_input(cases, monkeypatch):
    notations = [
        Increment(num_bits=5).notation(any_length=True),
        Increment(num_bits=5).notation(any_length=False),
        Add(num_bits=5).notation(any_length=True),
        SymbolNotation(4, None),
    ]

    def read(case):
        data, size = case
        stream = types.SimpleNamespace(
            buffer=Pieces(data, size), fileno=io.BytesIO().fileno
        )
        monkeypatch.setattr(sys, "stdin", stream)
        lines = [line for lines in read_lines(["-"]) for line in lines]
        texts = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
        decoded = [
            each.removesuffix(b"\r").decode("utf-8", "surrogateescape")
            for each in texts
        ]
        assert [(line.number, line.text) for line in lines] == [
            (number, text)
            for number, text in enumerate(decoded, 1)
            if text.strip()
        ]
        for notation in notations:
            for line in lines:
                try:
                    queries = notation.read(line.text)
                except InputError as error:
                    fuzzing.assert_one_line(str(error))
                else:
                    notation.encode(queries)

    fuzzing.survives(
        read,
        st.tuples(fuzzing.damaged([LINES], NUMBERS), st.integers(1, 70)),
        cases,
    )


# TF_CONFIG.

CLUSTER = {
    "cluster": {"chief": ["a:1"], "worker": ["host1:2222", "host2:2222"]},
    "task": {"type": "worker", "index": 0},
}
JSON = [b"1e400", b"[" * 100_000, b"NaN", b"9" * 5000, b"null", b"{}", b"-1"]
JSON += [
    b'"chief"',
    b'"worker"',
    b'"ps"',
    b'"a:1"',
    b"\\ud800",
    b"true",
    b"0.5",
]


@fuzzing.TIERS
def test_clusters(cases, monkeypatch):
    def read(text):
        # The environment cannot hold these.
        monkeypatch.setenv("TF_CONFIG", "")
        os.environb[b"TF_CONFIG"] = text.replace(b"\0", b"")
        read_cluster("auto")

    fuzzing.survives(
        read,
        st.one_of(
            fuzzing.damaged([json.dumps(CLUSTER).encode()], JSON),
            fuzzing.damaged_tree(CLUSTER, fuzzing.ODD_VALUES[:-1]).map(
                lambda tree: json.dumps(tree).encode()
            ),
        ),
        cases,
    )


def test_a_cluster_that_is_a_list_is_refused(monkeypatch):
    text = '{"cluster": [], "task": {"type": true, "index": 0}}'
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(InputError, match="TF_CONFIG must be JSON such as"):
        read_cluster("auto")


def test_a_symbol_of_5000_digits_is_refused():
    with pytest.raises(InputError, match="numbers from 0 to 3, separated"):
        SymbolNotation(4, None).read("9" * 5000)
