"""One seed for a run, and from it one for each purpose."""

import zlib

import numpy as np


def derive_seed(seed: int, purpose: str) -> int:
    """A seed for one purpose, independent of those for all others.

    Args:
        seed: the run's seed.
        purpose: what the derived seed is for, such as "lstm_1/kernel".

    Returns:
        An integer from 0 to 2^31 - 1, the same for the same arguments on
        every machine.
    """
    entropy = [seed, zlib.crc32(purpose.encode())]
    return int(np.random.SeedSequence(entropy).generate_state(1)[0] >> 1)
