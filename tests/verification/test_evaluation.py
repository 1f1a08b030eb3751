import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_lstm.core.errors import InputError
from keras_lstm.tasks.increment import Increment
from keras_lstm.tasks.task import Split
from keras_lstm.verification.evaluation import evaluate

# The logits are the inputs themselves.
IDENTITY = keras.Sequential([keras.Input((None,)), keras.layers.Identity()])


def split_of(logits, targets):
    def batch(indices):
        return tf.gather(logits, indices), tf.gather(targets, indices)

    return Split(len(targets), batch)


def test_every_example_is_measured_once_over_several_batches():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(2500, 3)).astype(np.float32)
    targets = rng.integers(3, size=2500)
    found = evaluate(IDENTITY, split_of(logits, targets))
    wrong = logits.argmax(-1) != targets
    assert found.num_examples == found.num_tokens == 2500
    assert found.num_wrong == found.num_wrong_tokens == wrong.sum()
    assert found.num_wrong_of_first(128) == wrong[:128].sum()
    np.testing.assert_array_equal(found.margins < 0, wrong)
    assert found.margins[0] == pytest.approx(
        logits[0, targets[0]] - np.delete(logits[0], targets[0]).max()
    )


def test_logits_that_do_not_go_with_the_targets_are_refused():
    one = np.zeros((3, 1), np.float32)
    with pytest.raises(InputError, match=r"two classes or more.*\(3, 1\)"):
        evaluate(IDENTITY, split_of(one, np.zeros(3, np.int32)))
    with pytest.raises(InputError, match=r"\(3, 2\), targets of .*\(3, 4\)"):
        evaluate(
            IDENTITY,
            split_of(np.zeros((3, 2), np.float32), np.zeros((3, 4), np.int32)),
        )


def test_an_endless_split_is_refused():
    with pytest.raises(InputError, match="`split` must be finite"):
        evaluate(IDENTITY, Increment().splits(seed=0).train)
