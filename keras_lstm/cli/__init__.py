"""The `keras-lstm` command."""

import contextlib
import os
import signal
import sys
from collections.abc import Sequence

from keras_lstm.cli.parser import parse_arguments
from keras_lstm.core.errors import InputError, RunError


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
        arguments = parse_arguments(
            sys.argv[1:] if argv is None else list(argv)
        )
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
