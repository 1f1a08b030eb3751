"""Command-line arguments of the subcommands that read run folders."""

import argparse
import pathlib
from collections.abc import Callable
from typing import Any

from keras_lstm.cli import commands, report_commands, table_commands
from keras_lstm.cli.resolve import (
    parse_new_path,
    parse_page_path,
    parse_path,
)


def add_run_parsers(subparsers: Any) -> None:
    """Add the subcommands that read run folders.

    Args:
        subparsers: the parsers of subcommands, of `argparse`.
    """
    _add_verify(subparsers)
    _add_prove(subparsers)
    _add_extract(subparsers)
    _add_evaluate(subparsers)
    _add_predict(subparsers)
    _add_export(subparsers)
    _add_report(subparsers)
    _add_runs(subparsers)
    _add_compare(subparsers)


def _add_verify(subparsers: Any) -> None:
    parser = _add_command_on_run(
        subparsers,
        "verify",
        commands.verify_command,
        "check a trained model on every input",
        "Check a trained model on every input of its task or, if these are "
        "too many, on samples of several kinds, which are named. If the run "
        "has a proof for every length, check that instead. The exit code is 1 "
        "if anything is wrong.",
    )
    parser.add_argument(
        "--walk",
        action="store_true",
        help="compute the answers even if the run has a proof",
    )
    parser.add_argument(
        "--num-bits",
        metavar="N",
        help="length of the inputs (default: the one trained on; others need "
        "the per_step head)",
    )


def _add_prove(subparsers: Any) -> None:
    parser = _add_command_on_run(
        subparsers,
        "prove",
        commands.prove_command,
        "prove a trained model right for every length",
        "Search for a proof that the model is right for sequences of any "
        "length, and write it to proof.json. The exit code is 1 if none is "
        "found.",
    )
    parser.add_argument(
        "--repair",
        action="store_true",
        help="fine-tune a copy of the model until it is proved, and write it "
        "into a new run folder",
    )
    parser.add_argument(
        "--ellipsoids",
        action="store_true",
        help="if boxes do not prove the model, search for ellipsoids, which "
        "may for a model that was not trained for a proof, for at most about "
        "10 minutes",
    )
    parser.add_argument(
        "--output",
        metavar="DIR",
        type=parse_path,
        help="the new run folder (default: RUN_DIR-proved)",
    )


def _add_extract(subparsers: Any) -> None:
    parser = _add_command_on_run(
        subparsers,
        "extract",
        commands.extract_command,
        "find the finite-state machine that a trained model computes",
        "Find the machine that a model computes, right or wrong, and prove "
        "that the model is this machine. The exit code is 1 if it is not the "
        "task's, or none is found.",
    )
    parser.add_argument(
        "--output",
        metavar="FILE",
        type=parse_new_path,
        help="Graphviz file to write the machine to (.dot or .gv)",
    )
    parser.add_argument(
        "--max-states",
        metavar="N",
        help="number of states at which to give up (default: 256)",
    )


def _add_evaluate(subparsers: Any) -> None:
    parser = _add_command_on_run(
        subparsers,
        "evaluate",
        commands.evaluate_command,
        "measure a trained model on its test split",
        "Evaluate a trained model on every example of a test split, once, and "
        "print the accuracy with its 95% confidence interval, the most "
        "confident mistakes, the accuracy by rows read and by class, and the "
        "confusion matrix.",
    )
    parser.add_argument(
        "--data",
        metavar="FILE",
        type=parse_path,
        help="file or folder of sequences, all of which to test on (default: "
        "the test part of the data trained on)",
    )
    parser.add_argument(
        "--dataset",
        metavar="NAME",
        help="dataset of the test images (default: the one trained on)",
    )
    parser.add_argument(
        "--data-dir",
        metavar="DIR",
        type=parse_path,
        help="folder that holds the IDX files",
    )


def _add_predict(subparsers: Any) -> None:
    parser = _add_command_on_run(
        subparsers,
        "predict",
        commands.predict_command,
        "predict outputs with a trained model",
        "Predict the output for numbers (0b... is binary, 0x... hexadecimal; "
        "exactly num_bits characters of 0 and 1 are binary, anything else is "
        "decimal), or the class of images. The exit code is 1 if a line of a "
        "file is invalid.",
    )
    parser.add_argument(
        "inputs",
        metavar="INPUT",
        nargs="+",
        help="number, @PATH for a file with one per line, or - for standard "
        "input; or a file of images (.npy, IDX, PNG, JPEG) or of "
        "sequences (.npy, CSV, TSV, JSON Lines)",
    )
    parser.add_argument(
        "--rows", metavar="N", help="predict after the first N rows of an image"
    )


