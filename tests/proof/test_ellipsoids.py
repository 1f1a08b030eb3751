import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_lstm.core.errors import InputError
from keras_lstm.models.weights import read_weights
from keras_lstm.proof import affine
from keras_lstm.proof.affine import (
    Form,
    _spectral_norms,
    distances,
    read_symbol,
)
from keras_lstm.proof.certificate import Proof
from keras_lstm.proof.ellipsoid_search import find_ellipsoids
from keras_lstm.proof.ellipsoids import (
    EllipsoidProof,
    check_ellipsoids,
)
from keras_lstm.proof.intervals import Interval
from keras_lstm.proof.proof_json import ProofError, checksum_of
from keras_lstm.verification.proof_reporting import (
    proof_report,
    proof_text,
)
from keras_lstm.verification.verify import verify


@pytest.fixture(scope="module")
def proved(copier_of_module):
    """Return the network that copies, its task, and the search."""
    model, task = copier_of_module
    return model, task, find_ellipsoids(model, task)


@pytest.fixture
def form():
    """Return a form of 20 rows of 6 elements, and points inside."""
    rng = np.random.default_rng(0)
    scale = 10.0 ** rng.uniform(-4, 1, (20, 1))
    form = Form(
        rng.normal(size=(20, 6)) * 3,
        rng.normal(size=(20, 6, 4)) * scale[..., np.newaxis],
        np.abs(rng.normal(size=(20, 6))) * scale / 10,
    )
    noise = rng.normal(size=(500, 20, 4))
    noise /= np.linalg.norm(noise, axis=2, keepdims=True)
    sign = rng.choice([-1, 0, 1], size=(500, 20, 6))
    return form, noise, sign


def values_of(form, noise, sign):
    """Return points of a form, as float64."""
    moved = np.einsum("rnk,prk->prn", form.generators, noise)
    return form.middle + moved + sign * form.error


def assert_holds(form, noise, values):
    """Assert that values are those that a form allows for their noise."""
    middle = values_of(form, noise, 0)
    assert np.all(np.abs(values - middle) <= form.error * (1 + 1e-9))


@pytest.mark.parametrize("name", ["tanh", "sigmoid"])
def test_forms_hold_every_value_of_an_activation(form, name):
    form, noise, sign = form
    # The float32 nearest to a point may be outside the form by an ulp.
    form = dataclasses.replace(
        form, error=form.error + 1e-6 * (1 + np.abs(form.middle) + form.reach)
    )
    x = values_of(form, noise, sign * 0.9).astype(np.float32)
    found = getattr(tf, name)(x).numpy().astype(np.float64)
    assert_holds(getattr(affine, name)(form), noise, found)


def test_forms_hold_every_product_and_sum(form):
    form, noise, sign = form
    x, y = form.part(0, 3), form.part(3, 6)
    at_x = values_of(x, noise, sign[..., :3])
    at_y = values_of(y, noise, sign[..., 3:])
    assert_holds(affine.product(x, y), noise, at_x * at_y)
    assert_holds(affine.total(x, y), noise, at_x + at_y)


def test_forms_keep_what_cancels():
    ones = np.ones((1, 1, 1))
    x = Form(np.zeros((1, 1)), ones, np.zeros((1, 1)))
    y = Form(np.zeros((1, 1)), -ones, np.zeros((1, 1)))
    assert affine.total(x, x).reach[0, 0] >= 2
    assert affine.total(x, y).reach[0, 0] < 1e-6


def test_spectral_norms_are_bounds_and_not_much_larger():
    rng = np.random.default_rng(0)
    matrices = rng.normal(size=(30, 8, 8))
    exact = np.linalg.norm(matrices, 2, axis=(1, 2))
    found = _spectral_norms(matrices)
    assert np.all(found >= exact)
    assert np.all(found <= 1.07 * exact)


def test_distances_are_bounds(form):
    form, noise, sign = form
    rng = np.random.default_rng(1)
    to_noise = rng.normal(size=(20, 6, 6))
    centers = form.middle + 0.1
    points = values_of(form, noise, sign)
    exact = np.linalg.norm(
        np.einsum("rij,prj->pri", to_noise, points - centers), axis=2
    )
    assert np.all(distances(form, centers, to_noise) >= exact.max(0))


def test_reading_holds_what_keras_computes(copier):
    model, task = copier
    network = read_weights(model, task.num_symbols)
    lstm = next(x for x in model.layers if type(x) is keras.layers.LSTM)
    rng = np.random.default_rng(0)
    noise = rng.uniform(-1, 1, (200, 1, 1))
    h = Form(
        np.full((1, 1), 0.3), np.full((1, 1, 1), 0.2), np.full((1, 1), 0.01)
    )
    c = Interval(np.full((1, 1), -1.5), np.full((1, 1), 2.5))
    start_h = values_of(h, noise, 0).astype(np.float32)[:, 0]
    start_c = rng.uniform(-1.5, 2.5, (200, 1)).astype(np.float32)
    for symbol in (0, 1):
        x = np.tile(network.embedding[symbol], (200, 1))
        after, (_, new) = lstm.cell(tf.constant(x), [start_h, start_c])
        found = read_symbol(network, h, c, symbol)
        assert_holds(found.h, noise, after.numpy()[:, np.newaxis])
        assert_holds(found.c, noise, new.numpy()[:, np.newaxis])


