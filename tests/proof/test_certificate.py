import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_lstm.callbacks.stop_at_proof import StopAtProof
from keras_lstm.config import ModelConfig
from keras_lstm.core.errors import InputError
from keras_lstm.models import stock_model
from keras_lstm.models.build import build_model
from keras_lstm.models.logits import margins_of
from keras_lstm.models.weights import read_weights
from keras_lstm.proof.certificate import Proof, check_proof
from keras_lstm.proof.intervals import Interval
from keras_lstm.proof.proof_json import ProofError, checksum_of
from keras_lstm.proof.propagation import read_symbol, smallest_margins
from keras_lstm.proof.regularization import ProofRegularization
from keras_lstm.proof.search import find_proof
from keras_lstm.tasks.datasets import make_dataset
from keras_lstm.tasks.hard_inputs import hard_inputs
from keras_lstm.tasks.increment import Increment, Parity
from keras_lstm.verification.verify import verify


@pytest.fixture(scope="module")
def proved():
    """Return a trained network, its task, and the search for its proof."""
    task = Increment()
    model = build_model(
        task, ModelConfig(units=8, num_layers=1, forget_bias=-8.0)
    )
    terms = ProofRegularization(model, task, warmup_steps=150, ramp_steps=150)
    training_model = keras.Model(model.input, terms(model.output))
    training_model.compile(
        keras.optimizers.Adam(0.02, global_clipnorm=1.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    stop = StopAtProof(task, start_from_epoch=4)
    training_model.fit(
        make_dataset(task.splits(seed=0).train, 128, training=True),
        epochs=16,
        steps_per_epoch=50,
        shuffle=False,
        verbose=0,
        callbacks=[stop],
    )
    assert stop.search.proof is not None
    return model, task, stop.search


def test_a_network_made_by_hand_is_proved(copier):
    model, task = copier
    search = find_proof(model, task)
    assert search.reason == ""
    assert len(search.proof.states) == 3
    # c is about 0.993 * tanh(4), h about 0.993 * tanh(c) = 0.75, and the logits
    # are 2 h apart.
    assert 1.4 < search.margin < 1.6
    margins = verify(model, task).min_margin
    assert search.margin <= margins < search.margin + 0.02


def test_the_margin_is_a_bound_on_every_real_one(proved):
    model, task, search = proved
    assert search.margin == check_proof(model, task, search.proof)
    assert verify(model, task).min_margin >= search.margin
    for num_bits, count in ((1, 1500), (2, 1500), (333, 300), (3000, 50)):
        inputs, _ = hard_inputs(Increment(num_bits=num_bits))
        inputs = inputs[:count].astype(np.int32)
        logits = model.predict(inputs, batch_size=128, verbose=0)
        margins = margins_of(tf.constant(logits), task.targets(inputs))
        assert margins.numpy().min() >= search.margin


def adversarial(rng, length):
    """Return random bits with stretches of ones and of zeros."""
    symbols = rng.integers(2, size=length)
    for _ in range(rng.integers(4)):
        first, last = np.sort(rng.integers(length + 1, size=2))
        symbols[first:last] = rng.integers(2)
    return symbols


def wrong_of(model, task, rng, count, longest):
    """Count wrong predictions for `count` numbers of 1 to `longest` bits."""
    wrong = 0
    for _ in range(count):
        length = int(np.exp(rng.uniform(0, np.log(longest)))) + 1
        symbols = adversarial(rng, min(length, longest))[np.newaxis]
        found = model.predict_on_batch(symbols).argmax(-1)
        wrong += not np.array_equal(found, task.targets(symbols))
    return wrong


def test_no_length_is_wrong(proved):
    model, task, _ = proved
    rng = np.random.default_rng(1)
    assert wrong_of(model, task, rng, 100, 10_000) == 0


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_no_length_is_wrong_in_ten_thousand_tries(proved):
    model, task, _ = proved
    rng = np.random.default_rng(2)
    assert wrong_of(model, task, rng, 10_000, 10_000) == 0


def float32_inside(boxes):
    """Return the smallest and the largest float32 numbers inside bounds."""
    low, high = (np.float32(bound) for bound in boxes)
    low = np.where(low < boxes.low, np.nextafter(low, np.float32(9)), low)
    high = np.where(high > boxes.high, np.nextafter(high, np.float32(-9)), high)
    assert np.all(low <= high)
    return low, high


def test_keras_stays_within_the_boxes(proved):
    model, _, search = proved
    boxes, successors = search.proof.boxes, search.proof.successors
    low, high = float32_inside(boxes)
    cell = model.layers[2].cell
    rng = np.random.default_rng(0)
    for symbol in (0, 1):
        target = successors[:, symbol]
        x = model.layers[1](np.full(len(low), symbol))
        for _ in range(200):
            # Mostly at the corners, where the bounds are attained.
            part = rng.choice([0, 1, np.float32(rng.random())], size=low.shape)
            state = np.clip(low + np.float32(part) * (high - low), low, high)
            _, after = cell(x, [state[:, :8], state[:, 8:]])
            after = np.concatenate(after, 1).astype(np.float64)
            assert np.all(boxes.low[target] <= after)
            assert np.all(after <= boxes.high[target])


@pytest.mark.slow
def test_wrong_networks_are_never_proved(proved):
    model, task, search = proved
    small = Increment(num_bits=8)
    rng = np.random.default_rng(3)
    kept = model.get_weights()
    other = keras.models.clone_model(model)
    found = 0
    for _ in range(30):
        weights = [w.copy() for w in kept]
        array = weights[rng.integers(len(weights))]
        index = rng.integers(array.size)
        change = rng.choice([-1, 1]) * 0.25
        for _ in range(8):
            array.flat[index] += change
            change *= 2
            other.set_weights(weights)
            if verify(other, small).num_wrong:
                break
        else:
            continue
        found += 1
        assert find_proof(other, task).proof is None
        # The old boxes do not hold either, whatever weights the file claims.
        claim = proof_for_model(other, task, search.proof)
        with pytest.raises(ProofError, match=r"leaves|margin"):
            check_proof(other, task, claim)
    assert found > 10


def proof_for_model(model, task, proof):
    """Return a proof with the same boxes that claims to be about `model`."""
    network = read_weights(model, task.num_symbols)
    return dataclasses.replace(proof, weights_sha256=network.digest())


def test_any_other_weight_or_task_makes_it_another_proof(proved):
    model, task, search = proved
    other = keras.models.clone_model(model)
    for number in range(len(model.weights)):
        weights = model.get_weights()
        weights[number].flat[-1] = np.nextafter(
            weights[number].flat[-1], np.float32(np.inf)
        )
        other.set_weights(weights)
        with pytest.raises(ProofError, match="about other weights"):
            check_proof(other, task, search.proof)
    with pytest.raises(ProofError, match="about another task"):
        check_proof(model, Parity(), search.proof)


def test_a_proof_survives_its_file(proved):
    model, task, search = proved
    again = Proof.from_json(search.proof.to_json())
    assert check_proof(model, task, again) == search.margin


def test_a_changed_file_is_rejected(proved):
    text = proved[2].proof.to_json()
    rng = np.random.default_rng(4)
    places = rng.choice(len(text) - 1, 300, replace=False)
    for place in places:
        changed = text[place]
        while changed == text[place]:
            changed = chr(rng.integers(32, 127))
        mutant = text[:place] + changed + text[place + 1 :]
        # Some changes, such as e to E in a number, leave the content the same.
        if json_or_none(mutant) == json.loads(text):
            continue
        with pytest.raises(ProofError):
            Proof.from_json(mutant)
    for broken in ("", "{}", "[]", "null", text[:-20], '{"checksum": 1}'):
        with pytest.raises(ProofError, match="this is not a proof"):
            Proof.from_json(broken)


def json_or_none(text):
    try:
        return json.loads(text)
    except ValueError:
        return None


def test_boxes_that_prove_nothing_are_rejected_whatever_the_checksum(proved):
    model, task, search = proved

    def changed(**paths):
        content = json.loads(search.proof.to_json())
        del content["checksum"]
        for name, (box, value) in paths.items():
            old = content["boxes"][box][name]
            content["boxes"][box][name] = (
                value(old) if callable(value) else value
            )
        return {"checksum": checksum_of(content), **content}

    def moved(by):
        return lambda values: [values[0] + by, *values[1:]]

    nan = float("nan")
    for paths, reason in [
        ({"low": (1, moved(0.05))}, "leaves its boxes"),
        ({"high": (3, moved(-0.05))}, "leaves its boxes"),
        ({"low": (0, moved(1e-30))}, "does not contain the initial state"),
        ({"high": (0, moved(-1e-30))}, "does not contain the initial state"),
        ({"state": (0, 1)}, "does not contain the initial state"),
        ({"margins": (1, [9.0, 9.0])}, "a margin is not"),
        ({"margins": (1, [0.0, 0.0])}, "a margin is not"),
        ({"margins": (1, [nan, nan])}, "a margin is not"),
        ({"state": (1, 0)}, "of another machine state"),
        ({"state": (1, 7)}, "wrong shapes or values"),
        ({"successors": (2, [2, 1])}, "of another machine state"),
        ({"successors": (2, [1, -1])}, "wrong shapes or values"),
        ({"last_symbols": (2, [7])}, "wrong shapes or values"),
        ({"high": (2, [1e300] * 16)}, "wrong shapes or values"),
        ({"low": (2, [nan] * 16)}, "wrong shapes or values"),
        (
            {"low": (3, [-1.0] * 16), "high": (3, [1.0] * 16)},
            "leaves its boxes|a margin is not",
        ),
    ]:
        mutant = Proof.from_json(json.dumps(changed(**paths)))
        with pytest.raises(ProofError, match=reason):
            check_proof(model, task, mutant)
    empty = json.loads(search.proof.to_json()) | {"boxes": []}
    del empty["checksum"]
    text = json.dumps({"checksum": checksum_of(empty), **empty})
    with pytest.raises(ProofError):
        check_proof(model, task, Proof.from_json(text))


def test_why_there_is_no_proof_is_said():
    model = build_model(Increment(), ModelConfig(units=4))
    search = find_proof(model, Increment())
    assert search.proof is None
    assert search.margin == 0
    assert search.reason.startswith("in round 1 an answer could not be decided")
    assert "of state carry, at the start" in search.reason


def test_boxes_that_go_on_growing_are_named(copier):
    model, task = copier
    weights = model.get_weights()
    # The forget gate is open, and every 1 adds to c, which no logit depends on.
    weights[3] = np.array([5.0, 40.0, 0.0, -40.0])
    weights[4] = np.zeros((1, 2))
    weights[5] = np.array([0.0, 1.0])
    model.set_weights(weights)

    class Ones(type(task)):
        output = ((1, 1),)

    search = find_proof(model, Ones())
    assert search.proof is None
    assert "boxes still grew: c of unit 0 in LSTM layer 1" in search.reason


def test_logits_as_close_as_rounding_are_not_decided(copier):
    network = read_weights(copier[0], 2)
    states = Interval(np.zeros((1, 2)), np.zeros((1, 2)))
    # In float32 the two logits are equal, or the second is slightly larger.
    for difference, decided in ((2.0**-26, False), (2.0**-20, True)):
        logits = dataclasses.replace(
            network, kernel=np.zeros((1, 2)), bias=np.array([1, 1 + difference])
        )
        (margin,) = smallest_margins(logits, states, np.array([1]))
        assert (margin > 0) == decided


@pytest.mark.parametrize("name", ["TANH_ERROR", "SIGMOID_ERROR"])
def test_worse_activations_are_noticed(monkeypatch, copier, name):
    from keras_lstm.proof import subject as module

    monkeypatch.setattr(module, name, 1e-8)
    module.check_activations.cache_clear()
    function = name.partition("_")[0].lower()
    try:
        with pytest.raises(InputError, match=f"`tf.{function}` must be acc"):
            find_proof(*copier)
    finally:
        module.check_activations.cache_clear()


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e20])
def test_weights_that_are_not_finite_are_refused(copier, value):
    model, task = copier
    weights = model.get_weights()
    weights[1][0, 0] = value
    model.set_weights(weights)
    with pytest.raises(InputError, match="finite weights of magnitude below"):
        find_proof(model, task)


