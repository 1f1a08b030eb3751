"""The `keras-lstm` command."""

import argparse
import contextlib
import gc
import json
import os
import pathlib
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

from keras_lstm import __version__
from keras_lstm.cluster import read_cluster
from keras_lstm.config import (
    Config,
    ModelConfig,
    TrainingConfig,
    option_owners,
)
from keras_lstm.config_file import ConfigFile, read_config
from keras_lstm.console import ProgressBar, say
from keras_lstm.options import (
    InputError,
    RunError,
    check_known,
    declared_options,
)
from keras_lstm.prediction import Line, check_rows, read_arguments
from keras_lstm.presets import PRESETS, describe, get_preset
from keras_lstm.run_folder import RunFolder, default_run_dir
from keras_lstm.saved_run import read_run
from keras_lstm.search_folder import check_folder
from keras_lstm.search_results import table
from keras_lstm.search_settings import Search
from keras_lstm.search_workers import part_in_search, run_processes
from keras_lstm.tasks import TASKS, get_task, task_name
from keras_lstm.tasks.task import Task


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


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command.

    Args:
        argv: its arguments; by default the process's.

    Returns:
        The exit code: 0 done, 1 something failed, 2 bad usage or input, 130
        stopped by Ctrl-C.
    """
    # An arrow that a terminal cannot show is no reason to fail.
    with contextlib.suppress(AttributeError, ValueError):
        sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
    try:
        arguments = _parse(sys.argv[1:] if argv is None else list(argv))
        return int(arguments.run(arguments))
    except InputError as error:
        print(f"keras-lstm: error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # Nobody reads any more; Python would say so once again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except (OSError, RunError) as error:
        print(f"keras-lstm: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = _Parser(
        prog="keras-lstm",
        description="Train LSTMs until they are exactly right.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    listing = commands.add_parser("list", help="tasks and presets")
    listing.set_defaults(run=_list)
    _add_train(commands, argv)
    _add_tune(commands, argv)
    _add_verify(commands)
    _add_prove(commands)
    _add_evaluate(commands)
    _add_predict(commands)
    _add_export(commands)
    return parser.parse_args(argv)


def _add_train(commands: Any, argv: list[str]) -> None:
    parser = commands.add_parser(
        "train",
        help="train, check every input, report",
        description="Trains a task's model, checks it, and writes a run "
        "folder. Values come from the preset, then the config file, then the "
        "flags; the later wins.",
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
    )
    parser.set_defaults(run=_train, options={})
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
        type=_path,
        default=None,
        help="a YAML file of options, such as a run's config.yaml",
    )
    parser.add_argument(
        "--run-dir",
        metavar="DIR",
        type=_path,
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
        type=_path,
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


def _add_tune(commands: Any, argv: list[str]) -> None:
    parser = commands.add_parser(
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
        run=_tune, options={}, smoke=False, resume=False, argv=argv
    )
    parser.add_argument("task", metavar="TASK", help=", ".join(TASKS))
    parser.add_argument("--preset", metavar="P", default=None)
    parser.add_argument("--config", metavar="FILE", type=_path, default=None)
    parser.add_argument(
        "--run-dir",
        metavar="DIR",
        type=_path,
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


def _add_verify(commands: Any) -> None:
    parser = _add_command_on_run(
        commands,
        "verify",
        _verify,
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


def _add_prove(commands: Any) -> None:
    _add_command_on_run(
        commands,
        "prove",
        _prove,
        "prove a trained model right for every length",
        "Looks for a proof that the model is right for sequences of any "
        "length, and writes it to proof.json. Exit code 1 if none is found.",
    )


def _add_evaluate(commands: Any) -> None:
    parser = _add_command_on_run(
        commands,
        "evaluate",
        _evaluate,
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


def _add_predict(commands: Any) -> None:
    parser = _add_command_on_run(
        commands,
        "predict",
        _predict,
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


def _add_export(commands: Any) -> None:
    parser = _add_command_on_run(
        commands,
        "export",
        _export,
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
        type=_path,
        help="where it goes; by default saved_model, model.tflite or "
        "model.onnx in the run folder",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace the one that is there"
    )


def _add_command_on_run(
    commands: Any,
    name: str,
    run: Callable[[argparse.Namespace], int],
    summary: str,
    description: str,
    json_too: bool = True,
) -> argparse.ArgumentParser:
    """A command that reads a run folder, and may print JSON."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=summary, description=description, allow_abbrev=False
    )
    parser.set_defaults(run=run)
    parser.add_argument("run_dir", metavar="RUN_DIR", type=_path)
    if json_too:
        parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _list(arguments: argparse.Namespace) -> int:
    print("Tasks")
    for name, task in TASKS.items():
        summary = (task.__doc__ or "").splitlines()[0]
        print(f"  {name:<22}{summary}")
    print("\nPresets")
    for name in PRESETS:
        parts = describe(name)
        print(f"  {name:<22}{parts['summary']}")
        for part in ("command", "result", "time"):
            print(f"  {'':<22}{part}: {parts[part]}")
    return 0


