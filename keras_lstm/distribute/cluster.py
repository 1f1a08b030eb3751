"""The processes that train together, as TF_CONFIG lists them."""

import dataclasses
import json
import os
import re

from keras_lstm.core.errors import InputError, described, shown

_ADDRESS = re.compile(r"\S+:(\d{1,5})")


@dataclasses.dataclass(frozen=True)
class Cluster:
    """Cluster that TF_CONFIG describes.

    Args:
        num_workers: number of processes that train together.
        is_chief: whether this process is the one that writes files.
    """

    num_workers: int
    is_chief: bool


def read_cluster(strategy: str) -> Cluster | None:
    """Read the cluster from TF_CONFIG.

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
        raise InputError(
            "`strategy` multi_worker needs the variable TF_CONFIG, which lists "
            "the workers. Received: none; to experiment on one machine, let "
            "scripts/local_cluster.py set it"
        )
    if strategy not in ("auto", "multi_worker") or not text:
        return None
    try:
        config = json.loads(text)
        cluster, task = config["cluster"], config["task"]
        kind, index = task["type"], int(task["index"])
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
    # Of other types than expected, infinite or too deeply nested.
    except (
        *(ValueError, TypeError, KeyError, AttributeError),
        *(OverflowError, RecursionError),
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
    return Cluster(len(workers), kind == first and index == 0)


def _is_address(text: str) -> bool:
    found = _ADDRESS.fullmatch(text)
    return found is not None and 0 < int(found[1]) < 2**16
