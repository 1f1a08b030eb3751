"""Early stopping at a proof."""

from collections.abc import Callable
from typing import Any

import keras

from keras_lstm.callbacks.final_weights import keep_weights
from keras_lstm.proof.certificate import Proof
from keras_lstm.proof.search import ProofSearch, find_proof
from keras_lstm.tasks.transducer import TransducerTask


class StopAtProof(keras.callbacks.Callback):
    """Stop training when the model is proved right for every length.

    At the end of each epoch, `find_proof` searches for a proof that the model
    is right for every sequence of symbols, however long. If it finds one,
    `model.stop_training` is set to True and training ends with the weights
    that are proved, also if the optimizer has `use_ema=True`.

    Train with `ProofRegularization`: an ordinary network is not provable this
    way, even if all its predictions are right.

    Args:
        task: the sequence task that the model learns.
        start_from_epoch: first epoch after which to search, counted from 0.
            Defaults to 0.
        on_search: function called after each search, with the epoch, counted
            from 0, and the `ProofSearch`. Defaults to None.

    Attributes:
        search: result of the last search, a `ProofSearch`; None before the
            first. `search.proof` is the proof; None if none was found.
        stopped_epoch: epoch in which the callback stopped training, counted
            from 0; None if it did not.

    Raises:
        InputError: during `fit`, if `find_proof` does not support the model.

    Example:

    ```python
    stop = StopAtProof(task, start_from_epoch=6)
    training_model.fit(dataset, epochs=16, callbacks=[stop])
    check_proof(model, task, stop.search.proof)
    ```
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
        """Reset `search` and `stopped_epoch`."""
        self.search = self.stopped_epoch = None

    def get_state(self) -> dict[str, Any]:
        """Return the callback's state, for `ExactResume`."""
        if self.search is None:
            return {"search": None, "stopped_epoch": None}
        proof = self.search.proof
        search = vars(self.search) | {
            "proof": None if proof is None else proof.to_json()
        }
        return {"search": search, "stopped_epoch": self.stopped_epoch}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore the state that `get_state` returned."""
        self.stopped_epoch = state["stopped_epoch"]
        self.search = None
        if state["search"] is not None:
            text = state["search"]["proof"]
            proof = None if text is None else Proof.from_json(text)
            self.search = ProofSearch(**state["search"] | {"proof": proof})

    def on_epoch_end(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Search for a proof, and stop training if there is one."""
        if epoch < self.start_from_epoch:
            return
        self.search = find_proof(self.model, self.task)
        if self.on_search is not None:
            self.on_search(epoch, self.search)
        if self.search.proof is not None:
            self.stopped_epoch = epoch
            self.model.stop_training = True
            keep_weights(self.model)
