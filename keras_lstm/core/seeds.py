"""Seeds for each purpose, derived from the one seed of a run."""

import zlib

import numpy as np


def derive_seed(seed: int, purpose: str) -> int:
    """Derive the seed for one purpose, independent of all other purposes.

    Args:
        seed: seed of the run.
        purpose: name of the purpose, such as "lstm_1/kernel".

    Returns:
        An integer from 0 to 2^31 - 1, the same for the same arguments on
        every machine.
    """
    entropy = [seed, zlib.crc32(purpose.encode())]
    return int(np.random.SeedSequence(entropy).generate_state(1)[0] >> 1)
