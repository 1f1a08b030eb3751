"""Functions that run the subcommands, one for each."""

import argparse
import json
import pathlib
import sys
import time
from collections.abc import Callable
from typing import Any

from keras_lstm.cli.resolve import (
    parse_positive,
    parse_steps,
    read_run_of,
    resolve_config,
)
from keras_lstm.cli.startup import loading_tensorflow
from keras_lstm.core.console import ProgressBar, print_status
from keras_lstm.core.drawing import drawing_apart
from keras_lstm.core.errors import InputError, RunError, escaped
from keras_lstm.core.extras import require_package, require_tracker
from keras_lstm.core.options import check_known, declared_options
from keras_lstm.core.shell import shell_text
from keras_lstm.distribute.cluster import read_cluster
from keras_lstm.inference.prediction import Line, check_rows, read_arguments
from keras_lstm.presets import PRESETS, describe
from keras_lstm.runs.folder import RunFolder, default_run_dir
from keras_lstm.tasks.data_kind import DATA_TASKS, task_for_data
from keras_lstm.tasks.machine_dot import check_dot_path
from keras_lstm.tasks.machine_library import MACHINES
from keras_lstm.tasks.make import make_task
from keras_lstm.tasks.registry import TASKS
from keras_lstm.tasks.transducer import TransducerTask

# Bytes of a file that takes some seconds to read.
_LARGE = 2**22
# Tasks that read files of one's own.


def list_tasks_command(arguments: argparse.Namespace) -> int:
    """Run `keras-lstm list`; return the exit code."""
    print("Tasks")
    for name, task in TASKS.items():
        # Without docstrings under `python -OO`.
        summary, *_ = (task.__doc__ or "").splitlines() or [""]
        print(f"  {name:<22}{summary}")
    print("\nMachines")
    for name, make in MACHINES.items():
        table = make()
        sizes = f"{len(table.states)} states, {len(table.symbols)} symbols"
        print(f"  {name:<22}{sizes}; {table.source}")
    print("\nPresets")
    for name in PRESETS:
        parts = describe(name)
        print(f"  {name:<22}{parts['summary']}")
        for part in ("command", "result", "time"):
            if part in parts:
                print(f"  {'':<22}{part}: {parts[part]}")
    return 0


def data_command(arguments: argparse.Namespace) -> int:
    """Run `keras-lstm data`; return the exit code."""
    name = (
        arguments.task or task_for_data(arguments.file, arguments.options).name
    )
    check_known(name, DATA_TASKS, "task that reads files")
    task = DATA_TASKS[name]
    values: dict[str, Any] = {"data": str(arguments.file)}
    _say_if_large(values["data"])
    for option, text in arguments.options.items():
        names = [field.name for field, _, _ in declared_options(task)]
        check_known(option, names, f"option of {name}")
        values[option] = task.parse(option, text)
    made = make_task(task, values)
    print("\n".join(made.summary()))
    # What was given holds for the training as well.
    options = made.suggested() | arguments.options
    words = ["keras-lstm", "train", name, "--data", values["data"]]
    for option, text in options.items():
        flag = f"--{option.replace('_', '-')}"
        words += [f"{flag}={text}"] if text.startswith("-") else [flag, text]
    print(f"\nTo train:\n  {shell_text(words)}")
    return 0


def _say_if_large(data: str | None) -> None:
    """Say that a file is read, if that takes seconds."""
    path = pathlib.Path(data or "")
    try:
        size = path.stat().st_size if data and path.is_file() else 0
    # Refused when it is read.
    except (OSError, ValueError):
        return
    if size > _LARGE:
        print_status(f"reading {escaped(str(path))} ({size >> 20:,} MiB)")


