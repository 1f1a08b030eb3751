"""How many different examples a training has seen."""

import numpy as np

from keras_lstm.config import Config
from keras_lstm.tasks.datasets import make_dataset
from keras_lstm.tasks.task import Splits

# Beyond this, counting the distinct inputs takes too long.
_MAX_COUNTED_EXAMPLES = 2**22


def count_distinct(config: Config, splits: Splits, steps: int) -> int | None:
    """Count the different training inputs.

    Args:
        config: the run's configuration.
        splits: the task's examples.
        steps: number of steps trained.

    Returns:
        The number; None if there are too many to count.
    """
    num_examples = steps * config.training.batch_size
    if splits.train.num_examples is not None:
        return min(num_examples, splits.train.num_examples)
    length = config.task.input_shape[0]
    if length is None or num_examples * length > _MAX_COUNTED_EXAMPLES * 20:
        return None
    dataset = make_dataset(
        splits.train, config.training.batch_size, training=True
    ).take(steps)
    small = np.min_scalar_type(config.task.num_symbols or 0)
    rows = np.concatenate(
        [
            # What is no symbol marks the end of a shorter sequence.
            np.pad(
                inputs.astype(small),
                ((0, 0), (0, length - inputs.shape[1])),
                constant_values=config.task.num_symbols or 0,
            )
            for inputs, _ in dataset.as_numpy_iterator()
        ]
    )
    whole = np.dtype((np.void, rows.shape[1] * rows.itemsize))
    return len(np.unique(rows.view(whole)))
