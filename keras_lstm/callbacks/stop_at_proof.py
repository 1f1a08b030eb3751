"""Ends a training when the model is proved."""

from collections.abc import Callable

import keras

from keras_lstm.proof import ProofSearch, find_proof
from keras_lstm.tasks.transducer import TransducerTask


class StopAtProof(keras.callbacks.Callback):
    """Looks for a proof after each epoch, and stops `fit` when there is one.

    Args:
        task: the machine.
        start_from_epoch: counted from 0; before it nothing is looked for.
        on_search: called with the epoch and what came of it.

    Attributes:
        search: what came of the last search; None before the first.
        stopped_epoch: counted from 0; None if there was no proof.
    """

    def __init__(
        self,
        task: TransducerTask,
        start_from_epoch: int = 0,
        on_search: Callable[[int, ProofSearch], None] | None = None,
    ) -> None:
        super().__init__()
        self.task = task
        self.start_from_epoch = start_from_epoch
        self.on_search = on_search
        self.search: ProofSearch | None = None
        self.stopped_epoch: int | None = None

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Forgets an earlier training."""
        self.search = self.stopped_epoch = None

    def on_epoch_end(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Looks for a proof."""
        if epoch < self.start_from_epoch:
            return
        self.search = find_proof(self.model, self.task)
        if self.on_search is not None:
            self.on_search(epoch, self.search)
        if self.search.proof is not None:
            self.stopped_epoch = epoch
            self.model.stop_training = True
