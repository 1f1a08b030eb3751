"""Machines that are found in networks."""

import importlib.util

import numpy as np
import pytest

from keras_lstm.config import ModelConfig
from keras_lstm.core.errors import InputError
from keras_lstm.models.build import build_model
from keras_lstm.tasks.increment import Decrement, Increment, Parity
from keras_lstm.tasks.machine import FiniteStateMachine
from keras_lstm.tasks.machine_dot import check_dot_path, machine_to_dot
from keras_lstm.tasks.machine_files import read_machine
from keras_lstm.tasks.machine_library import MACHINES
from keras_lstm.training.construction import construct_weights
from keras_lstm.verification import extraction
from keras_lstm.verification.extraction import (
    extract_machine,
    extraction_text,
    shortest_difference,
)

pytest.importorskip("aalpy")


def library_task(name):
    return FiniteStateMachine(machine=MACHINES[name]().to_text(), num_bits=6)


def network_of(task):
    """Return a network that computes a machine."""
    model = build_model(
        task,
        ModelConfig(
            units=len(task.codes),
            num_layers=1,
            embedding_dim=task.num_symbols,
        ),
    )
    construct_weights(model, task)
    return model


@pytest.mark.parametrize(
    "name",
    [
        name
        if name in ("tomita-5", "cycle-navigation")
        else pytest.param(name, marks=pytest.mark.slow)
        for name in MACHINES
    ],
)
def test_a_network_gives_back_its_minimal_machine(name):
    task = library_task(name)
    found = extract_machine(network_of(task), task)
    assert found.is_right
    assert len(found.machine.next_state) == len(task.next_state)
    assert found.search.proof is not None
    assert "Proved: it is this machine" in extraction_text(found, task)


def test_a_wrong_network_gives_back_its_own_machine():
    # A network that decrements, for a run of increment.
    found = extract_machine(network_of(Decrement()), Increment())
    assert not found.is_right
    assert shortest_difference(found.machine, Decrement()) is None
    # It is proved to be this machine, and the first symbol shows that it is
    # not the task's.
    assert found.search.proof is not None
    np.testing.assert_array_equal(
        found.apart, shortest_difference(Decrement(), Increment())
    )
    text = extraction_text(found, Increment())
    assert "does not always answer" in text


def test_a_constant_network_is_a_machine_of_one_state():
    task = Parity()
    model = build_model(task, ModelConfig(units=2, num_layers=1))
    model.set_weights([np.zeros_like(w) for w in model.get_weights()])
    model.layers[-1].bias.assign([0.0, 1.0])
    found = extract_machine(model, task)
    assert found.machine.next_state == ((0, 0),)
    assert found.machine.output == ((1, 1),)
    np.testing.assert_array_equal(found.apart, [0])
    assert "a machine of 1 state." in extraction_text(found, task)


def test_a_network_that_is_not_proved_is_said_to_be_compared_only(monkeypatch):
    task = Increment()
    model = network_of(task)
    monkeypatch.setattr(
        extraction,
        "find_proof",
        lambda model, machine: found_none(),
    )
    found = extract_machine(model, task)
    text = extraction_text(found, task)
    assert text.startswith("As far as it was compared, this network is a ma")
    assert "Not proved (boxes grew)" in text
    assert "all sequences of 16 symbols and 1,024 random ones of 128" in text


def found_none():
    from keras_lstm.proof.search import ProofSearch

    return ProofSearch(None, 0.0, "boxes grew", 1, 0.0)


def test_too_many_states_are_given_up():
    task = library_task("dyck-2")
    found = extract_machine(network_of(task), task, max_states=3)
    assert found.machine is None
    assert not found.is_right
    text = extraction_text(found, task)
    assert text == "No machine was found: it has more than 3 states."


def test_rare_differences_are_found_by_short_sequences(monkeypatch):
    # Random sequences are not asked: every short one is.
    monkeypatch.setattr(extraction, "_SEQUENCES", 1)
    monkeypatch.setattr(extraction, "_STEPS", 1)
    task = Parity(num_bits=6)
    assert extract_machine(network_of(task), task).is_right


def test_answers_that_rounding_decides_are_not_learned_from(monkeypatch):
    task = library_task("tomita-5")
    model = network_of(task)
    asked = extraction._answers

    def rounded(network, symbols):
        """Answer batches in another way than single sequences."""
        answers = asked(network, symbols)
        return answers if len(symbols) == 1 else 1 - answers

    monkeypatch.setattr(extraction, "_answers", rounded)
    found = extract_machine(model, task)
    assert found.machine is None
    assert found.reason == "an answer is too close to call"


@pytest.mark.parametrize("name", ["remainder-7", "cycle-navigation"])
def test_the_graphviz_file_is_read_back(tmp_path, name):
    task = library_task(name)
    machine = extract_machine(network_of(task), task).machine
    path = tmp_path / "m.dot"
    path.write_text(machine_to_dot(machine, 'a "name"'))
    again = FiniteStateMachine(machine=read_machine(str(path)).to_text())
    assert shortest_difference(again, machine) is None
    assert again.table.symbols == task.table.symbols


def test_shortest_difference_is_shortest():
    one, other = library_task("tomita-5"), library_task("tomita-6")
    apart = shortest_difference(one, other)
    last = [each.targets(apart)[-1] for each in (one, other)]
    assert last[0] != last[1]
    for length in range(1, len(apart)):
        shorter = one.symbols_of(np.arange(2**length), length)
        np.testing.assert_array_equal(
            one.targets(shorter), other.targets(shorter)
        )
    assert shortest_difference(one, one) is None


def test_what_is_missing_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        InputError, match="needs packages that are not installed, aalpy"
    ):
        extract_machine(network_of(Parity()), Parity())


def test_bad_paths_are_refused(tmp_path):
    (tmp_path / "there.dot").touch()
    for path, rule in (
        (tmp_path / "m.png", "end in .dot or .gv"),
        (tmp_path / "there.dot", "not exist yet"),
        (tmp_path / "none" / "m.dot", "be in a folder that exists"),
    ):
        with pytest.raises(InputError, match=f"`output` must {rule}"):
            check_dot_path(path)
