"""What a report of a bug needs: `keras-lstm bug-report`."""

import argparse
import getpass
import importlib.metadata
import os
import pathlib
import platform
import re
from collections.abc import Iterator
from typing import Any

from keras_lstm.cli.resolve import parse_path
from keras_lstm.cli.startup import loading_tensorflow
from keras_lstm.core.errors import described, escaped
from keras_lstm.core.version import __version__
from keras_lstm.runs.folder import RunFolder
from keras_lstm.runs.summary import RunSummary, find_runs

_PACKAGES = (
    *("tensorflow", "keras", "keras-tuner", "numpy", "scipy", "h5py"),
    *("scikit-learn", "safetensors", "protobuf", "tensorboard"),
    *("aalpy", "ai-edge-litert", "onnx", "onnxruntime", "tf2onnx"),
)
# No other variables are read, and none of these holds a path or a name.
_VARIABLES = (
    *("KERAS_BACKEND", "CUDA_VISIBLE_DEVICES", "TF_ENABLE_ONEDNN_OPTS"),
    *("TF_CPP_MIN_LOG_LEVEL", "TF_DETERMINISTIC_OPS"),
    *("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"),
)
# The folders of users on Linux, macOS and Windows.
_HOMES = re.compile(r"(?:/home|/Users|[A-Za-z]:\\Users)[/\\][^/\\\s:'\",]+")


def add_bug_report(subparsers: Any) -> None:
    """Add the subcommand `bug-report`.

    Args:
        subparsers: the parsers of subcommands, of `argparse`.
    """
    parser = subparsers.add_parser(
        "bug-report",
        help="print versions, devices and the last run, for a report of a bug",
        description="Print what a report of a bug needs: versions, devices, "
        "and the options of the last run. Home folders and user names are "
        "left out; read it before you publish it.",
        allow_abbrev=False,
    )
    parser.set_defaults(run=bug_report_command)
    parser.add_argument(
        "dir",
        metavar="DIR",
        nargs="?",
        type=parse_path,
        default=None,
        help="folder of the runs (default: logs, if there is one)",
    )


def bug_report_command(arguments: argparse.Namespace) -> int:
    """Run `keras-lstm bug-report`; return the exit code."""
    root = pathlib.Path("logs") if arguments.dir is None else arguments.dir
    found: list[RunSummary] = []
    # Without DIR, there may be no run yet.
    if arguments.dir is not None or root.is_dir():
        found, _ = find_runs(root)
    for line in (*_versions(), *_variables(), *_last_run(found)):
        print(without_names(line))
    # Last, and after all else is written: loading a TensorFlow that does not
    # fit the processor ends the process.
    print("devices:", flush=True)
    for line in _devices():
        print(without_names(line))
    return 0


def without_names(text: str) -> str:
    """Replace home folders, and folders with the name of the user.

    Args:
        text: any text.

    Returns:
        The text on one line, with `~` in place of homes and `USER` in place
        of folders of the user's name.
    """
    home = os.path.expanduser("~").rstrip("/\\")
    if len(home) > 1:
        text = re.sub(rf"{re.escape(home)}(?![\w.-])", "~", text)
    text = _HOMES.sub("~", text)
    try:
        user = getpass.getuser()
    # There is no name for the number of the user.
    except (KeyError, OSError, ImportError):
        user = ""
    if user:
        name = re.escape(user)
        folder = rf"(?<![\w.-]){name}(?=[/\\])|(?<=[/\\]){name}(?![\w.-])"
        text = re.sub(folder, "USER", text)
    return escaped(text)


def _versions() -> Iterator[str]:
    yield f"keras-lstm: {__version__}"
    yield f"python: {platform.python_version()}"
    yield f"platform: {platform.platform()}, {os.cpu_count()} processors"
    yield "packages:"
    for name in _PACKAGES:
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            version = "not installed"
        yield f"  {name}: {version}"


def _variables() -> Iterator[str]:
    given = [name for name in _VARIABLES if name in os.environ]
    yield f"variables:{'' if given else ' none'}"
    for name in given:
        yield f"  {name}: {os.environ[name]}"


def _last_run(runs: list[RunSummary]) -> Iterator[str]:
    """Return the options of the run whose configuration is the newest."""
    if not runs:
        yield "last run: none"
        return
    last = max(runs, key=_time)
    yield "last run:"
    yield f"  state: {last.state_text}"
    if last.problem is not None:
        yield f"  problem: {last.problem}"
    if last.report is not None:
        for name, version in sorted(last.report.versions.items()):
            yield f"  version of {name}: {version}"
    if last.config is not None:
        yield f"  preset: {last.config.preset}"
        yield f"  task: {last.config.task}"
        yield "  options that differ from the preset:"
        for name, value in last.config.differing.items():
            yield f"    {name}: {value}"


def _time(run: RunSummary) -> float:
    try:
        return RunFolder(run.run_dir).config.stat().st_mtime
    except OSError:
        return 0.0


def _devices() -> Iterator[str]:
    """Return the devices, or why TensorFlow cannot be imported."""
    try:
        with loading_tensorflow():
            import tensorflow

            devices = tensorflow.config.list_physical_devices()
            details = [
                tensorflow.config.experimental.get_device_details(device)
                for device in devices
            ]
    # A damaged installation raises errors of any type.
    except Exception as error:
        yield f"  TensorFlow cannot be imported: {described(error)}"
        return
    for device, detail in zip(devices, details, strict=True):
        name = detail.get("device_name", "")
        place = device.name.removeprefix("/physical_device:")
        yield f"  {place} {name}".rstrip()
