"""The picture of a machine and of the code that was learned for it."""

import numpy as np
import pytest

from keras_lstm.config import ModelConfig
from keras_lstm.models.build import build_model
from keras_lstm.monitoring.machine_picture import plot_codes, plot_machine
from keras_lstm.monitoring.pictures import plot_proof
from keras_lstm.monitoring.state_boxes import StateBoxes
from keras_lstm.proof.search import find_proof
from keras_lstm.tasks.increment import Add, Increment
from keras_lstm.tasks.machine import FiniteStateMachine
from keras_lstm.tasks.machine_library import MACHINES
from keras_lstm.training.construction import construct_weights


def proved(name):
    task = FiniteStateMachine(machine=MACHINES[name]().to_text())
    units = len(task.codes)
    model = build_model(
        task,
        ModelConfig(units=units, num_layers=1, embedding_dim=task.num_symbols),
    )
    construct_weights(model, task)
    return task, find_proof(model, task).proof, units


def texts(axes):
    return [text.get_text() for text in axes.texts]


def test_every_arrow_is_drawn_and_every_box_is_a_row():
    task, proof, units = proved("tomita-5")
    machine, codes, _ = plot_machine(task, StateBoxes.of(proof, units)).axes
    labels = texts(machine)
    assert labels.count("0 / accept") == labels.count("1 / accept") == 1
    assert labels.count("0 / reject") == labels.count("1 / reject") == 3
    assert {task.state_name(i) for i in range(4)} <= {*labels}
    (picture,) = codes.images
    shown = picture.get_array()
    assert shown.shape == (len(proof.states), units)
    # One unit for each code: each row but the start has one that is on.
    assert (np.abs(shown) > 0.5).sum() == len(proof.states) - 1
    rows = [label.get_text() for label in codes.get_yticklabels()]
    assert rows[0] == "start"
    assert len({*rows}) == len(proof.states)


def test_symbols_with_the_same_arrow_share_a_label():
    task, proof, units = proved("remainder-7-decimal")
    machine = plot_machine(task, StateBoxes.of(proof, units)).axes[0]
    assert "0 / 0\n7 / 0" in texts(machine)


@pytest.mark.parametrize("name", ["dyck-2"])
def test_large_machines_are_shown_by_their_code_alone(name):
    task, proof, units = proved(name)
    codes, _ = plot_machine(task, StateBoxes.of(proof, units)).axes
    assert len(codes.images) == 1


def assert_is_whole(figure):
    figure.canvas.draw()
    # Of all that is drawn, in inches.
    drawn = figure.get_tightbbox()
    assert min(drawn.x0, drawn.y0) >= 0
    width, height = figure.get_size_inches()
    assert drawn.x1 <= width
    assert drawn.y1 <= height


@pytest.mark.parametrize("name", ["i", "carry", "W" * 20])
@pytest.mark.parametrize("symbols", [1, 12])
def test_labels_of_boxes_are_inside_of_the_picture(monkeypatch, name, symbols):
    rng = np.random.default_rng(0)
    read = rng.integers(4, size=(6, symbols)).tolist()
    middle = rng.uniform(-1, 1, size=(6, 8))
    boxes = StateBoxes(rng.integers(2, size=6), read, middle, middle)
    monkeypatch.setattr(Add, "state_name", lambda task, state: name)
    for plot in (plot_machine, plot_codes):
        assert_is_whole(plot(Add(), boxes))


@pytest.mark.parametrize("reach", [0.9, 0.0003, 0.00021, 3e-5, 1e-7])
@pytest.mark.parametrize("middle", [0.0, -0.0001])
def test_labels_of_states_are_inside_of_the_picture(reach, middle):
    rng = np.random.default_rng(0)
    symbols = rng.integers(2, size=(8, 20))
    h = np.full((8, 20, 4), middle, np.float32)
    bounds = [np.full((2, 4), middle + sign * reach) for sign in (-1, 1)]
    boxes = StateBoxes(np.array([0, 1]), [[], [1]], *bounds)
    assert_is_whole(plot_proof(Increment(), boxes, symbols, h))
