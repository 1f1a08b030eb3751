"""Command-line arguments of each subcommand."""

import argparse
import re
from collections.abc import Callable
from typing import Any, NoReturn

from keras_lstm.cli import commands
from keras_lstm.cli.resolve import parse_new_path, parse_path
from keras_lstm.config import Config, ModelConfig, TrainingConfig, option_owners
from keras_lstm.core.errors import InputError
from keras_lstm.core.options import declared_options
from keras_lstm.core.version import __version__
from keras_lstm.presets import PRESETS
from keras_lstm.tasks.machine_files import is_machine
from keras_lstm.tasks.registry import TASKS, get_task


class _Parser(argparse.ArgumentParser):
    """Parser that raises `InputError` for bad usage."""

    def error(self, message: str) -> NoReturn:
        raise InputError(message)


class _StoreOption(argparse.Action):
    """Store the text of an option's flag, for `Options.parse`."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        namespace.options = namespace.options | {self.dest: values}


def parse_arguments(argv: list[str]) -> argparse.Namespace:
    """Parse the arguments of the command.

    Args:
        argv: the arguments, without the name of the command.

    Returns:
        The parsed arguments. `run` is the function to call with them.

    Raises:
        InputError: if an argument is unknown, missing or malformed.
    """
    parser = _Parser(
        prog="keras-lstm",
        description="Train LSTMs until they are exactly right. Run `keras-lstm "
        "COMMAND --help` for the options of a command.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=__version__)
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    listing = subparsers.add_parser("list", help="list tasks and presets")
    listing.set_defaults(run=commands.list_tasks_command)
    _add_train(subparsers, argv)
    _add_tune(subparsers, argv)
    _add_verify(subparsers)
    _add_prove(subparsers)
    _add_extract(subparsers)
    _add_evaluate(subparsers)
    _add_predict(subparsers)
    _add_export(subparsers)
    for text in argv:
        # The argument parser of Python takes -- for the end of the flags.
        if match := re.fullmatch(r"--([^=]+)=--", text):
            parser.error(f"`{match[1]}` must have a value. Received: {text}")
    return parser.parse_args(argv)


def _add_train(subparsers: Any, argv: list[str]) -> None:
    parser = subparsers.add_parser(
        "train",
        help="train a model, check it and write a report",
        description="Train a model for a task, check it, and write a run "
        "folder. Options are read from the preset, then from the config file, "
        "then from the flags; later values win.",
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
    )
    parser.set_defaults(run=commands.train_command, options={})
    _add_task(parser)
    parser.add_argument(
        "--run-dir",
        metavar="DIR",
        type=parse_new_path,
        default=None,
        help="folder for the run's files (default: a new one in logs/TASK)",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        default=False,
        help="resume the run in --run-dir from its last checkpoint, with its "
        "own options except for a higher --epochs; start one if there is none",
    )
    parser.add_argument(
        "--init-from",
        metavar="RUN_DIR",
        type=parse_path,
        default=None,
        help="start from the weights of a finished run",
    )
    parser.add_argument(
        "--task",
        dest="init_task",
        metavar="MODULE:CLASS",
        default=None,
        help="custom task of the run in --init-from, to allow running its code "
        "unless it is installed or TASK",
    )
    parser.add_argument(
        "--log-every-steps",
        metavar="N",
        default=None,
        help="print progress every N steps instead of every epoch",
    )
    parser.add_argument(
        "--profile-steps",
        metavar="FIRST,LAST",
        default=None,
        help="profile these steps for TensorBoard, counted from 1",
    )
    for flag, help_text in (
        ("--quiet", "show no progress"),
        ("--print-config", "print the configuration as YAML and exit"),
        ("--smoke", "train for only 2 steps, to test a setup"),
    ):
        parser.add_argument(
            flag, action="store_true", default=False, help=help_text
        )
    _add_options(parser, "train", argv)


def _add_task(parser: argparse.ArgumentParser) -> None:
    """Add what selects the task and its options."""
    parser.add_argument(
        "task",
        metavar="TASK",
        help=f"{', '.join(TASKS)}; a finite-state machine, as a file (.dot, "
        ".gv, .yaml, .yml), regex:EXPRESSION or a name from `keras-lstm list`; "
        "or module:Class for a custom task",
    )
    parser.add_argument(
        "--undefined",
        metavar="refuse|sink",
        default=None,
        help="what a machine's missing arrows do: refuse the machine (default) "
        "or lead to a state that is never left",
    )
    parser.add_argument(
        "--preset",
        metavar="NAME",
        default=None,
        help=f"preset, one of {', '.join(PRESETS)} (default: the task's own)",
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        type=parse_path,
        default=None,
        help="YAML file with options, such as a run's config.yaml",
    )


def _add_options(
    parser: argparse.ArgumentParser, command: str, argv: list[str]
) -> None:
    """Add a flag for every option of a run."""
    tasks = dict(TASKS)
    # A custom task may declare options; load it to add their flags.
    if (
        argv[:1] == [command]
        and len(argv) > 1
        and ":" in argv[1]
        and not is_machine(argv[1])
    ):
        tasks[argv[1]] = get_task(argv[1])
        option_owners(tasks[argv[1]])
    groups = {
        "run options": Config,
        "model options": ModelConfig,
        "training options": TrainingConfig,
    } | {f"{name} options": task for name, task in tasks.items()}
    added: set[str] = set()
    for title, cls in groups.items():
        group = parser.add_argument_group(title)
        for field, kind, _ in declared_options(cls):
            if field.name not in added:
                added.add(field.name)
                group.add_argument(
                    f"--{field.name.replace('_', '-')}",
                    action=_StoreOption,
                    metavar="|".join(field.metadata["choices"] or ())
                    or kind.__name__.upper(),
                    help=field.metadata["help"].replace("%", "%%"),
                )


def _add_tune(subparsers: Any, argv: list[str]) -> None:
    parser = subparsers.add_parser(
        "tune",
        help="search hyperparameters",
        description="Search options of a run, such as the size of the LSTM, "
        "with KerasTuner. Each trial is a complete run. The other options are "
        "read from the preset, the config file and the flags, as for train.",
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
    )
    # `smoke` and `resume` are flags of `train` that `resolve_config` reads.
    parser.set_defaults(
        run=commands.tune_command,
        options={},
        smoke=False,
        resume=False,
        argv=argv,
    )
    _add_task(parser)
    parser.add_argument(
        "--run-dir",
        metavar="DIR",
        type=parse_new_path,
        default=None,
        help="folder for the search's files (default: a new one in logs/TASK)",
    )
    for flag, metavar, help_text in (
        ("--search", "NAMES", "comma-separated options (default: units)"),
        (
            "--max-trials",
            "N",
            "maximum number of trials (default: all combinations for grid, 10 "
            "for random and bayesian; hyperband derives it from --epochs)",
        ),
        ("--workers", "N", "processes that run trials (default: 1)"),
        (
            "--algorithm",
            "NAME",
            "grid, random, hyperband or bayesian (default: grid)",
        ),
        (
            "--objective",
            "NAME",
            "how to rank trials: cost (training examples until nothing is "
            "wrong; the default) or smallest for sequence tasks, accuracy for "
            "all others",
        ),
    ):
        parser.add_argument(flag, metavar=metavar, help=help_text, default=None)
    for flag, dest, help_text in (
        ("--resume", "resume_search", "resume the search in --run-dir"),
        (
            *("--overwrite", "overwrite"),
            "remove the search in --run-dir and start again",
        ),
    ):
        parser.add_argument(
            flag, dest=dest, action="store_true", default=False, help=help_text
        )
    _add_options(parser, "tune", argv)


def _add_verify(subparsers: Any) -> None:
    parser = _add_command_on_run(
        subparsers,
        "verify",
        commands.verify_command,
        "check a trained model on every input",
        "Check a trained model on every input of its task or, if these are "
        "too many, on samples of several kinds, which are named. The exit code "
        "is 1 if anything is wrong.",
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
        help="file or folder of sequences, all of which to test on (default: "
        "the test part of the data trained on)",
    )
    parser.add_argument(
        "--dataset",
        metavar="NAME",
        help="dataset of the test images (default: the one trained on)",
    )
    parser.add_argument(
        "--data-dir", metavar="DIR", help="folder that holds the IDX files"
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
        "input; or a file of images (.npy, IDX, PNG, JPEG)",
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
        help="saved_model, litert or onnx",
    )
    parser.add_argument(
        "--output",
        metavar="PATH",
        type=parse_new_path,
        help="file or folder to write (default: saved_model, model.tflite or "
        "model.onnx in the run folder)",
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace an existing model of the same format",
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
