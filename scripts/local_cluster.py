"""Start a command as several workers on this machine, for experiments.

Command: python scripts/local_cluster.py [--workers N] [--restart N] COMMAND
[ARGUMENT ...]

Each worker gets its own TF_CONFIG, on free ports of the loopback interface;
its lines are printed with its number in front. After one fails, the others
have a minute to notice. With --restart, all workers are then ended and started
again, at most N times, as a cluster manager does; the command should resume
(`keras-lstm train ... --resume`). No process is left running. Exit code: that
of the first worker that failed, in the last round, else 0.
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
    """Return a TF_CONFIG for each worker, on ports that are free now."""
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
    """Start the workers, with standard error merged into their output."""
    processes: list[subprocess.Popen[str]] = []
    try:
        for configuration in configurations(num_workers):
            process = subprocess.Popen(
                list(command),
                env=os.environ | {"TF_CONFIG": configuration},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="backslashreplace",
                # In its own process group, a wrapper ends with its children.
                start_new_session=True,
            )
            processes.append(process)
    except OSError as error:
        end(processes)
        print(
            f"local_cluster.py: error: a worker cannot be started ({error}). "
            f"Received: {command[0]!r}",
            file=sys.stderr,
        )
        sys.exit(2)
    return processes


def show(index: int, process: subprocess.Popen[str]) -> None:
    """Print a worker's lines as they arrive, and take them in any case."""
    for line in process.stdout or ():
        try:
            print(f"[{index}] {line}", end="", flush=True)
        except OSError:
            # Nobody reads, but a worker must not wait for a full pipe.
            with open(os.devnull, "wb") as nothing:
                os.dup2(nothing.fileno(), sys.stdout.fileno())


def end(processes: Sequence[subprocess.Popen[str]]) -> None:
    """End the workers still running, with time to write a checkpoint."""
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
    """Send a signal to the workers and all their children."""
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signum)


def wait(
    processes: Sequence[subprocess.Popen[str]],
    patience: float = SECONDS_TO_SEE_IT,
) -> int:
    """Wait until all end, or some seconds after a failure; return the code."""
    failed, since = 0, 0.0
    while True:
        codes = [process.poll() for process in processes]
        if not failed:
            failed = next((code for code in codes if code), 0)
            since = time.monotonic()
        seen = time.monotonic() - since > patience
        if None not in codes or (failed and seen):
            return failed
        time.sleep(0.1)


def run(command: Sequence[str], num_workers: int, patience: float) -> int:
    """Start the workers, show their lines, and end them; return the code.

    Args:
        command: the command of each worker.
        num_workers: number of workers.
        patience: seconds that the others get after one has failed.

    Returns:
        The exit code of the first worker that failed, else 0.
    """
    processes = start(command, num_workers)
    shown = [
        threading.Thread(target=show, args=each)
        for each in enumerate(processes)
    ]
    try:
        for thread in shown:
            thread.start()
        return wait(processes, patience)
    finally:
        end(processes)
        for thread in shown:
            thread.join()


def main() -> None:
    """Run the command as workers, and again after a failure if asked."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--restart", type=int, default=0, metavar="N")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    if arguments.workers < 1 or arguments.restart < 0 or not arguments.command:
        parser.error(
            "--workers must be at least 1, --restart at least 0, and COMMAND "
            "must be given"
        )
    # SIGTERM ends the script like Ctrl-C: through `finally`.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    for left in range(arguments.restart, -1, -1):
        # Nobody waits for the others' last lines if all are started again.
        patience = 0.0 if left else SECONDS_TO_SEE_IT
        code = run(arguments.command, arguments.workers, patience)
        if not code:
            break
        if left:
            print(f"a worker ended with {code}: starting all again", flush=True)
    sys.exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()
