import dataclasses

import keras
import numpy as np
import pytest

from keras_lstm.presets import get_preset
from keras_lstm.proof.proof_json import ProofError
from keras_lstm.proof.search import find_proof
from keras_lstm.runs.report import StopReason
from keras_lstm.tasks.increment import Increment
from keras_lstm.training import proving
from keras_lstm.training import train as training
from keras_lstm.training.proving import settle_proof
from keras_lstm.training.train import train


def settled(copier, search, recheck):
    model, task = copier
    config = dataclasses.replace(get_preset("increment"), task=task)
    return settle_proof(model, config, search, print, recheck)[1]


@pytest.fixture
def refused(monkeypatch):
    """Have the full check of a settled proof fail."""

    def refuse(model, task, proof):
        raise ProofError("checked in full")

    monkeypatch.setattr(proving, "check_proof", refuse)


@pytest.mark.usefixtures("refused")
def test_a_proof_of_the_same_weights_is_checked_again_on_request(copier):
    search = find_proof(*copier)
    assert settled(copier, search, recheck=False) is search
    again = settled(copier, search, recheck=True)
    assert (again.proof, again.margin) == (None, 0)
    assert again.reason == "checked in full"


def test_a_proof_of_other_weights_never_holds(copier):
    search = find_proof(*copier)
    bias = copier[0].layers[-1].bias
    bias.assign(bias + 1e-3)
    again = settled(copier, search, recheck=False)
    assert again.proof is None
    assert "about other weights" in again.reason


def settled_otherwise(copier, search, recheck, **options):
    """Settle a proof after the weights have changed."""
    model, task = copier
    bias = model.layers[-1].bias
    bias.assign(bias + 1e-3)
    config = dataclasses.replace(
        get_preset("increment").replace(Increment, **options), task=task
    )
    taught_by, again = settle_proof(model, config, search, print, recheck)
    bias.assign(bias - 1e-3)
    return taught_by, again


def test_the_weights_of_the_best_epoch_are_searched_again(copier):
    search = find_proof(*copier)
    # Also those of an epoch before, where the last search failed.
    failed = dataclasses.replace(search, proof=None, margin=0.0, reason="no")
    for before in (search, failed):
        taught_by, again = settled_otherwise(
            copier, before, recheck=False, keep_best=True
        )
        assert taught_by is None
        assert again.proof is not None
        assert again.proof.weights_sha256 != search.proof.weights_sha256


@pytest.mark.parametrize("keep_best", [False, True])
def test_what_examples_taught_is_not_constructed(copier, keep_best):
    before = copier[0].get_weights()
    taught_by, again = settled_otherwise(
        *(copier, find_proof(*copier)),
        recheck=not keep_best,
        keep_best=keep_best,
        fallback="construction",
    )
    assert (taught_by, again.proof is not None) == ("examples", True)
    for old, new in zip(before, copier[0].get_weights(), strict=True):
        np.testing.assert_allclose(old, new, atol=1e-6)


@pytest.mark.usefixtures("refused")
@pytest.mark.parametrize("what", ["plain", "callback", "resumed"])
def test_what_may_have_changed_is_checked_again(tmp_path, monkeypatch, what):
    config = get_preset("increment-proved").replace(Increment, num_bits=4)
    callbacks = [keras.callbacks.Callback()] if what == "callback" else []
    if what == "resumed":
        with monkeypatch.context() as patch:
            patch.setattr(training, "settle_proof", None)
            with pytest.raises(TypeError, match="not callable"):
                train(config, tmp_path / "run", quiet=True)
    result = train(
        *(config, tmp_path / "run"),
        resume=what == "resumed",
        callbacks=callbacks,
        quiet=True,
    )
    assert result.report.proved == (what == "plain")
    if what != "plain":
        assert result.proof.reason == "checked in full"
    assert (result.report.resumed_from_step is not None) == (what == "resumed")


@pytest.mark.parametrize("fallback", [None, "construction"])
def test_the_epoch_that_is_proved_is_the_best(tmp_path, fallback):
    config = get_preset("increment").replace(
        Increment, num_bits=12, keep_best=True, fallback=fallback
    )
    result = train(config, tmp_path / "run", quiet=True)
    report = result.report
    accuracies = result.history["val_sequence_accuracy"]
    # By accuracy alone, it would be an earlier one.
    assert accuracies.index(max(accuracies)) + 1 < report.best_epoch
    assert report.best_epoch == report.epochs
    assert report.proved
    assert report.taught_by == (fallback and "examples")
    assert report.stopped_because is StopReason.PROVED
