"""The processes of a search: KerasTuner's chief and its workers."""

import os
import pathlib
import socket
import subprocess
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Literal

from keras_lstm.checkpoint.preemption import PreemptionHandler
from keras_lstm.core.console import print_status
from keras_lstm.core.errors import InputError, RunError
from keras_lstm.runs.folder import TRIALS, RunFolder
from keras_lstm.tuning.settings import Search
from keras_lstm.tuning.watch import watching

# A worker that ends this often, with no trial done in between, is not
# restarted: it would end again.
_MAX_STARTS = 3


def part_in_search() -> Literal["chief", "worker"] | None:
    """Return this process's part in a search, from KerasTuner's variables.

    Returns:
        "chief" or "worker"; None if the variables are not set.

    Raises:
        InputError: if a variable is missing or invalid, or the chief's port
            is in use.
    """
    if "KERASTUNER_ORACLE_IP" not in os.environ:
        return None
    names = ("TUNER_ID", "ORACLE_IP", "ORACLE_PORT")
    values = {name: os.environ.get(f"KERASTUNER_{name}") for name in names}
    missing = [
        f"KERASTUNER_{name}" for name, value in values.items() if not value
    ]
    if missing:
        raise InputError(
            f"{', '.join(missing)} must be set with KERASTUNER_ORACLE_IP. "
            "Received: nothing"
        )
    port = str(values["ORACLE_PORT"])
    if not port.isdecimal() or not 0 < int(port) < 2**16:
        raise InputError(
            "KERASTUNER_ORACLE_PORT must be a port number. Received: "
            f"KERASTUNER_ORACLE_PORT={port}"
        )
    if "chief" not in str(values["TUNER_ID"]):
        return "worker"
    with socket.socket() as tried:
        # As the chief does: a killed one leaves its port in TIME_WAIT.
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((str(values["ORACLE_IP"]), int(port)))
        except OSError as error:
            raise InputError(
                "KERASTUNER_ORACLE_PORT must be free for the chief. Received: "
                f"KERASTUNER_ORACLE_PORT={port} ({error.strerror})"
            ) from None
    return "chief"


def run_processes(
    folder: pathlib.Path,
    search: Search,
    command: Sequence[str],
    workers: int,
) -> None:
    """Run a search as KerasTuner's chief and its workers on this machine.

    Workers that die are restarted under their own names.

    Args:
        folder: the search folder.
        search: the search, whose trials are shown while they run.
        command: the command that starts each process; KerasTuner's variables
            tell a process its part.
        workers: the number of processes that run trials, which share the
            cores.

    Raises:
        RunError: if the chief dies, or a worker ends too often.
        TrainingInterrupted: if SIGTERM or SIGINT is received.
    """
    with PreemptionHandler() as preemption, watching(folder, search) as shown:
        processes = _Processes(command, workers, shown)
        _watch(processes, preemption, folder)
    print(processes.output(), end="")


class _Processes:
    """KerasTuner's chief and its workers, on this machine.

    Args:
        command: the command that starts each process.
        workers: the number of processes that run trials.
        shown: whether this process has the terminal for its display: what the
            others print is then printed above it, and the result in the end.
    """

    def __init__(
        self, command: Sequence[str], workers: int, shown: bool
    ) -> None:
        self._command = list(command)
        self._shown = shown
        self._output: list[bytes] = []
        self._readers: list[threading.Thread] = []
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        threads = max(1, (os.cpu_count() or 1) // workers)
        self._threads = {
            name: str(threads)
            for name in (
                *("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"),
                "TF_NUM_INTEROP_THREADS",
            )
        }
        self.chief = self._start("chief")
        self.workers = {
            name: self._start(name)
            for name in (f"tuner{index}" for index in range(workers))
        }
        self._starts = dict.fromkeys(self.workers, 1)

    def _start(self, name: str) -> subprocess.Popen[bytes]:
        environment = os.environ | {
            "KERASTUNER_TUNER_ID": name,
            "KERASTUNER_ORACLE_IP": "127.0.0.1",
            "KERASTUNER_ORACLE_PORT": str(self._port),
        }
        if name != "chief":
            environment |= self._threads
        if not self._shown:
            # Standard output is inherited: the chief prints the result.
            return subprocess.Popen(self._command, env=environment)
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            self._command, env=environment, stdout=pipe, stderr=pipe
        )
        for read, stream in (
            (self._output.extend, process.stdout),
            (_print_lines, process.stderr),
        ):
            reader = threading.Thread(target=read, args=(stream,), daemon=True)
            reader.start()
            self._readers.append(reader)
        return process

    def output(self) -> str:
        """Return the result that the chief has printed, if it was read."""
        for reader in self._readers:
            reader.join()
        return b"".join(self._output).decode(errors="replace")

    def forget_deaths(self) -> None:
        """Reset the counts of starts.

        A trial is done, so the deaths so far have no common cause.
        """
        self._starts = dict.fromkeys(self.workers, 1)

    def start_again(self, name: str) -> None:
        """Restart a worker under its own name, under which it finds its trial.

        Args:
            name: the worker's name.

        Raises:
            RunError: if the worker has ended too often.
        """
        code = self.workers[name].returncode
        if self._starts[name] >= _MAX_STARTS:
            raise RunError(
                f"{name} has ended {_MAX_STARTS} times, the last time with "
                f"exit code {code}; its last lines say why"
            )
        print_status(f"{name} has died (exit code {code}); starting it again")
        self._starts[name] += 1
        self.workers[name] = self._start(name)

    def end(self) -> None:
        """End the processes that are still running."""
        processes = [self.chief, *self.workers.values()]
        for process in processes:
            process.terminate()
        for process in processes:
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _print_lines(lines: Iterable[bytes]) -> None:
    for line in lines:
        print_status(line.decode(errors="replace").rstrip("\n"))


def _watch(
    processes: _Processes, preemption: PreemptionHandler, folder: pathlib.Path
) -> None:
    """Restart workers that die, until the chief ends."""
    done = 0
    try:
        while (code := processes.chief.poll()) is None:
            preemption.check()
            before = done
            trials = map(RunFolder, (folder / TRIALS).glob("*"))
            done = sum(trial.report.exists() for trial in trials)
            if done > before:
                processes.forget_deaths()
            for name, worker in processes.workers.items():
                if worker.poll():
                    processes.start_again(name)
            time.sleep(0.2)
        if code:
            raise RunError(
                f"the chief of the search has died (exit code {code}); "
                "continue with --resume"
            )
    finally:
        processes.end()
