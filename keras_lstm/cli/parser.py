"""Command-line arguments of each subcommand."""

import argparse
import re
from typing import Any, NoReturn

from keras_lstm.cli import commands
from keras_lstm.cli.bug_report import add_bug_report
from keras_lstm.cli.resolve import parse_new_path, parse_path
from keras_lstm.cli.run_parsers import add_run_parsers
from keras_lstm.config import Config, ModelConfig, TrainingConfig, option_owners
from keras_lstm.core.errors import InputError
from keras_lstm.core.options import Options, declared_options
from keras_lstm.core.version import __version__
from keras_lstm.presets import PRESETS
from keras_lstm.tasks.data_kind import DATA_TASKS
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
    _add_data(subparsers)
    _add_train(subparsers, argv)
    _add_tune(subparsers, argv)
    add_run_parsers(subparsers)
    add_bug_report(subparsers)
    for text in argv:
        # The argument parser of Python takes -- for the end of the flags.
        if match := re.fullmatch(r"--([^=]+)=--", text):
            parser.error(f"`{match[1]}` must have a value. Received: {text}")
    return parser.parse_args(argv)


def _add_data(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "data",
        help="show what a file holds before training on it",
        description="Show the rows, lengths, tokens and classes of a file, "
        "and the command to train on it.",
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
    )
    parser.set_defaults(run=commands.data_command, options={})
    parser.add_argument(
        "file", metavar="FILE", type=parse_path, help="the file"
    )
    parser.add_argument(
        "--task",
        default=None,
        metavar="TASK",
        help="the task to read it for (default: the one for such files)",
    )
    _add_flags(
        parser, {f"{name} options": task for name, task in DATA_TASKS.items()}
    )


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
    groups: dict[str, type[Options]] = {
        "run options": Config,
        "model options": ModelConfig,
        "training options": TrainingConfig,
    } | {f"{name} options": task for name, task in tasks.items()}
    _add_flags(parser, groups)


def _add_flags(
    parser: argparse.ArgumentParser, groups: dict[str, type[Options]]
) -> None:
    """Add a flag for each option of some classes."""
    added: dict[str, argparse.Action] = {}
    for title, cls in groups.items():
        group = parser.add_argument_group(title)
        for field, kind, _ in declared_options(cls):
            text = field.metadata["help"].replace("%", "%%")
            if field.name not in added:
                added[field.name] = group.add_argument(
                    f"--{field.name.replace('_', '-')}",
                    action=_StoreOption,
                    metavar="|".join(field.metadata["choices"] or ())
                    or kind.__name__.upper(),
                    help=text,
                )
            # Tasks may have options of one name that differ.
            elif text not in (added[field.name].help or ""):
                own = title.removesuffix(" options")
                added[
                    field.name
                ].help = f"{added[field.name].help}. For {own}: {text}"


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
    # `smoke` is a flag of `train` that `resolve_config` reads.
    parser.set_defaults(
        run=commands.tune_command,
        options={},
        smoke=False,
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
        (
            *("--resume", "resume"),
            "resume the search in --run-dir, with its own options",
        ),
        (
            *("--overwrite", "overwrite"),
            "remove the search in --run-dir and start again",
        ),
    ):
        parser.add_argument(
            flag, dest=dest, action="store_true", default=False, help=help_text
        )
    _add_options(parser, "tune", argv)