def test_a_network_made_by_hand_is_proved(proved):
    model, task, search = proved
    assert search.reason == ""
    assert search.margin == check_ellipsoids(model, task, search.proof)
    assert 1.4 < search.margin <= verify(model, task).min_margin


def test_a_patched_keras_is_noticed(proved, monkeypatch):
    model, task, search = proved
    call = keras.layers.Dense.call
    monkeypatch.setattr(
        keras.layers.Dense, "call", lambda self, x, **k: -call(self, x, **k)
    )
    with pytest.raises(InputError, match=r"margin of -1.* where at least 1"):
        check_ellipsoids(model, task, search.proof)


def test_a_proof_read_from_its_text_is_the_same(proved):
    model, task, search = proved
    text = search.proof.to_json()
    again = EllipsoidProof.from_json(text)
    assert again.to_json() == text
    assert json.loads(text)["domain"] == "ellipsoids"
    assert check_ellipsoids(model, task, again) == search.margin


def test_text_that_is_no_such_proof_is_refused(proved):
    text = proved[2].proof.to_json()
    for broken, why in (
        ("", "not a proof"),
        ("[]", "not a proof"),
        (text.replace("ellipsoids", "boxes", 1), "not a proof by ellipsoids"),
        (text.replace('"margin": 1', '"margin": 0', 1), "checksum"),
        (text.replace('"radii"', '"radius"', 1), "not a proof"),
    ):
        with pytest.raises(ProofError, match=why):
            EllipsoidProof.from_json(broken)
    with pytest.raises(ProofError, match="not a proof"):
        Proof.from_json(text)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("weights_sha256", lambda value: 5),
        ("margin", lambda value: "1.0"),
        ("margin", lambda value: 1),
        ("margin", lambda value: True),
        ("states", lambda value: [float(each) for each in value]),
        ("states", lambda value: [bool(each) for each in value]),
        ("states", lambda value: [2**63]),
        ("repeats", lambda value: [str(each) for each in value]),
        ("successors", lambda value: [[0.9, 0.9] for _ in value]),
        ("successors", lambda value: value[0]),
        ("centers", lambda value: [*value[:-1], []]),
        ("radii", lambda value: [int(each) for each in value]),
        ("bases", lambda value: value[0]),
        ("c", lambda value: [*value, value[0]]),
        ("entry", lambda value: value[:1]),
        ("next_state", lambda value: [[0.0, 0.0]]),
        ("output", lambda value: {}),
    ],
)
def test_types_are_checked_not_coerced(proved, name, change):
    content = json.loads(proved[2].proof.to_json())
    del content["checksum"]
    content[name] = change(content[name])
    text = json.dumps({"checksum": checksum_of(content)} | content)
    with pytest.raises(ProofError, match=f"not a proof: `{name}` is no "):
        EllipsoidProof.from_json(text)


def test_a_search_out_of_time_says_how_far_it_came(copier, monkeypatch):
    monkeypatch.setattr("keras_lstm.proof.ellipsoid_search._MAX_SECONDS", 0.0)
    monkeypatch.setattr(
        "keras_lstm.proof.ellipsoid_search.Growth._grow",
        lambda self: np.ones(len(self.proof.states), bool),
    )
    search = find_ellipsoids(*copier)
    assert search.proof is None
    assert (search.rounds, search.margin) == (1, 0.0)
    assert search.reason.startswith("after 1 rounds ")


def test_the_text_says_what_holds_the_states(proved):
    _, task, search = proved
    count = len(search.proof.states)
    text = proof_text(task, search, "0" * 64)
    assert f"\n{count:,} ellipsoids hold every state that it can reach" in text
    assert proof_report(search) == {
        "proof_ellipsoids": count,
        "proof_margin": search.margin,
    }


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda p: {"margin": p.margin + 0.1}, "margin"),
        (lambda p: {"margin": -1.0}, "margin"),
        (lambda p: {"margin": float("nan")}, "margin"),
        (lambda p: {"radii": p.radii * 0.01}, "leaves its nodes|initial state"),
        (lambda p: {"radii": -p.radii}, "out of range"),
        (lambda p: {"radii": p.radii * np.nan}, "out of range"),
        (lambda p: {"bases": p.bases * 0}, "ingular"),
        (lambda p: {"centers": p.centers + 0.5}, "initial state"),
        (lambda p: {"successors": p.successors * 0}, "leaves its nodes"),
        (lambda p: {"successors": p.successors + 10**4}, "out of range"),
        (lambda p: {"repeats": p.repeats * 0}, "out of range"),
        (lambda p: {"states": p.states + 1}, "out of range"),
        (lambda p: {"weights_sha256": "0" * 64}, "other weights"),
        (lambda p: {"output": [[1, 0]]}, "another task"),
        (lambda p: {"c": Interval(p.c.high, p.c.low)}, "out of range"),
        (
            lambda p: {
                "c": Interval(p.c.low * 0.5, p.c.high * 0.5),
                "entry": Interval(p.c.low * 0.5, p.c.high * 0.5),
            },
            "leaves its nodes",
        ),
    ],
)
def test_a_changed_proof_is_refused(proved, change, why):
    model, task, search = proved
    forged = dataclasses.replace(search.proof, **change(search.proof))
    with pytest.raises(ProofError, match=why):
        check_ellipsoids(model, task, forged)
