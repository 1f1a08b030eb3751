import numpy as np
import pytest

from keras_lstm.config import ModelConfig
from keras_lstm.models.build import build_model
from keras_lstm.proof import search as searching
from keras_lstm.proof.certificate import check_proof
from keras_lstm.proof.search import find_proof
from keras_lstm.tasks.transducer import TransducerTask


class Copy(TransducerTask):
    name = "copy"
    next_state = ((0, 0),)
    output = ((0, 1),)


def copier_with_sums(forgotten, added):
    """Return a copier beside units that sum up what they do not forget.

    Args:
        forgotten: biases of the forget gates.
        added: biases of the input gates.
    """
    units = 1 + len(forgotten)
    task = Copy(num_bits=10)
    model = build_model(
        task, ModelConfig(units=units, num_layers=1, embedding_dim=1)
    )
    # Gates: input, forget, cell, output.
    kernel, bias = np.zeros((2, 4, units))
    kernel[2] = 4.0
    bias[:, 0] = 5.0, -5.0, 0.0, 5.0
    bias[0, 1:], bias[1, 1:] = added, forgotten
    dense = np.zeros((units, 2))
    dense[0] = -1.0, 1.0
    model.set_weights(
        [
            np.array([[-1.0], [1.0]]),
            kernel.reshape(1, -1),
            np.zeros((units, 4 * units)),
            bias.reshape(-1),
            dense,
            np.zeros(2),
        ]
    )
    return model, task


@pytest.mark.parametrize(
    ("forgotten", "added"),
    [
        ([3.0], [0.0]),
        # What grows fastest in round 10 is not what grows longest.
        ([3.0, 0.5], [-8.0, 0.0]),
        ([5.0, 3.0, 0.5], [-9.0, -6.0, 0.0]),
    ],
)
def test_boxes_that_grow_at_several_rates_close_at_the_first_try(
    forgotten, added
):
    model, task = copier_with_sums(forgotten, added)
    search = find_proof(model, task)
    assert search.rounds == 10
    assert check_proof(model, task, search.proof) == search.margin > 0


def test_boxes_that_never_close_are_given_up(monkeypatch):
    monkeypatch.setattr(searching, "_MAX_ROUNDS", 25)
    # The gate rounds to 1: nothing is ever forgotten.
    model, task = copier_with_sums([90.0], [0.0])
    tried = []
    monkeypatch.setattr(
        searching._Search,
        "_close",
        lambda self, boxes: tried.append(self.rounds),
    )
    search = find_proof(model, task)
    assert search.proof is None
    assert "after 25 rounds boxes still grew: c of unit 1" in search.reason
    assert tried[:2] == [10, 20]


def test_progress_is_told_in_each_round_and_while_boxes_are_tried():
    told = []
    search = find_proof(
        *copier_with_sums([3.0], [0.0]), lambda *each: told.append(each)
    )
    assert sorted({done for done, _ in told}) == list(range(1, 11))
    assert {total for _, total in told} == {400}
    assert len(told) > search.rounds
