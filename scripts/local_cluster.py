"""Starts a command as several workers on this machine, to try things.

Command: python scripts/local_cluster.py [--workers N] COMMAND [ARGUMENT ...]

Each worker gets a TF_CONFIG of its own, on free ports of the loopback
interface; its lines are shown with its number before them. When one fails, the
others have a minute to see it. Nothing is left running. Exit code: that of the
first worker that failed, else 0.
"""

import argparse
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

SECONDS_TO_SEE_IT = 60.0
SECONDS_TO_END = 10.0


def configurations(num_workers: int) -> list[str]:
    """A TF_CONFIG for each worker, on ports that are free now."""
    with contextlib.ExitStack() as stack:
        addresses = []
        for _ in range(num_workers):
            free = stack.enter_context(socket.socket())
            free.bind(("127.0.0.1", 0))
            addresses.append(f"127.0.0.1:{free.getsockname()[1]}")
    return [
        json.dumps(
            {
                "cluster": {"worker": addresses},
                "task": {"type": "worker", "index": index},
            }
        )
        for index in range(num_workers)
    ]


def start(
    command: Sequence[str], num_workers: int
) -> list[subprocess.Popen[str]]:
    """Starts the workers; each has its error lines among its output."""
    return [
        subprocess.Popen(
            list(command),
            env=os.environ | {"TF_CONFIG": configuration},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # A group of its own: what a wrapper has started ends with it.
            start_new_session=True,
        )
        for configuration in configurations(num_workers)
    ]


def show(index: int, process: subprocess.Popen[str]) -> None:
    """Prints a worker's lines as they come."""
    for line in process.stdout or ():
        print(f"[{index}] {line}", end="", flush=True)


def end(processes: Sequence[subprocess.Popen[str]]) -> None:
    """Ends what still runs; gives it some seconds for a checkpoint."""
    signal_all(processes, signal.SIGTERM)
    since = time.monotonic()
    while any(process.poll() is None for process in processes):
        if time.monotonic() - since > SECONDS_TO_END:
            break
        time.sleep(0.1)
    signal_all(processes, signal.SIGKILL)
    for process in processes:
        process.wait()


def signal_all(
    processes: Sequence[subprocess.Popen[str]], signum: signal.Signals
) -> None:
    """Sends a signal to all that the workers have started."""
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signum)


def wait(processes: Sequence[subprocess.Popen[str]]) -> int:
    """Waits until all have ended, or one failed and a minute has gone by."""
    failed, since = 0, 0.0
    while True:
        codes = [process.poll() for process in processes]
        if not failed:
            failed = next((code for code in codes if code), 0)
            since = time.monotonic()
        seen = time.monotonic() - since > SECONDS_TO_SEE_IT
        if None not in codes or (failed and seen):
            return failed
        time.sleep(0.1)


def main() -> None:
    """Starts the workers, shows what they say, ends them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    if arguments.workers < 1 or not arguments.command:
        parser.error("needs at least 1 worker, and a command")
    # Ended like Ctrl-C: through `finally`.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    processes = start(arguments.command, arguments.workers)
    shown = [
        threading.Thread(target=show, args=each)
        for each in enumerate(processes)
    ]
    try:
        for thread in shown:
            thread.start()
        code = wait(processes)
    finally:
        end(processes)
        for thread in shown:
            thread.join()
    sys.exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()
