"""Fuzzing of what reads files, options and other people's text.

`survives` gives a reader valid inputs that were damaged. The reader may
accept one or raise `InputError`, in bounded time and memory.

    @fuzzing.TIERS
    def test_idx(cases, tmp_path):
        def read(data):
            (tmp_path / "x").write_bytes(data)
            read_idx(tmp_path / "x", 1)

        fuzzing.survives(read, fuzzing.damaged([VALID]), cases)
"""

import contextlib
import gc
import pathlib
import resource
import signal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keras_lstm.core.errors import InputError

# Cases of a test in the quick and in the slow tier.
QUICK = 40
SLOW = 10_000
TIERS = pytest.mark.parametrize(
    "cases",
    [
        pytest.param(QUICK, id="quick"),
        pytest.param(
            SLOW,
            id="slow",
            marks=[pytest.mark.slow, pytest.mark.timeout(3600)],
        ),
    ],
)
# Integers of 8 to 64 bits at which readers fail.
_SIZES = [0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF]
_SIZES += [2**62, 2**63 - 1, 2**64 - 1]
# Values of the wrong type, too large, or with characters that are no text.
ODD_VALUES = [
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 10**400, 10**4000),
    *(0.0, -0.0, 0.5, 1e308, 5e-324, float("nan"), float("inf")),
    *("", " ", "0", "-1", "1e400", "none", "é\n\x1b[2J\u202e", "\udcff\x00"),
    *("x" * 5000, "9" * 5000, [], {}, [0], [[]], {"": 0}, [None] * 1000),
]


def survives(read, inputs, cases, *, seconds=5.0, num_bytes=2**28):
    """Assert that a reader refuses inputs in one line, or accepts them.

    Args:
        read: function of one input.
        inputs: Hypothesis strategy of inputs.
        cases: number of inputs to try.
        seconds: CPU time allowed for one input.
        num_bytes: new memory allowed for one input.
    """

    @settings(
        max_examples=cases,
        deadline=None,
        database=None,
        # The quick tier tries the same inputs every time.
        derandomize=cases <= QUICK,
        suppress_health_check=list(HealthCheck),
    )
    @given(inputs)
    def check(data):
        with _bounded_time(seconds), _bounded_memory(num_bytes):
            try:
                read(data)
            except InputError as error:
                assert_one_line(str(error))

    # TensorFlow's objects stay; to scan them takes most of the time.
    gc.collect()
    gc.freeze()
    try:
        check()
    finally:
        gc.unfreeze()


def assert_one_line(message):
    """Assert that a message is one printable line of bounded length."""
    assert message.isprintable(), message
    assert 10 < len(message) < 10_000


@contextlib.contextmanager
def _bounded_time(seconds):
    """Fail a block that needs too much CPU time."""

    def fail(*_):
        raise AssertionError(f"more than {seconds} s of CPU time")

    before = signal.signal(signal.SIGPROF, fail)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


@contextlib.contextmanager
def _bounded_memory(num_bytes):
    """Let allocations above the bound fail with `MemoryError`."""
    status = pathlib.Path("/proc/self/status")
    if not status.exists():
        yield
        return
    line = next(x for x in status.read_text().split("\n") if "VmData" in x)
    limits = resource.getrlimit(resource.RLIMIT_DATA)
    bound = int(line.split()[1]) * 1024 + num_bytes
    resource.setrlimit(resource.RLIMIT_DATA, (bound, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, limits)


@st.composite
def damaged(draw, valid, tokens=()):
    """Return a strategy of valid byte strings with one to four changes.

    Args:
        draw: given by Hypothesis.
        valid: valid inputs.
        tokens: byte strings that mean something in the format, to insert.
    """
    data = draw(st.sampled_from(list(valid)))
    for _ in range(draw(st.integers(1, 4))):
        # Headers come first, and matter most.
        end = draw(st.sampled_from([16, 128, 2**16, 2**30]))
        at = draw(st.integers(0, min(len(data), end)))
        kind = draw(st.integers(0, 7 if tokens else 6))
        rest = data[at:]
        if kind == 0:
            byte = draw(st.integers(0, 255))
            data = data[:at] + bytes([byte]) + rest[1:]
        elif kind == 1:
            bit = 1 << draw(st.integers(0, 7))
            data = data[:at] + bytes(x ^ bit for x in rest[:1]) + rest[1:]
        elif kind == 2:
            data = data[:at]
        elif kind == 3:
            data = data[:at] + rest[draw(st.integers(1, 64)) :]
        elif kind == 4:
            data = data[:at] + draw(st.binary(max_size=16)) + rest
        elif kind == 5:
            part = rest[: draw(st.integers(1, 64))]
            data = data[:at] + part * draw(st.integers(1, 20)) + rest
        elif kind == 6:
            width = draw(st.sampled_from([1, 2, 4, 8]))
            size = draw(st.sampled_from(_SIZES)) % 256**width
            order = draw(st.sampled_from(["big", "little"]))
            data = data[:at] + size.to_bytes(width, order) + rest[width:]
        else:
            token = draw(st.sampled_from(list(tokens)))
            data = data[:at] + token + rest[draw(st.sampled_from([0, 8])) :]
    return data


@st.composite
def damaged_tree(draw, valid, values=ODD_VALUES):
    """Return a strategy of JSON-like trees with one to three changes.

    Args:
        draw: given by Hypothesis.
        valid: a valid tree of dicts, lists and plain values.
        values: values to put in place of others.
    """
    tree = _copy(valid)
    for _ in range(draw(st.integers(1, 3))):
        places = _places(tree)
        if not places:
            return draw(st.sampled_from(values))
        holder, key = draw(st.sampled_from(places))
        kind = draw(st.integers(0, 5))
        if kind == 0:
            del holder[key]
        elif kind == 1 and isinstance(holder, dict):
            holder[f"{key}x"] = holder.pop(key)
        elif kind == 2:
            other, its = draw(st.sampled_from(places))
            holder[key] = _copy(other[its])
        else:
            holder[key] = _copy(draw(st.sampled_from(values)))
    return tree


def _places(tree):
    """Return each container in a tree with each of its keys."""
    if not isinstance(tree, dict | list):
        return []
    keys = list(tree) if isinstance(tree, dict) else range(len(tree))
    found = [(tree, key) for key in keys]
    for key in keys:
        found += _places(tree[key])
    return found


def _copy(tree):
    if isinstance(tree, dict):
        return {key: _copy(value) for key, value in tree.items()}
    return [_copy(x) for x in tree] if isinstance(tree, list) else tree
