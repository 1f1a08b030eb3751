import numpy as np
import pytest

from keras_lstm.models.cells import WIDTH, Cells, joined, packed_order
from keras_lstm.models.stepper import LSTMStepper
from keras_lstm.models.weights import LayerWeights, LSTMWeights


def numbered(count, units=3):
    """Return one chunk of cells, in which no two numbers are the same."""
    numbers = np.arange(2 * units * count, dtype=np.float32)
    h, c = numbers.reshape(2, 1, units, count)
    return Cells((h, c))


def in_chunks(cells):
    """Return the nodes in chunks, in the same order."""
    return cells.of_rows(cells.rows(), WIDTH)


@pytest.mark.parametrize("span", [1, 2, 4])
def test_nodes_keep_their_state_in_chunks(span):
    count = 4 * WIDTH
    cells = numbered(count)
    order = packed_order(count, span)
    packed = cells.of_rows(cells.rows()[order], WIDTH)
    assert packed.arrays[0].shape == (4, 3, WIDTH)
    for before, after in zip(cells.values(), packed.values(), strict=True):
        np.testing.assert_array_equal(after, before[order])
    np.testing.assert_array_equal(packed.rows(), cells.rows()[order])
    # As many adjacent nodes are in a column.
    columns = order.reshape(-1, span, WIDTH)
    np.testing.assert_array_equal(np.diff(columns, axis=1), 1)


@pytest.mark.parametrize("span", [1, 2, 4])
def test_ranges_are_those_of_the_nodes_in_a_column(span):
    packed = in_chunks(numbered(4 * WIDTH))
    low, high = packed.ranges(span)
    values = np.concatenate(packed.values(), 1)
    grouped = values.reshape(-1, span, WIDTH, values.shape[1])
    np.testing.assert_array_equal(low, grouped.min(1).reshape(low.shape))
    np.testing.assert_array_equal(high, grouped.max(1).reshape(high.shape))


def test_the_nodes_of_the_first_cells_come_first():
    for first, second in (
        (numbered(5), numbered(2)),
        (in_chunks(numbered(2 * WIDTH)), in_chunks(numbered(3 * WIDTH))),
    ):
        both = joined([first, second])
        parts = zip(first.values(), second.values(), strict=True)
        for found, each in zip(both.values(), parts, strict=True):
            np.testing.assert_array_equal(found, np.concatenate(each))


@pytest.mark.parametrize("units", [7, 96])
def test_chunks_take_the_same_steps_as_single_nodes(units):
    rng = np.random.default_rng(0)

    def normal(*shape):
        return (rng.normal(size=shape) / 3).astype(np.float32)

    lstms = tuple(
        LayerWeights(normal(n, 4 * units), normal(units, 4 * units), bias)
        for n, bias in ((2, normal(4 * units)), (units, normal(4 * units)))
    )
    network = LSTMWeights(
        normal(3, 2), lstms, normal(units, 3), normal(3), True, (3,)
    )
    stepper = LSTMStepper(network)
    count = 5 * WIDTH
    cells = Cells(tuple(normal(1, units, count) for _ in range(4)))
    alone, together = stepper.step(cells), stepper.step(in_chunks(cells))
    forgotten = stepper.step(in_chunks(cells), keep=False)
    for one, all_, other in zip(alone, together, forgotten, strict=True):
        for expected, found in zip(
            one.cells.values(), all_.cells.values(), strict=True
        ):
            np.testing.assert_allclose(found, expected, atol=1e-6)
        expected = one.logits[0]
        found = all_.logits.transpose(1, 0, 2).reshape(3, -1)
        np.testing.assert_allclose(found, expected, atol=1e-5)
        np.testing.assert_array_equal(all_.logits, other.logits)
        assert other.cells is None