def _train(arguments: argparse.Namespace) -> int:
    config = _resolve(arguments)
    if arguments.print_config:
        print(config.to_yaml(), end="")
        return 0
    log_every_steps = _positive(arguments.log_every_steps, "log_every_steps")
    profile_steps = _steps(arguments.profile_steps)
    cluster = read_cluster(config.training.strategy)
    chief = cluster is None or cluster.is_chief
    if arguments.init_from is not None:
        read_run(arguments.init_from, "init_from")
    if arguments.run_dir is not None and chief:
        RunFolder(arguments.run_dir).check(arguments.resume)
    if arguments.resume:
        why_not = RunFolder(arguments.run_dir).finished_reason(config)
        if why_not is not None:
            print(why_not)
            return 0
    began = time.perf_counter()
    if cluster is not None:
        say(f"waiting for all of {cluster.num_workers} workers")
    with _loading_tensorflow():
        from keras_lstm.run_results import result_text
        from keras_lstm.strategies import get_strategy
        from keras_lstm.training import train

        get_strategy(config.training.strategy)
    result = train(
        config,
        arguments.run_dir,
        resume=arguments.resume,
        init_from=arguments.init_from,
        log_every_steps=log_every_steps,
        profile_steps=profile_steps,
        quiet=arguments.quiet,
        import_seconds=time.perf_counter() - began,
    )
    if chief:
        print(result_text(config, result))
    return 0


def _tune(arguments: argparse.Namespace) -> int:
    workers = _positive(arguments.workers, "workers") or 1
    max_trials = _positive(arguments.max_trials, "max_trials")
    if arguments.resume_search and arguments.overwrite:
        raise InputError("`resume` and `overwrite` exclude one another")
    if arguments.run_dir is None and arguments.resume_search:
        raise InputError("`resume` needs `run_dir`. Received: run_dir=None")
    config = _resolve(arguments)
    folder = (
        default_run_dir(config, "tune")
        if arguments.run_dir is None
        else arguments.run_dir
    )
    search = Search(
        config,
        tuple((arguments.search or "units").split(",")),
        arguments.objective or "",
        arguments.algorithm or "grid",
        max_trials,
        config.seed,
    )
    read_cluster(config.training.strategy)
    how = {"resume": arguments.resume_search, "overwrite": arguments.overwrite}
    part = part_in_search()
    # A worker may be there before the chief has made the folder.
    if part != "worker":
        check_folder(folder, search, **how)
    if part is None and workers > 1:
        # The same again, as the chief and the workers.
        command = [sys.executable, "-m", "keras_lstm", *arguments.argv]
        command += ["--run-dir", str(folder)]
        run_processes(folder, command, workers)
        return 0
    with _loading_tensorflow():
        from keras_lstm.search import run, run_trials
    if part == "worker":
        run_trials(folder, search)
        return 0
    trials = run(folder, search, **how)
    print(table(search, trials))
    print(f"Search folder: {folder}")
    if all(trial.score is None for trial in trials):
        raise RunError("no trial has come to its end")
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    num_bits = _positive(arguments.num_bits, "num_bits")
    read_run(arguments.run_dir).machine_to_verify(num_bits)
    with _loading_tensorflow():
        from keras_lstm.reporting import check_text
        from keras_lstm.runs import failures_path, load_run, verify_run
    run = load_run(arguments.run_dir)
    task, result, report = verify_run(run, num_bits)
    failures = failures_path(run, task.num_bits).name
    _print_result(arguments, report, lambda: check_text(task, result, failures))
    return 1 if result.num_wrong else 0


def _prove(arguments: argparse.Namespace) -> int:
    machine = read_run(arguments.run_dir).machine_to_prove()
    with _loading_tensorflow():
        from keras_lstm.reporting import proof_text
        from keras_lstm.runs import load_run, prove_run
    run = load_run(arguments.run_dir)
    search, checks, report = prove_run(run)
    _print_result(
        arguments, report, lambda: proof_text(machine, search, checks)
    )
    return 0 if search.proof is not None else 1


def _evaluate(arguments: argparse.Namespace) -> int:
    data = {"dataset": arguments.dataset, "data_dir": arguments.data_dir}
    read_run(arguments.run_dir).task_to_evaluate(**data)
    with _loading_tensorflow():
        from keras_lstm.evaluation_details import evaluation_details_text
        from keras_lstm.runs import evaluate_run, load_run
    run = load_run(arguments.run_dir)
    task, details, sketches = evaluate_run(run, **data)
    _print_result(
        arguments,
        details,
        lambda: evaluation_details_text(details, sketches, task),
    )
    return 0


def _print_result(
    arguments: argparse.Namespace,
    report: dict[str, Any],
    text: Callable[[], str],
) -> None:
    """Print a result as JSON or as text."""
    print(json.dumps(report, indent=2) if arguments.json else text())


