"""The arguments of each command."""

import argparse
from collections.abc import Callable
from typing import Any, NoReturn

from keras_lstm.cli import commands
from keras_lstm.cli.resolve import parse_path
from keras_lstm.config import Config, ModelConfig, TrainingConfig, option_owners
from keras_lstm.core.errors import InputError
from keras_lstm.core.options import declared_options
from keras_lstm.core.version import __version__
from keras_lstm.presets import PRESETS
from keras_lstm.tasks.registry import TASKS, get_task


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(message)


class _StoreOption(argparse.Action):
    """Keeps the text of an option's flag; its dataclass reads it later."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        namespace.options = namespace.options | {self.dest: values}


def parse_arguments(argv: list[str]) -> argparse.Namespace:
    """Parse the arguments of the command, without its name."""
    parser = _Parser(
        prog="keras-lstm",
        description="Train LSTMs until they are exactly right.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=__version__)
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    listing = subparsers.add_parser("list", help="tasks and presets")
    listing.set_defaults(run=commands.list_tasks_command)
    _add_train(subparsers, argv)
    _add_tune(subparsers, argv)
    _add_verify(subparsers)
    _add_prove(subparsers)
    _add_evaluate(subparsers)
    _add_predict(subparsers)
    _add_export(subparsers)
    return parser.parse_args(argv)


def _add_train(subparsers: Any, argv: list[str]) -> None:
    parser = subparsers.add_parser(
        "train",
        help="train, check every input, report",
        description="Trains a task's model, checks it, and writes a run "
        "folder. Values come from the preset, then the config file, then the "
        "flags; the later wins.",
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
    )
    parser.set_defaults(run=commands.train_command, options={})
    parser.add_argument(
        "task",
        metavar="TASK",
        help=f"{', '.join(TASKS)}, or module:Class for your own",
    )
    parser.add_argument(
        "--preset",
        metavar="P",
        default=None,
        help=f"one of {', '.join(PRESETS)}; by default the task's own",
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        type=parse_path,
        default=None,
        help="a YAML file of options, such as a run's config.yaml",
    )
    parser.add_argument(
        "--run-dir",
        metavar="DIR",
        type=parse_path,
        default=None,
        help="where the run's files go",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        default=False,
        help="go on with the run in --run-dir from its last checkpoint, with "
        "its own options; more --epochs are allowed",
    )
    parser.add_argument(
        "--init-from",
        metavar="RUN_DIR",
        type=parse_path,
        default=None,
        help="start from the weights of an earlier run",
    )
    parser.add_argument(
        "--log-every-steps",
        metavar="N",
        default=None,
        help="a line of progress each N steps, not each epoch",
    )
    parser.add_argument(
        "--profile-steps",
        metavar="FIRST,LAST",
        default=None,
        help="profile these steps for TensorBoard, counted from 1",
    )
    parser.add_argument(
        "--quiet", action="store_true", default=False, help="no progress"
    )
    parser.add_argument(
        "--print-config",
        action="store_true",
        default=False,
        help="print the resolved configuration and stop",
    )
    parser.add_argument(
        "--smoke",
        action="store_true",
        default=False,
        help="a few steps only, through everything",
    )
    _add_options(parser, "train", argv)


def _add_options(
    parser: argparse.ArgumentParser, command: str, argv: list[str]
) -> None:
    """A flag for every option of a run."""
    tasks = dict(TASKS)
    # A task of one's own brings options of its own.
    if argv[:1] == [command] and len(argv) > 1 and ":" in argv[1]:
        tasks[argv[1]] = get_task(argv[1])
        option_owners(tasks[argv[1]])
    groups = {
        "options of a run": Config,
        "options of the model": ModelConfig,
        "options of the training": TrainingConfig,
    } | {f"options of {name}": task for name, task in tasks.items()}
    added: set[str] = set()
    for title, cls in groups.items():
        group = parser.add_argument_group(title)
        for field, kind, _ in declared_options(cls):
            if field.name not in added:
                added.add(field.name)
                group.add_argument(
                    f"--{field.name.replace('_', '-')}",
                    action=_StoreOption,
                    metavar="/".join(field.metadata["choices"] or ())
                    or kind.__name__.upper(),
                    help=field.metadata["help"].replace("%", "%%"),
                )


def _add_tune(subparsers: Any, argv: list[str]) -> None:
    parser = subparsers.add_parser(
        "tune",
        help="search hyperparameters",
        description="Searches options of a run, the size of the LSTM first of "
        "all, with KerasTuner. Each trial is a whole run. The other options "
        "come from the preset, the config file and the flags.",
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
    )
    # Its trials begin or go on of themselves.
    parser.set_defaults(
        run=commands.tune_command,
        options={},
        smoke=False,
        resume=False,
        argv=argv,
    )
    parser.add_argument("task", metavar="TASK", help=", ".join(TASKS))
    parser.add_argument("--preset", metavar="P", default=None)
    parser.add_argument(
        "--config", metavar="FILE", type=parse_path, default=None
    )
    parser.add_argument(
        "--run-dir",
        metavar="DIR",
        type=parse_path,
        default=None,
        help="where the search's files go",
    )
    for flag, metavar, help_text in (
        ("--search", "NAMES", "options to search, such as units,dropout"),
        ("--max-trials", "N", "trials at most"),
        ("--workers", "N", "processes to run trials in"),
        ("--algorithm", "A", "grid, random, hyperband or bayesian"),
        ("--objective", "O", "cost or smallest; accuracy for images"),
    ):
        parser.add_argument(flag, metavar=metavar, help=help_text, default=None)
    for flag, dest, help_text in (
        ("--resume", "resume_search", "go on with the search in --run-dir"),
        (
            *("--overwrite", "overwrite"),
            "remove the search in --run-dir and begin anew",
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
        "check every input of a trained model",
        "Checks every input of the domain, or, of a domain too large for "
        "that, inputs of several kinds, and says which. Exit code 1 if "
        "anything is wrong.",
    )
    parser.add_argument(
        "--num-bits",
        metavar="N",
        help="another length than the one it was trained on (per_step head)",
    )


def _add_prove(subparsers: Any) -> None:
    _add_command_on_run(
        subparsers,
        "prove",
        commands.prove_command,
        "prove a trained model right for every length",
        "Looks for a proof that the model is right for sequences of any "
        "length, and writes it to proof.json. Exit code 1 if none is found.",
    )


def _add_evaluate(subparsers: Any) -> None:
    parser = _add_command_on_run(
        subparsers,
        "evaluate",
        commands.evaluate_command,
        "measure a trained model on test images",
        "Asks every test image once: accuracy with its 95% interval, the most "
        "confident mistakes, accuracy by rows read, by class, and the "
        "confusion matrix.",
    )
    parser.add_argument(
        "--dataset", metavar="D", help="other images than it was trained on"
    )
    parser.add_argument(
        "--data-dir", metavar="DIR", help="folder of the IDX files"
    )


def _add_predict(subparsers: Any) -> None:
    parser = _add_command_on_run(
        subparsers,
        "predict",
        commands.predict_command,
        "answer inputs with a trained model",
        "Answers numbers (0b... is binary, 0x... hexadecimal, exactly num_bits "
        "characters of 0 and 1 are binary, anything else is decimal), or names "
        "the classes of images. Exit code 1 if a line of a file was bad.",
    )
    parser.add_argument(
        "inputs",
        metavar="INPUT",
        nargs="+",
        help="a number, @PATH for a file with one on each line, - for "
        "standard input; or a file of images (.npy, IDX, PNG, JPEG)",
    )
    parser.add_argument(
        "--rows", metavar="N", help="answer after N rows of an image"
    )


def _add_export(subparsers: Any) -> None:
    parser = _add_command_on_run(
        subparsers,
        "export",
        commands.export_command,
        "write a trained model in another format",
        "Writes the model for TensorFlow Serving (saved_model), LiteRT or "
        "ONNX, loads it with the format's own runtime, and compares the "
        "answers to 1,000 random inputs. Exit code 1 if they differ.",
        json_too=False,
    )
    parser.add_argument(
        "--format",
        metavar="F",
        required=True,
        help="saved_model, litert or onnx",
    )
    parser.add_argument(
        "--output",
        metavar="PATH",
        type=parse_path,
        help="where it goes; by default saved_model, model.tflite or "
        "model.onnx in the run folder",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace the one that is there"
    )


def _add_command_on_run(
    subparsers: Any,
    name: str,
    run: Callable[[argparse.Namespace], int],
    summary: str,
    description: str,
    json_too: bool = True,
) -> argparse.ArgumentParser:
    """A command that reads a run folder, and may print JSON."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        name, help=summary, description=description, allow_abbrev=False
    )
    parser.set_defaults(run=run)
    parser.add_argument("run_dir", metavar="RUN_DIR", type=parse_path)
    if json_too:
        parser.add_argument("--json", action="store_true", help="print JSON")
    return parser
