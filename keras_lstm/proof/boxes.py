"""Layout of boxes: their machine states, last symbols and successors."""

import numpy as np
import numpy.typing as npt

from keras_lstm.tasks.transducer import TransducerTask


def make_boxes(
    task: TransducerTask, num_remembered: int, by_output: bool = False
) -> tuple[npt.NDArray[np.int64], list[list[int]], npt.NDArray[np.int64]]:
    """Return a box for each machine state and last symbols read.

    Only combinations that the machine can reach have a box. Reading starts in
    the first box.

    Args:
        task: the machine.
        num_remembered: number of last symbols that distinguish boxes.
        by_output: whether the last symbol written distinguishes them, too.

    Returns:
        `states`, `last_symbols` and `successors` of a `Proof`.
    """
    places: dict[tuple[int, tuple[int, ...], int], int] = {(0, (), -1): 0}
    successors: list[list[int]] = []
    queue = list(places)
    for state, read, _ in queue:
        row = []
        for symbol in range(task.num_symbols):
            last = (*read, symbol)[-num_remembered:]
            written = task.output[state][symbol] if by_output else -1
            place = (task.next_state[state][symbol], last, written)
            if place not in places:
                places[place] = len(places)
                queue.append(place)
            row.append(places[place])
        successors.append(row)
    return (
        np.array([state for state, _, _ in queue]),
        [list(read) for _, read, _ in queue],
        np.array(successors),
    )