def train_command(arguments: argparse.Namespace) -> int:
    """Run `keras-lstm train`; return the exit code."""
    if not arguments.quiet:
        _say_if_large(arguments.options.get("data"))
    config = resolve_config(arguments)
    log_every_steps = parse_positive(
        arguments.log_every_steps, "log_every_steps"
    )
    profile_steps = parse_steps(arguments.profile_steps)
    if arguments.print_config:
        print(config.to_yaml(), end="")
        return 0
    require_tracker(config.training.track)
    cluster = read_cluster(config.training.strategy)
    chief = cluster is None or cluster.is_chief
    if arguments.init_from is not None:
        read_run_of(arguments.init_from, arguments.init_task, "init_from")
    if arguments.run_dir is not None and chief:
        RunFolder(arguments.run_dir).check(arguments.resume)
    if arguments.resume:
        RunFolder(arguments.run_dir).check_init_from(arguments.init_from)
        reason = RunFolder(arguments.run_dir).finished_reason(config)
        if reason is not None:
            print(reason)
            return 0
    began = time.perf_counter()
    if chief and not arguments.quiet:
        for remark in config.task.remarks():
            print_status(escaped(remark))
    if cluster is not None:
        print_status(f"waiting for all of {cluster.num_workers} workers")
    with drawing_apart():
        with loading_tensorflow():
            from keras_lstm.distribute.strategies import get_strategy
            from keras_lstm.runs.results import result_text
            from keras_lstm.training.train import train

            training = config.training
            get_strategy(training.strategy, training.worker_timeout)
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


def tune_command(arguments: argparse.Namespace) -> int:
    """Run `keras-lstm tune`; return the exit code."""
    # Other commands need none of this.
    from keras_lstm.tuning.folder import (
        check_folder,
        find_search,
        find_search_config,
    )
    from keras_lstm.tuning.results import table
    from keras_lstm.tuning.settings import Search
    from keras_lstm.tuning.workers import part_in_search, run_processes

    workers = parse_positive(arguments.workers, "workers") or 1
    max_trials = parse_positive(arguments.max_trials, "max_trials")
    if arguments.resume and arguments.overwrite:
        raise InputError("`resume` and `overwrite` exclude one another")
    config = resolve_config(arguments, find_search_config)
    held = find_search(arguments.run_dir) if arguments.resume else None
    if held is None:
        held = Search(config)
    if config.training.track is not None:
        raise InputError(
            "`track` is for `train`: trials are not tracked. Received: "
            f"track={config.training.track}"
        )
    folder = (
        default_run_dir(config, "tune")
        if arguments.run_dir is None
        else arguments.run_dir
    )
    names = arguments.search.split(",") if arguments.search else held.names
    search = Search(
        config,
        tuple(names),
        arguments.objective or held.objective,
        arguments.algorithm or held.algorithm,
        held.max_trials if max_trials is None else max_trials,
        config.seed,
    )
    read_cluster(config.training.strategy)
    mode = {"resume": arguments.resume, "overwrite": arguments.overwrite}
    part = part_in_search()
    # A worker may start before the chief has created the folder.
    if part != "worker":
        check_folder(folder, search, **mode)
    if part is None and workers > 1:
        # Start the chief and the workers with the same command.
        command = [sys.executable, "-m", "keras_lstm", *arguments.argv]
        command += ["--run-dir", str(folder)]
        run_processes(folder, search, command, workers)
        return 0
    for remark in config.task.remarks() if part != "worker" else ():
        print_status(escaped(remark))
    with loading_tensorflow():
        from keras_lstm.tuning.search import run, run_trials
    if part == "worker":
        run_trials(folder, search)
        return 0
    trials = run(folder, search, **mode)
    print(table(search, trials))
    print(f"Search folder: {folder}")
    if all(trial.report is None for trial in trials):
        raise RunError("no trial has finished without failure")
    return 0


