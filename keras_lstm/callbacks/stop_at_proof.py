"""Ends a training when the model is proved."""

from collections.abc import Callable
from typing import Any

import keras

from keras_lstm.proof.certificate import Proof
from keras_lstm.proof.search import ProofSearch, find_proof
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

    def get_state(self) -> dict[str, Any]:
        """What a training that is resumed needs to know."""
        if self.search is None:
            return {"search": None, "stopped_epoch": None}
        proof = self.search.proof
        search = vars(self.search) | {
            "proof": None if proof is None else proof.to_json()
        }
        return {"search": search, "stopped_epoch": self.stopped_epoch}

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes on from `get_state`."""
        self.stopped_epoch = state["stopped_epoch"]
        self.search = None
        if state["search"] is not None:
            text = state["search"]["proof"]
            proof = None if text is None else Proof.from_json(text)
            self.search = ProofSearch(**state["search"] | {"proof": proof})

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
