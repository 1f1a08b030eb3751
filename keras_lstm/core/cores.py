"""Number of cores that this process may use."""

import os


def num_cores() -> int:
    """Return the number of cores that this process may use.

    A job of a cluster, or `taskset`, may allow fewer than there are.
    """
    # Not on macOS and Windows.
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
