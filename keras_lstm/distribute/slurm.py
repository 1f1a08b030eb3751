"""The cluster of a Slurm step, for TensorFlow."""

import json
import os
import re
from typing import Any

import tensorflow as tf

from keras_lstm.core.errors import InputError, described

# Jobs that share a machine need ports of their own.
_FIRST_PORT, _NUM_PORTS = 10_000, 20_000


def tf_config_from_slurm() -> str:
    """Return the TF_CONFIG of this task of a Slurm step.

    Each task of the step is a worker. Tasks must be distributed in blocks, as
    srun does by default.

    Raises:
        InputError: if the variables of the step are missing or contradictory,
            or this task is on another host than Slurm's list says.
    """
    job = os.environ.get("SLURM_JOB_ID", "0")
    base = _FIRST_PORT + int(job if job.isdecimal() else 0) % _NUM_PORTS
    try:
        # GPUs are left to Slurm (--gpus-per-task). The resolver fails without
        # any, so it is given as many as there are tasks; only its addresses
        # are used.
        resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(
            port_base=base,
            gpus_per_node=2**16,
            gpus_per_task=1,
            auto_set_gpu=False,
        )
        workers = resolver.cluster_spec().as_dict()["worker"]
        index = int(os.environ["SLURM_PROCID"])
        # The resolver sorts hosts as text: node10 comes before node9.
        listed = os.environ["SLURM_STEP_NODELIST"]
        workers.sort(key=lambda worker: _place_in(listed, worker))
        host, port = workers[index].rsplit(":", 1)
        place = int(os.environ.get("SLURM_LOCALID", int(port) - base))
    except (RuntimeError, ValueError, LookupError, AssertionError) as error:
        raise InputError(
            "`strategy` multi_worker needs TF_CONFIG or the variables of a "
            f"Slurm step. Received: {described(error)}"
        ) from None
    name = os.environ.get("SLURMD_NODENAME", host)
    if (name, place) != (host, int(port) - base):
        raise InputError(
            "`strategy` multi_worker needs tasks in the order of the hosts "
            "(srun --distribution=block), or TF_CONFIG. Received: task "
            f"{index} on {name}, where the list has {host}"
        )
    return json.dumps(
        {
            "cluster": {"worker": workers},
            "task": {"type": "worker", "index": index},
        }
    )


def _place_in(hosts: str, address: str) -> tuple[int, list[Any]]:
    """Return a key that sorts addresses as a list of hosts does.

    Hosts of one prefix are in one place of Slurm's list, by their numbers.
    """
    prefix = re.split(r"\d", address.rsplit(":", 1)[0], maxsplit=1)[0]
    found = re.search(rf"(?:^|,){re.escape(prefix)}(?=[\d\[,]|$)", hosts)
    return found.start() if found else len(hosts), _natural(address)


def _natural(address: str) -> list[Any]:
    """Return a key that sorts the numbers in a text as numbers."""
    parts = re.split(r"(\d+)", address)
    return [int(x) if i % 2 else x for i, x in enumerate(parts)]
