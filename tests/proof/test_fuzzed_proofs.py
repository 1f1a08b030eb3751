"""Whatever `proof.json` holds is a proof or is refused in one line."""

import json

import fuzzing
import numpy as np
import pytest

from keras_lstm.proof.certificate import Proof
from keras_lstm.proof.intervals import Interval
from keras_lstm.proof.proof_json import ProofError

PROOF = Proof(
    "0" * 64,
    [[0, 1], [0, 1]],
    [[0, 1], [1, 0]],
    np.array([0, 1]),
    [[0], [1]],
    Interval(np.full((2, 4), -1.0), np.full((2, 4), 1.0)),
    np.array([[0, 1], [1, 0]]),
    np.full((2, 2), 0.5),
)


def read(text):
    try:
        Proof.from_json(text)
    # A certificate's own error, of one line as well.
    except ProofError as error:
        fuzzing.assert_one_line(str(error))


def test_a_proof_is_read_back():
    assert Proof.from_json(PROOF.to_json()).to_json() == PROOF.to_json()
    with pytest.raises(ProofError, match="not a proof"):
        Proof.from_json("{}")


@fuzzing.TIERS
def test_proofs(cases):
    valid = json.loads(PROOF.to_json())
    trees = fuzzing.damaged_tree(valid).map(json.dumps)
    texts = fuzzing.damaged([PROOF.to_json().encode()]).map(
        lambda data: data.decode("utf-8", "replace")
    )
    fuzzing.survives(read, trees | texts, cases)