def _predict(arguments: argparse.Namespace) -> int:
    rows = _positive(arguments.rows, "rows")
    saved = read_run(arguments.run_dir)
    task = saved.config.task
    check_rows(rows, task)
    # Before TensorFlow is loaded.
    lines = read_arguments(arguments.inputs, task.notation(saved.any_length))
    with _loading_tensorflow():
        from keras_lstm.prediction import predict
        from keras_lstm.runs import load_run
    run = load_run(arguments.run_dir)
    bad = 0

    def on_bad_line(line: Line, error: InputError) -> None:
        nonlocal bad
        bad += 1
        say(f"{line.place}: {error}")

    for batch in predict(
        run.model,
        task,
        lines,
        any_length=saved.any_length,
        on_bad_line=on_bad_line,
        rows=rows,
    ):
        for each in batch:
            print(json.dumps(each.fields) if arguments.json else each.text)
        # Whoever reads along waits for it.
        sys.stdout.flush()
    return 1 if bad else 0


def _export(arguments: argparse.Namespace) -> int:
    from keras_lstm.export import FORMATS, check_export, export_model

    check_known(arguments.format, FORMATS, "format")
    default = arguments.run_dir / FORMATS[arguments.format].file_name
    output = arguments.output or default
    check_export(arguments.format, output, arguments.overwrite)
    read_run(arguments.run_dir)
    with _loading_tensorflow():
        from keras_lstm.runs import load_run
    run = load_run(arguments.run_dir)
    with ProgressBar("comparing") as bar:
        exported = export_model(
            run.model,
            run.config.task,
            arguments.format,
            output,
            arguments.overwrite,
            bar.update,
        )
    print(exported)
    return 0


def _resolve(arguments: argparse.Namespace) -> Config:
    task: type[Task] = get_task(arguments.task)
    file = ConfigFile(None, None, {})
    if arguments.config is not None:
        try:
            text = arguments.config.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(
                f"`config` must be a readable file. Received: {error}"
            ) from None
        file = read_config(text, task)
    if file.task is not None and file.task is not task:
        raise InputError(
            f"`config` is for {file.task.name}. Received: task={arguments.task}"
        )
    name = arguments.preset or file.preset
    config = _run_to_go_on_with(arguments, task, name)
    if config is None:
        config = get_preset(name or _default_preset(task), task)
    owners = option_owners(task)
    flags = {}
    for option, text in arguments.options.items():
        cls = Config if option == "seed" else owners.get(option, ("", None))[1]
        if cls is None:
            raise InputError(f"`{option}` is no option of {task.name}")
        flags[option] = cls.parse(option, text)
    config = config.replace(**(file.values | flags))
    if not arguments.smoke:
        return config
    smoke = {"epochs": 1, "steps_per_epoch": 2}
    for option in ("counterexamples_from", "prove_from"):
        if getattr(config.training, option) is not None:
            smoke[option] = 0
    return config.replace(**smoke)


def _run_to_go_on_with(
    arguments: argparse.Namespace, task: type[Task], preset: str | None
) -> Config | None:
    """The run's own configuration, where there is one to go on with."""
    if not arguments.resume:
        return None
    if arguments.run_dir is None:
        raise InputError("`resume` needs `run_dir`. Received: run_dir=None")
    config = RunFolder(arguments.run_dir).read_config()
    if config is None:
        return None
    if type(config.task) is not task or preset not in (None, config.preset):
        raise InputError(
            "`resume` goes on with the run's own task and preset, "
            f"{task_name(type(config.task))} and {config.preset}. Received: "
            f"task={arguments.task}, preset={preset}"
        )
    return config


def _default_preset(task: type[Task]) -> str:
    name = getattr(task, "name", "")
    return name if name in PRESETS else task.default_preset


def _positive(text: str | None, name: str) -> int | None:
    if text is None:
        return None
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise InputError(
            f"`{name}` must be an integer of at least 1. Received: "
            f"{name}={text}"
        )
    return value


def _steps(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    first, _, last = text.partition(",")
    try:
        steps = (int(first), int(last))
    except ValueError:
        steps = (0, 0)
    if not 1 <= steps[0] <= steps[1]:
        raise InputError(
            "`profile_steps` must be two step numbers, the first at least 1 "
            f"and not after the last. Received: profile_steps={text}"
        )
    return steps


def _path(text: str) -> pathlib.Path:
    if not text:
        raise argparse.ArgumentTypeError("must be a path. Received: nothing")
    return pathlib.Path(text)


@contextlib.contextmanager
def _loading_tensorflow() -> Iterator[None]:
    """Holds messages back while modules that need TensorFlow are imported."""
    with _startup_messages_held(), _no_garbage_collected():
        yield
        import tensorflow

        # Looking for GPUs is what prints; do it here.
        tensorflow.config.list_logical_devices()


@contextlib.contextmanager
def _no_garbage_collected() -> Iterator[None]:
    """For what is made here stays: looking it through takes a second."""
    if "tensorflow" in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextlib.contextmanager
def _startup_messages_held() -> Iterator[None]:
    """Holds back what TensorFlow prints while it loads, unless it fails.

    The lines come from native code before its log level is read. Whoever has
    set TF_CPP_MIN_LOG_LEVEL sees them.
    """
    if "TF_CPP_MIN_LOG_LEVEL" in os.environ:
        yield
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(stderr, held.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
