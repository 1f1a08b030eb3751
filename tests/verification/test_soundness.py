"""`verify` and brute-force `predict` find the same inputs wrong, always."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from keras_lstm.config import ModelConfig
from keras_lstm.models.build import build_model
from keras_lstm.tasks.increment import Increment, Parity
from keras_lstm.tasks.transducer import TransducerTask
from keras_lstm.verification.verify import verify

SCALES = [1e-3, 0.1, 1.0, 3.0, 12.0, 1e3, 1e8]
SHAPES = [(1, 1), (1, 4), (2, 8), (3, 3), (1, 64), (2, 64)]


class Keep(TransducerTask):
    """Three symbols, three states."""

    name = "keep"
    next_state = ((1, 2, 0), (2, 0, 1), (0, 1, 2))
    output = ((0, 1, 2), (2, 0, 1), (1, 2, 0))


TASKS = [Increment, Parity, Keep]


def wrong_by_predict(model, task):
    """Return the numbers in the domain that `predict` gets wrong."""
    numbers = np.arange(task.num_symbols**task.num_bits)
    symbols = task.symbols_of(numbers)
    inside = task.in_domain(task.states(symbols)[:, -1])
    numbers, symbols = numbers[inside], symbols[inside]
    logits = model.predict(symbols, batch_size=4096, verbose=0)
    predicted = np.where(np.isnan(logits).any(-1), -1, logits.argmax(-1))
    return numbers[(predicted != task.targets(symbols)).any(-1)]


def wrong_by_verify(model, task):
    """Return the numbers that `verify` lists, with the result."""
    found = verify(model, task)
    powers = task.num_symbols ** np.arange(task.num_bits)
    listed = sorted(int(failure.symbols @ powers) for failure in found.failures)
    assert len(listed) == found.num_wrong
    return listed, found


def weights_of(shapes, scale, kind, rng):
    """Return weights of one of the kinds that the property is about."""
    weights = [rng.normal(size=s).astype(np.float32) * scale for s in shapes]
    if kind == "cancelling":
        # An embedding dimension that is always 1 cancels against the bias.
        embedding, kernel, _, bias = weights[:4]
        embedding[:, 0] = 1
        kernel[0] = scale * 2.0**20
        bias[:] = -scale * 2.0**20
    elif kind == "saturated":
        for bias in weights[3:-2:3]:
            bias += 30 * np.sign(bias)
    elif kind == "zeros":
        weights = [w * (rng.random(w.shape) < 0.3) for w in weights]
    elif kind == "ties":
        # Both logits are nearly the same.
        weights[-2][:] = weights[-2][:, :1]
        weights[-1][:] = 0
    return weights


def make_case(seed, head, shape, task, scale, kind, models={}):  # noqa: B006
    """Return a network and its task; models are built once for each shape."""
    num_layers, units = shape
    num_bits = 6 if task is Keep else 9
    key = (head, shape, task)
    if key not in models:
        config = ModelConfig(head, units, num_layers=num_layers)
        models[key] = build_model(task(num_bits=num_bits), config)
    model = models[key]
    rng = np.random.default_rng(seed)
    shapes = [w.shape for w in model.get_weights()]
    model.set_weights(weights_of(shapes, scale, kind, rng))
    return model, task(num_bits=num_bits)


KINDS = ["random", "cancelling", "saturated", "zeros", "ties"]


def check_case(*case):
    model, task = make_case(*case)
    listed, _ = wrong_by_verify(model, task)
    assert listed == wrong_by_predict(model, task).tolist()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scale", [0.1, 12.0, 1e8])
def test_the_wrong_inputs_are_those_of_predict(scale, kind):
    check_case(5, "per_step", (2, 8), Increment, scale, kind)


@pytest.mark.slow
@hypothesis.settings(
    max_examples=600, deadline=None, derandomize=True, database=None
)
@hypothesis.given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(["per_step", "last_state"]),
    st.sampled_from(SHAPES),
    st.sampled_from(TASKS),
    st.sampled_from(SCALES),
    st.sampled_from(KINDS),
)
@pytest.mark.timeout(3000)
def test_the_wrong_inputs_are_always_those_of_predict(
    seed, head, shape, task, scale, kind
):
    check_case(seed, head, shape, task, scale, kind)


def attack(num_bits):
    """Return a network whose bias cancels a constant embedding dimension.

    Folding the bias into the products of the embedding, as `verify` once did,
    keeps what Keras's order of additions rounds away: 2^26 + 1 - 2^26 is 0.
    """
    task = Increment(num_bits=num_bits)
    config = ModelConfig(units=4, num_layers=1, embedding_dim=2)
    model = build_model(task, config)
    embedding, kernel, recurrent, bias, head, head_bias = model.get_weights()
    embedding[:] = [[1, -1], [1, 1]]
    rng = np.random.default_rng(0)
    kernel[1], kernel[0] = rng.normal(size=16) * 2, 2.0**26
    bias[:] = -(2.0**26)
    recurrent[:] = rng.normal(size=recurrent.shape) * 3
    head[:], head_bias[:] = rng.normal(size=head.shape), 0
    model.set_weights([embedding, kernel, recurrent, bias, head, head_bias])
    return model, task


def test_cancelling_terms_do_not_hide_wrong_answers():
    model, task = attack(12)
    listed, found = wrong_by_verify(model, task)
    assert listed == wrong_by_predict(model, task).tolist()
    assert len(listed) > 4000
    assert found.num_predicted > 0


def test_a_chaotic_network_is_left_to_predict():
    case = make_case(1, "per_step", (2, 64), Increment, 12.0, "random")
    found = verify(*case)
    assert found.num_predicted > found.num_examples / 2
