import pytest
from handmade import copier_with_sums

from keras_lstm.proof import search as searching
from keras_lstm.proof.certificate import check_proof
from keras_lstm.proof.search import find_proof
from keras_lstm.tasks.transducer import TransducerTask


def ring_of(num_states):
    """Return a machine that copies what it reads, and counts in a ring."""

    class Ring(TransducerTask):
        name = f"ring-{num_states}"
        next_state = tuple(
            ((state + 1) % num_states,) * 2 for state in range(num_states)
        )
        output = ((0, 1),) * num_states

    return Ring(num_bits=10)


@pytest.fixture
def told():
    """Return a list, and a function that adds each call's arguments to it."""
    calls = []
    return calls, lambda *each: calls.append(each)


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
    forgotten, added, told
):
    task = ring_of(1)
    model = copier_with_sums(task, forgotten, added)
    calls, progress = told
    search = find_proof(model, task, progress)
    assert search.rounds == 10
    assert check_proof(model, task, search.proof) == search.margin > 0
    # Progress is told while boxes are tried, too.
    assert sorted(set(calls)) == [(done, 400) for done in range(1, 11)]
    assert 10 < len(calls) < 50


@pytest.mark.parametrize("num_states", [5, 12, 20, 30, 250])
def test_extrapolation_waits_for_what_goes_around_a_ring(num_states, told):
    task = ring_of(num_states)
    model = copier_with_sums(task, [3.0], [0.0])
    calls, progress = told
    search = find_proof(model, task, progress)
    assert check_proof(model, task, search.proof) == search.margin > 0
    # Not later than in the last round.
    assert search.rounds == min(max(10, 2 * num_states), 400)
    assert len(calls) <= 2 * search.rounds


def test_boxes_that_never_close_are_given_up(monkeypatch, told):
    monkeypatch.setattr(searching, "_MAX_ROUNDS", 200)
    task = ring_of(1)
    # The forget gate rounds to 1: c grows by the same in each round.
    model = copier_with_sums(task, [90.0], [0.0])
    calls, progress = told
    search = find_proof(model, task, progress)
    assert search.proof is None
    assert "after 200 rounds boxes still grew: c of unit 1" in search.reason
    # What does not shrink is not extrapolated.
    assert len(calls) == search.rounds


def test_tries_take_no_more_rounds_than_the_boxes(monkeypatch, told):
    monkeypatch.setattr(searching, "_MAX_ROUNDS", 200)
    # Boxes that are not extrapolated grow for hundreds of rounds.
    monkeypatch.setattr(searching, "_extrapolate", lambda _, grown, __: grown)
    task = ring_of(1)
    model = copier_with_sums(task, [5.0], [0.0])
    calls, progress = told
    search = find_proof(model, task, progress)
    assert search.proof is None
    rounds = [done for done, _ in calls[:360]]
    tried = {done for done in rounds if rounds.count(done) > 1}
    assert tried == {10, 50, 90, 130, 170}
    assert search.rounds < len(calls) <= 2 * search.rounds
