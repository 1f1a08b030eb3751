"""Layout of boxes: their machine states, last symbols and successors."""

import numpy as np
import numpy.typing as npt

from keras_lstm.tasks.transducer import TransducerTask


def make_boxes(
    task: TransducerTask, num_remembered: int
) -> tuple[npt.NDArray[np.int64], list[list[int]], npt.NDArray[np.int64]]:
    """Return a box for each machine state and last symbols read.

    Only combinations that the machine can reach have a box. Reading starts in
    the first box.

    Args:
        task: the machine.
        num_remembered: number of last symbols that distinguish boxes.

    Returns:
        `states`, `last_symbols` and `successors` of a `Proof`.
    """
    places: dict[tuple[int, tuple[int, ...]], int] = {(0, ()): 0}
    successors: list[list[int]] = []
    queue = list(places)
    for state, read in queue:
        row = []
        for symbol in range(task.num_symbols):
            last = (*read, symbol)[-num_remembered:]
            place = (task.next_state[state][symbol], last)
            if place not in places:
                places[place] = len(places)
                queue.append(place)
            row.append(places[place])
        successors.append(row)
    return (
        np.array([state for state, _ in queue]),
        [list(read) for _, read in queue],
        np.array(successors),
    )
