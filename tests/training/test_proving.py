import dataclasses

import keras
import pytest

from keras_lstm.presets import get_preset
from keras_lstm.proof.proof_json import ProofError
from keras_lstm.proof.search import find_proof
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
