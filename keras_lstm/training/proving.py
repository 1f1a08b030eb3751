"""The proof that a training ends with."""

import dataclasses
from collections.abc import Callable

import keras

from keras_lstm.config import Config
from keras_lstm.proof.certificate import check_proof
from keras_lstm.proof.proof_json import ProofError
from keras_lstm.proof.search import ProofSearch, find_proof
from keras_lstm.proof.subject import provable_weights
from keras_lstm.tasks.transducer import TransducerTask, get_machine
from keras_lstm.training.construction import construct_weights


def settle_proof(
    model: keras.Model,
    config: Config,
    search: ProofSearch | None,
    progress: Callable[[int, int], None],
    recheck: bool = True,
) -> tuple[str | None, ProofSearch | None]:
    """Check the proof that was found; without one, fall back if asked to.

    Args:
        model: the trained model; the option `fallback` may set its weights.
        config: the run's configuration.
        search: the last search for a proof; None for none.
        progress: see `find_proof`.
        recheck: whether to check the proof in full. Needed if it was read from
            a checkpoint, or if custom callbacks ran after it was found;
            otherwise, only compare the weights.

    Returns:
        What taught the network, "examples" or "construction", None without
        the option; and the last search for a proof.
    """
    machine = get_machine(config.task)
    if machine is None:
        return None, search
    keep_best, fallback = config.training.keep_best, config.training.fallback
    if search is not None:
        search = _checked(model, machine, search, recheck)
        # The weights of the best epoch may be others than those searched, and
        # so may those that custom callbacks leave, which a fallback replaces.
        may_differ = keep_best or (recheck and fallback is not None)
        if search.proof is None and may_differ:
            search = find_proof(model, machine, progress)
    if fallback is None:
        return None, search
    if search is None:
        search = find_proof(model, machine, progress)
    if search.proof is not None:
        return "examples", search
    construct_weights(model, machine)
    return "construction", find_proof(model, machine, progress)


def _checked(
    model: keras.Model,
    machine: TransducerTask,
    search: ProofSearch,
    recheck: bool,
) -> ProofSearch:
    """Return the search, without its proof if that no longer holds.

    Custom callbacks may have changed the model after the proof was found; then
    `recheck` is true. The weights are compared in any case.
    """
    if search.proof is None:
        return search
    if not recheck:
        digest = provable_weights(model, machine).digest()
        if digest == search.proof.weights_sha256:
            return search
    try:
        check_proof(model, machine, search.proof)
    except ProofError as error:
        return dataclasses.replace(
            search, proof=None, margin=0.0, reason=str(error)
        )
    return search