def test_other_models_are_refused(copier):
    model = build_model(Increment(num_bits=4), ModelConfig("last_state", 4))
    with pytest.raises(InputError, match="must answer at every time step"):
        find_proof(model, Increment(num_bits=4))
    model, task = copier

    class Three(type(task)):
        output = ((0, 2),)

    with pytest.raises(InputError, match="must have at least 3 classes"):
        find_proof(model, Three())


def test_bounds_on_two_layers_hold_keras():
    model = build_model(Increment(), ModelConfig(units=5), seed=3)
    network = read_weights(model, 2)
    rng = np.random.default_rng(0)
    cells = [layer.cell for layer in model.layers if hasattr(layer, "cell")]
    for _ in range(50):
        middle = rng.normal(size=(7, 20))
        width = np.abs(rng.normal(size=(7, 20))) * 0.2
        low = np.float32(middle - width).astype(np.float64)
        high = np.float32(middle + width).astype(np.float64)
        symbols = rng.integers(2, size=7)
        bounds = read_symbol(network, Interval(low, high), symbols)
        at_high = rng.integers(2, size=(7, 20))
        state = np.float32(low + at_high * (high - low))
        x = model.layers[1](symbols)
        after = []
        for layer, cell in enumerate(cells):
            part = state[:, 10 * layer : 10 * layer + 10]
            x, new = cell(x, [part[:, :5], part[:, 5:]])
            after += [np.asarray(each) for each in new]
        after = np.concatenate(after, 1)
        assert np.all((bounds.low <= after) & (after <= bounds.high))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["weights_sha256"], 5, "`weights_sha256` is no string"),
        (["checksum"], None, "`checksum` is no string"),
        (["next_state"], {}, "`next_state` is no table"),
        (["output", 0], "01", "`output` is no list of integers"),
        (["output", 0, 0], True, "`output` is no list of integers"),
        (["output", 0, 0], 2**63, "`output` is no list of integers"),
        (["boxes"], {}, "`boxes` is no list of boxes"),
        (["boxes"], [], "`boxes` is no list of boxes"),
        (["boxes", 0], [], "a box must hold state, last_symbols"),
        (["boxes", 0, "state"], 0.0, "`state` is no list of integers"),
        (["boxes", 0, "state"], "0", "`state` is no list of integers"),
        (["boxes", 1, "successors", 0], False, "`successors` is no list of"),
        (["boxes", 1, "low", 0], 0, "`low` is no list of floats"),
        (["boxes", 1, "high", 0], "1.0", "`high` is no list of floats"),
        (["boxes", 1, "high"], [1.0], "boxes differ in length"),
        (["more"], 1, "the proof must hold checksum, weights_sha256"),
    ],
)
def test_types_are_checked_and_not_coerced(copier, path, value, message):
    content = json.loads(find_proof(*copier).proof.to_json())
    place = content
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(ProofError, match=f"this is not a proof.*{message}"):
        Proof.from_json(json.dumps(content))


def test_a_model_that_computes_otherwise_is_not_proved(copier, monkeypatch):
    model, task = copier
    proof = find_proof(model, task).proof

    def half(network):
        other = keras.models.clone_model(model)
        weights = [w / 2 for w in model.get_weights()]
        other.set_weights(weights)
        return other

    monkeypatch.setattr(stock_model, "build_stock_model", half)
    with pytest.raises(
        InputError, match="other logits for 64 of 64 sequences of 1 symbols"
    ):
        check_proof(model, task, proof)
