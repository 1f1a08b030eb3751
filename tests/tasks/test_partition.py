"""Counts of what may be wrong with data."""

import numpy as np

from keras_lstm.tasks.partition import TEST, TRAIN, Defects, find_defects


def test_defects_are_counted_as_one_would_by_hand():
    rng = np.random.default_rng(0)
    # Hashes are anywhere up to 2^64.
    for first in [0, 2**63, 2**64 - 13] * 7:
        keys = rng.integers(0, 12, 30).astype(np.uint64) + np.uint64(first)
        targets = rng.integers(0, 2, 30)
        parts = rng.choice([TRAIN, TRAIN, TEST], 30).astype(np.uint8)
        rows = list(zip(keys.tolist(), targets.tolist(), strict=True))
        known = [key for key, part in zip(keys, parts, strict=True) if not part]
        expected = Defects(
            num_bad=3,
            num_repeated=sum(keys[i] in keys[:i] for i in range(30)),
            num_contradicted=sum((k, 1 - t) in rows for k, t in rows),
            num_leaked=sum(key in known for key in keys[parts == TEST]),
        )
        assert find_defects(keys, targets, parts, 3) == expected


def test_a_single_large_key_is_contradicted():
    keys = np.full(2, 2**64 - 1, np.uint64)
    found = find_defects(keys, np.arange(2), np.zeros(2, np.uint8), 0)
    assert (found.num_repeated, found.num_contradicted) == (1, 2)
