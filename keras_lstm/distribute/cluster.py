"""The processes that train together, as TF_CONFIG names them."""

import dataclasses
import json
import os
import re

from keras_lstm.core.errors import InputError

_ADDRESS = re.compile(r"\S+:(\d{1,5})")


@dataclasses.dataclass(frozen=True)
class Cluster:
    """What TF_CONFIG says.

    Args:
        num_workers: how many processes train together.
        is_chief: whether this is the one that writes files.
    """

    num_workers: int
    is_chief: bool


def read_cluster(strategy: str) -> Cluster | None:
    """Reads TF_CONFIG.

    Args:
        strategy: a strategy's name, see `get_strategy`.

    Returns:
        None where this process trains alone under that strategy.

    Raises:
        InputError: TF_CONFIG is malformed, or missing for "multi_worker".
    """
    text = os.environ.get("TF_CONFIG")
    if strategy == "multi_worker" and not text:
        raise InputError(
            "`strategy` multi_worker needs the variable TF_CONFIG, which names "
            "the workers. Received: none; scripts/local_cluster.py sets it to "
            "try things on one machine"
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
            f"task {kind} is none of chief and worker"
            if kind not in ("chief", "worker")
            else f"index {index} is not one of {len(addresses)}"
            if not 0 <= index < len(addresses)
            else "parameter servers are not used here"
            if "ps" in cluster
            else "addresses are host:port"
            if not all(map(_is_address, workers))
            else "two workers have one address"
            if len(set(workers)) < len(workers)
            else None
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        problem = f"{type(error).__name__}: {error}"
    if problem is not None:
        raise InputError(
            'TF_CONFIG must be JSON such as {"cluster": {"worker": ["host1:'
            '2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}. '
            f"Received: {text} ({problem})"
        )
    if strategy == "auto" and len(workers) == 1:
        return None
    first = "chief" if cluster.get("chief") else "worker"
    return Cluster(len(workers), kind == first and index == 0)


def _is_address(text: str) -> bool:
    found = _ADDRESS.fullmatch(text)
    return found is not None and 0 < int(found[1]) < 2**16
