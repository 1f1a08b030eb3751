"""The processes that train together, as TF_CONFIG lists them."""

import contextlib
import dataclasses
import json
import os
import re
import socket
import time
from collections.abc import Iterator

from keras_lstm.core.errors import InputError, RunError, described, shown
from keras_lstm.core.json_types import check_type

_SECONDS_BETWEEN_TRIES = 0.2
_SECONDS_TO_ANSWER = 5.0
_ADDRESS = re.compile(r"\S+:(\d{1,5})")


@dataclasses.dataclass(frozen=True)
class Cluster:
    """Cluster that TF_CONFIG describes.

    Args:
        num_workers: number of processes that train together.
        is_chief: whether this process is the one that writes files.
        address: the address of this process, as `host:port`.
        others: the addresses of the other processes.
    """

    num_workers: int
    is_chief: bool
    address: str
    others: tuple[str, ...]


def read_cluster(strategy: str) -> Cluster | None:
    """Read the cluster from TF_CONFIG or, for "multi_worker", from Slurm.

    Args:
        strategy: name of a strategy, see `get_strategy`.

    Returns:
        The cluster; None if this process trains alone under `strategy`.

    Raises:
        InputError: if TF_CONFIG is malformed, or if it is missing and
            `strategy` is "multi_worker".
    """
    text = os.environ.get("TF_CONFIG")
    if strategy == "multi_worker" and not text:
        found = _read_slurm()
        if found is None:
            raise InputError(
                "`strategy` multi_worker needs the variable TF_CONFIG, which "
                "lists the workers, or a step of Slurm (srun). Received: none; "
                "to experiment on one machine, let scripts/local_cluster.py "
                "set it"
            )
        return found
    if strategy not in ("auto", "multi_worker") or not text:
        return None
    try:
        config = json.loads(text)
        cluster, task = config["cluster"], config["task"]
        # Some launchers write a string; a fraction is refused.
        kind, index = task["type"], int(str(task["index"]))
        for name in ("chief", "worker"):
            check_type(name, cluster.get(name, []), list[str])
        addresses = cluster[kind]
        workers = [*cluster.get("chief", []), *cluster["worker"]]
        problem = (
            f"task type {kind} is neither chief nor worker"
            if kind not in ("chief", "worker")
            else f"index {index} is out of range for {len(addresses)} addresses"
            if not 0 <= index < len(addresses)
            else "parameter servers are not supported"
            if "ps" in cluster
            else "addresses must be host:port"
            if not all(map(_is_address, workers))
            else "two workers have the same address"
            if len(set(workers)) < len(workers)
            else None
        )
    # Of other types than expected, or too deeply nested.
    except (
        *(ValueError, TypeError, KeyError, AttributeError),
        *(IndexError, RecursionError),
    ) as error:
        problem = described(error)
    if problem is not None:
        raise InputError(
            'TF_CONFIG must be JSON such as {"cluster": {"worker": ["host1:'
            '2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}. '
            f"Received: {shown(text)} ({problem})"
        )
    if strategy == "auto" and len(workers) == 1:
        return None
    first = "chief" if cluster.get("chief") else "worker"
    address = addresses[index]
    return Cluster(
        len(workers),
        kind == first and index == 0,
        address,
        tuple(each for each in workers if each != address),
    )


def wait_for_workers(cluster: Cluster, timeout: float) -> None:
    """Wait until all other workers listen on their ports.

    TensorFlow waits for them as well, but without a time limit, and does not
    say for whom.

    Args:
        cluster: the cluster.
        timeout: the longest time to wait, in seconds.

    Raises:
        InputError: if another program uses the port of this process.
        RunError: if workers are missing after that time.
    """
    end = time.monotonic() + timeout
    missing = cluster.others
    with _listening(cluster):
        while missing := tuple(each for each in missing if not _answers(each)):
            if time.monotonic() >= end:
                raise RunError(
                    f"after {timeout:g} s, not all workers are there. Missing: "
                    f"{', '.join(missing)}. Start them, or wait longer with "
                    "--worker-timeout"
                )
            time.sleep(_SECONDS_BETWEEN_TRIES)


@contextlib.contextmanager
def _listening(cluster: Cluster) -> Iterator[None]:
    """Let the other workers find this one, until TensorFlow takes the port."""
    port = int(cluster.address.rpartition(":")[2])
    try:
        # Nobody accepts the connections: to be in the queue is enough.
        listener = socket.create_server(
            ("", port), backlog=2 * cluster.num_workers + 16
        )
    except OSError as error:
        raise InputError(
            "TF_CONFIG must give this worker a port that is free. Received: "
            f"{cluster.address} ({error.strerror})"
        ) from None
    with listener:
        yield


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), _SECONDS_TO_ANSWER):
            return True
    # `UnicodeError` is raised for names that no host can have.
    except (OSError, UnicodeError):
        return False


def _read_slurm() -> Cluster | None:
    """Read the cluster from the variables of a Slurm step, if this is one."""
    tasks, rank = map(os.environ.get, ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID"))
    if tasks is None or rank is None:
        return None
    if not (tasks.isdecimal() and rank.isdecimal() and int(rank) < int(tasks)):
        raise InputError(
            "SLURM_STEP_NUM_TASKS and SLURM_PROCID must be the number of tasks "
            "and the number of this one. Received: "
            f"SLURM_STEP_NUM_TASKS={shown(tasks)}, SLURM_PROCID={shown(rank)}"
        )
    return Cluster(int(tasks), int(rank) == 0, "", ())


def _is_address(text: str) -> bool:
    found = _ADDRESS.fullmatch(text)
    return found is not None and 0 < int(found[1]) < 2**16


def leads_cluster(strategy: str) -> bool:
    """Return whether this process is the chief, or the only one.

    Args:
        strategy: as for `read_cluster`.

    Raises:
        InputError: see `read_cluster`.
    """
    cluster = read_cluster(strategy)
    return cluster is None or cluster.is_chief
