"""Workers wait for one another, and say who is missing."""

import concurrent.futures
import contextlib
import socket

import pytest

from keras_lstm.core.errors import InputError, RunError
from keras_lstm.distribute.cluster import Cluster, wait_for_workers


@pytest.fixture
def addresses():
    """Return three addresses whose ports were free just now."""
    with contextlib.ExitStack() as stack:
        found = []
        for _ in range(3):
            free = stack.enter_context(socket.socket())
            free.bind(("127.0.0.1", 0))
            found.append(f"127.0.0.1:{free.getsockname()[1]}")
    return found


def member(addresses, index):
    others = [each for each in addresses if each != addresses[index]]
    return Cluster(len(addresses), index == 0, addresses[index], tuple(others))


def test_all_go_on_once_all_are_there(addresses):
    """Those that went on listen no more: TensorFlow would in their place."""
    served = []

    def arrive(index):
        wait_for_workers(member(addresses, index), 60.0)
        # As TensorFlow does, on the same port.
        port = int(addresses[index].rpartition(":")[2])
        served.append(socket.create_server(("127.0.0.1", port)))
        return index

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        assert list(pool.map(arrive, range(3))) == [0, 1, 2]
    for each in served:
        each.close()
    assert len(served) == 3


def test_those_who_are_missing_are_named(addresses):
    port = int(addresses[1].rpartition(":")[2])
    with (
        socket.create_server(("127.0.0.1", port)),
        pytest.raises(RunError, match=r"after 0\.01 s, not all") as info,
    ):
        wait_for_workers(member(addresses, 0), 0.01)
    assert f"Missing: {addresses[2]}. Start them" in str(info.value)
    assert addresses[1] not in str(info.value)


@pytest.mark.parametrize("name", ["no.such.host.invalid:1", "x" * 300 + ":1"])
def test_a_host_that_nobody_knows_is_missing(addresses, name):
    with pytest.raises(RunError, match=f"Missing: {name[:60]}"):
        wait_for_workers(member([addresses[0], name], 0), 0.01)


def test_a_port_in_use_is_refused(addresses):
    port = int(addresses[0].rpartition(":")[2])
    with (
        socket.create_server(("", port)),
        pytest.raises(InputError, match=r"port that is free.* in use"),
    ):
        wait_for_workers(member(addresses, 0), 60.0)


def test_one_worker_alone_does_not_wait(addresses):
    wait_for_workers(member(addresses[:1], 0), 1e-9)
