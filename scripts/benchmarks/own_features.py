"""Write data of other people's packages as files of features of one's own.

Command: python scripts/benchmarks/own_features.py FOLDER [--wheel FILE]

`digits/` has scikit-learn's 1,797 digits as PNG files, in a folder for each
class. `vowels.npz` and `vowels.csv` have the Japanese Vowels (Kudo, Toyama and
Shimbo, 1999): utterances of 7 to 29 steps of 12 coefficients by nine speakers,
270 to train and 370 to test on. They are read from the wheel of the package
`aeon`, which pip downloads if it is not given; nothing of it is installed or
run. docs/own-data.md trains on them.
"""

import argparse
import csv
import pathlib
import subprocess
import sys
import zipfile

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

_PACKAGE = "aeon==1.6.0"
_MEMBER = "aeon/datasets/data/JapaneseVowels/JapaneseVowels_{}.ts"


def write_digits(folder: pathlib.Path) -> None:
    """Write the digits as pictures, white on black."""
    digits = load_digits()
    pairs = zip(digits.images, digits.target, strict=True)
    for index, (image, label) in enumerate(pairs):
        path = folder / str(label) / f"{index:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.rint(image * (255 / 16)).astype(np.uint8)
        Image.fromarray(pixels).save(path)


def download(folder: pathlib.Path) -> pathlib.Path:
    """Download the wheel that has the vowels, and return its path."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    command = [*pip, "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    subprocess.run([*command, f"--dest={folder}", _PACKAGE], check=True)
    (wheel,) = folder.glob("aeon-*.whl")
    return wheel


def read_vowels(
    wheel: pathlib.Path, part: str
) -> tuple[list[np.ndarray], list[int]]:
    """Return the utterances of a part, `(steps, 12)`, and their speakers."""
    with zipfile.ZipFile(wheel) as archive:
        text = archive.read(_MEMBER.format(part.upper())).decode()
    rows = text.lower().partition("@data")[2].split()
    utterances, speakers = [], []
    for row in rows:
        *dimensions, speaker = row.split(":")
        values = [[float(x) for x in each.split(",")] for each in dimensions]
        utterances.append(np.array(values, np.float32).T)
        speakers.append(int(speaker))
    return utterances, speakers


def write_vowels(wheel: pathlib.Path, folder: pathlib.Path) -> None:
    """Write the Japanese Vowels as arrays and as a table."""
    parts = {part: read_vowels(wheel, part) for part in ("train", "test")}
    longest = max(len(x) for xs, _ in parts.values() for x in xs)
    arrays: dict[str, np.ndarray] = {}
    rows: list[list[object]] = []
    series = 0
    for part, (utterances, speakers) in parts.items():
        x = np.zeros((len(utterances), longest, 12), np.float32)
        pairs = zip(utterances, speakers, strict=True)
        for index, (utterance, speaker) in enumerate(pairs):
            x[index, : len(utterance)] = utterance
            for time, values in enumerate(utterance.tolist()):
                rows.append([series, time, *values, speaker, part])
            series += 1
        arrays[f"x_{part}"] = x
        arrays[f"y_{part}"] = np.array(speakers)
        arrays[f"lengths_{part}"] = np.array([len(x) for x in utterances])
    np.savez(folder / "vowels.npz", **arrays)
    names = [f"c{number}" for number in range(12)]
    with (folder / "vowels.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["series", "time", *names, "speaker", "part"])
        writer.writerows(rows)


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--wheel", type=pathlib.Path)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    write_digits(arguments.folder / "digits")
    wheel = arguments.wheel or download(arguments.folder)
    write_vowels(wheel, arguments.folder)


if __name__ == "__main__":
    main()
