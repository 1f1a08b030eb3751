"""The `keras-lstm` command."""

import atexit
import contextlib
import os
import signal
import sys
from collections.abc import Sequence

from keras_lstm.core.console import print_status
from keras_lstm.core.errors import InputError, RunError, one_line


def run_process() -> int:
    """Run the command as the whole of a process, which then ends at once.

    Returns:
        The exit code, see `main`.
    """
    codes: list[int] = []
    # Handlers that are registered later run before this one.
    atexit.register(_end_at_once, codes)
    codes.append(main())
    return codes[0]


def _end_at_once(codes: list[int]) -> None:
    """End the process; releasing its modules would take Python 0.1 s."""
    _discard_unwritable()
    for code in codes:
        os._exit(code)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the `keras-lstm` command.

    Args:
        argv: the arguments; None for those of the process.

    Returns:
        The exit code: 0 for success, 1 for a failure, 2 for bad usage or
        input, 130 after Ctrl-C.
    """
    if argv is None:
        # Pictures are files; Matplotlib would not load with an unknown one.
        os.environ.pop("MPLBACKEND", None)
    _open_closed_streams()
    # Print the arrows of results even if the terminal cannot encode them.
    with contextlib.suppress(AttributeError, ValueError):
        sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
    try:
        try:
            # Ctrl-C is heard while this is imported.
            from keras_lstm.cli.parser import parse_arguments

            arguments = parse_arguments(
                sys.argv[1:] if argv is None else list(argv)
            )
            return int(arguments.run(arguments))
        finally:
            # Python would report a failure at exit in several lines.
            sys.stdout.flush()
    except InputError as error:
        print_status(f"keras-lstm: error: {error}")
        return 2
    except BrokenPipeError:
        return 1
    except (OSError, RunError, MemoryError) as error:
        text = one_line(str(error)) or "not enough memory"
        print_status(f"keras-lstm: error: {text}")
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    finally:
        _discard_unwritable()


def _discard_unwritable() -> None:
    """Discard output that cannot be written: Python would try it at exit."""
    for number, stream in ((1, sys.stdout), (2, sys.stderr)):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)


def _open_closed_streams() -> None:
    """Discard what is written to a standard stream that is closed.

    Otherwise the next file that is opened would take its number, and what
    TensorFlow prints would be written to that file.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is not None:
            continue
        try:
            os.fstat(number)
        except OSError:
            descriptor = os.open(os.devnull, os.O_RDWR)
            if descriptor != number:
                os.dup2(descriptor, number)
                os.close(descriptor)
        # `predict` refuses to read a standard input that is closed.
        if name != "stdin":
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
