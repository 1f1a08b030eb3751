"""Counts of what may be wrong with data."""

import numpy as np

from keras_lstm.tasks.partition import TEST, TRAIN, Defects, find_defects


def test_defects_are_counted_as_one_would_by_hand():
    rng = np.random.default_rng(0)
    for _ in range(20):
        keys = rng.integers(0, 12, 30).astype(np.uint64)
        targets = rng.integers(0, 2, 30)
        parts = rng.choice([TRAIN, TRAIN, TEST], 30).astype(np.uint8)
        rows = list(zip(keys.tolist(), targets.tolist(), strict=True))
        known = [key for key, part in zip(keys, parts, strict=True) if not part]
        expected = Defects(
            num_bad=3,
            num_repeated=sum(keys[i] in keys[:i] for i in range(30)),
            num_contradicted=sum((k, 1 - t) in rows for k, t in rows),
            num_leaked=int(np.isin(keys[parts == TEST], known).sum()),
        )
        assert find_defects(keys, targets, parts, 3) == expected