def _add_export(subparsers: Any) -> None:
    parser = _add_command_on_run(
        subparsers,
        "export",
        commands.export_command,
        "export a trained model to another format",
        "Export a trained model for TensorFlow Serving (saved_model), LiteRT "
        "or ONNX, load it with that format's runtime, and compare the "
        "predictions for 1,000 random inputs. The exit code is 1 if they "
        "differ.",
        json_too=False,
    )
    parser.add_argument(
        "--format",
        metavar="FORMAT",
        required=True,
        help="saved_model, litert, onnx, or folder: model card, model, proof, "
        "configuration and report, for publishing",
    )
    parser.add_argument(
        "--output",
        metavar="PATH",
        type=parse_new_path,
        help="file or folder to write (default: saved_model, model.tflite, "
        "model.onnx or published in the run folder)",
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace an existing model of the same format",
    )


def _add_report(subparsers: Any) -> None:
    _add_command_on_run(
        subparsers,
        "report",
        report_commands.report_command,
        "write the page of a finished run, or of a search, again",
        "Write report.html into the folder of a finished run: one page, which "
        "needs no network, with the result, what is wrong, the network itself "
        "to try, pictures, the configuration and commands. A proof is checked "
        "and a test split is measured again, if its data is there. For "
        "the folder of a search: its trials, which options matter, and the "
        "best for their size.",
        json_too=False,
    )


def _add_runs(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "runs",
        help="list the runs in a folder and compare their results",
        description="List all runs in a folder and the folders within: their "
        "options that differ from the preset, whether they are running, "
        "finished or stopped, and their results.",
        allow_abbrev=False,
    )
    parser.set_defaults(run=table_commands.runs_command)
    parser.add_argument(
        "dir",
        metavar="DIR",
        nargs="?",
        type=parse_path,
        default=pathlib.Path("logs"),
        help="folder of the runs (default: logs)",
    )
    parser.add_argument(
        "--filter",
        metavar="CONDITION",
        action="append",
        default=[],
        help="list only runs that meet a condition: a column or an option, one "
        "of = != < <= > >=, and a value, such as 'units>=32'; may be repeated",
    )
    parser.add_argument(
        "--sort",
        metavar="NAME",
        help="column or option to sort by (default: run)",
    )
    parser.add_argument(
        "--descending",
        action="store_true",
        help="sort the largest value first",
    )
    parser.add_argument(
        "--json", action="store_true", help="print the runs as JSON"
    )
    parser.add_argument(
        "--csv", action="store_true", help="print the runs as CSV"
    )
    parser.add_argument(
        "--html",
        metavar="FILE",
        nargs="?",
        type=parse_page_path,
        # Found once the folder is known.
        const=pathlib.Path(),
        help="write a page that lists the runs and links their pages (default: "
        "index.html in DIR)",
    )


def _add_compare(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "compare",
        help="compare runs: options, results, curves, wrong inputs",
        description="Compare runs: the options that differ, the results, the "
        "metrics by epoch, and the inputs that one run gets right and another "
        "does not. The others are compared with the first.",
        allow_abbrev=False,
    )
    parser.set_defaults(run=table_commands.compare_command)
    parser.add_argument(
        "run_dirs",
        metavar="RUN_DIR",
        nargs="+",
        type=parse_path,
        help="folders of the runs, two or more",
    )
    parser.add_argument(
        "--json", action="store_true", help="print the comparison as JSON"
    )
    parser.add_argument(
        "--html",
        metavar="FILE",
        type=parse_page_path,
        help="write a page that compares the runs, with all curves",
    )


def _add_command_on_run(
    subparsers: Any,
    name: str,
    run: Callable[[argparse.Namespace], int],
    summary: str,
    description: str,
    json_too: bool = True,
) -> argparse.ArgumentParser:
    """Add a command that reads a run folder, and may print JSON."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        name, help=summary, description=description, allow_abbrev=False
    )
    parser.set_defaults(run=run)
    parser.add_argument(
        "run_dir",
        metavar="RUN_DIR",
        type=parse_path,
        help="folder of a finished run",
    )
    parser.add_argument(
        "--task",
        metavar="MODULE:CLASS",
        help="custom task of the run, to allow running its code unless it is "
        "installed",
    )
    if json_too:
        parser.add_argument(
            "--json", action="store_true", help="print the result as JSON"
        )
    return parser