def verify_command(arguments: argparse.Namespace) -> int:
    """Run `keras-lstm verify`; return the exit code."""
    num_bits = parse_positive(arguments.num_bits, "num_bits")
    read_run_of(arguments.run_dir, arguments.task).machine_to_verify(num_bits)
    with loading_tensorflow():
        from keras_lstm.runs.checks import (
            failures_path,
            save_verification,
            verify_by_proof,
            verify_run,
        )
        from keras_lstm.runs.run import load_run
        from keras_lstm.verification.proof_reporting import verified_text
        from keras_lstm.verification.reporting import check_text
    run = load_run(arguments.run_dir)
    proved = None if arguments.walk else verify_by_proof(run, num_bits)
    if proved is not None:
        task, search, report = proved
        _print_result(
            arguments,
            report,
            lambda: verified_text(task, search, run.model_sha256),
            save=lambda: save_verification(run, task, report, []),
        )
        return 0
    task, result, report = verify_run(run, num_bits)
    failures = failures_path(run, task.num_bits).name
    _print_result(
        arguments,
        report,
        lambda: check_text(task, result, failures),
        save=lambda: save_verification(run, task, report, result.failures),
    )
    return 1 if result.num_wrong else 0


def prove_command(arguments: argparse.Namespace) -> int:
    """Run `keras-lstm prove`; return the exit code."""
    machine = read_run_of(arguments.run_dir, arguments.task).machine_to_prove()
    if arguments.repair and arguments.ellipsoids:
        raise InputError("`ellipsoids` must not be given with `repair`")
    if arguments.repair:
        return _repair(arguments, machine)
    if arguments.output is not None:
        raise InputError("`output` needs `repair`")
    with loading_tensorflow():
        from keras_lstm.runs.checks import prove_run, save_proof
        from keras_lstm.runs.run import load_run
        from keras_lstm.verification.proof_reporting import proof_text
    run = load_run(arguments.run_dir)
    search, checks, report = prove_run(run, arguments.ellipsoids)
    _print_result(
        arguments,
        report,
        lambda: proof_text(machine, search, report["model_sha256"], checks),
        save=lambda: save_proof(run, search),
    )
    return 0 if search.proof is not None else 1


def _repair(arguments: argparse.Namespace, machine: TransducerTask) -> int:
    """Run `keras-lstm prove --repair`; return the exit code."""
    path = arguments.run_dir.resolve()
    path = arguments.output or path.with_name(f"{path.name}-proved")
    folder = RunFolder(path)
    folder.check(resume=False)
    with loading_tensorflow():
        from keras_lstm.runs.run import load_run
        from keras_lstm.training.repair import repair_run, repair_text
        from keras_lstm.verification.proof_reporting import proof_text
    repair, result, report = repair_run(load_run(arguments.run_dir), folder)
    digest = "" if result is None else str(result.report.model_sha256)
    lines = [proof_text(machine, repair.search, digest)]
    if result is not None:
        lines += [repair_text(report), f"Run folder: {path}"]
    _print_result(arguments, report, lambda: "\n".join(lines))
    return 0 if result is not None else 1


def extract_command(arguments: argparse.Namespace) -> int:
    """Run `keras-lstm extract`; return the exit code."""
    require_package("aalpy", "extract", "`extract`")
    output = arguments.output
    if output is not None:
        check_dot_path(output)
    max_states = parse_positive(arguments.max_states, "max_states")
    read_run_of(arguments.run_dir, arguments.task).machine_to_prove()
    with loading_tensorflow():
        from keras_lstm.runs.checks import extract_run
        from keras_lstm.runs.run import load_run
        from keras_lstm.verification.extraction import extraction_text
    run = load_run(arguments.run_dir)
    found, report = extract_run(run, output, max_states)
    _print_result(
        arguments, report, lambda: extraction_text(found, run.machine)
    )
    return 0 if found.is_right else 1


