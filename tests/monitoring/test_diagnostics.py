import io

import numpy as np
import PIL.Image
import pytest

from keras_lstm.config import ModelConfig
from keras_lstm.core.drawing import png_of
from keras_lstm.models.build import build_model
from keras_lstm.monitoring.diagnostics import (
    ImageDiagnostics,
    SequenceDiagnostics,
    make_diagnostics,
)
from keras_lstm.monitoring.pictures import (
    plot_curves,
    plot_shares,
)
from keras_lstm.monitoring.plots import mistakes_plot
from keras_lstm.tasks.image_rows import ImageRows
from keras_lstm.tasks.increment import Add, Increment, Parity
from keras_lstm.verification.evaluation import evaluate


def wrong_last(model):
    """Make the copier predict 1 for every symbol."""
    *rest, kernel, bias = model.get_weights()
    model.set_weights([*rest, kernel, bias + np.array([0.0, 100.0])])


def test_each_carry_length_is_asked_as_often():
    diagnostics = SequenceDiagnostics(Increment(num_bits=6))
    lengths = np.bincount(diagnostics._hold_lengths)
    np.testing.assert_array_equal(lengths, [16] * 6)


@pytest.mark.parametrize("task", [Parity(num_bits=64), Add(num_bits=64)])
def test_of_long_sequences_not_every_length_is_asked(task):
    diagnostics = SequenceDiagnostics(task)
    assert len(diagnostics._inputs) == 32 * 16
    assert {0, 63} <= set(diagnostics._lengths)


def test_long_sequences_take_little_memory():
    task = Increment(num_bits=4096)
    diagnostics = SequenceDiagnostics(task)
    assert len(diagnostics._inputs) == 32
    model = build_model(task, ModelConfig(units=1, num_layers=1))
    diagnostics.scalars(model, 0)
    (by_position,) = diagnostics.get_state()["by_position"]
    assert len(by_position) == 64
    assert 0 <= min(by_position) <= max(by_position) <= 1


@pytest.mark.slow
def test_a_narrow_domain_is_not_left():
    class AllOnes(Increment):
        domain_states = frozenset({0})

    inputs = SequenceDiagnostics(AllOnes(num_bits=7))._inputs
    np.testing.assert_array_equal(inputs, np.ones((128, 7)))


def test_right_and_wrong_answers_are_counted(copier):
    model, task = copier
    diagnostics = SequenceDiagnostics(task)
    right = diagnostics.scalars(model, 0)
    assert set(right.values()) == {1.0}
    assert diagnostics.texts(model) == {
        "wrong_answers": "0 of the 128 answers asked for here are wrong."
    }
    wrong_last(model)
    diagnostics.scalars(model, 3)
    state = diagnostics.get_state()
    assert state["epochs"] == [1, 4]
    ones = (diagnostics._inputs == 1).mean(0)
    np.testing.assert_allclose(state["by_position"], [[1.0] * 10, ones])
    text = diagnostics.texts(model)["wrong_answers"]
    heading, _, first = text.split("\n", 2)
    assert heading.endswith("of the 128 answers asked for here are wrong.")
    assert first.startswith("| input | target | prediction | hold length |")


def test_wrong_bits_are_marked(copier):
    model, task = copier
    wrong_last(model)
    diagnostics = SequenceDiagnostics(task)
    rows = diagnostics.texts(model)["wrong_answers"].splitlines()[4:]
    for row in rows:
        symbols, target, prediction, _ = (
            cell.strip() for cell in row.strip("|").split("|")
        )
        assert symbols == target
        bits = target.split()[0]
        assert prediction.replace("**", "") == "1" * 10
        marked = [False] * 10
        inside, at = False, 0
        for part in prediction.split("**"):
            for _ in part:
                marked[at] = inside
                at += 1
            inside = not inside
        assert marked == [bit == "0" for bit in bits]


def test_points_are_labelled_with_the_machine_state():
    task = Increment(num_bits=5)
    model = build_model(task, ModelConfig(units=3, num_layers=1))
    points = SequenceDiagnostics(task).points(model)
    assert set(points) == {"embedding", "lstm_1_h"}
    assert points["embedding"].columns == {"symbol": ["0", "1"]}
    vectors, columns = points["lstm_1_h"]
    assert len(vectors) == 80 * 5
    assert {len(column) for column in columns.values()} == {len(vectors)}
    by_input = zip(
        np.reshape(columns["symbol"], (-1, 5)).astype(int),
        np.reshape(columns["state"], (-1, 5)),
        strict=True,
    )
    for symbols, states in by_input:
        carried = np.cumprod(symbols).astype(bool)
        assert (states == np.where(carried, "carry", "done")).all()


def test_images_are_asked_row_by_row():
    task = ImageRows(dataset="digits")
    split = task.splits(0).validation
    model = build_model(task, ModelConfig(head="last_state", units=6))
    diagnostics = ImageDiagnostics(split, task.num_classes)
    scalars = diagnostics.scalars(model, 0)
    result = evaluate(model, split)
    right = 1 - result.num_wrong / result.num_examples
    assert scalars["accuracy_by_rows/08"] == pytest.approx(right)
    assert diagnostics.texts(model) == {}
    vectors, columns = diagnostics.points(model)["lstm_2_h"]
    # At most 1,000 points: 125 images of 8 rows.
    assert vectors.shape == (125 * 8, 6)
    assert columns["rows"][:8] == [1, 2, 3, 4, 5, 6, 7, 8]
    _, targets = split.batch(np.arange(125))
    assert columns["class"][::8] == targets.numpy().tolist()


def test_a_task_gets_the_probe_that_knows_it():
    task = ImageRows(dataset="digits")
    assert isinstance(
        make_diagnostics(Increment(), None, 0), SequenceDiagnostics
    )
    validation = task.splits(0).validation
    assert isinstance(make_diagnostics(task, validation, 0), ImageDiagnostics)
    assert make_diagnostics(task, None, 0) is None


def pixels(figure):
    return np.asarray(PIL.Image.open(io.BytesIO(png_of(figure))))


def colors(figure):
    return np.unique(pixels(figure).reshape(-1, 4), axis=0)


def test_what_was_not_asked_stays_white():
    shares = np.array([[1.0, 1.0]])
    every = plot_shares(shares, [1, 2], [0], "row", "title")
    gaps = plot_shares(shares, [1, 20], [0], "row", "title")
    white = [(pixels(f)[..., :3] == 255).all(-1).sum() for f in (every, gaps)]
    assert white[1] > 2 * white[0]


def test_pictures_of_nothing_can_be_drawn():
    task = ImageRows(dataset="digits")
    split = task.splits(0).validation
    result = evaluate(
        build_model(task, ModelConfig(head="last_state", units=2)), split
    )
    perfect = type(result)(
        result.targets, result.targets, result.margins, result.confidences
    )
    assert len(colors(mistakes_plot(perfect, np.zeros((180, 8, 8)))())) > 1
    assert len(colors(plot_curves({"loss": [1.0], "val_loss": [0.5]}))) > 3
