"""The fuzzers notice what they must not allow."""

import fuzzing
import pytest
from hypothesis import strategies as st

from keras_lstm.core.errors import InputError


def test_a_refusal_is_allowed():
    def read(_):
        raise InputError("`x` must be something else\n")

    fuzzing.survives(read, st.binary(), 5)


def test_another_error_is_not():
    def read(data):
        if len(data) > 2:
            raise IndexError("found")

    with pytest.raises(IndexError, match="found"):
        fuzzing.survives(read, fuzzing.damaged([b"abc"]), 50)


def test_an_endless_loop_is_not():
    def read(_):
        while True:
            pass

    with pytest.raises(AssertionError, match="s of CPU time"):
        fuzzing.survives(read, st.just(b""), 1, seconds=0.2)


def test_too_much_memory_is_not():
    def read(_):
        return bytes(2**30)

    with pytest.raises(MemoryError):
        fuzzing.survives(read, st.just(b""), 1)


def test_trees_are_damaged():
    valid = {"a": [1, 2], "b": {"c": "d"}}
    seen = []
    fuzzing.survives(seen.append, fuzzing.damaged_tree(valid), 100)
    assert valid == {"a": [1, 2], "b": {"c": "d"}}
    assert sum(tree != valid for tree in seen) > 90