def evaluate_command(arguments: argparse.Namespace) -> int:
    """Run `keras-lstm evaluate`; return the exit code."""
    names = ("data", "dataset", "data_dir")
    given = {name: getattr(arguments, name) for name in names}
    data = {k: None if v is None else str(v) for k, v in given.items()}
    saved = read_run_of(arguments.run_dir, arguments.task)
    task = saved.task_to_evaluate(**data)
    if arguments.data is not None:
        trained = saved.config.task
        for remark in (*task.training_remarks(trained), *task.defects()):
            print_status(escaped(remark))
    with loading_tensorflow():
        from keras_lstm.runs.checks import evaluate_run
        from keras_lstm.runs.run import load_run
        from keras_lstm.verification.evaluation_details import (
            evaluation_details_text,
        )
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
    save: Callable[[], None] | None = None,
) -> None:
    """Print a result as JSON or as text; save it, even if that fails."""
    try:
        print(json.dumps(report, indent=2) if arguments.json else text())
    finally:
        if save is not None:
            save()


def predict_command(arguments: argparse.Namespace) -> int:
    """Run `keras-lstm predict`; return the exit code."""
    rows = parse_positive(arguments.rows, "rows")
    saved = read_run_of(arguments.run_dir, arguments.task)
    task = saved.config.task
    check_rows(rows, saved.config)
    # Read now: bad arguments are refused before TensorFlow is loaded.
    lines = read_arguments(arguments.inputs, task.notation(saved.any_length))
    with loading_tensorflow():
        from keras_lstm.inference.prediction import predict
        from keras_lstm.runs.run import load_run
    run = load_run(arguments.run_dir)
    bad = 0

    def on_bad_line(line: Line, error: InputError) -> None:
        nonlocal bad
        bad += 1
        print_status(f"{line.place}: {error}")

    for batch in predict(
        run.model,
        task,
        lines,
        any_length=saved.any_length,
        on_bad_line=on_bad_line,
        rows=rows,
    ):
        if batch:
            texts = (
                json.dumps(each.fields) if arguments.json else each.text
                for each in batch
            )
            print("\n".join(texts))
        # A program that reads the pipe waits for each prediction.
        sys.stdout.flush()
    return 1 if bad else 0


def export_command(arguments: argparse.Namespace) -> int:
    """Run `keras-lstm export`; return the exit code."""
    from keras_lstm.inference.export import check_export, export_model
    from keras_lstm.inference.export_formats import FORMATS
    from keras_lstm.inference.folder_export import FOLDER_FORMAT

    check_known(arguments.format, [*FORMATS, FOLDER_FORMAT], "format")
    if arguments.format == FOLDER_FORMAT:
        return _export_folder(arguments)
    default = arguments.run_dir / FORMATS[arguments.format].file_name
    output = arguments.output or default
    check_export(arguments.format, output, arguments.overwrite)
    read_run_of(arguments.run_dir, arguments.task)
    with loading_tensorflow():
        from keras_lstm.models.text_input import with_text_input
        from keras_lstm.runs.run import load_run
    run = load_run(arguments.run_dir)
    model = run.model
    if FORMATS[arguments.format].reads_text:
        model = with_text_input(model, run.config.task)
    with ProgressBar("comparing") as bar:
        exported = export_model(
            model,
            run.config.task,
            arguments.format,
            output,
            arguments.overwrite,
            bar.update,
        )
    print(exported)
    return 0


def _export_folder(arguments: argparse.Namespace) -> int:
    """Run `keras-lstm export --format folder`; return the exit code."""
    from keras_lstm.inference.folder_export import (
        DEFAULT_NAME,
        check_folder_export,
        export_folder,
    )

    output = arguments.output or arguments.run_dir / DEFAULT_NAME
    check_folder_export(output, arguments.overwrite)
    read_run_of(arguments.run_dir, arguments.task)
    with loading_tensorflow():
        from keras_lstm.runs.run import load_run
    names = export_folder(load_run(arguments.run_dir), output)
    print(f"Packed {', '.join(names)} into {escaped(str(output))}.")
    return 0
